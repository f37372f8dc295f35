// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/dialects.hpp"
#include "protocols/wire/http_reply.hpp"
#include "protocols/wire/json_util.hpp"
#include "protocols/wire/sse.hpp"

#include <map>

// Source of the stream's shape: https://docs.anthropic.com/en/api/messages-streaming and the vendor's TypeScript SDK 1.12.0, read
// 2026-11-23.

namespace conclave::wire {

namespace {

class anthropic_decoder final : public decoder {
public:
  void head(const http_head& h) override { head_ = h; }

  void feed(std::string_view bytes, std::vector<chunk>& out) override {
    if (done_)
      return;
    if (head_.status >= 300 || is_json()) {
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
    if (head_.status >= 300) {
      http_failure(result_, head_, body_);
      if (end.code == ec::cancelled)
        transfer_failure(result_, end, semantic_);
      return std::move(result_);
    }
    std::vector<chunk> late;
    if (!done_ && end.code == ec::none) {
      if (is_json())
        on_body(late);
      else
        sse_.finish([&](sse_event& e) {
          if (parse(e.data))
            on_event(e, late);
        });
    }
    result_.semantic = semantic_;
    result_.usage = use_;
    if (!failed_ && !stopped_) {
      transfer_failure(result_, end, semantic_);
      result_.calls.clear();
      return std::move(result_);
    }
    if (failed_)
      return std::move(result_);
    settle_blocks();
    if (reason_ == "max_tokens" || reason_ == "model_context_window_exceeded") {
      result_.status = completion_status::truncated;
    } else if (reason_ == "refusal") {
      result_.status = completion_status::refused;
      result_.error = refusal_.empty() ? "the provider's safety system refused" : refusal_;
    } else if (reason_ == "pause_turn") {
      // Only server tools pause a turn, and we offer none.
      result_.status = completion_status::broken;
      result_.code = ec::bad_reply;
      result_.error = "the server paused the turn, which only its own tools do";
    }
    return std::move(result_);
  }

private:
  struct block {
    json value;
    std::string partial; ///< input_json_delta pieces
    bool closed = false;
  };

  bool is_json() const {
    auto* type = find_header(head_, "content-type");
    return type != nullptr && type->find("application/json") != std::string::npos;
  }

  void fail(ec code, std::string error) {
    failed_ = done_ = true;
    result_.status = completion_status::broken;
    result_.code = code;
    result_.error = std::move(error);
  }

  bool grow(std::size_t n) {
    total_ += n;
    if (total_ > max_reply_bytes)
      fail(ec::bad_reply, "the reply is larger than 32 MiB");
    return !failed_;
  }

  void on_event(sse_event& e, std::vector<chunk>& out) {
    if (done_)
      return;
    auto v = parse(e.data);
    if (!v || !v->is_object())
      return fail(ec::bad_reply, "an event of the stream is no JSON object: " + e.data.substr(0, 80));
    auto type = string_at(*v, "type");
    if (type.empty())
      type = e.name;
    if (type == "error") {
      failed_ = done_ = true;
      return stream_failure(result_, *v, semantic_);
    }
    if (type == "message_start") {
      if (auto* m = member(*v, "message"))
        on_usage(member(*m, "usage"));
    } else if (type == "content_block_start") {
      on_start(*v, out);
    } else if (type == "content_block_delta") {
      on_delta(*v, out);
    } else if (type == "content_block_stop") {
      if (auto i = blocks_.find(int_at(*v, "index")); i != blocks_.end())
        i->second.closed = true;
    } else if (type == "message_delta") {
      if (auto* d = member(*v, "delta")) {
        if (auto r = string_at(*d, "stop_reason"); !r.empty())
          reason_ = r;
        if (auto* details = member(*d, "stop_details"))
          refusal_ = string_at(*details, "explanation").substr(0, 300);
      }
      on_usage(member(*v, "usage"));
    } else if (type == "message_stop") {
      stopped_ = done_ = true;
    } // ping and what newer versions add is skipped
  }

  void on_start(const json& v, std::vector<chunk>& out) {
    auto* b = member(v, "content_block");
    if (b == nullptr || !b->is_object())
      return;
    if (blocks_.size() >= 1024)
      return fail(ec::bad_reply, "more than 1024 blocks in one reply");
    if (!grow(dump(*b).size()))
      return;
    blocks_[int_at(v, "index")] = block{*b, "", false};
    auto type = string_at(*b, "type");
    if (type == "tool_use") {
      semantic_ = true;
      out.push_back({chunk_kind::tool_call, string_at(*b, "name")});
    } else if (type == "text" && !string_at(*b, "text").empty()) {
      semantic_ = true;
      out.push_back({chunk_kind::text, string_at(*b, "text")});
      result_.text += string_at(*b, "text");
    } else if (type == "server_tool_use") {
      out.push_back({chunk_kind::status, "the provider runs " + string_at(*b, "name")});
    }
  }

  void on_delta(const json& v, std::vector<chunk>& out) {
    auto i = blocks_.find(int_at(v, "index"));
    auto* d = member(v, "delta");
    if (d == nullptr || !d->is_object())
      return;
    if (i == blocks_.end())
      return fail(ec::bad_reply, "the stream continues a block that it never started");
    auto& b = i->second;
    auto type = string_at(*d, "type");
    auto extend = [&](const char* key, const std::string& text) { b.value[key] = string_at(b.value, key) + text; };
    if (type == "text_delta") {
      auto text = string_at(*d, "text");
      if (text.empty() || !grow(text.size()))
        return;
      semantic_ = true;
      pieces_[i->first] += text;
      result_.text += text;
      out.push_back({chunk_kind::text, std::move(text)});
    } else if (type == "thinking_delta") {
      auto text = string_at(*d, "thinking");
      if (text.empty() || !grow(text.size()))
        return;
      semantic_ = true;
      pieces_[i->first] += text;
      result_.reasoning += text;
      out.push_back({chunk_kind::reasoning, std::move(text)});
    } else if (type == "signature_delta") {
      auto text = string_at(*d, "signature");
      if (grow(text.size()))
        extend("signature", text);
    } else if (type == "input_json_delta") {
      auto text = string_at(*d, "partial_json");
      if (grow(text.size()))
        b.partial += text;
    } else if (type == "citations_delta") {
      if (auto* c = member(*d, "citation"); c != nullptr && grow(dump(*c).size())) {
        if (!b.value.contains("citations") || !b.value["citations"].is_array())
          b.value["citations"] = json::array();
        b.value["citations"].push_back(*c);
      }
    }
  }

  /// A JSON body with 200: an error or a whole message.
  void on_body(std::vector<chunk>& out) {
    auto v = parse(body_);
    if (!v || !v->is_object())
      return fail(ec::bad_reply, "the reply is no JSON: " + body_.substr(0, 80));
    if (string_at(*v, "type") == "error") {
      failed_ = done_ = true;
      return stream_failure(result_, *v, semantic_);
    }
    auto* content = member(*v, "content");
    if (content == nullptr || !content->is_array())
      return fail(ec::bad_reply, "the reply has no content");
    std::int64_t n = 0;
    for (auto& b : *content) {
      on_start({{"index", n}, {"content_block", b}}, out);
      if (auto* input = member(b, "input"))
        blocks_[n].partial = dump(*input);
      ++n;
    }
    reason_ = string_at(*v, "stop_reason");
    on_usage(member(*v, "usage"));
    stopped_ = true;
  }

  /// Fills text, calls and the opaque copy of the turn, in the order of the blocks.
  void settle_blocks() {
    json turn = json::array();
    for (auto& [index, b] : blocks_) {
      auto type = string_at(b.value, "type");
      if (auto i = pieces_.find(index); i != pieces_.end()) {
        auto* key = type == "thinking" ? "thinking" : "text";
        b.value[key] = string_at(b.value, key) + i->second;
      }
      auto is_call = type == "tool_use";
      if (is_call || type == "server_tool_use") {
        auto text = b.partial.find_first_not_of(" \t\r\n") == std::string::npos ? std::string("{}") : b.partial;
        auto input = parse(text);
        b.value["input"] = input && input->is_object() ? *input : json::object();
        auto cut = !input && reason_ == "max_tokens" && string_at(b.value, "name") != "new_answer";
        if (is_call && !cut)
          result_.calls.push_back({string_at(b.value, "id"), string_at(b.value, "name"), text});
        if (is_call && cut)
          continue; // never replayed: its input is not what the model meant
      }
      if (type == "text" && string_at(b.value, "text").empty())
        continue; // an empty text block is refused when it is sent back
      turn.push_back(b.value);
    }
    if (!turn.empty()) {
      result_.opaque = dump(turn);
      result_.opaque_dialect = "anthropic";
    }
  }

  /// message_delta's values are cumulative and override message_start's.
  void on_usage(const json* u) {
    if (u == nullptr || !u->is_object())
      return;
    auto set = [&](const char* key, std::int64_t& to) {
      if (member(*u, key) != nullptr)
        to = int_at(*u, key);
    };
    set("input_tokens", fresh_input_);
    set("cache_read_input_tokens", use_.cached_input_tokens);
    set("cache_creation_input_tokens", cache_write_);
    set("output_tokens", use_.output_tokens);
    if (auto* d = member(*u, "output_tokens_details"))
      use_.reasoning_tokens = int_at(*d, "thinking_tokens");
    // This API counts cached tokens apart; ours are all input tokens, of which some were cached.
    use_.input_tokens = fresh_input_ + use_.cached_input_tokens + cache_write_;
  }

  http_head head_;
  sse_decoder sse_;
  std::string body_, reason_, refusal_;
  std::map<std::int64_t, block> blocks_;
  std::map<std::int64_t, std::string> pieces_; ///< streamed text or thinking per block
  completion result_;
  usage use_;
  std::int64_t fresh_input_ = 0, cache_write_ = 0;
  std::size_t total_ = 0;
  bool semantic_ = false, done_ = false, failed_ = false, stopped_ = false;
};

} // namespace

std::unique_ptr<decoder> decode_anthropic(const endpoint&) {
  return std::make_unique<anthropic_decoder>();
}

} // namespace conclave::wire
