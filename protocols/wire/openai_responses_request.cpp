// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/catalogue.hpp"
#include "protocols/wire/attachments.hpp"
#include "protocols/wire/dialects.hpp"
#include "protocols/wire/hosted_tools.hpp"
#include "protocols/wire/http_reply.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/wire/request_parts.hpp"
#include "protocols/wire/response_items.hpp"
#include "protocols/wire/tool_schema.hpp"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

// Source of the request's shape: https://platform.openai.com/docs/api-reference/responses/create and the types of the vendor's
// TypeScript SDK 7.57.0 (ResponseCreateParams, ResponseInputItem), read 2026-11-26.

namespace conclave::wire {

namespace {

/// Of the id of a call: "string too long. Expected a string with maximum length 64", as public issue trackers quote the API.
constexpr std::size_t max_id = 64;

constexpr const char* signatures = "reasoning.encrypted_content"; ///< value of `include`: thoughts come sealed, to be sent back

/// What a server's own turn says of how its calls are answered.
struct call_form {
  bool own = false;    ///< goes back as it came, with the id as it came
  bool custom = false; ///< a custom tool's, whose results are items of another type
  json caller;         ///< who made it, where that is not the model itself; goes back with the result
};

/// Writes the input as text, because a replayed turn must be the provider's own bytes.
class item_writer {
public:
  item_writer(const model_request& req, const quirks& known) : images_(!known.no_images) {
    for (auto& m : req.messages)
      if (m.from == role::tool)
        answered_.insert(m.tool_call_id);
    for (auto& m : req.messages)
      add(m);
  }

  std::string finish() const { return "[" + text_ + "]"; }

private:
  void put(const std::string& json_text) {
    if (!text_.empty())
      text_ += ',';
    text_ += json_text;
  }

  void add(const message& m) {
    switch (m.from) {
    case role::system:
      if (!m.text.empty())
        put(dump({{"role", "system"}, {"content", m.text}}));
      break;
    case role::user:
      put(dump({{"role", "user"}, {"content", responses_content(m)}}));
      break;
    case role::tool:
      if (auto i = asked_.find(m.tool_call_id); i != asked_.end()) // else an orphan result
        result(m, i->second);
      break;
    case role::assistant:
      assistant(m);
      break;
    }
  }

  void assistant(const message& m) {
    auto whole = std::all_of(m.calls.begin(), m.calls.end(), [&](auto& c) { return answered_.count(c.id) > 0; });
    if (m.opaque_dialect == "openai_responses" && whole && m.opaque.size() > 2) {
      for (auto& c : m.calls)
        asked_[c.id].own = true;
      read_forms(m.opaque);
      put(m.opaque.substr(1, m.opaque.size() - 2)); // the array's inside, byte for byte
      return;
    }
    if (m.text.find_first_not_of(" \t\r\n") != std::string::npos)
      put(dump({{"role", "assistant"}, {"content", m.text}}));
    for (auto& c : m.calls)
      if (answered_.count(c.id) > 0) { // a call without a result is refused with the whole request
        asked_[c.id];
        put(dump({{"type", "function_call"},
                  {"call_id", safe_id(c.id, max_id)},
                  {"name", c.name},
                  {"arguments", is_object(c.arguments) ? c.arguments : std::string("{}")}}));
      }
  }

  void read_forms(const std::string& opaque) {
    if (opaque.find("\"custom_tool_call\"") == std::string::npos && opaque.find("\"caller\"") == std::string::npos)
      return;
    auto turn = parse(opaque);
    if (!turn || !turn->is_array())
      return;
    for (auto& item : *turn)
      if (auto i = asked_.find(string_at(item, "call_id")); i != asked_.end() && is_call(ref_at(item, "type"))) {
        i->second.custom = ref_at(item, "type") == "custom_tool_call";
        if (auto* caller = member(item, "caller"))
          i->second.caller = *caller;
      }
  }

  void result(const message& m, const call_form& form) {
    json v = {{"type", form.custom ? "custom_tool_call_output" : "function_call_output"},
              {"call_id", form.own ? m.tool_call_id : safe_id(m.tool_call_id, max_id)},
              {"output", output_of(m)}};
    if (form.caller.is_object())
      v["caller"] = form.caller;
    put(dump(v));
  }

  json output_of(const message& m) const {
    auto shown = parts_to_send(m, images_);
    if (shown.empty())
      return m.text;
    auto out = json::array();
    for (auto* p : shown)
      if (auto* type = image_type(*p))
        out.push_back({{"type", "input_image"}, {"image_url", std::string("data:") + type + ";base64," + p->data}});
      else
        out.push_back({{"type", "input_text"}, {"text", p->text}});
    return out;
  }

