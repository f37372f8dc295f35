// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/arguments.hpp"
#include "protocols/wire/chat_turn.hpp"
#include "protocols/wire/dialects.hpp"
#include "protocols/wire/http_reply.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/wire/reply_decoder.hpp"
#include "protocols/wire/resolve.hpp"
#include "protocols/wire/sources.hpp"

#include <algorithm>

// Source of the stream's shape: https://platform.openai.com/docs/api-reference/chat-streaming, read 2026-11-24; quirks of
// compatible servers as tests/golden/README.md lists them.

namespace conclave::wire {

namespace {

using members = json::object_t;

const members& members_of(const json& v) {
  return v.get_ref<const members&>();
}

std::string text_of(const json& v) {
  return v.is_string() ? v.get<std::string>() : std::string{};
}

class openai_chat_decoder final : public reply_decoder {
public:
  explicit openai_chat_decoder(const endpoint& to) : reply_decoder(to, "choices", false) {}

private:
  struct call : call_stream {
    std::int64_t index = 0;
    std::string id, name;
    json more = json::object();     ///< members of the call that are not ours
    json function = json::object(); ///< and of its function
    std::size_t scanned = 0;        ///< of the arguments, see `is_open`
    int depth = 0;
    bool in_string = false;
  };

  bool on_object(const json& v, const std::string&, std::vector<chunk>& out) override {
    const json* choices = nullptr;
    for (auto& [key, value] : members_of(v)) {
      if (key == "choices")
        choices = &value;
      else if (key == "usage")
        on_usage(value, 3);
      else if (key == "x_groq")
        on_usage(value, 1, "usage");
      else if (key == "citations" || key == "search_results" || key == "web_search")
        on_found(value, out);
    }
    if (choices == nullptr || !choices->is_array())
      return false;
    for (auto& c : *choices) // whatever their index: we never ask for more than one
      if (!failed_)
        on_choice(c, out);
    if (!streams_ && string_at(v, "object") == "chat.completion")
      complete_ = true;
    return !choices->empty();
  }

  /// Where the provider's search read.
  void on_sources(const json& list, std::vector<chunk>& out) {
    each_listed_source(list, [&](const std::string& title, const std::string& address) { tell_source(title, address, out); });
  }

  /// The same beside the choices, where it is no part of the turn: kept with the turn's own, without the pages that some have
  /// there.
  void on_found(const json& list, std::vector<chunk>& out) {
    json found = json::array();
    each_listed_source(list, [&](const std::string& title, const std::string& address) {
      tell_source(title, address, out);
      if (!title.empty() || !address.empty())
        found.push_back({{"title", title}, {"url", address}});
    });
    keep_sources(found);
  }

  bool on_piece(std::string& data, std::vector<chunk>& out) override {
    if (!read_chat_delta(data, delta_))
      return false;
    auto which = calls_.rbegin();
    if (delta_.kind == delta_kind::arguments) {
      which = std::find_if(which, calls_.rend(), [this](auto& c) { return c.index == delta_.index; });
      if (which == calls_.rend())
        return false;
    }
    streams_ = true;
    claim_piece(data, delta_);
    if (delta_.kind == delta_kind::arguments)
      write(*which, std::move(delta_.piece), out);
    else if (delta_.kind == delta_kind::text)
      say(std::move(delta_.piece), out);
    else
      on_thought(delta_.field, out);
    return true;
  }

  void on_thought(const std::string& field, std::vector<chunk>& out) {
    if (thought_field_.empty())
      thought_field_ = field;
    think(std::move(delta_.piece), out);
  }

  void on_choice(const json& c, std::vector<chunk>& out) {
    if (!c.is_object())
      return;
    const json *delta = nullptr, *whole = nullptr, *reason = nullptr;
    for (auto& [key, value] : members_of(c)) {
      if (key == "delta")
        delta = &value;
      else if (key == "message")
        whole = &value;
      else if (key == "finish_reason")
        reason = &value;
      else if (key == "usage")
        on_usage(value, 2);
      else if (key == "error" && value.is_object() && !value.empty())
        return fail_with(c);
    }
    streams_ = streams_ || (delta != nullptr && delta->is_object());
    if (!streams_) // some servers send the whole message again beside the last piece
      delta = whole;
    if (delta != nullptr && delta->is_object())
      on_delta(*delta, out);
    if (reason != nullptr && reason->is_string())
      end_with(reason->get<std::string>());
  }

