// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/answer_reader.hpp"
#include "protocols/wire/dialects.hpp"
#include "protocols/wire/http_reply.hpp"
#include "protocols/wire/json_util.hpp"
#include "protocols/wire/sse.hpp"

#include <algorithm>
#include <map>

// Source of the stream's shape: https://docs.anthropic.com/en/api/messages-streaming and the vendor's TypeScript SDK 1.12.0, read
// 2026-11-23.

namespace conclave::wire {

namespace {

class anthropic_decoder final : public decoder {
public:
  explicit anthropic_decoder(const endpoint& to) : secrets_(secrets_of(to)) {}

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
    std::vector<chunk> late;
    if (!done_ && end.code == ec::none) {
      if (whole_)
        on_body(late);
      else
        sse_.finish([&](sse_event& e) {
          if (parse(e.data))
            on_event(e, late);
        });
    }
    result_.semantic = semantic_;
    result_.usage = use_;
    secrets_.hide(result_.error);
    if (failed_)
      return std::move(result_);
    if (!stopped_) {
      transfer_failure(result_, end, semantic_);
      return std::move(result_);
    }
    settle_blocks();
    if (cut_short()) {
      result_.status = completion_status::truncated;
    } else if (reason_ == "refusal") {
      result_.status = completion_status::refused;
      result_.error = refusal_.empty() ? "the provider's safety system refused" : refusal_;
    } else if (reason_ == "pause_turn" && result_.calls.empty()) { // calls of ours are answered first
      result_.status = completion_status::paused;
    }
    return std::move(result_);
  }

  struct block {
    json value;
    std::string type;
    std::string text;      ///< text_delta or thinking_delta pieces
    std::string signature; ///< signature_delta pieces
    std::string input;     ///< input_json_delta pieces
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

