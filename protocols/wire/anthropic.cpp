// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/arguments.hpp"
#include "protocols/wire/dialects.hpp"
#include "protocols/wire/http_reply.hpp"
#include "protocols/wire/reply_decoder.hpp"
#include "protocols/wire/resolve.hpp"
#include "protocols/wire/sources.hpp"

#include <map>

// Source of the stream's shape: https://docs.anthropic.com/en/api/messages-streaming and the vendor's TypeScript SDK 1.12.0, read
// 2026-11-23.

namespace conclave::wire {

namespace {

class anthropic_decoder final : public reply_decoder {
public:
  explicit anthropic_decoder(const endpoint& to) : reply_decoder(to, "content", true) {}

private:
  struct block : call_stream { ///< arguments: input_json_delta pieces
    json value;
    std::string type;
    std::string text;      ///< text_delta or thinking_delta pieces
    std::string signature; ///< signature_delta pieces
  };

  bool on_object(const json& v, const std::string& event, std::vector<chunk>& out) override {
    auto type = string_at(v, "type");
    if (type.empty())
      type = event;
    if (type == "message_start") {
      if (auto* m = member(v, "message"))
        on_usage(member(*m, "usage"), true);
    } else if (type == "content_block_start") {
      if (auto* b = member(v, "content_block"))
        on_start(*b, int_at(v, "index"), out);
    } else if (type == "content_block_delta") {
      on_delta(v, out);
    } else if (type == "content_block_stop") {
      advance(false);
      on_end_of_block(int_at(v, "index"), out);
    } else if (type == "message_delta") {
      on_usage(member(v, "usage"));
      if (auto* d = member(v, "delta"))
        on_stop(*d);
    } else if (type == "message_stop") {
      complete_ = done_ = true;
    } else if (auto* content = member(v, "content"); content != nullptr && (type.empty() || type == "message")) {
      return on_message(v, *content, out);
    } // ping and what newer versions add is skipped
    return false;
  }

  bool on_piece(std::string& data, std::vector<chunk>& out) override {
    if (!read_anthropic_delta(data, delta_))
      return false;
    auto i = open_.find(delta_.index);
    if (i == open_.end())
      return false;
    auto& b = blocks_[i->second];
    if (delta_.kind == delta_kind::arguments) {
      if (b.type != "tool_use" && b.type != "server_tool_use")
        return false;
      claim_piece(data, delta_);
      write(b, std::move(delta_.piece), out);
      return true;
    }
    auto thinking = delta_.kind == delta_kind::thought;
    if (b.type != (thinking ? "thinking" : "text"))
      return false;
    claim_piece(data, delta_);
    if (!fits(delta_.piece.size()))
      return true;
    b.text += delta_.piece;
    thinking ? think(std::move(delta_.piece), out) : say(std::move(delta_.piece), out);
    return true;
  }

  /// A whole message, in a body or in a stream.
  bool on_message(const json& v, const json& content, std::vector<chunk>& out) {
    if (content.is_array()) {
      for (auto& b : content)
        if (!failed_)
          on_start(b, 0, out);
    } else if (content.is_string()) {
      on_start(content, 0, out);
    } else {
      return false;
    }
    on_usage(member(v, "usage"));
    on_stop(v);
    complete_ = true;
    return true;
  }

  void on_stop(const json& v) {
    if (auto* details = member(v, "stop_details"))
      explanation_ = string_at(*details, "explanation");
    if (auto* reason = member(v, "stop_reason"); reason != nullptr && reason->is_string())
      end_with(reason->get<std::string>());
  }

  void on_start(const json& given, std::int64_t index, std::vector<chunk>& out) {
    auto b = given.is_string() ? json{{"type", "text"}, {"text", given}} : given;
    if (!b.is_object())
      return;
    if (!one_more_part(blocks_.size()) || !grow(weight(b)) || (string_at(b, "type") == "tool_use" && !one_more_call()))
      return;
    // A compatible server that numbers every block 0 starts a new one each time: nothing is overwritten.
    open_[index] = blocks_.size();
    blocks_.emplace_back();
    auto& added = blocks_.back();
    added.type = string_at(b, "type");
    auto name = string_at(b, "name");
    if (added.type == "tool_use") {
      advance(true);
      added.is_answer = resolve_tool(name, {"new_answer"}) == "new_answer";
      out.push_back({chunk_kind::tool_call, undecorated(name)});
    } else if (added.type == "text" || added.type == "thinking") {
      if (auto* text = member(b, added.type.c_str()); text != nullptr)
        say_parts(*text, added.type == "thinking", out);
    } else {
      advance(false);
      if (added.type == "server_tool_use" || added.type == "mcp_tool_use") {
        out.push_back({chunk_kind::status, "the provider runs " + brief(name, 60, secrets_)});
        ++(name == "web_search" || name == "web_fetch" ? searches_ : others_);
        use_.hosted_calls = std::max(searches_, billed_) + others_;
      } else {
        on_result(b, out);
      }
    }
    added.value = std::move(b);
  }

  /// What a tool of the provider's was asked, once that is whole.
  void on_end_of_block(std::int64_t index, std::vector<chunk>& out) {
    auto i = open_.find(index);
    if (i == open_.end() || blocks_[i->second].type != "server_tool_use")
      return;
    auto& b = blocks_[i->second];
    auto input = parse(b.arguments).value_or(json());
    for (auto* key : {"query", "url", "command", "code", "path"})
      if (auto asked = string_at(input, key); !asked.empty())
        return tell(string_at(b.value, "name") + ": " + brief(asked, 200, secrets_), out);
  }

