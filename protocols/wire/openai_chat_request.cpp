// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/catalogue.hpp"
#include "protocols/config_url.hpp"
#include "protocols/wire/attachments.hpp"
#include "protocols/wire/dialects.hpp"
#include "protocols/wire/hosted_tools.hpp"
#include "protocols/wire/http_reply.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/wire/json_util.hpp"
#include "protocols/wire/request_parts.hpp"
#include "protocols/wire/tool_schema.hpp"

#include <algorithm>
#include <map>
#include <set>

// Source of the request's shape: https://platform.openai.com/docs/api-reference/chat/create, read 2026-11-24.

namespace conclave::wire {

namespace {

/// Writes the messages of a conversation as the server behind `known` takes them.
class message_list {
public:
  message_list(const model_request& req, const quirks& known) : known_(known) {
    std::set<std::string> asked;
    for (auto& m : req.messages) {
      for (auto& c : m.calls) {
        asked.insert(c.id);
        names_[c.id] = c.name;
      }
      if (m.from == role::tool)
        answered_.insert(m.tool_call_id);
    }
    for (auto& m : req.messages)
      if (m.from != role::tool || asked.count(m.tool_call_id) > 0) // else an orphan result
        add(m);
  }

  json finish() {
    if (!system_.empty()) {
      auto user = std::find_if(out_.begin(), out_.end(), [](const json& m) { return m["role"] == "user"; });
      if (user == out_.end())
        out_.insert(out_.begin(), json{{"role", "user"}, {"content", system_}});
      else
        prepend((*user)["content"], system_);
    }
    return std::move(out_);
  }

private:
  void add(const message& m) {
    switch (m.from) {
    case role::system:
      if (known_.fold_system)
        system_ += (system_.empty() ? "" : "\n\n") + m.text;
      else
        out_.push_back({{"role", "system"}, {"content", m.text}});
      break;
    case role::tool:
      if (known_.plain_turns)
        say("user", "Result of " + names_[m.tool_call_id] + ":\n" + m.text);
      else
        out_.push_back({{"role", "tool"}, {"tool_call_id", m.tool_call_id}, {"content", m.text}});
      break;
    case role::user:
      if (!m.parts.empty())
        out_.push_back({{"role", "user"}, {"content", chat_content(m)}});
      else if (known_.user_into_tool && !out_.empty() && out_.back()["role"] == "tool")
        out_.back()["content"] = out_.back()["content"].get<std::string>() + "\n\n" + m.text;
      else
        say("user", m.text);
      break;
    case role::assistant:
      if (known_.plain_turns)
        say("assistant", as_text(m));
      else
        assistant(m);
      break;
    }
  }

  /// Adds text to the last message if it is of the same role: many templates want roles to alternate.
  void say(const char* from, const std::string& text) {
    if (!out_.empty() && out_.back()["role"] == from && out_.back()["content"].is_string())
      out_.back()["content"] = out_.back()["content"].get<std::string>() + "\n\n" + text;
    else if (!out_.empty() && out_.back()["role"] == from && from == std::string_view("user"))
      out_.back()["content"].push_back({{"type", "text"}, {"text", text}});
    else if (!text.empty() || from == std::string_view("user"))
      out_.push_back({{"role", from}, {"content", text}});
  }

  static void prepend(json& content, const std::string& text) {
    if (content.is_string())
      content = text + "\n\n" + content.get<std::string>();
    else
      content.insert(content.begin(), json{{"type", "text"}, {"text", text}});
  }

  std::string as_text(const message& m) const {
    auto text = m.text;
    for (auto& c : m.calls)
      if (answered_.count(c.id) > 0)
        text += (text.empty() ? "" : "\n") + std::string("I call ") + c.name + " with " + c.arguments;
    return text;
  }

  void assistant(const message& m) {
    json own = m.opaque_dialect == "openai_chat" ? parse(m.opaque).value_or(json()) : json();
    json v = {{"role", "assistant"}};
    json calls = json::array();
    for (std::size_t i = 0; i < m.calls.size(); ++i)
      if (answered_.count(m.calls[i].id) > 0) // a call without a result makes most servers refuse the whole request
        calls.push_back(call_value(m.calls[i], call_of(own, m, i)));
    v["content"] = m.text.empty() && !calls.empty() ? json(nullptr) : json(m.text);
    // Reasoning, signatures and whatever else the server wrote goes back as it came: some refuse the next turn without it.
    if (own.is_object())
      for (auto& [key, value] : own.items())
        if (key != "role" && key != "tool_calls" && key != "function_call" && key != "annotations" && !value.is_null()
            && known_.left_out.count(key) == 0 && (key != "content" || value.is_string() || value.is_array()))
          v[key] = std::move(value);
    if (m.text.empty() && calls.empty() && !has_content(v))
      return;
    if (known_.wants_reasoning && !v.contains("reasoning_content"))
      v["reasoning_content"] = m.reasoning;
    if (known_.signs_calls && !calls.empty())
      sign(calls.front());
    if (!calls.empty())
      v["tool_calls"] = std::move(calls);
    out_.push_back(std::move(v));
  }

  /// The place of a signature in Google's Chat Completions, and its word for a call that never had one.
  static void sign(json& call) {
    auto object_in = [](json& of, const char* key) -> json& {
      auto& v = of[key];
      return v.is_object() ? v : v = json::object();
    };
    object_in(object_in(call, "extra_content"), "google").emplace("thought_signature", no_signature);
  }

