// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/arguments.hpp"
#include "protocols/wire/dialects.hpp"
#include "protocols/wire/http_reply.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/wire/reply_decoder.hpp"
#include "protocols/wire/resolve.hpp"
#include "protocols/wire/response_items.hpp"

#include <algorithm>
#include <map>

// Source of the stream's shape: https://platform.openai.com/docs/api-reference/responses-streaming and the types of the vendor's
// TypeScript SDK 7.57.0 (resources/responses), read 2026-11-26.

namespace conclave::wire {

namespace {

class responses_decoder final : public reply_decoder {
public:
  explicit responses_decoder(const endpoint& to) : reply_decoder(to, "output", false) {}

private:
  struct item : call_stream { ///< arguments: of a call
    json value;               ///< as the server gave it last
    std::string type;
    std::string name;         ///< of a call
    std::string text;         ///< of a message or a thought, as it streamed
    std::string_view thought; ///< which of its two texts a thought streams
    std::int64_t index = 0;   ///< place in the reply
    std::int64_t part = 0;    ///< of a thought
    std::size_t said_at = 0;  ///< where its text begins in the answer
    std::int64_t told = -1;   ///< the part of a message that was told by its end
    bool flows = false;       ///< pieces of this part came
    bool aside = false;       ///< commentary: what a model says on its way is no part of its answer
    bool done = false;        ///< `value` is whole
  };

  bool on_object(const json& v, const std::string& event, std::vector<chunk>& out) override {
    auto& given = ref_at(v, "type");
    std::string_view type = given.empty() ? event : given;
    if (!type.starts_with("response.")) {
      auto* output = member(v, "output"); // a body, also in the place of an event
      return output != nullptr && output->is_array() && on_response(v, string_at(v, "status"), out);
    }
    type.remove_prefix(std::string_view("response.").size());
    if (type == "output_text.delta") {
      if (auto* b = home(v, "message", out))
        tell(*b, ref_at(v, "delta"), out);
    } else if (type == "function_call_arguments.delta") {
      on_arguments(v, "function_call", out);
    } else if (type == "reasoning_summary_text.delta") {
      on_thought(v, "summary", "summary_index", out);
    } else if (type == "reasoning_text.delta") {
      on_thought(v, "content", "content_index", out);
    } else if (type == "output_item.added" || type == "output_item.done") {
      if (auto* value = member(v, "item"); value != nullptr && value->is_object())
        on_item(*value, int_at(v, "output_index"), type == "output_item.done", out);
    } else if (type == "completed" || type == "incomplete" || type == "failed") {
      auto* response = member(v, "response");
      auto status = response == nullptr ? std::string{} : string_at(*response, "status");
      if (status.empty() || status == "in_progress" || status == "queued") // left as it was at the beginning
        status = type;
      on_response(response == nullptr ? json::object() : *response, std::move(status), out);
    } else {
      on_rest(v, type, out);
    }
    return false;
  }

  bool on_piece(std::string& data, std::vector<chunk>& out) override {
    if (!read_responses_delta(data, delta_))
      return false;
    auto thought = delta_.kind == delta_kind::thought;
    auto* b = find(delta_.item, delta_.index);
    if (b == nullptr || b->done
        || b->type
               != (thought                           ? "reasoning"
                   : delta_.kind == delta_kind::text ? "message"
                                                     : "function_call"))
      return false;
    claim_piece(data, delta_);
    if (thought)
      on_thought(*b, delta_.field == "response.reasoning_text.delta" ? "content" : "summary", delta_.part, std::move(delta_.piece),
                 out);
    else if (delta_.kind == delta_kind::text)
      tell(*b, std::move(delta_.piece), out);
    else
      write(*b, std::move(delta_.piece), out);
    return true;
  }