  void on_delta(const json& delta, std::vector<chunk>& out) {
    const json *content = nullptr, *calls = nullptr, *legacy = nullptr, *thought = nullptr;
    const char* field = nullptr;
    for (auto& [key, value] : members_of(delta)) {
      if (value.is_null())
        continue;
      if (key == "content") {
        content = &value;
      } else if (key == "tool_calls") {
        calls = &value;
      } else if (key == "function_call") {
        legacy = &value;
      } else if (key == "refusal") {
        if (auto text = text_of(value); grow(text.size()))
          refusal_ += text;
      } else if (auto* name = reasoning_field(key)) {
        auto empty = value.is_string() ? value.get_ref<const std::string&>().empty() : !value.is_structured() || value.empty();
        if (!empty && (field == nullptr || std::string_view(name) == "reasoning_content")) {
          field = name;
          thought = &value;
        }
      } else if (key == "annotations") {
        on_sources(value, out);
        keep_sources(value);
      } else if (key == "executed_tools") { // Groq's own, of which it tells again with each piece
        if (value.is_array())
          use_.hosted_calls = std::max(use_.hosted_calls, static_cast<std::int64_t>(value.size()));
      } else if (key != "role" && key != "audio" && key != "index" && !(value.is_structured() && value.empty())) {
        keep(more_, key, value);
      }
    }
    if (thought != nullptr) {
      if (thought_field_.empty())
        thought_field_ = field;
      say_parts(*thought, true, out);
    }
    if (content != nullptr)
      say_parts(*content, false, out);
    if (calls != nullptr && calls->is_array())
      for (auto& t : *calls)
        on_call(t, out);
    else if (calls != nullptr)
      on_call(*calls, out);
    if (legacy != nullptr && legacy->is_object())
      on_call({{"index", 0}, {"function", *legacy}}, out);
  }

  /// For those who read the stored turn: it goes back without. Some servers tell what is new, some all again with each piece.
  void keep_sources(const json& list) {
    constexpr std::size_t most = 32; // as many as are told
    if (!list.is_array() || list.empty())
      return;
    auto& held = more_["annotations"];
    for (auto& s : list)
      if (held.size() < most && std::find(held.begin(), held.end(), s) == held.end() && grow(weight(s)))
        held.push_back(s);
  }

  /// What the provider wants back with the turn.
  void keep(json& to, const std::string& key, const json& value) {
    if (!grow(key.size() + weight(value)))
      return;
    auto& held = to[key];
    // What comes again with every piece brings nothing on, and after a stop reason only text and calls do.
    if (!stopped() && (value.is_structured() || held != value))
      advance(false);
    if (!join(held, value, key))
      fail(ec::bad_reply,
           "more than " + std::to_string(max_reply_parts) + " parts in '" + brief(key, 60, secrets_) + "' of one reply");
  }

  void on_call(const json& t, std::vector<chunk>& out) {
    if (failed_ || !t.is_object())
      return;
    auto* function = member(t, "function");
    if (function == nullptr)
      function = member(t, "custom");
    if (function == nullptr && (t.contains("name") || t.contains("arguments")))
      function = &t;
    if (function == nullptr || !function->is_object())
      return;
    auto id = string_at(t, "id");
    auto name = string_at(*function, "name");
    auto* target = find_call(t, id, name);
    if (target == nullptr && (target = new_call(t, id)) == nullptr)
      return;
    on_name(*target, name, out);
    for (auto& [key, value] : members_of(t))
      if (function != &t && key != "index" && key != "id" && key != "type" && key != "function" && key != "custom"
          && !value.is_null())
        keep(target->more, key, value);
    for (auto& [key, value] : members_of(*function)) {
      if (value.is_null() || key == "name")
        continue;
      if (key == "arguments" || key == "input")
        write(*target, value.is_string() ? value.get<std::string>() : dump(value), out);
      else if (function != &t)
        keep(target->function, key, value);
      if (failed_)
        return;
    }
  }

  call* new_call(const json& t, const std::string& id) {
    if (!one_more_call())
      return nullptr;
    call c;
    c.id = id;
    c.index = calls_.empty() || calls_.back().index == INT64_MAX ? 0 : calls_.back().index + 1;
    if (auto* index = member(t, "index"); index != nullptr && index->is_number_integer())
      c.index = int_at(t, "index");
    calls_.push_back(std::move(c));
    advance(true);
    return &calls_.back();
  }

  /// A name may come in pieces, again with every piece of the arguments, or longer each time.
  void on_name(call& to, const std::string& name, std::vector<chunk>& out) {
    auto known = !to.name.empty();
    if (name.empty() || name == to.name || (known && !to.arguments.empty()) || !grow(name.size()))
      return;
    to.name = known && !name.starts_with(to.name) ? to.name + name : name;
    to.is_answer = resolve_tool(to.name, {"new_answer"}) == "new_answer";
    if (!known)
      out.push_back({chunk_kind::tool_call, undecorated(name)});
  }

