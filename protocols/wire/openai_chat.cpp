// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/answer_reader.hpp"
#include "protocols/wire/dialects.hpp"
#include "protocols/wire/http_reply.hpp"
#include "protocols/wire/json_util.hpp"
#include "protocols/wire/sse.hpp"

#include <algorithm>

// Source of the stream's shape: https://platform.openai.com/docs/api-reference/chat-streaming and backends.md section 6.3 (the
// quirks of compatible servers), read 2026-11-24.

namespace conclave::wire {

namespace {

class openai_chat_decoder final : public decoder {
public:
  explicit openai_chat_decoder(const endpoint& to) : secrets_(secrets_of(to)) {}

  void head(const http_head& h) override { head_ = h; }

  void feed(std::string_view bytes, std::vector<chunk>& out) override {
    if (done_)
      return;
    if (as_body(bytes)) {
      if (body_.size() + bytes.size() > max_reply_bytes)
        return fail(ec::bad_reply, "the reply is larger than 32 MiB");
      body_.append(bytes);
      return;
    }
    auto ok = sse_.feed(bytes, [&](sse_event& e) { on_event(e, out); });
    if (!ok && !done_)
      fail(ec::bad_reply, "one event of the stream is larger than 16 MiB");
  }

  bool done() const override { return done_; }
  bool semantic() const override { return semantic_; }

  completion finish(const http_end& end) override {
    auto c = close(end);
    if (!written_.empty() && (c.status == completion_status::broken || c.status == completion_status::cancelled))
      c.text += (c.text.empty() ? "" : "\n\n") + written_;
    return c;
  }

private:
  completion close(const http_end& end) {
    if (head_.status >= 300) {
      http_failure(result_, head_, body_, secrets_);
      if (end.code == ec::cancelled)
        transfer_failure(result_, end, semantic_);
      return std::move(result_);
    }
    std::vector<chunk> late; // what an unterminated last event held: too late for eyes, not for the completion
    if (!done_ && end.code == ec::none) {
      if (whole_)
        on_body(late);
      else
        sse_.finish([&](sse_event& e) {
          if (parse(e.data) || is_end(e.data))
            on_event(e, late);
        });
    }
    result_.semantic = semantic_;
    result_.usage = use_;
    secrets_.hide(result_.error);
    if (failed_)
      return std::move(result_); // without calls: never act on half a reply
    if (!marker_ && reason_.empty()) {
      transfer_failure(result_, end, semantic_);
      return std::move(result_);
    }
    settle_calls();
    if (reason_ == "length")
      result_.status = completion_status::truncated;
    else if ((reason_ == "content_filter" && result_.calls.empty()) || !refusal_.empty()) {
      result_.status = completion_status::refused;
      result_.error = refusal_.empty() ? "the provider's content filter stopped the reply" : brief(refusal_, 300, secrets_);
    }
    return std::move(result_);
  }

  struct call {
    std::int64_t index = 0;
    std::string id, name, arguments;
    answer_reader answer;
  };

  /// Whether the bytes are one body to be read at the end: an error, or JSON although a stream was asked for.
  bool as_body(std::string_view bytes) {
    if (head_.status < 300 && !judged_ && !bytes.empty()) {
      judged_ = true;
      whole_ = is_body(head_, bytes);
    }
    return head_.status >= 300 || whole_;
  }

  static bool is_end(const std::string& data) {
    auto start = data.find_first_not_of(' ');
    return start != std::string::npos && data.compare(start, 6, "[DONE]") == 0;
  }

  void fail(ec code, std::string error) {
    failed_ = done_ = true;
    result_.status = completion_status::broken;
    result_.code = semantic_ && code == ec::unavailable ? ec::stream_broken : code;
    result_.error = std::move(error);
  }

