// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/reply_decoder.hpp"

#include "protocols/text.hpp"
#include "protocols/wire/error_body.hpp"
#include "protocols/wire/error_kind.hpp"
#include "protocols/wire/http_reply.hpp"
#include "protocols/wire/json.hpp"

#include <algorithm>

namespace conclave::wire {

namespace {

constexpr std::size_t max_refusal_bytes = std::size_t{1} << 20; ///< of what comes with a refusal

constexpr std::size_t max_told = 32; ///< lines about what the provider did on its own, of one reply

constexpr std::string_view blanks = " \t\r\n";

std::string mib(std::size_t bytes) {
  return std::to_string(bytes >> 20) + " MiB";
}

std::string too_large() {
  return "the reply is larger than " + mib(max_reply_bytes);
}

bool is_end(const std::string& data) {
  auto start = data.find_first_not_of(' ');
  return start != std::string::npos && data.compare(start, 6, "[DONE]") == 0;
}

/// Keep-alives that are no comments: words instead of JSON, or events that no dialect knows.
bool is_idle(const sse_event& e) {
  auto first = e.data.find_first_not_of(blanks);
  if (first == std::string::npos)
    return true;
  auto data = lower(e.data.substr(first, std::min<std::size_t>(e.data.find_last_not_of(blanks) - first + 1, 16)));
  for (auto* word : {"ping", "pong", "keepalive", "keep-alive", "keep_alive", "heartbeat", "null", "ok"})
    for (auto* dress : {"", "\"", "["}) // [ping] is written like [DONE]
      if (data == dress + std::string(word) + (*dress == '[' ? "]" : dress))
        return true;
  auto known = [&](std::string_view kind) { return e.name.starts_with(kind); };
  return !e.name.empty() && e.name != "message" && !known("message_") && !known("content_block") && !known("response.");
}

/// Whether a member says that something went wrong: servers also send `"error": null` with every piece.
bool says_something(const json* v) {
  return v != nullptr && !v->is_null() && !(v->is_boolean() && !v->get<bool>()) && !(v->is_number() && *v == 0)
         && !(v->is_string() && v->get_ref<const std::string&>().empty()) && !(v->is_structured() && v->empty());
}

/// The object that holds an error in any provider's form, or nullptr.
const json* error_in(const json& v) {
  if (says_something(member(v, "error")))
    return string_at(v, "object") == "response" && v.contains("output") ? nullptr : &v; // of the Responses API, which says more
  if (auto* groq = member(v, "x_groq"); groq != nullptr && says_something(member(*groq, "error")))
    return groq;
  if (auto* base = member(v, "base_resp"); base != nullptr && int_at(*base, "status_code") != 0)
    return &v; // MiniMax
  auto* choices = member(v, "choices");
  if (choices != nullptr && choices->is_array() && !choices->empty())
    return nullptr;
  auto type = string_at(v, "type");
  if (type == "error" || string_at(v, "object") == "error")
    return &v;
  if (!type.empty())
    return nullptr;
  if (auto* success = member(v, "success"); says_something(member(v, "errors")) || (success != nullptr && *success == false))
    return &v;                                                                            // Cloudflare and other gateways
  for (auto* text : {"message", "detail", "msg", "error_msg", "error_message", "errmsg"}) // without any wrapping
    if (!string_at(v, text).empty())
      for (auto* code : {"code", "status", "status_code", "statusCode", "error_code", "errcode", "detail"})
        if (says_something(member(v, code)))
          return &v;
  return nullptr;
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
    if (!grow(std::min(first, bytes.size())) || first == std::string_view::npos)
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
  if (whole_) {
    body_.append(bytes);
    return;
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
      if (parse_lenient(e.data) || is_end(e.data))
        on_event(e, out);
    });
  }
}