  void on_rest(const json& v, std::string_view type, std::vector<chunk>& out) {
    if (type == "refusal.delta") {
      auto& text = ref_at(v, "delta");
      if (!text.empty() && grow(text.size())) {
        refusal_ += text;
        advance(true);
      }
    } else if (type == "output_text.done") {
      on_part_end(v, ref_at(v, "text"), out);
    } else if (type == "content_part.done") {
      if (auto* part = member(v, "part"); part != nullptr && ref_at(*part, "type") == "output_text")
        on_part_end(v, ref_at(*part, "text"), out);
    } else if (type == "function_call_arguments.done") {
      if (auto* b = find(v); b != nullptr && b->type == "function_call" && !b->done && b->arguments.empty())
        write(*b, ref_at(v, "arguments"), out);
      advance(false);
    } else if (type == "custom_tool_call_input.delta") {
      on_arguments(v, "custom_tool_call", out);
    } else if (type == "created" || type == "in_progress") {
      if (auto* response = member(v, "response"))
        note_store(*response);
    } else if ((v.contains("item_id") || v.contains("output_index")) && find(v) != nullptr) {
      advance(false); // progress of a tool that the provider runs, a citation, what newer versions say of an item
    }
  }

  void note_store(const json& response) {
    auto* store = member(response, "store");
    stored_ = stored_ || (store != nullptr && *store == true);
  }

  /// The item an event is about, or nullptr. Some servers write another id with every event, some 0 for every place.
  item* find(const std::string& id, std::int64_t index) {
    if (auto i = ids_.find(id); i != ids_.end())
      return &items_[i->second];
    auto i = open_.find(index);
    return i == open_.end() ? nullptr : &items_[i->second];
  }

  item* find(const json& v) { return find(ref_at(v, "item_id"), int_at(v, "output_index")); }

  /// The same for a delta; a server may not have said that the item begins.
  item* home(const json& v, const char* type, std::vector<chunk>& out) {
    auto* b = find(v);
    if (b != nullptr && b->type == type && !b->done)
      return b;
    json begun = {{"type", type}};
    if (auto& id = ref_at(v, "item_id"); !id.empty())
      begun["id"] = id;
    return start(begun, int_at(v, "output_index"), out);
  }

  item* start(const json& value, std::int64_t index, std::vector<chunk>& out) {
    if (failed_ || !grow(weight(value)))
      return nullptr;
    auto& type = ref_at(value, "type");
    if (!one_more_part(items_.size()) || (is_call(type) && !one_more_call()))
      return nullptr;
    open_[index] = items_.size();
    if (auto& id = ref_at(value, "id"); !id.empty())
      ids_[id] = items_.size();
    auto& b = items_.emplace_back();
    b.index = index;
    b.type = type;
    b.aside = ref_at(value, "phase") == "commentary";
    b.value = value;
    advance(is_call(type));
    if (is_call(type))
      name_call(b, ref_at(value, "name"), out);
    else if (auto tool = hosted_tool(value); !tool.empty())
      out.push_back({chunk_kind::status, "the provider runs " + brief(tool, 60, secrets_)});
    return &b;
  }

  /// An item as it begins or, `whole`, as it ended, which has the last word over what streamed.
  void on_item(const json& value, std::int64_t index, bool whole, std::vector<chunk>& out) {
    item* b = nullptr;
    auto known = ids_.find(ref_at(value, "id"));
    auto place = open_.find(index);
    if (known != ids_.end())
      b = &items_[known->second];
    else if (whole && place != open_.end() && !items_[place->second].done)
      b = &items_[place->second];
    if (b == nullptr || b->type != ref_at(value, "type"))
      b = start(value, index, out);
    if (b != nullptr && b->done && whole && b->type == "message")
      set_aside(*b, value);
    if (b == nullptr || b->done || !whole || !grow(weight(value)))
      return;
    b->done = true;
    b->value = value;
    if (is_call(b->type)) {
      name_call(*b, ref_at(value, "name"), out);
      settle_arguments(*b, given_arguments(value), out);
    } else if (b->type == "message") {
      set_aside(*b, value);
      if (auto text = message_refusal(value); refusal_.find(text) == std::string::npos)
        refusal_ += text;
      tell_rest(*b, message_text(value), out);
      each_source(value, [&](const std::string& title, const std::string& address) { tell_source(title, address, out); });
    } else if (b->type == "reasoning") {
      tell_rest(*b, thought_text(value, b->thought.data()), out);
    } else {
      advance(false);
      if (!hosted_tool(value).empty() && ref_at(value, "call_id").empty()) // one with an id is for its client to carry out
        ++(b->type == "web_search_call" ? searches_ : others_);
      if (auto did = hosted_detail(value); !did.empty() && !hosted_tool(value).empty())
        out.push_back({chunk_kind::status, brief(hosted_tool(value), 60, secrets_) + ": " + brief(did, 200, secrets_)});
    }
  }

