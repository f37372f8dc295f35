// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/text.hpp"
#include "protocols/wire/anthropic_version.hpp"
#include "protocols/wire/attachments.hpp"
#include "protocols/wire/dialects.hpp"
#include "protocols/wire/hosted_tools.hpp"
#include "protocols/wire/http_reply.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/wire/json_util.hpp"
#include "protocols/wire/request_parts.hpp"
#include "protocols/wire/tool_schema.hpp"

#include <algorithm>
#include <cctype>
#include <set>

// Source of the request's shape: https://docs.anthropic.com/en/api/messages; cache_control, also at the top level: the same, and
// the types of the vendor's TypeScript SDK 1.12.0, read 2026-11-26.

namespace conclave::wire {

namespace {

std::string url_of(const endpoint& to) {
  auto base = to.base_url.substr(0, to.base_url.find('?'));
  while (!base.empty() && base.back() == '/')
    base.pop_back();
  auto versioned = base.size() >= 3 && base.compare(base.size() - 3, 3, "/v1") == 0;
  return with_query(with_path(to.base_url, versioned ? "/messages" : "/v1/messages"), to.query);
}

/// Tokens of a reply where nobody says how many.
constexpr std::int64_t default_tokens = 4096;

/// Thinking counts towards max_tokens, which must be more than its budget: the text gets the usual room on top. With a budget the
/// API refuses a tool loop that does not begin with a thought of its own: see message_writer.
template <class Writer>
void settle_thinking(json& body, std::int64_t our_max_tokens, const Writer& messages) {
  auto* thinking = member(body, "thinking");
  if (thinking == nullptr || string_at(*thinking, "type") != "enabled")
    return;
  auto budget = tokens_at(*thinking, "budget_tokens");
  if (messages.loops_without_thought())
    body["thinking"] = {{"type", "disabled"}};
  else if (int_at(body, "max_tokens") == our_max_tokens && our_max_tokens <= budget)
    body["max_tokens"] = budget + default_tokens;
}

/// Keys as users of Chat Completions write them, at their place here; what stands there already wins.
void rename(json& body) {
  auto take = [&](const char* key) {
    auto found = body.find(key);
    auto value = found == body.end() ? json() : std::move(*found);
    if (found != body.end())
      body.erase(found);
    return value;
  };
  if (auto limit = take("max_completion_tokens"); limit.is_number())
    body["max_tokens"] = limit;
  if (auto stop = take("stop"); !stop.is_null())
    body.emplace("stop_sequences", stop.is_string() ? json::array({stop}) : stop);
  if (auto effort = take("reasoning_effort"); !effort.is_null())
    if (auto& config = body["output_config"]; config.is_null() || config.is_object())
      config.emplace("effort", effort);
  if (auto choice = body.find("tool_choice"); choice != body.end()) {
    auto word = choice->is_string() ? choice->get<std::string>() : std::string{};
    auto* function = member(*choice, "function");
    if (function != nullptr)
      *choice = {{"type", "tool"}, {"name", string_at(*function, "name")}};
    else if (!word.empty())
      *choice = {{"type", word == "required" ? "any" : word}};
  }
  if (take("parallel_tool_calls") == false && body.contains("tools"))
    if (auto& choice = body["tool_choice"]; choice.is_null() || choice.is_object()) {
      choice.emplace("type", "auto");
      choice.emplace("disable_parallel_tool_use", true);
    }
}

/// Says where what comes again with the next request ends: tools, system message and, by the mark of the whole request, the last
/// message, whose place moves without a byte of what was sent before being another. Three marks of the four that the API takes.
void mark_cached(json& body) {
  auto found = body.find("cache_control");
  if (found == body.end() || !found->is_object()) // taken away by who wrote the configuration, or by the server
    return;
  auto mark = *found;
  if (auto tools = body.find("tools"); tools != body.end() && tools->is_array() && !tools->empty() && tools->back().is_object())
    tools->back().emplace("cache_control", mark);
  if (auto system = body.find("system"); system != body.end() && system->is_string())
    *system = json::array({{{"type", "text"}, {"text", *system}, {"cache_control", mark}}});
}

/// Betas are a header, never a member of the body.
std::string take_betas(json& body) {
  std::string out;
  if (auto* list = member(body, "betas"); list != nullptr && list->is_array())
    for (auto& b : *list)
      if (b.is_string())
        out += (out.empty() ? "" : ",") + b.get<std::string>();
  body.erase("betas");
  return out;
}

/// The version a header of the configuration names, else that of its key.
std::string version_of(const endpoint& to) {
  for (auto& [name, value] : to.headers)
    if (lower(name) == "anthropic-version")
      return value;
  return to.version.empty() ? default_anthropic_version : to.version;
}

json arguments_of(const tool_call& c) {
  auto v = parse(c.arguments);
  return v && v->is_object() ? *v : json::object();
}

/// Writes the messages array as text, because a replayed assistant turn must be the provider's own bytes.
class message_writer {
public:
  message_writer(const model_request& req, const quirks& known) : images_(!known.no_images) {
    for (auto& m : req.messages)
      if (m.from == role::tool)
        answered_.insert(m.tool_call_id);
  }