  /// A result of such a tool comes whole; what went wrong in it is worth a word.
  void on_result(const json& b, std::vector<chunk>& out) {
    auto* content = string_at(b, "type").ends_with("_tool_result") ? member(b, "content") : nullptr;
    if (content == nullptr || !content->is_object())
      return;
    if (auto code = string_at(*content, "error_code"); !code.empty())
      tell("the provider's tool failed: " + code, out);
    else if (auto status = int_at(*content, "return_code"); status != 0)
      tell("the provider's code ended with " + std::to_string(status), out);
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
    auto said = [&](const char* key, bool thinking) {
      auto* text = member(*d, key);
      if (text == nullptr || (text->is_string() && !fits(text->get_ref<const std::string&>().size())))
        return;
      b.text += text->is_string() ? text->get_ref<const std::string&>() : std::string{};
      say_parts(*text, thinking, out);
    };
    if (type == "text_delta" && b.type == "text") {
      said("text", false);
    } else if (type == "thinking_delta" && b.type == "thinking") {
      said("thinking", true);
    } else if (type == "signature_delta" && b.type == "thinking") {
      auto piece = string_at(*d, "signature");
      if (grow(piece.size()))
        b.signature += piece;
      advance(false);
    } else if (type == "input_json_delta" && (b.type == "tool_use" || b.type == "server_tool_use")) {
      write(b, string_at(*d, "partial_json"), out);
    } else if (type == "citations_delta" && b.type == "text") {
      if (auto* c = member(*d, "citation"); c != nullptr && grow(weight(*c))) {
        if (!b.value.contains("citations") || !b.value["citations"].is_array())
          b.value["citations"] = json::array();
        b.value["citations"].push_back(*c);
        advance(false);
        cited_source(*c, [&](const std::string& title, const std::string& address) { tell_source(title, address, out); });
      }
    } else if (type == "compaction_delta" && b.type == "compaction") {
      keep(b, *d);
    }
  }

  /// Takes over what the provider wants back of a block that it alone reads: texts end to end, all else as it came last.
  void keep(block& b, const json& delta) {
    if (!grow(weight(delta)))
      return;
    advance(false);
    for (auto& [key, value] : delta.items())
      if (key == "content" && value.is_string() && b.value.contains(key) && b.value[key].is_string())
        b.value[key].get_ref<std::string&>() += value.get_ref<const std::string&>();
      else if (key != "type" && !value.is_null())
        b.value[key] = value;
  }

  /// Fills calls and the opaque copy of the turn, in the order of the blocks.
  void settle() override {
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
    b.halves.finish(b.arguments);
    auto blank = b.arguments.find_first_not_of(" \t\r\n") == std::string::npos;
    // Nothing streamed: some servers send the whole input with the start of the block.
    auto* given = blank ? member(b.value, "input") : nullptr;
    auto text = given == nullptr || given->is_null() ? settled_arguments(b.arguments)
                : given->is_string()                 ? settled_arguments(given->get<std::string>())
                                                     : dump(*given);
    auto input = parse(text);
    b.value["input"] = input && input->is_object() ? *input : json::object();
    if (b.type != "tool_use")
      return true;
    auto name = string_at(b.value, "name");
    if (name.empty() || (!input && cut_short() && !b.is_answer))
      return false; // never replayed: it is not what the model meant
    auto id = string_at(b.value, "id");
    std::vector<std::string> reserved;
    if (auto own = unused_id(id, "toolu_", reserved); own != id)
      b.value["id"] = id = own; // every call must be answered under an id of its own
    result_.calls.push_back({id, name, std::move(text)});
    return true;
  }

  /// message_delta's values are cumulative and override message_start's, which says of the output what had been written until then.
  void on_usage(const json* u, bool at_start = false) {
    if (u == nullptr || !u->is_object())
      return;
    auto input = read_tokens(*u, "input_tokens", fresh_input_);
    auto read = read_tokens(*u, "cache_read_input_tokens", use_.cached_input_tokens);
    auto written = read_tokens(*u, "cache_creation_input_tokens", use_.cache_write_tokens);
    if (auto* d = member(*u, "cache_creation"))
      read_tokens(*d, "ephemeral_1h_input_tokens", use_.cache_write_1h_tokens);
    auto output = read_tokens(*u, "output_tokens", use_.output_tokens);
    if (auto* d = member(*u, "output_tokens_details"))
      read_tokens(*d, "thinking_tokens", use_.reasoning_tokens);
    if (auto* d = member(*u, "server_tool_use")) {
      read_tokens(*d, "web_search_requests", searches_billed_);
      read_tokens(*d, "web_fetch_requests", fetches_billed_);
      billed_ = searches_billed_ + fetches_billed_;
      use_.hosted_calls = std::max(searches_, billed_) + others_;
    }
    for (auto part : {read, written})
      if (part == token_count::absurd)
        input = part;
    count(input, at_start && output == token_count::given ? token_count::absent : output);
    // This API counts cached tokens apart; ours are all input tokens, of which some were cached.
    use_.input_tokens = fresh_input_ + use_.cached_input_tokens + use_.cache_write_tokens;
  }

  std::vector<block> blocks_;                ///< in the order they came
  std::map<std::int64_t, std::size_t> open_; ///< index on the wire -> the latest block of that number
  std::int64_t fresh_input_ = 0;
  std::int64_t searches_ = 0, others_ = 0;                             ///< uses of the provider's own tools, as they came
  std::int64_t searches_billed_ = 0, fetches_billed_ = 0, billed_ = 0; ///< and as it counts them
};

} // namespace

std::unique_ptr<decoder> decode_anthropic(const endpoint& to) {
  return std::make_unique<anthropic_decoder>(to);
}

} // namespace conclave::wire