  // -- text --

  void tell(item& b, std::string text, std::vector<chunk>& out) {
    if (!fits(text.size()))
      return;
    if (b.text.empty())
      b.said_at = result_.text.size();
    b.text += text;
    b.flows = true;
    if (b.type == "reasoning" || b.aside)
      think(std::move(text), out);
    else
      say(std::move(text), out);
  }

  /// Some servers say that a message is commentary when it has ended, or at the end of all.
  void set_aside(item& b, const json& value) {
    if (b.aside || ref_at(value, "phase") != "commentary")
      return;
    b.aside = true;
    if (b.text.empty() || b.said_at > result_.text.size() || result_.text.compare(b.said_at, b.text.size(), b.text) != 0)
      return;
    result_.text.erase(b.said_at, b.text.size());
    result_.reasoning += b.text;
    for (auto& x : items_)
      x.said_at -= x.said_at > b.said_at ? b.text.size() : 0;
  }

  /// A part that ends: it comes whole here where no piece of it came, and maybe twice.
  void on_part_end(const json& v, const std::string& text, std::vector<chunk>& out) {
    auto* b = find(v);
    auto part = int_at(v, "content_index");
    if (b == nullptr || b->type != "message" || b->done)
      return;
    if (!std::exchange(b->flows, false) && b->told != part && !text.empty())
      tell(*b, text, out);
    b->flows = false;
    b->told = part;
    advance(false);
  }

  /// What did not stream of a text; one that differs from what did is not told twice.
  void tell_rest(item& b, const std::string& whole, std::vector<chunk>& out) {
    if (whole.size() > b.text.size() && whole.starts_with(b.text))
      tell(b, whole.substr(b.text.size()), out);
  }

  void on_thought(const json& v, const char* which, const char* place, std::vector<chunk>& out) {
    if (auto* b = home(v, "reasoning", out))
      on_thought(*b, which, int_at(v, place), ref_at(v, "delta"), out);
  }

  void on_thought(item& b, std::string_view which, std::int64_t part, std::string piece, std::vector<chunk>& out) {
    if (b.thought.empty())
      b.thought = which;
    if (b.thought != which) // the same thought again, in other words
      return advance(false);
    auto apart = part > b.part && !b.text.empty();
    b.part = part;
    tell(b, apart ? "\n\n" + piece : std::move(piece), out);
  }

  // -- calls --

  void name_call(item& b, const std::string& name, std::vector<chunk>& out) {
    if (!b.name.empty() || name.empty())
      return;
    b.name = name;
    b.is_answer = resolve_tool(name, {"new_answer"}) == "new_answer";
    out.push_back({chunk_kind::tool_call, undecorated(name)});
  }

  void on_arguments(const json& v, const char* type, std::vector<chunk>& out) {
    if (auto* b = home(v, type, out))
      write(*b, ref_at(v, "delta"), out);
  }

  void settle_arguments(item& b, std::string whole, std::vector<chunk>& out) {
    if (b.arguments.empty())
      return write(b, std::move(whole), out);
    if (whole.empty())
      return;
    b.halves = {};
    b.halves.feed(whole);
    b.arguments = std::move(whole);
  }

  // -- the end --

  bool on_response(const json& r, std::string status, std::vector<chunk>& out) {
    note_store(r);
    on_usage(member(r, "usage"));
    if (auto* used = member(r, "tool_usage"))
      if (auto* search = member(*used, "web_search"))
        read_tokens(*search, "num_requests", searches_billed_);
    if (auto* output = member(r, "output"); output != nullptr && output->is_array())
      take_missing(*output, out);
    use_.hosted_calls = std::max(searches_, searches_billed_) + others_;
    if (failed_)
      return true;
    auto* details = member(r, "incomplete_details");
    auto* error = member(r, "error");
    if (status == "incomplete" && details != nullptr && !string_at(*details, "reason").empty())
      status = string_at(*details, "reason");
    if (status == "failed" && error != nullptr && error->is_object()) {
      if (auto code = string_at(*error, "code"); read_finish_reason(code) != ending::refused) {
        fail_with(*error);
        return true;
      } else { // a policy of the provider: no fault of the request, no other try helps, and nothing of the reply counts
        status = code;
        refusal_ = string_at(*error, "message").empty() ? code : string_at(*error, "message");
      }
    }
    if (status == "queued" || status == "in_progress") {
      fail(ec::bad_reply, "the provider works on the reply in the background (\"" + status
                              + "\"), where nobody fetches it: leave `background` out of the parameters");
      return true;
    }
    end_with(status.empty() ? "completed" : status);
    complete_ = done_ = true;
    return true;
  }