  bool cut_short() const { return reason_ == "max_tokens" || reason_ == "model_context_window_exceeded"; }

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
    auto v = parse_lenient(e.data);
    if (!v || !v->is_object())
      return fail(ec::bad_reply, "an event of the stream is no JSON object: " + brief(e.data, 80, secrets_));
    auto type = string_at(*v, "type");
    if (type.empty())
      type = e.name.empty() && member(*v, "error") != nullptr ? "error" : e.name;
    if (type == "error") {
      failed_ = done_ = true;
      return stream_failure(result_, *v, semantic_, secrets_);
    }
    if (type == "message_start") {
      if (auto* m = member(*v, "message"))
        on_usage(member(*m, "usage"));
    } else if (type == "content_block_start") {
      on_start(*v, out);
    } else if (type == "content_block_delta") {
      on_delta(*v, out);
    } else if (type == "message_delta") {
      if (auto* d = member(*v, "delta")) {
        if (auto r = string_at(*d, "stop_reason"); !r.empty())
          reason_ = r;
        if (auto* details = member(*d, "stop_details"))
          refusal_ = brief(string_at(*details, "explanation"), 300, secrets_);
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
    auto type = string_at(*b, "type");
    // A compatible server that numbers every block 0 starts a new one each time: nothing is overwritten.
    open_[int_at(v, "index")] = blocks_.size();
    blocks_.push_back({*b, type, "", "", "", {}});
    if (type == "tool_use") {
      semantic_ = true;
      out.push_back({chunk_kind::tool_call, string_at(*b, "name")});
    } else if (type == "text") {
      show(chunk_kind::text, string_at(*b, "text"), result_.text, out);
    } else if (type == "thinking") {
      show(chunk_kind::reasoning, string_at(*b, "thinking"), result_.reasoning, out);
    } else if (type == "server_tool_use") {
      out.push_back({chunk_kind::status, "the provider runs " + string_at(*b, "name")});
    }
  }

  void show(chunk_kind kind, std::string text, std::string& whole, std::vector<chunk>& out) {
    if (text.empty())
      return;
    semantic_ = true;
    whole += text;
    out.push_back({kind, std::move(text)});
  }

  /// A delta that does not fit its block is skipped, as the vendor's client does: it would spoil the turn when that is sent back.
  void on_delta(const json& v, std::vector<chunk>& out) {
    auto i = open_.find(int_at(v, "index"));
    auto* d = member(v, "delta");
    if (d == nullptr || !d->is_object())
      return;
    if (i == open_.end())
      return fail(ec::bad_reply, "the stream continues a block that it never started");
    auto& b = blocks_[i->second];
    auto type = string_at(*d, "type");
    auto piece = [&](const char* key, std::string& to) {
      auto text = string_at(*d, key);
      if (!grow(text.size()))
        text.clear();
      to += text;
      return text;
    };
    if (type == "text_delta" && b.type == "text") {
      show(chunk_kind::text, piece("text", b.text), result_.text, out);
    } else if (type == "thinking_delta" && b.type == "thinking") {
      show(chunk_kind::reasoning, piece("thinking", b.text), result_.reasoning, out);
    } else if (type == "signature_delta" && b.type == "thinking") {
      piece("signature", b.signature);
    } else if (type == "input_json_delta" && (b.type == "tool_use" || b.type == "server_tool_use")) {
      auto added = piece("partial_json", b.input);
      if (string_at(b.value, "name") == "new_answer")
        if (auto text = b.answer.feed(added); !text.empty()) {
          written_ += text;
          out.push_back({chunk_kind::text, std::move(text)});
        }
    } else if (type == "citations_delta" && b.type == "text") {
      if (auto* c = member(*d, "citation"); c != nullptr && grow(dump(*c).size())) {
        if (!b.value.contains("citations") || !b.value["citations"].is_array())
          b.value["citations"] = json::array();
        b.value["citations"].push_back(*c);
      }
    }
  }

  /// A JSON body with 200: an error or a whole message.
  void on_body(std::vector<chunk>& out) {
    auto v = parse_lenient(body_);
    if (!v || !v->is_object())
      return fail(ec::bad_reply, "the reply is no JSON: " + brief(body_, 80, secrets_));
    if (string_at(*v, "type") == "error") {
      failed_ = done_ = true;
      return stream_failure(result_, *v, semantic_, secrets_);
    }
    auto* content = member(*v, "content");
    if (content == nullptr || !content->is_array())
      return fail(ec::bad_reply, "the reply has no content");
    for (auto& b : *content)
      on_start({{"index", 0}, {"content_block", b}}, out);
    if (failed_)
      return;
    reason_ = string_at(*v, "stop_reason");
    on_usage(member(*v, "usage"));
    stopped_ = true;
  }

  /// Fills text, calls and the opaque copy of the turn, in the order of the blocks.
  void settle_blocks() {
    json turn = json::array();
    for (auto& b : blocks_) {
      if (!b.text.empty())
        b.value[b.type] = string_at(b.value, b.type.c_str()) + b.text; // a text block holds "text", a thinking block "thinking"
      if (!b.signature.empty())
        b.value["signature"] = string_at(b.value, "signature") + b.signature;
      if ((b.type == "tool_use" || b.type == "server_tool_use") && !settle_input(b))
        continue;
      if (b.type == "text" && string_at(b.value, "text").empty())
        continue; // an empty text block is refused when it is sent back
      if (b.type == "thinking" && cut_short() && string_at(b.value, "signature").empty())
        continue; // so is thinking that was cut before its signature
      turn.push_back(b.value);
    }
    if (!turn.empty()) {
      result_.opaque = dump(turn);
      result_.opaque_dialect = "anthropic";
    }
  }

  /// Fills a block's input, and the call of a tool of ours; false if the block is not to be sent back.
  bool settle_input(block& b) {
    auto blank = b.input.find_first_not_of(" \t\r\n") == std::string::npos;
    // Nothing streamed: some servers send the whole input with the start of the block.
    auto* given = blank ? member(b.value, "input") : nullptr;
    auto text = given != nullptr && given->is_object() ? dump(*given) : blank ? std::string("{}") : b.input;
    auto input = parse(text);
    b.value["input"] = input && input->is_object() ? *input : json::object();
    if (b.type != "tool_use")
      return true;
    auto name = string_at(b.value, "name");
    if (name.empty() || (!input && cut_short() && name != "new_answer"))
      return false; // never replayed: it is not what the model meant
    auto id = string_at(b.value, "id");
    auto used = [&](const std::string& x) {
      return x.empty() || std::any_of(result_.calls.begin(), result_.calls.end(), [&](auto& c) { return c.id == x; });
    };
    if (used(id)) { // every call must be answered under an id of its own
      id = "toolu_" + std::to_string(result_.calls.size());
      while (used(id))
        id += "_";
      b.value["id"] = id;
    }
    result_.calls.push_back({id, name, text});
    return true;
  }

  /// message_delta's values are cumulative and override message_start's.
  void on_usage(const json* u) {
    if (u == nullptr || !u->is_object())
      return;
    auto set = [&](const char* key, std::int64_t& to) {
      if (auto* n = member(*u, key); n != nullptr && !n->is_null())
        to = tokens_at(*u, key);
    };
    set("input_tokens", fresh_input_);
    set("cache_read_input_tokens", use_.cached_input_tokens);
    set("cache_creation_input_tokens", cache_write_);
    set("output_tokens", use_.output_tokens);
    if (auto* d = member(*u, "output_tokens_details"))
      use_.reasoning_tokens = tokens_at(*d, "thinking_tokens");
    // This API counts cached tokens apart; ours are all input tokens, of which some were cached.
    use_.input_tokens = fresh_input_ + use_.cached_input_tokens + cache_write_;
  }

  http_head head_;
  sse_decoder sse_;
  std::string body_, reason_, refusal_;
  std::vector<block> blocks_;                ///< in the order they came
  std::map<std::int64_t, std::size_t> open_; ///< index on the wire -> the latest block of that number
  completion result_;
  std::string written_; ///< of an answer in a new_answer call: kept when the call breaks off
  usage use_;
  std::int64_t fresh_input_ = 0, cache_write_ = 0;
  std::size_t total_ = 0;
  bool semantic_ = false, done_ = false, failed_ = false, stopped_ = false, judged_ = false, whole_ = false;
  secrets secrets_;
};

} // namespace

std::unique_ptr<decoder> decode_anthropic(const endpoint& to) {
  return std::make_unique<anthropic_decoder>(to);
}

} // namespace conclave::wire