  void on_event(sse_event& e, std::vector<chunk>& out) {
    if (done_)
      return;
    if (is_end(e.data)) {
      marker_ = done_ = true;
      return;
    }
    auto v = parse_lenient(e.data);
    if (e.name == "error" && v)
      return on_error(*v);
    if (!v || !v->is_object())
      return fail(ec::bad_reply, "an event of the stream is no JSON object: " + brief(e.data, 80, secrets_));
    if (auto* error = member(*v, "error"); error != nullptr && !error->is_null())
      return on_error(*v);
    if (auto* groq = member(*v, "x_groq"))
      if (auto* error = member(*groq, "error"); error != nullptr && !error->is_null())
        return on_error(*groq);
    on_usage(*v);
    auto* choices = member(*v, "choices");
    if (choices == nullptr || !choices->is_array())
      return;
    for (auto& c : *choices)
      if (int_at(c, "index") == 0)
        on_choice(c, "delta", out);
  }

  void on_error(const json& v) {
    failed_ = done_ = true;
    stream_failure(result_, v, semantic_, secrets_);
  }

  /// A JSON body with 200: an error or a whole answer.
  void on_body(std::vector<chunk>& out) {
    auto v = parse_lenient(body_);
    if (!v || !v->is_object())
      return fail(ec::bad_reply, "the reply is no JSON: " + brief(body_, 80, secrets_));
    if (auto* error = member(*v, "error"); error != nullptr && !error->is_null())
      return on_error(*v);
    on_usage(*v);
    auto* choices = member(*v, "choices");
    if (choices == nullptr || !choices->is_array() || choices->empty())
      return fail(ec::bad_reply, "the reply has no choices");
    on_choice(choices->front(), "message", out);
    marker_ = true;
  }

  void add(std::string& to, const std::string& text) {
    total_ += text.size();
    if (total_ > max_reply_bytes)
      return fail(ec::bad_reply, "the reply is larger than 32 MiB");
    to += text;
  }

  void on_choice(const json& c, const char* key, std::vector<chunk>& out) {
    if (auto* delta = member(c, key)) {
      // Some servers send both names with the same text: one is taken.
      auto thought = string_at(*delta, "reasoning_content");
      if (thought.empty())
        thought = string_at(*delta, "reasoning");
      if (!thought.empty()) {
        semantic_ = true;
        add(result_.reasoning, thought);
        out.push_back({chunk_kind::reasoning, std::move(thought)});
      }
      auto text = string_at(*delta, "content");
      if (!text.empty()) {
        semantic_ = true;
        add(result_.text, text);
        out.push_back({chunk_kind::text, std::move(text)});
      }
      add(refusal_, string_at(*delta, "refusal"));
      if (auto* calls = member(*delta, "tool_calls"); calls != nullptr && calls->is_array())
        for (auto& t : *calls)
          on_call(t, out);
      if (auto* legacy = member(*delta, "function_call"); legacy != nullptr && legacy->is_object())
        on_call({{"index", 0}, {"function", *legacy}}, out);
    }
    if (auto reason = string_at(c, "finish_reason"); !reason.empty()) {
      if (reason == "error")
        return fail(semantic_ ? ec::stream_broken : ec::unavailable, "the server ended the stream with an error");
      reason_ = std::move(reason);
    }
  }

  void on_call(const json& t, std::vector<chunk>& out) {
    auto* function = member(t, "function");
    if (!t.is_object() || function == nullptr || !function->is_object())
      return;
    auto id = string_at(t, "id");
    auto* target = find_call(t, id);
    if (target == nullptr) {
      if (calls_.size() >= 256)
        return fail(ec::bad_reply, "more than 256 tool calls in one reply");
      calls_.push_back({calls_.empty() || calls_.back().index == INT64_MAX ? 0 : calls_.back().index + 1, id, "", "", {}});
      if (auto* index = member(t, "index"); index != nullptr && index->is_number_integer())
        calls_.back().index = int_at(t, "index");
      target = &calls_.back();
      semantic_ = true;
    }
    auto name = string_at(*function, "name");
    if (!name.empty() && name != target->name && target->arguments.empty()) {
      auto known = !target->name.empty();
      add(target->name, name);
      if (!known)
        out.push_back({chunk_kind::tool_call, name});
    }
    if (auto* arguments = member(*function, "arguments"); arguments != nullptr && !arguments->is_null()) {
      auto piece = arguments->is_string() ? arguments->get<std::string>() : dump(*arguments);
      add(target->arguments, piece);
      if (target->name == "new_answer")
        if (auto text = target->answer.feed(piece); !text.empty()) {
          written_ += text;
          out.push_back({chunk_kind::text, std::move(text)});
        }
    }
  }