  void add(const message& m) {
    switch (m.from) {
    case role::system:
      if (!is_blank(m.text))
        system_ += (system_.empty() ? "" : "\n\n") + m.text;
      break;
    case role::user:
      if (!in_results_)
        loop_ = nullptr;
      for (auto& part : anthropic_content(m))
        block("user", dump(part));
      break;
    case role::tool:
      if (asked_.count(m.tool_call_id) > 0)
        result(m);
      break;
    case role::assistant:
      assistant(m);
      break;
    }
  }

  const std::string& system() const { return system_; }

  /// The tool loop under way has calls of another provider or of a turn whose seal was not opened, or began when thinking was off
  /// (by a backend before this one). The model's turns in it are one turn to the API: it thinks in all of them or in none.
  /// Source: https://platform.claude.com/docs/build-with-claude/thinking-tool-workflows ("Keep one thinking configuration per
  /// assistant turn: a tool-use loop is one assistant turn"), read 2026-11-27.
  bool loops_without_thought() const {
    if (loop_ == nullptr || foreign_calls_)
      return loop_ != nullptr;
    auto blocks = parse(loop_->opaque).value_or(json());
    auto first = blocks.is_array() && !blocks.empty() ? string_at(blocks.front(), "type") : "";
    return first != "thinking" && first != "redacted_thinking";
  }

  std::string finish() {
    if (first_role_ == "assistant") // a conversation starts with the user
      text_ = R"x({"role":"user","content":[{"type":"text","text":"(the conversation continues)"}]},)x" + text_;
    close();
    return "[" + text_ + "]";
  }

private:
  void block(const std::string& from, const std::string& json_text) {
    if (role_ != from) {
      close();
      role_ = from;
      if (first_role_.empty())
        first_role_ = from;
    }
    if (!blocks_.empty())
      blocks_ += ',';
    blocks_ += json_text;
  }

  /// Results come first in their user message: everything since the assistant's turn is one message.
  void result(const message& m) {
    json v = {{"type", "tool_result"},
              {"tool_use_id", own_.count(m.tool_call_id) > 0 ? m.tool_call_id : safe_id(m.tool_call_id)},
              {"content", content_of(m)}};
    if (m.is_error)
      v["is_error"] = true;
    block("user", dump(v));
    in_results_ = true;
  }

  json content_of(const message& m) const {
    auto shown = parts_to_send(m, images_);
    if (shown.empty())
      return m.text;
    auto out = json::array();
    for (auto* p : shown)
      if (auto* type = image_type(*p))
        out.push_back({{"type", "image"}, {"source", {{"type", "base64"}, {"media_type", type}, {"data", p->data}}}});
      else
        out.push_back({{"type", "text"}, {"text", p->text}});
    return out;
  }