  /// The call a fragment belongs to, or nullptr for a new one. A new id is a new call whatever the index: servers send index 0 for
  /// every call, or none at all; so is a known id under a new index: some give all calls the same id. But a fragment without a
  /// name, or for arguments that are still open, continues a call whatever its id: some servers make a new id for each fragment.
  call* find_call(const json& t, const std::string& id, const std::string& name) {
    auto* index = member(t, "index");
    auto numbered = index != nullptr && index->is_number_integer();
    auto n = int_at(t, "index");
    if (!id.empty())
      for (auto& c : calls_)
        if (c.id == id && (!numbered || c.index == n))
          return &c;
    if (calls_.empty())
      return nullptr;
    auto* last = &calls_.back();
    if (numbered) {
      auto i = std::find_if(calls_.rbegin(), calls_.rend(), [&](auto& c) { return c.index == n; });
      if (i == calls_.rend())
        return name.empty() && is_open(*last) ? last : nullptr;
      last = &*i;
    }
    auto other = !name.empty() && !last->name.empty() && !last->arguments.empty() && !is_open(*last);
    if (id.empty() || last->id.empty()) {
      if (other && name != last->name)
        return nullptr;
      if (last->id.empty())
        last->id = id;
      return last;
    }
    return name.empty() || (name == last->name && !last->arguments.empty() && is_open(*last)) ? last : nullptr;
  }

  /// Whether the arguments so far are an object that is not closed. Linear over all looks.
  static bool is_open(call& c) {
    for (; c.scanned < c.arguments.size(); ++c.scanned) {
      auto x = c.arguments[c.scanned];
      if (c.in_string && x == '\\' && c.scanned + 1 == c.arguments.size())
        return true; // half an escape: looked at with its other half
      if (c.in_string && x == '\\')
        ++c.scanned;
      else if (x == '"')
        c.in_string = !c.in_string;
      else if (!c.in_string && (x == '{' || x == '['))
        ++c.depth;
      else if (!c.in_string && (x == '}' || x == ']'))
        --c.depth;
    }
    return c.in_string || c.depth > 0;
  }

  void settle() override {
    std::stable_sort(calls_.begin(), calls_.end(), [](const call& a, const call& b) { return a.index < b.index; });
    std::vector<std::string> reserved;
    for (auto& c : calls_)
      reserved.push_back(c.id);
    json turn_calls = json::array();
    auto special = !more_.empty() || !thought_field_.empty();
    for (auto& c : calls_) {
      c.halves.finish(c.arguments);
      auto arguments = settled_arguments(c.arguments);
      // Cut by the token limit: kept only for our own verdict tools, whose correction names the cut.
      auto cut = cut_short() && &c == &calls_.back() && !c.is_answer && !parse(arguments);
      if (c.name.empty() || cut)
        continue;
      result_.calls.push_back({unused_id(c.id, "call_", reserved), c.name, std::move(arguments)});
      special = special || !c.more.empty() || !c.function.empty();
      add_to_turn(turn_calls, c, result_.calls.back());
    }
    calls_.clear();
    if (special)
      fill_turn(std::move(turn_calls));
  }

  static void add_to_turn(json& calls, call& c, const tool_call& as) {
    auto v = std::move(c.more);
    v["id"] = as.id;
    v["type"] = "function";
    auto& function = v["function"] = std::move(c.function);
    function["name"] = as.name;
    function["arguments"] = is_object(as.arguments) ? as.arguments : "{}"; // no server takes anything else back
    calls.push_back(std::move(v));
  }

  /// The assistant's message as it goes back within the run.
  void fill_turn(json calls) {
    auto turn = std::move(more_);
    turn["role"] = "assistant";
    turn["content"] = result_.text.empty() && !calls.empty() ? json(nullptr) : json(result_.text);
    if (!calls.empty())
      turn["tool_calls"] = std::move(calls);
    if (!thought_field_.empty())
      turn[thought_field_] = result_.reasoning;
    result_.opaque = dump(turn);
    result_.opaque_dialect = "openai_chat";
  }

  /// Replace, never add; top level (rank 3) > choices[].usage > x_groq.usage.
  void on_usage(const json& holder, int rank, const char* inside = nullptr) {
    auto* u = inside == nullptr ? &holder : member(holder, inside);
    if (u == nullptr || !u->is_object() || rank < usage_rank_)
      return;
    if (!count_tokens(*u, {"prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details"}))
      return;
    usage_rank_ = rank;
    if (auto* d = member(*u, "server_tool_use")) // OpenRouter
      read_tokens(*d, "web_search_requests", use_.hosted_calls);
    read_tokens(*u, "num_server_side_tools_used", use_.hosted_calls); // xAI
  }

  std::vector<call> calls_;
  json more_ = json::object(); ///< members of the message that are not ours
  std::string thought_field_;  ///< where the reasoning came
  bool streams_ = false;       ///< deltas came
  int usage_rank_ = 0;
};

} // namespace

std::unique_ptr<decoder> decode_openai_chat(const endpoint& to) {
  return std::make_unique<openai_chat_decoder>(to);
}

} // namespace conclave::wire
