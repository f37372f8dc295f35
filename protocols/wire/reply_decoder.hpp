// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to wire/*.cpp: what the decoders of all dialects have in common. Finds the JSON objects of a reply in whatever form they
/// come (events, one body, JSON inside a stream, a stream under another label), tells errors, thinking and text apart, and says how
/// the reply ended. A dialect only reads its objects.

#include "protocols/wire/answer_reader.hpp"
#include "protocols/wire/delta_reader.hpp"
#include "protocols/wire/dialect.hpp"
#include "protocols/wire/finish_reason.hpp"
#include "protocols/wire/json_util.hpp"
#include "protocols/wire/sse.hpp"
#include "protocols/wire/surrogates.hpp"
#include "protocols/wire/thinking.hpp"

#include <set>

namespace conclave::wire {

/// The arguments of one call while they stream.
struct call_stream {
  std::string arguments;
  surrogate_joiner halves;
  bool is_answer = false; ///< of new_answer: shown as it is written
  answer_reader answer;
  thinking_filter thinking;
};

/// What one of OpenAI's APIs calls its counts of tokens.
struct usage_names {
  const char *input, *output, *input_details, *output_details;
};

class reply_decoder : public decoder {
public:
  /// `essential`: the member that every whole reply of the dialect has. `pauses`: the dialect knows paused turns.
  reply_decoder(const endpoint& to, const char* essential, bool pauses);

  void head(const http_head& h) final { head_ = h; }
  void feed(std::string_view bytes, std::vector<chunk>& out) final;
  bool done() const final { return done_; }
  bool semantic() const final { return semantic_; }
  bool stopped() const final { return stopped_ && !resumed_; }
  std::uint64_t progress() const final { return progress_; }
  std::size_t held() const final { return sse_.held(); }
  completion finish(const http_end& end) final;

protected:
  /// Reads one object of the reply; returns whether it held a part of the answer.
  virtual bool on_object(const json& v, const std::string& event, std::vector<chunk>& out) = 0;

  /// Reads an event that is one piece of a text, a thought or a call that has begun (delta_reader.hpp), with the effect that
  /// `on_object` would have. Returns false, and has none, for any other.
  virtual bool on_piece(std::string& data, std::vector<chunk>& out) = 0;

  /// Fills calls and opaque once the reply is complete.
  virtual void settle() = 0;

  void fail(ec code, std::string error);
  void fail_with(const json& error);

  /// Counts what is kept, values by their weight; false beyond the bound, and the reply has failed.
  bool grow(std::size_t bytes);

  /// The same without counting it.
  bool fits(std::size_t bytes);

  /// Counts a call of a tool of ours; false beyond the bound, and the reply has failed.
  bool one_more_call();

  /// Whether there may be another block, item or part; if not, the reply has failed.
  bool one_more_part(std::size_t so_far);

  /// Something that brings the reply on.
  void advance(bool semantic);

  /// Tells people what the provider does on its own, or where it read: each line once, and not without end.
  void tell(const std::string& text, std::vector<chunk>& out);

  /// The same of a source, where it has an address or a title.
  void tell_source(const std::string& title, const std::string& address, std::vector<chunk>& out);

  void say(std::string text, std::vector<chunk>& out);
  void think(std::string text, std::vector<chunk>& out);

  /// Text as a string, one part or a list of parts; `thinking` for parts inside a thought.
  void say_parts(const json& parts, bool thinking, std::vector<chunk>& out);

  /// Adds a piece of a call's arguments.
  void write(call_stream& call, std::string piece, std::vector<chunk>& out);

  /// Notes what the provider said of the tokens that came in and that went out, as often as it says so; `absent` changes nothing.
  /// Which of the two it never said is unknown, and an absurd one makes it so for good.
  void count(token_count input, token_count output);

  /// Reads the counts that OpenAI's APIs have. False, and nothing is read, where it has neither of the two.
  bool count_tokens(const json& u, const usage_names& names);

  void end_with(std::string reason);
  bool cut_short() const { return ending_ == ending::truncated; }

  /// Returns an id for a call that no call so far has; `reserved` says which ones later calls bring.
  std::string unused_id(const std::string& id, const char* prefix, const std::vector<std::string>& reserved) const;

  bool failed_ = false, done_ = false;
  bool complete_ = false; ///< the end marker or a whole answer was seen
  completion result_;
  std::string refusal_;     ///< in the model's own words
  std::string explanation_; ///< the provider's, for a reply that its safety system stopped
  usage use_;
  secrets secrets_;
  delta delta_; ///< the piece that `on_piece` reads

private:
  void take(std::string_view bytes, std::vector<chunk>& out);
  void on_event(sse_event& e, std::vector<chunk>& out);
  bool on_list(const json& list, std::vector<chunk>& out);
  bool on_value(const json& v, const std::string& event, std::vector<chunk>& out);
  void on_body(std::vector<chunk>& out);
  void read_rest(const http_end& end, std::vector<chunk>& out);
  std::string error_body() const;
  void emit(thinking_filter::parts parts, std::vector<chunk>& out);
  void flush();
  void conclude(const http_end& end);

  http_head head_;
  sse_decoder sse_;
  const char* essential_;
  bool pauses_;
  std::string body_, reason_;
  ending ending_ = ending::open;
  thinking_filter thinking_;
  surrogate_joiner text_halves_, thought_halves_;
  std::string written_; ///< of an answer in a new_answer call: kept when the call breaks off
  std::set<std::string> told_;
  std::size_t received_ = 0; ///< bytes of the body
  std::size_t total_ = 0;    ///< bytes that are kept
  std::size_t calls_seen_ = 0;
  std::uint64_t progress_ = 0;
  bool marked_ = false; ///< half surrogate pairs came
  bool semantic_ = false, judged_ = false, whole_ = false, said_part_ = false;
  bool stopped_ = false; ///< a stop reason was seen
  bool resumed_ = false; ///< and the reply went on: this server says stop with every piece
  token_count input_ = token_count::absent, output_ = token_count::absent;
};

} // namespace conclave::wire