void reply_decoder::on_event(sse_event& e, std::vector<chunk>& out) {
  if (done_ || (e.name != "error" && on_piece(e.data, out)))
    return;
  if (is_end(e.data)) {
    complete_ = done_ = true;
    return;
  }
  auto v = parse_lenient(e.data, &marked_);
  if (v && v->is_object()) {
    if (e.name == "error" && error_in(*v) == nullptr)
      fail_with(*v);
    else
      on_value(*v, e.name, out);
  } else if (v && v->is_array() && !v->empty() && v->front().is_object()) {
    on_list(*v, out);
  } else if (e.name == "error") {
    fail_with({{"message", valid_utf8(e.data)}});
  } else if (!is_idle(e)) {
    fail(ec::bad_reply, "an event of the stream is no JSON object: " + brief(e.data, 80, secrets_));
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
  auto v = parse_lenient(body_, &marked_);
  auto is_list = v && v->is_array() && !v->empty() && v->front().is_object();
  if (is_list || (v && v->is_object())) {
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

bool reply_decoder::grow(std::size_t bytes) {
  total_ += bytes;
  if (total_ > max_reply_bytes)
    fail(ec::bad_reply, too_large());
  return !failed_;
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

void reply_decoder::tell(const std::string& text, std::vector<chunk>& out) {
  if (told_.size() >= max_told)
    return;
  auto line = brief(text, 300, secrets_);
  if (told_.insert(line).second)
    out.push_back({chunk_kind::status, std::move(line)});
}

void reply_decoder::tell_source(const std::string& title, const std::string& address, std::vector<chunk>& out) {
  if (!title.empty() || !address.empty())
    tell("source: " + title + (title.empty() || address.empty() || title == address ? "" : ", ")
             + (title == address ? "" : address),
         out);
}

void reply_decoder::advance(bool semantic) {
  semantic_ = semantic_ || semantic;
  resumed_ = resumed_ || stopped_;
  ++progress_;
}

void reply_decoder::say(std::string text, std::vector<chunk>& out) {
  if (text.empty() || !grow(text.size()))
    return;
  advance(true);
  if (marked_ || text_halves_.pending())
    text_halves_.feed(text);
  if (thinking_.passes()) {
    result_.text += text;
    if (!text.empty())
      out.push_back({chunk_kind::text, std::move(text)});
    return;
  }
  thinking_filter::parts parts;
  thinking_.feed(text, parts);
  emit(std::move(parts), out);
}

void reply_decoder::think(std::string text, std::vector<chunk>& out) {
  if (text.empty() || !grow(text.size()))
    return;
  advance(true);
  if (marked_ || thought_halves_.pending())
    thought_halves_.feed(text);
  emit({std::move(text), {}}, out);
}

void reply_decoder::emit(thinking_filter::parts parts, std::vector<chunk>& out) {
  if (!parts.reasoning.empty()) {
    result_.reasoning += parts.reasoning;
    out.push_back({chunk_kind::reasoning, std::move(parts.reasoning)});
  }
  if (!parts.text.empty()) {
    result_.text += parts.text;
    out.push_back({chunk_kind::text, std::move(parts.text)});
  }
}

void reply_decoder::flush() {
  thinking_filter::parts rest;
  std::string half;
  thought_halves_.finish(result_.reasoning);
  text_halves_.finish(half);
  thinking_.feed(half, rest);
  thinking_.finish(rest);
  result_.reasoning += rest.reasoning;
  result_.text += rest.text;
  move_untagged(result_.text, result_.reasoning);
}

void reply_decoder::say_parts(const json& parts, bool thinking, std::vector<chunk>& out) {
  if (parts.is_string())
    return thinking ? think(parts.get<std::string>(), out) : say(parts.get<std::string>(), out);
  if (parts.is_array()) {
    for (auto& p : parts)
      say_parts(p, thinking, out);
    return;
  }
  if (!parts.is_object())
    return;
  auto type = string_at(parts, "type");
  if (auto* refused = member(parts, "refusal"); refused != nullptr && refused->is_string()) {
    if (auto text = refused->get<std::string>(); grow(text.size()))
      refusal_ += text;
    return;
  }
  auto* thought = member(parts, "thought"); // Gemini's mark on a part
  thinking = thinking || type.find("think") != std::string::npos || type.find("reason") != std::string::npos
             || (thought != nullptr && *thought == true);
  for (auto* key : {"text", "value", "content", "parts"})
    if (auto* inner = member(parts, key); inner != nullptr && !inner->is_null())
      return say_parts(*inner, thinking, out);
  for (auto* key : {"thinking", "reasoning", "summary"})
    if (auto* inner = member(parts, key); inner != nullptr && !inner->is_null())
      return say_parts(*inner, true, out);
  if (!thinking && !said_part_) {
    said_part_ = true;
    out.push_back({chunk_kind::status, "a part of the reply is no text and is left out: " + brief(type, 60, secrets_)});
  }
}

void reply_decoder::write(call_stream& call, std::string piece, std::vector<chunk>& out) {
  if (!grow(piece.size()))
    return;
  if (!piece.empty())
    advance(true);
  if (marked_ || call.halves.pending())
    call.halves.feed(piece);
  call.arguments += piece;
  if (!call.is_answer)
    return;
  auto text = call.answer.feed(piece);
  if (text.empty())
    return;
  thinking_filter::parts parts;
  call.thinking.feed(text, parts);
  written_ += parts.text;
  if (!parts.text.empty())
    out.push_back({chunk_kind::text, std::move(parts.text)});
  emit({std::move(parts.reasoning), {}}, out);
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