  static bool has_content(const json& v) {
    auto* content = member(v, "content");
    return content != nullptr && !content->empty() && *content != "";
  }

  /// The server's own form of the i-th call: of the same id, or at the same place if it gave none.
  static const json* call_of(const json& own, const message& m, std::size_t i) {
    auto* list = member(own, "tool_calls");
    if (list == nullptr || !list->is_array())
      return nullptr;
    for (auto& c : *list)
      if (string_at(c, "id") == m.calls[i].id)
        return &c;
    return list->size() == m.calls.size() ? &(*list)[i] : nullptr;
  }

  void copy_unknown(const json& from, json& to) const {
    if (from.is_object())
      for (auto& [key, value] : from.items())
        if (!value.is_null() && key != "index" && known_.left_out.count(key) == 0)
          to.emplace(key, value);
  }

  json call_value(const tool_call& c, const json* own) const {
    // Arguments that are no JSON object would be refused by the server for ever; the model already got its correction.
    auto arguments = is_object(c.arguments) ? c.arguments : std::string("{}");
    json v = {{"id", c.id}, {"type", "function"}, {"function", {{"name", c.name}, {"arguments", arguments}}}};
    if (own != nullptr) {
      copy_unknown(*own, v);
      if (auto* function = member(*own, "function"))
        copy_unknown(*function, v["function"]);
    }
    return v;
  }

  const quirks& known_;
  std::set<std::string> answered_;
  std::map<std::string, std::string> names_; ///< of the calls, by id
  std::string system_;
  json out_ = json::array();
};

/// Whose API knows `prompt_cache_key`; others refuse what they do not know, and most of them cache without being asked.
bool takes_cache_key(const std::string& home) {
  auto provider = provider_of_host(url_host(home));
  return provider == "OpenAI" || provider == "Azure OpenAI" || provider == "Kimi";
}

const char* token_key(const model_request& req, const endpoint& to, const quirks& known) {
  auto newer = wants_completion_tokens(req.model, home_of(to)) != known.other_token_name;
  return newer ? "max_completion_tokens" : "max_tokens";
}

} // namespace

http_request encode_openai_chat(const model_request& req, const endpoint& to, const quirks& known, std::string& error) {
  json body = {{"model", req.model},
               {"stream", true},
               {"stream_options", {{"include_usage", true}}},
               {"messages", message_list(req, known).finish()}};
  if (req.model.empty())
    body.erase("model");
  if (auto offered = offered_tools(req.tools, known); !offered.empty()) {
    auto& tools = body["tools"] = json::array();
    for (auto& t : offered) {
      json function = {{"name", std::move(t.name)}, {"description", std::move(t.description)}};
      if (!t.parameters.is_null())
        function["parameters"] = std::move(t.parameters);
      tools.push_back({{"type", "function"}, {"function", std::move(function)}});
    }
  }
  if (!req.schema.empty()) {
    auto schema = parse(req.schema);
    if (!schema) {
      error = "the decision schema is no JSON";
      return {};
    }
    body["response_format"] = {{"type", "json_schema"},
                               {"json_schema", {{"name", "decision"}, {"strict", true}, {"schema", *schema}}}};
  }
  if (to.id_slot) {
    body["cache_prompt"] = true;
    if (req.slot >= 0)
      body["id_slot"] = req.slot;
    if (!req.schema.empty()) // a decision is a few tokens: a model whose template can do without thinking starts with them
      body["chat_template_kwargs"] = {{"enable_thinking", false}};
  }
  if (auto key = cache_key(req); !key.empty() && takes_cache_key(home_of(to)))
    body["prompt_cache_key"] = std::move(key);
  for (auto* name : unasked_members)
    if (known.left_out.count(name) > 0)
      body.erase(name); // before what the user wrote, which is never taken away
  auto merged = merge(body, req.params);
  if (req.schema.empty()) // a decision is made from what is known, and some servers take one or the other
    add_hosted_tools(body, "openai_chat", to, req.model);
  auto* tokens = token_key(req, to, known);
  if (req.max_output_tokens > 0)
    body[tokens] = req.max_output_tokens;
  if (!merged || !merge(body, to.extra_body, null_member::removes)) {
    error = "the backend's extra parameters are no JSON object";
    return {};
  }
  if (body.contains("max_tokens") && body.contains("max_completion_tokens"))
    body.erase(tokens);        // whoever wrote the other name means that one, and both are refused
  if (!body.contains("tools")) // a choice without tools is refused by most servers
    for (auto* key : {"tool_choice", "parallel_tool_calls"})
      body.erase(key);
  http_request out;
  out.url = with_query(with_path(to.base_url, "/chat/completions"), to.query);
  out.headers = {{"Content-Type", "application/json"}, {"Accept", "text/event-stream"}};
  if (!to.api_key.empty())
    out.headers.emplace_back("Authorization", "Bearer " + to.api_key);
  add_headers(out.headers, to);
  std::size_t texts = 0;
  for (auto& m : req.messages)
    texts += m.text.size();
  out.body = dump(body, texts + texts / 8);
  out.http2 = to.http2;
  return out;
}

} // namespace conclave::wire