  /// The call a fragment belongs to, or nullptr for a new one. A new id is a new call whatever the index: servers send index 0 for
  /// every call, or none at all. So is a known id under a new index: some give all calls the same id.
  call* find_call(const json& t, const std::string& id) {
    auto* index = member(t, "index");
    auto numbered = index != nullptr && index->is_number_integer();
    auto n = int_at(t, "index");
    if (!id.empty())
      for (auto& c : calls_)
        if (c.id == id && (!numbered || c.index == n))
          return &c;
    if (numbered) {
      for (auto i = calls_.rbegin(); i != calls_.rend(); ++i)
        if (i->index == n) {
          if (id.empty() || i->id.empty()) {
            if (i->id.empty())
              i->id = id;
            return &*i;
          }
          return nullptr; // same index, another id: another call
        }
      return nullptr;
    }
    return id.empty() && !calls_.empty() ? &calls_.back() : nullptr;
  }

  /// Every call must be answered under an id of its own.
  std::string unused_id(const std::string& id, std::size_t number) const {
    auto used = [this](const std::string& x) {
      return x.empty() || std::any_of(result_.calls.begin(), result_.calls.end(), [&](auto& c) { return c.id == x; })
             || std::any_of(calls_.begin(), calls_.end(), [&](auto& c) { return c.id == x; });
    };
    if (!id.empty() && std::none_of(result_.calls.begin(), result_.calls.end(), [&](auto& c) { return c.id == id; }))
      return id;
    auto out = "call_" + std::to_string(number);
    while (used(out))
      out += "_";
    return out;
  }

  void settle_calls() {
    std::stable_sort(calls_.begin(), calls_.end(), [](const call& a, const call& b) { return a.index < b.index; });
    for (std::size_t i = 0; i < calls_.size(); ++i) {
      auto& c = calls_[i];
      auto arguments = c.arguments.find_first_not_of(" \t\r\n") == std::string::npos ? std::string("{}") : c.arguments;
      if (reason_ == "length" && i + 1 == calls_.size() && !parse(arguments)) {
        // Cut by the token limit: kept only for our own verdict tools, whose correction names the cut.
        if (c.name != "new_answer")
          continue;
      }
      if (c.name.empty())
        continue;
      result_.calls.push_back({unused_id(c.id, i), c.name, std::move(arguments)});
    }
    calls_.clear();
  }

  /// Replace, never add; top level > choices[0].usage > x_groq.usage (backends.md 6.6).
  void on_usage(const json& v) {
    auto take = [&](const json* u, int rank) {
      if (u == nullptr || !u->is_object() || rank < usage_rank_)
        return;
      usage_rank_ = rank;
      use_.input_tokens = tokens_at(*u, "prompt_tokens");
      use_.output_tokens = tokens_at(*u, "completion_tokens");
      if (auto* d = member(*u, "prompt_tokens_details"))
        use_.cached_input_tokens = tokens_at(*d, "cached_tokens");
      if (auto* d = member(*u, "completion_tokens_details"))
        use_.reasoning_tokens = tokens_at(*d, "reasoning_tokens");
    };
    if (auto* groq = member(v, "x_groq"))
      take(member(*groq, "usage"), 1);
    if (auto* choices = member(v, "choices"); choices != nullptr && choices->is_array() && !choices->empty())
      take(member(choices->front(), "usage"), 2);
    take(member(v, "usage"), 3);
  }

  http_head head_;
  sse_decoder sse_;
  std::string body_, refusal_, reason_;
  std::vector<call> calls_;
  completion result_;
  std::string written_; ///< of an answer in a new_answer call: kept when the call breaks off
  usage use_;
  int usage_rank_ = 0;
  std::size_t total_ = 0;
  bool semantic_ = false, done_ = false, failed_ = false, marker_ = false, judged_ = false, whole_ = false;
  secrets secrets_;
};

} // namespace

std::unique_ptr<decoder> decode_openai_chat(const endpoint& to) {
  return std::make_unique<openai_chat_decoder>(to);
}

} // namespace conclave::wire