  /// The whole reply comes once more at its end: what no event told is taken from there.
  void take_missing(const json& output, std::vector<chunk>& out) {
    auto whole = std::count_if(items_.begin(), items_.end(), [](auto& b) { return b.done; });
    if (static_cast<std::size_t>(whole) >= output.size()) {
      for (std::size_t i = 0; i < output.size(); ++i)
        if (auto* b = find(ref_at(output[i], "id"), static_cast<std::int64_t>(i)); b != nullptr && b->type == "message")
          set_aside(*b, output[i]);
      return;
    }
    for (std::size_t i = 0; i < output.size() && !failed_; ++i)
      if (output[i].is_object())
        on_item(output[i], static_cast<std::int64_t>(i), true, out);
  }

  /// Fills calls and the opaque copy of the turn.
  void settle() override {
    std::stable_sort(items_.begin(), items_.end(), [](auto& a, auto& b) { return a.index < b.index; });
    std::vector<std::string> reserved;
    for (auto& b : items_)
      if (is_call(b.type))
        reserved.push_back(string_at(b.value, "call_id"));
    json turn = json::array();
    for (auto& b : items_) {
      if (is_call(b.type) ? !settle_call(b, reserved) : b.type == "reasoning" && !b.done)
        continue; // a call that was cut; a thought without its end has no signature
      if (b.type == "message" && !b.done)
        b.value.update({{"role", "assistant"},
                        {"content", {{{"type", "output_text"}, {"text", b.text}, {"annotations", json::array()}}}},
                        {"status", cut_short() ? "incomplete" : "completed"}});
      if (auto v = for_replay(std::move(b.value), stored_); !v.is_null())
        turn.push_back(std::move(v));
    }
    drop_loose_ends(turn);
    items_.clear();
    if (turn.empty())
      return;
    result_.opaque = dump(turn);
    result_.opaque_dialect = "openai_responses";
  }

  /// Fills a call and its item; false if it is not what the model meant.
  bool settle_call(item& b, const std::vector<std::string>& reserved) {
    b.halves.finish(b.arguments);
    auto custom = b.type == "custom_tool_call" && b.arguments.find_first_not_of(" \t\r\n") != std::string::npos;
    auto arguments = custom ? b.arguments : settled_arguments(b.arguments);
    auto half = string_at(b.value, "status") == "incomplete" || !b.done || (!custom && !parse(arguments));
    if (b.name.empty() || (cut_short() && half && !b.is_answer))
      return false;
    auto id = unused_id(string_at(b.value, "call_id"), "call_", reserved);
    b.value["call_id"] = id; // every call must be answered under an id of its own
    b.value["name"] = b.name;
    // No server takes anything else back.
    b.value[b.type == "custom_tool_call" ? "input" : "arguments"] = custom || is_object(arguments) ? arguments : "{}";
    result_.calls.push_back({std::move(id), b.name, std::move(arguments)});
    return true;
  }

  void on_usage(const json* u) {
    if (u == nullptr || !u->is_object())
      return;
    count_tokens(*u, {"input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details"});
  }

  std::vector<item> items_; ///< in the order they came
  std::map<std::string, std::size_t> ids_;
  std::map<std::int64_t, std::size_t> open_;                     ///< place on the wire -> the latest item there
  std::int64_t searches_ = 0, searches_billed_ = 0, others_ = 0; ///< uses of the provider's own tools
  bool stored_ = false;                                          ///< the provider keeps the reply: its ids mean something
};

} // namespace

std::unique_ptr<decoder> decode_openai_responses(const endpoint& to) {
  return std::make_unique<responses_decoder>(to);
}

} // namespace conclave::wire
