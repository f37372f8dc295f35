// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The plain live display: who is doing what, streaming text by whole lines, where the task stands, then a few closing lines.
///
///   display d({.colour = tty, .progress = tty}, [](std::string_view s) { write(2, ...); });
///
/// Every call of the writer is one or more whole lines, or the replaceable last line of a terminal; lines of different agents
/// never mix. All text is cleaned for terminals, whatever the target. Thread rule: calls must not overlap (the engine calls one at
/// a time per task; a host that calls `finish` or `tick` from elsewhere holds a lock).

#include "app/task_view.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace conclave {

struct display_options {
  bool colour = false;
  bool progress = false;                    ///< a last line that is overwritten: text on its way, or where the task stands
  bool verbose = false;                     ///< calls, contexts, refusals, reasoning
  bool answer_follows = false;              ///< the answer is printed on the same screen at the end: it is not streamed before
  std::size_t width = 100;                  ///< columns of the terminal, lines break there between words; 0: lines are not broken
  std::function<std::size_t()> width_now{}; ///< asked before text is laid out, for a terminal that is resized; unset: `width`
  std::function<std::int64_t()> now_ms{};   ///< Unix time, for chunks (they carry none); unset: the time of the last event
};

/// One line on why there is no answer; the outcome's own text often says half of it already. Longer than `width` columns, it is
/// cut in the middle; 0 = not shortened.
std::string why_no_answer(const outcome& o, std::size_t width);

class display {
public:
  using writer = std::function<void(std::string_view)>;

  /// With more agents than this their texts are not streamed (but for the final answer, or when verbose).
  static constexpr std::size_t most_streams = 4;

  display(display_options options, writer out);

  void on(const event& e);
  void on(const chunk_batch& b);

  /// To be called about twice a second: lets go of lines that were kept back to be joined with equal ones, and says where the task
  /// stands: on a terminal in its last line, else after half a minute without a line.
  void tick();

  /// Flushes what is on its way, then says how it ended, who won, what it cost and how to see it again. Later calls of `on` are
  /// ignored.
  void finish(const outcome& o);

  /// Writes one line of the host's own ("interrupted: waiting for ...").
  void note(const std::string& text);

private:
  enum class voice : std::uint8_t { text, thought, final_answer };

  struct stream {
    std::string text; ///< the line on its way
    voice in = voice::text;
    std::uint64_t run = 0;
    std::int64_t since_ms = 0; ///< when it began
  };

  /// A line that waits a moment for other agents that say the same.
  struct kept_line {
    std::int64_t time_ms = 0, due_ms = 0;
    event_type type = event_type::unknown;
    std::string text, reason;
    std::vector<std::string> agents;
  };

  /// A cause that stands above in full.
  struct told_cause {
    std::string reason;
    std::vector<std::string> agents;
  };

  void keep(kept_line x);
  void release();
  void line(std::int64_t time_ms, const std::string& who, const std::string& text);
  void say(const std::string& text);
  void trouble(const event& e);
  void hint(const std::string& agent, const std::string& text);
  std::string shorter(const event& e, const told_cause& known) const;
  void stream_line(const std::string& agent, const stream& s, std::string_view text);
  void feed(const std::string& agent, std::uint64_t run, const chunk& c);
  void flush(const std::string& agent);
  void flush_all();
  void progress(const std::string& agent);
  void status();
  void clear_progress();
  void emit(const std::string& text);
  void measure();
  std::int64_t now() const { return options_.now_ms ? options_.now_ms() : last_ms_; }
  std::string painted(const std::string& agent, const std::string& text) const;
  std::string padded(const std::string& who) const;
  std::string stream_head(const std::string& agent, voice in) const;
  void closing(const outcome& o);

  display_options options_;
  writer out_;
  task_view view_;
  std::map<std::string, stream> streams_;
  std::vector<kept_line> kept_;
  std::vector<told_cause> told_;
  std::set<std::uint64_t> presenting_; ///< runs
  std::size_t longest_id_ = 0, name_width_ = 0;
  bool has_progress_ = false, stored_ = false, says_status_ = false, legend_said_ = false;
  std::int64_t progress_ms_ = 0, last_ms_ = 0, last_line_ms_ = 0;
  bool finished_ = false;
};

} // namespace conclave