  void assistant(const message& m) {
    for (auto& c : m.calls)
      asked_.insert(c.id);
    in_results_ = false;
    if (m.calls.empty() && m.opaque.empty()) // it has spoken
      loop_ = nullptr;
    else if (loop_ == nullptr) {
      foreign_calls_ = false;
      loop_ = m.calls.empty() ? nullptr : &m;
    }
    auto all_answered = true;
    for (auto& c : m.calls)
      all_answered = all_answered && answered_.count(c.id) > 0;
    if (m.opaque_dialect == "anthropic" && all_answered && m.opaque.size() > 2) {
      block("assistant", m.opaque.substr(1, m.opaque.size() - 2)); // the array's inside, byte for byte
      for (auto& c : m.calls)
        own_.insert(c.id); // so its results must name the ids as the server wrote them
      return;
    }
    auto text = m.text;
    while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())))
      text.pop_back();
    if (!text.empty())
      block("assistant", dump({{"type", "text"}, {"text", text}}));
    for (auto& c : m.calls)
      if (answered_.count(c.id) > 0) {
        foreign_calls_ = true;
        block("assistant", dump({{"type", "tool_use"}, {"id", safe_id(c.id)}, {"name", c.name}, {"input", arguments_of(c)}}));
      }
  }

  void close() {
    if (!blocks_.empty()) {
      if (!text_.empty() && text_.back() != ',')
        text_ += ',';
      text_ += "{\"role\":\"" + role_ + "\",\"content\":[" + blocks_ + "]}";
    }
    blocks_.clear();
  }

  bool images_;
  bool foreign_calls_ = false, in_results_ = false;
  const message* loop_ = nullptr; ///< the model's first turn since a person said something
  std::set<std::string> answered_, asked_, own_;
  std::string system_, text_, blocks_, role_, first_role_;
};

} // namespace

http_request encode_anthropic(const model_request& req, const endpoint& to, const quirks& known, std::string& error) {
  auto version = version_of(to);
  auto& rules = rules_of_version(version);
  message_writer messages(req, known);
  for (auto& m : req.messages)
    messages.add(m);
  auto max_tokens = req.max_output_tokens > 0 ? req.max_output_tokens : default_tokens;
  json body = {{"model", req.model}, {"stream", true}, {"max_tokens", max_tokens}, {"cache_control", {{"type", "ephemeral"}}}};
  if (known.left_out.count("cache_control") > 0)
    body.erase("cache_control");
  if (!messages.system().empty())
    body["system"] = messages.system();
  if (auto offered = offered_tools(req.tools, known); !offered.empty()) {
    auto& tools = body["tools"] = json::array();
    for (auto& t : offered)
      tools.push_back({{"name", std::move(t.name)},
                       {"description", std::move(t.description)},
                       {"input_schema", t.parameters.is_null() ? json{{"type", "object"}} : std::move(t.parameters)}});
  }
  if (!req.schema.empty()) {
    auto schema = parse(req.schema);
    if (!schema) {
      error = "the decision schema is no JSON";
      return {};
    }
    body["output_config"] = {{"format", {{"type", "json_schema"}, {"schema", *schema}}}};
  }
  auto merged = merge(body, req.params);
  rename(body);
  for (auto* key : sampling_keys)
    if (!takes(rules, key)) // said by `validate`; what extra_body says is the user's own affair
      body.erase(key);
  add_hosted_tools(body, "anthropic", to, req.model);
  if (!merged || !merge(body, to.extra_body, null_member::removes)) {
    error = "the backend's extra parameters are no JSON object";
    return {};
  }
  settle_thinking(body, max_tokens, messages);
  mark_cached(body);
  auto betas = take_betas(body);
  if (!body.contains("tools"))
    body.erase("tool_choice");
  http_request out;
  out.url = url_of(to);
  out.headers = {{"Content-Type", "application/json"}, {"Accept", "text/event-stream"}, {"anthropic-version", version}};
  auto bearer = rules.key_header == std::string_view("Authorization");
  if (!to.api_key.empty())
    out.headers.emplace_back(rules.key_header, (bearer ? "Bearer " : "") + to.api_key);
  if (!betas.empty())
    out.headers.emplace_back("anthropic-beta", betas);
  add_headers(out.headers, to);
  auto text = dump(body);
  text.pop_back();
  out.body = text + (body.empty() ? "" : ",") + "\"messages\":" + messages.finish() + "}";
  out.http2 = to.http2;
  return out;
}

} // namespace conclave::wire
