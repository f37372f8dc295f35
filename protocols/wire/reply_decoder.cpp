// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/reply_decoder.hpp"

#include "protocols/wire/error_body.hpp"
#include "protocols/wire/error_kind.hpp"
#include "protocols/wire/http_reply.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/wire/reply_signs.hpp"

#include <algorithm>

namespace conclave::wire {

namespace {

constexpr std::size_t max_refusal_bytes = std::size_t{1} << 20; ///< of what comes with a refusal

constexpr std::string_view blanks = " \t\r\n";

std::string mib(std::size_t bytes) {
  return std::to_string(bytes >> 20) + " MiB";
}

std::string too_large() {
  return "the reply is larger than " + mib(max_reply_bytes);
}

} // namespace

reply_decoder::reply_decoder(const endpoint& to, const char* essential, bool pauses)
    : secrets_(secrets_of(to)), essential_(essential), pauses_(pauses) {}

void reply_decoder::feed(std::string_view bytes, std::vector<chunk>& out) {
  if (done_)
    return;
  auto room = max_reply_bytes - received_;
  received_ += std::min(bytes.size(), room);
  take(bytes.substr(0, room), out);
  if (bytes.size() > room && !done_)
    fail(ec::bad_reply, too_large());
}

void reply_decoder::take(std::string_view bytes, std::vector<chunk>& out) {
  if (head_.status < 300 && !judged_) {
    auto first = bytes.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
    if (first == std::string_view::npos)
      return;
    bytes.remove_prefix(first);
    judged_ = true;
    whole_ = is_body(head_, bytes);
  }
  if (head_.status >= 300) { // whatever follows, this says why
    body_.append(bytes.substr(0, max_refusal_bytes - body_.size()));
    done_ = body_.size() == max_refusal_bytes;
    return;
  }
  if (whole_) { // it is held at once, as one event is, and built up as values beside
    if (bytes.size() <= max_line_bytes - body_.size()) {
      body_.append(bytes);
      return;
    }
    std::string().swap(body_);
    return fail(ec::bad_reply, "the reply is larger than " + mib(max_line_bytes) + " and does not come as a stream");
  }
  auto ok = sse_.feed(bytes, [&](sse_event& e) { on_event(e, out); });
  if (!ok && !done_)
    fail(ec::bad_reply, "one event of the stream is larger than " + mib(max_line_bytes));
}

void reply_decoder::count(token_count input, token_count output) {
  input_ = std::max(input_, input);
  output_ = std::max(output_, output);
}

bool reply_decoder::count_tokens(const json& u, const usage_names& names) {
  auto input = read_tokens(u, names.input, use_.input_tokens);
  auto output = read_tokens(u, names.output, use_.output_tokens);
  if (input == token_count::absent && output == token_count::absent)
    return false;
  count(input, output);
  for (auto* name : {"cached_tokens", "prompt_cache_hit_tokens"}) // Moonshot and DeepSeek have it here
    read_tokens(u, name, use_.cached_input_tokens);
  if (auto* d = member(u, names.input_details)) {
    read_tokens(*d, "cached_tokens", use_.cached_input_tokens);
    read_tokens(*d, "cache_write_tokens", use_.cache_write_tokens);
    read_tokens(*d, "audio_tokens", use_.audio_input_tokens);
  }
  if (auto* d = member(u, names.output_details)) {
    read_tokens(*d, "reasoning_tokens", use_.reasoning_tokens);
    read_tokens(*d, "audio_tokens", use_.audio_output_tokens);
  }
  return true;
}

completion reply_decoder::finish(const http_end& end) {
  if (head_.status >= 300) {
    http_failure(result_, head_, error_body(), secrets_);
    if (end.code == ec::cancelled)
      transfer_failure(result_, end, semantic_);
    return std::move(result_);
  }
  std::vector<chunk> late; // what the end brings is too late for eyes, not for the completion
  if (!done_)
    read_rest(end, late);
  flush();
  result_.semantic = semantic_;
  result_.usage = use_;
  auto counted = input_ == token_count::given && output_ == token_count::given;
  result_.usage.unreported = head_.status >= 200 && !counted ? 1 : 0;
  result_.finish = brief(reason_, 100, secrets_);
  if (!failed_)
    conclude(end);
  secrets_.hide(result_.error);
  if (result_.status == completion_status::broken || result_.status == completion_status::cancelled) {
    result_.calls.clear(); // never act on half a reply
    result_.opaque.clear();
    result_.opaque_dialect.clear();
    if (!written_.empty())
      result_.text += (result_.text.empty() ? "" : "\n\n") + written_;
  }
  return std::move(result_);
}

/// What the end of the transfer completes: an event without its blank line, a whole body.
void reply_decoder::read_rest(const http_end& end, std::vector<chunk>& out) {
  if (whole_) {
    if (end.code == ec::none || parse(body_))
      on_body(out);
  } else if (end.code == ec::none) {
    sse_.finish([&](sse_event& e) {
      if (parse_lenient(e.data) || is_end_mark(e.data))
        on_event(e, out);
    });
  }
}

void reply_decoder::on_event(sse_event& e, std::vector<chunk>& out) {
  if (done_ || (e.name != "error" && on_piece(e.data, out)))
    return;
  if (is_end_mark(e.data)) {
    complete_ = done_ = true;
    return;
  }
  auto too_much = false;
  auto v = parse_lenient(e.data, &marked_, max_event_bytes, &too_much);
  if (v && v->is_object()) {
    if (e.data.size() > long_text) // held as values now
      e.forget_data();
    if (e.name == "error" && error_in(*v) == nullptr)
      fail_with(*v);
    else
      on_value(*v, e.name, out);
  } else if (v && v->is_array() && !v->empty() && v->front().is_object()) {
    on_list(*v, out);
  } else if (e.name == "error") {
    fail_with({{"message", valid_utf8(e.data)}});
  } else if (!is_idle(e)) {
    fail(ec::bad_reply, "an event of the stream "
                            + (too_many_values(e.data) ? "holds more than " + std::to_string(max_values) + " values"
                               : too_much              ? "takes more than " + mib(max_event_bytes) + " as values"
                                                       : "is no JSON object")
                            + ": " + brief(e.data, 80, secrets_));
  }
}

/// Objects in a list: Google's errors, and its replies where it is not asked for events.
bool reply_decoder::on_list(const json& list, std::vector<chunk>& out) {
  bool any = false;
  for (auto& v : list)
    if (!failed_ && !complete_ && v.is_object())
      any = on_value(v, {}, out) || any;
  return any;
}

bool reply_decoder::on_value(const json& v, const std::string& event, std::vector<chunk>& out) {
  if (auto* error = error_in(v)) {
    fail_with(*error);
    return true;
  }
  return on_object(v, event, out);
}

/// A body in place of a stream: an error, a whole answer, or objects one below the other.
void reply_decoder::on_body(std::vector<chunk>& out) {
  auto v = parse_lenient(body_, &marked_, max_event_bytes);
  auto is_list = v && v->is_array() && !v->empty() && v->front().is_object();
  if (is_list || (v && v->is_object())) {
    if (body_.size() > long_text) // held as values now
      std::string().swap(body_);
    if (!(is_list ? on_list(*v, out) : on_value(*v, {}, out)) && !failed_)
      fail(ec::bad_reply, std::string("the reply has no ") + essential_);
    complete_ = true;
    return;
  }
  bool any = false;
  if (body_.starts_with('{')) {
    sse_decoder lines;
    auto read = [&](sse_event& e) {
      any = true;
      on_event(e, out);
    };
    lines.feed(body_, read);
    lines.finish(read);
  }
  if (!any) // a page of a portal or proxy, as a rule: what it says to a reader
    fail(ec::bad_reply,
         "the reply is no JSON, check `base_url`: \"" + brief(read_reason(std::string_view(body_)).message, 300, secrets_) + "\"");
}

/// The body of a refused request; of one that came as events, the first event's data.
std::string reply_decoder::error_body() const {
  auto first = body_.find_first_not_of(blanks);
  if (first == std::string::npos || std::string_view("deir:").find(body_[first]) == std::string_view::npos)
    return body_;
  std::string data;
  sse_decoder events;
  auto read = [&](sse_event& e) {
    if (data.empty() && parse_lenient(e.data))
      data = e.data;
  };
  events.feed(std::string_view(body_).substr(first), read);
  events.finish(read);
  return data.empty() ? body_ : data;
}

void reply_decoder::fail(ec code, std::string error) {
  failed_ = done_ = true;
  result_.status = completion_status::broken;
  result_.code = semantic_ && code == ec::unavailable ? ec::stream_broken : code;
  result_.error = std::move(error);
}

void reply_decoder::fail_with(const json& error) {
  failed_ = done_ = true;
  stream_failure(result_, error, semantic_, secrets_);
}

bool reply_decoder::fits(std::size_t bytes) {
  if (bytes > max_text_bytes - std::min(total_, max_text_bytes))
    fail(ec::bad_reply, "the reply holds more than " + mib(max_text_bytes) + " of text, thoughts and arguments");
  return !failed_;
}

bool reply_decoder::grow(std::size_t bytes) {
  auto fit = fits(bytes);
  total_ += bytes;
  return fit;
}

bool reply_decoder::one_more_call() {
  if (++calls_seen_ > max_reply_calls)
    fail(ec::bad_reply, "more than " + std::to_string(max_reply_calls) + " tool calls in one reply");
  return !failed_;
}

bool reply_decoder::one_more_part(std::size_t so_far) {
  if (so_far >= max_reply_parts)
    fail(ec::bad_reply, "more than " + std::to_string(max_reply_parts) + " parts in one reply");
  return !failed_;
}

/// A server that answers with several choices, or says more than once why it stopped: a success takes nothing back.
void reply_decoder::end_with(std::string reason) {
  auto means = read_finish_reason(reason);
  if (means == ending::open)
    return;
  stopped_ = true;
  if (means == ending::success && ending_ != ending::open && ending_ != ending::success)
    return;
  reason_ = std::move(reason);
  ending_ = means;
}

void reply_decoder::conclude(const http_end& end) {
  if (!complete_ && ending_ == ending::open) {
    transfer_failure(result_, end, semantic_);
    if (!semantic_ && end.code == ec::none && !sse_.stray().empty()) // words of a proxy, as a rule
      result_.error += ": \"" + brief(read_reason(std::string_view(sse_.stray())).message, 300, secrets_) + "\"";
    return;
  }
  settle();
  if (marked_) {
    surrogate_joiner halves;
    halves.feed(result_.opaque);
    halves.finish(result_.opaque);
  }
  auto failed = [&](const char* what) { fail(ec::unavailable, what + (" \"" + result_.finish + "\"")); };
  auto calls_are_whole = !result_.calls.empty()
                         && std::all_of(result_.calls.begin(), result_.calls.end(), [](auto& c) { return is_object(c.arguments); });
  if (!refusal_.empty() || (ending_ == ending::refused && !calls_are_whole)) {
    result_.status = completion_status::refused;
    auto& words = refusal_.empty() ? explanation_ : refusal_;
    result_.error =
        words.empty() ? "the provider's safety system stopped the reply (" + result_.finish + ")" : brief(words, 300, secrets_);
    return;
  }
  switch (ending_) {
  case ending::truncated:
    result_.status = completion_status::truncated;
    return;
  case ending::paused:
    if (pauses_ && result_.calls.empty()) // calls of ours are answered first
      result_.status = completion_status::paused;
    return;
  case ending::failed:
    return failed("the server broke off with finish reason");
  case ending::malformed:
    fail(ec::bad_reply, "the model's output made no sense to the server: finish reason \"" + result_.finish + "\"");
    result_.model_fault = true;
    return;
  case ending::unknown: // calls that are whole say what to do, whatever the reason is called
    if (!calls_are_whole)
      failed("the reply ended with an unknown finish reason");
    return;
  case ending::open:
  case ending::success:
  case ending::refused:
    return;
  }
}

std::string reply_decoder::unused_id(const std::string& id, const char* prefix, const std::vector<std::string>& reserved) const {
  auto used = [this](const std::string& x) {
    return x.empty() || std::any_of(result_.calls.begin(), result_.calls.end(), [&](auto& c) { return c.id == x; });
  };
  if (!used(id))
    return id;
  auto out = prefix + std::to_string(result_.calls.size());
  while (used(out) || std::find(reserved.begin(), reserved.end(), out) != reserved.end())
    out += "_";
  return out;
}

} // namespace conclave::wire