  bool images_;
  std::set<std::string> answered_;
  std::map<std::string, call_form> asked_;
  std::string text_;
};

/// Keys as users of Chat Completions write them, and where they stand here.
struct other_name {
  const char *chat, *outer, *inner;
};
constexpr other_name other_names[] = {{"max_tokens", "max_output_tokens", ""},
                                      {"max_completion_tokens", "max_output_tokens", ""},
                                      {"reasoning_effort", "reasoning", "effort"},
                                      {"verbosity", "text", "verbosity"},
                                      {"response_format", "text", "format"}};

/// {"type": x, x: {...}} as Chat Completions nests it, without the nesting.
json unnested(json v) {
  auto type = string_at(v, "type");
  if (auto* inner = type.empty() ? nullptr : member(v, type.c_str()); inner != nullptr && inner->is_object()) {
    auto flat = *inner;
    flat["type"] = type;
    return flat;
  }
  return v;
}

/// Moves what stands under another name to its place; what the user wrote under ours wins.
void rename(json& body) {
  for (auto& n : other_names) {
    auto found = body.find(n.chat);
    if (found == body.end())
      continue;
    auto value = unnested(std::move(*found));
    body.erase(found);
    if (*n.inner == '\0') {
      body.emplace(n.outer, std::move(value));
    } else if (auto& outer = body[n.outer]; outer.is_null() || outer.is_object()) {
      outer.emplace(n.inner, std::move(value));
    }
  }
  if (auto choice = body.find("tool_choice"); choice != body.end())
    *choice = unnested(std::move(*choice));
}

/// `include` is a list: what the user asks for is added to what we need.
void add_include(json& body) {
  auto& list = body["include"];
  if (!list.is_array())
    list = json::array();
  if (std::find(list.begin(), list.end(), signatures) == list.end())
    list.push_back(signatures);
}

std::string url_of(const endpoint& to) {
  constexpr std::string_view chat = "/chat/completions"; // pasted from a page about the other API
  auto base = to.base_url;
  auto end = std::min(base.find('?'), base.size());
  while (end > 0 && base[end - 1] == '/')
    base.erase(--end, 1);
  if (end >= chat.size() && base.compare(end - chat.size(), chat.size(), chat) == 0)
    base.erase(end - chat.size(), chat.size());
  return with_query(with_path(base, "/responses"), to.query);
}

json tools_of(const model_request& req, const quirks& known) {
  auto out = json::array();
  for (auto& t : offered_tools(req.tools, known))
    out.push_back({{"type", "function"},
                   {"name", std::move(t.name)},
                   {"description", std::move(t.description)},
                   {"parameters", std::move(t.parameters)},
                   {"strict", false}}); // which few schemas of tool servers bear
  return out;
}

} // namespace

http_request encode_openai_responses(const model_request& req, const endpoint& to, const quirks& known, std::string& error) {
  // Nothing is left with the provider: the whole conversation goes along, with its thoughts as the provider sealed them.
  json body = {{"model", req.model}, {"stream", true}, {"store", false}};
  if (req.model.empty())
    body.erase("model");
  if (auto tools = tools_of(req, known); !tools.empty())
    body["tools"] = std::move(tools);
  if (auto key = cache_key(req); !key.empty())
    body["prompt_cache_key"] = std::move(key);
  for (auto* name : unasked_members)
    if (known.left_out.count(name) > 0)
      body.erase(name); // before what the user wrote, which is never taken away
  auto merged = merge(body, req.params);
  rename(body);
  if (known.left_out.count("include") == 0 && !lacks_reasoning(req.model, home_of(to)))
    add_include(body);
  add_hosted_tools(body, "openai_responses", to, req.model);
  if (req.max_output_tokens > 0)
    body["max_output_tokens"] = req.max_output_tokens;
  if (!req.schema.empty()) {
    auto schema = parse(req.schema);
    if (!schema) {
      error = "the decision schema is no JSON";
      return {};
    }
    auto& text = body["text"];
    if (!text.is_object())
      text = json::object();
    text["format"] = {{"type", "json_schema"}, {"name", "decision"}, {"strict", true}, {"schema", *schema}};
  }
  if (!merged || !merge(body, to.extra_body, null_member::removes)) {
    error = "the backend's extra parameters are no JSON object";
    return {};
  }
  if (!body.contains("tools")) // a choice without tools is refused
    for (auto* key : {"tool_choice", "parallel_tool_calls"})
      body.erase(key);
  http_request out;
  out.url = url_of(to);
  out.headers = {{"Content-Type", "application/json"}, {"Accept", "text/event-stream"}};
  if (!to.api_key.empty())
    out.headers.emplace_back("Authorization", "Bearer " + to.api_key);
  add_headers(out.headers, to);
  auto text = dump(body);
  text.pop_back();
  out.body = text + (body.empty() ? "" : ",") + "\"input\":" + item_writer(req, known).finish() + "}";
  out.http2 = to.http2;
  return out;
}

} // namespace conclave::wire
