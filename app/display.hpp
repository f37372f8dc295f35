// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The plain live display: who is doing what, streaming text by whole lines, then a few closing lines.
///
///   display d({.colour = tty, .progress = tty}, [](std::string_view s) { write(2, ...); });
///
/// Every call of the writer is one or more whole lines, or the replaceable progress line of a terminal; lines of different agents
/// never mix. All text is cleaned for terminals, whatever the target. Thread rule: calls must not overlap (the engine calls one at
/// a time per task; a host that calls `finish` from elsewhere holds a lock).

#include "app/task_view.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace conclave {

struct display_options {
  bool colour = false;
  bool progress = false;                    ///< a last line that is overwritten: the text on its way
  bool verbose = false;                     ///< calls, contexts, refusals, reasoning
  std::size_t width = 100;                  ///< columns of the terminal; text lines break at 80 or there
  std::function<std::size_t()> width_now{}; ///< asked before text is laid out, for a terminal that is resized; unset: `width`
  std::function<std::int64_t()> now_ms{};   ///< Unix time, for chunks (they carry none); unset: the time of the last event
};

/// One line on why there is no answer; the outcome's own text often says half of it already. Width 0 = not shortened.
std::string why_no_answer(const outcome& o, std::size_t width);

class display {
public:
  using writer = std::function<void(std::string_view)>;

  display(display_options options, writer out);

  void on(const event& e);
  void on(const chunk_batch& b);

  /// Flushes what is on its way, then says how it ended, who won, what it cost and how to see it again. Later calls of `on` are
  /// ignored.
  void finish(const outcome& o);

  /// Writes one line of the host's own ("interrupted: waiting for ...").
  void note(const std::string& text);

private:
  struct stream {
    std::string text; ///< the line on its way
    bool reasoning = false;
    std::uint64_t run = 0;
  };

  void line(std::int64_t time_ms, const std::string& who, const std::string& text);
  void stream_line(const std::string& agent, const stream& s, std::string_view text);
  void feed(const std::string& agent, std::uint64_t run, const chunk& c);
  void flush(const std::string& agent);
  void flush_all();
  void progress(const std::string& agent);
  void clear_progress();
  void emit(const std::string& text);
  std::string painted(const std::string& agent, const std::string& text) const;
  std::string padded(const std::string& who) const;
  std::string describe(const event& e) const;
  std::string describe_more(const event& e) const;
  std::string what_is_new(const event& e) const;
  void closing(const outcome& o);

  display_options options_;
  writer out_;
  task_view view_;
  std::map<std::string, stream> streams_;
  std::map<std::string, std::string> last_trouble_; ///< of each agent
  std::size_t name_width_ = 0;
  bool has_progress_ = false;
  std::int64_t progress_ms_ = 0;
  std::int64_t last_ms_ = 0;
  bool finished_ = false;
};

} // namespace conclave
