// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/dialects.hpp"
#include "protocols/wire/http_reply.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/wire/json_util.hpp"

#include <set>

// Source of the request's shape: https://platform.openai.com/docs/api-reference/chat/create and backends.md section 6, read
// 2026-11-24.

namespace conclave::wire {

namespace {

bool has(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

/// Providers that want an assistant turn's reasoning back beside its tool calls.
const char* reasoning_field(const endpoint& to) {
  if (has(to.base_url, "deepseek.") || has(to.base_url, "moonshot."))
    return "reasoning_content";
  return has(to.base_url, "openrouter.ai") ? "reasoning" : nullptr;
}

json call_value(const tool_call& c) {
  // Arguments that are no JSON object would be refused by the server for ever; the model already got its correction.
  auto arguments = is_object(c.arguments) ? c.arguments : std::string("{}");
  return {{"id", c.id}, {"type", "function"}, {"function", {{"name", c.name}, {"arguments", arguments}}}};
}

json message_value(const message& m, const endpoint& to, const std::set<std::string>& answered) {
  switch (m.from) {
  case role::system:
    return {{"role", "system"}, {"content", m.text}};
  case role::tool:
    return {{"role", "tool"}, {"tool_call_id", m.tool_call_id}, {"content", m.text}};
  case role::user:
    return {{"role", "user"}, {"content", m.text}};
  case role::assistant:
    break;
  }
  json v = {{"role", "assistant"}};
  json calls = json::array();
  for (auto& c : m.calls)
    if (answered.count(c.id) > 0) // a call without a result makes most servers refuse the whole request
      calls.push_back(call_value(c));
  v["content"] = m.text.empty() && !calls.empty() ? json(nullptr) : json(m.text);
  if (!calls.empty())
    v["tool_calls"] = std::move(calls);
  if (auto* field = reasoning_field(to); field != nullptr && !m.reasoning.empty())
    v[field] = m.reasoning;
  return v;
}

json messages_value(const model_request& req, const endpoint& to) {
  std::set<std::string> asked, answered;
  for (auto& m : req.messages) {
    for (auto& c : m.calls)
      asked.insert(c.id);
    if (m.from == role::tool)
      answered.insert(m.tool_call_id);
  }
  json out = json::array();
  for (auto& m : req.messages) {
    if (m.from == role::tool && asked.count(m.tool_call_id) == 0)
      continue; // an orphan result
    auto v = message_value(m, to, answered);
    if (m.from == role::assistant && m.text.empty() && !v.contains("tool_calls"))
      continue;
    out.push_back(std::move(v));
  }
  return out;
}

/// OpenAI's reasoning models take max_completion_tokens only.
const char* token_key(const model_request& req, const endpoint& to) {
  auto reasoning = req.model.rfind("o1", 0) == 0 || req.model.rfind("o3", 0) == 0 || req.model.rfind("o4", 0) == 0
                   || req.model.rfind("gpt-5", 0) == 0 || req.model.rfind("gpt-6", 0) == 0;
  return reasoning && has(to.base_url, "openai.com") ? "max_completion_tokens" : "max_tokens";
}

} // namespace

http_request encode_openai_chat(const model_request& req, const endpoint& to, std::string& error) {
  json body = {
      {"model", req.model}, {"stream", true}, {"stream_options", {{"include_usage", true}}}, {"messages", messages_value(req, to)}};
  if (req.model.empty())
    body.erase("model");
  if (to.no_stream_options)
    body.erase("stream_options");
  if (!req.tools.empty()) {
    auto& tools = body["tools"] = json::array();
    for (auto& t : req.tools) {
      auto schema = parse(t.parameters);
      json parameters = schema && schema->is_object() ? *schema : json{{"type", "object"}, {"properties", json::object()}};
      tools.push_back(
          {{"type", "function"}, {"function", {{"name", t.name}, {"description", t.description}, {"parameters", parameters}}}});
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
  auto merged = merge(body, req.params);
  auto* tokens = token_key(req, to);
  if (req.max_output_tokens > 0)
    body[tokens] = req.max_output_tokens;
  if (to.id_slot) {
    body["cache_prompt"] = true;
    if (req.slot >= 0)
      body["id_slot"] = req.slot;
  }
  if (!merged || !merge(body, to.extra_body, null_member::removes)) {
    error = "the backend's extra parameters are no JSON object";
    return {};
  }
  if (body.contains("max_tokens") && body.contains("max_completion_tokens"))
    body.erase(tokens);  // whoever wrote the other name means that one, and both are refused
  if (req.tools.empty()) // a choice without tools is refused by most servers
    for (auto* key : {"tool_choice", "parallel_tool_calls"})
      body.erase(key);
  http_request out;
  out.url = with_query(with_path(to.base_url, "/chat/completions"), to.query);
  out.headers = {{"Content-Type", "application/json"}, {"Accept", "text/event-stream"}};
  if (!to.api_key.empty())
    out.headers.emplace_back("Authorization", "Bearer " + to.api_key);
  add_headers(out.headers, to);
  out.body = dump(body);
  out.http2 = to.http2;
  return out;
}

} // namespace conclave::wire
