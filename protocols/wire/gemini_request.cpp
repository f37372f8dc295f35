// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/attachments.hpp"
#include "protocols/wire/dialects.hpp"
#include "protocols/wire/gemini_params.hpp"
#include "protocols/wire/hosted_tools.hpp"
#include "protocols/wire/http_reply.hpp"
#include "protocols/wire/json_util.hpp"
#include "protocols/wire/request_parts.hpp"
#include "protocols/wire/tool_schema.hpp"

#include <algorithm>
#include <cctype>
#include <utility>

// Source of the request's shape: https://ai.google.dev/api/generate-content,
// https://ai.google.dev/gemini-api/docs/function-calling, https://ai.google.dev/gemini-api/docs/thought-signatures; addresses and
// headers: the vendor's JavaScript SDK, npm @google/genai 3.1.0; read 2026-11-26.

namespace conclave::wire {

namespace {

bool blank(const std::string& x) {
  return x.find_first_not_of(" \t\r\n") == std::string::npos;
}

json text_part(const std::string& text) {
  return {{"text", text}};
}

json content(const char* from, json part) {
  return {{"role", from}, {"parts", json::array({std::move(part)})}};
}

/// The contents of a conversation. A turn of the model that is kept goes back part by part as it came; results follow their calls
/// in one content, in the order of the calls.
class content_list {
public:
  content_list(const model_request& req, const quirks& known)
      : messages_(req.messages), images_(!known.no_images), old_(is_gemini_before_3(req.model)) {
    auto count = messages_.size();
    for (; count > 0 && !token_of(messages_[count - 1]).empty(); --count) // the token stands for all that came of a reply so far
      continuation_ = continuation_.empty() ? token_of(messages_[count - 1]) : continuation_;
    for (std::size_t i = 0; i < count; ++i) {
      auto& m = messages_[i];
      if (m.from == role::assistant)
        assistant(i);
      else if (!blank(m.text) && m.from == role::system)
        system_ += (system_.empty() ? "" : "\n\n") + m.text;
      else if (m.from == role::user)
        for (auto& part : gemini_parts(m))
          add("user", std::move(part));
    }
    if (known.fold_system && !system_.empty())
      fold_system();
    if (out_.empty() || out_.front()["role"] == "model") // a conversation starts with the user
      out_.insert(out_.begin(), content("user", text_part("(the conversation continues)")));
  }

  json take() { return std::move(out_); }
  const std::string& system() const { return system_; }
  const std::string& continuation() const { return continuation_; }

private:
  void add(const char* from, json part) {
    if (closed_ || out_.empty() || out_.back()["role"] != from)
      out_.push_back(content(from, std::move(part)));
    else
      out_.back()["parts"].push_back(std::move(part));
    closed_ = false;
  }

  void fold_system() {
    auto part = text_part(std::exchange(system_, {}));
    if (out_.empty() || out_.front()["role"] == "model")
      out_.insert(out_.begin(), content("user", std::move(part)));
    else
      out_.front()["parts"].insert(out_.front()["parts"].begin(), std::move(part));
  }

  static std::string token_of(const message& m) {
    return m.opaque_dialect == "gemini" ? string_at(parse(m.opaque).value_or(json()), "continuationToken") : std::string{};
  }

  /// The result of each call of the i-th message, nullptr for one without; ids may repeat in a conversation, and in a turn of
  /// another provider.
  std::vector<const message*> results_of(std::size_t i) const {
    auto& calls = messages_[i].calls;
    std::vector<const message*> out(calls.size());
    for (auto at = i + 1; at < messages_.size() && messages_[at].from != role::assistant; ++at) {
      if (messages_[at].from != role::tool)
        continue;
      for (std::size_t k = 0; k < calls.size(); ++k)
        if (out[k] == nullptr && calls[k].id == messages_[at].tool_call_id) {
          out[k] = &messages_[at];
          break;
        }
    }
    return out;
  }

  void assistant(std::size_t i) {
    auto& m = messages_[i];
    auto results = results_of(i);
    json own = m.opaque_dialect == "gemini" ? parse(m.opaque).value_or(json()) : json();
    auto parts = kept_parts(m, own);
    if (parts.is_null())
      parts = rebuilt(m);
    json answers = json::array(), images = json::array();
    bool first = true;
    std::size_t k = 0;
    for (auto& p : parts) {
      auto* call = member(p, "functionCall");
      if (call == nullptr) {
        add("model", std::move(p));
        continue;
      }
      auto* result = results[k++];
      if (result == nullptr) // a call without a result makes the API refuse the whole request
        continue;
      answers.push_back({{"functionResponse", response(*call, *result, images)}});
      if (std::exchange(first, false) && !old_ && !p.contains("thoughtSignature"))
        p["thoughtSignature"] = no_signature;
      add("model", std::move(p));
    }
    for (auto& a : answers)
      add("user", std::move(a));
    closed_ = !answers.empty(); // nothing else stands beside results
    for (auto& p : images)
      add("user", std::move(p));
  }

  /// The parts as the server wrote them, null if they are not those of this message.
  static json kept_parts(const message& m, json& own) {
    auto* parts = member(own, "parts");
    if (parts == nullptr || !parts->is_array() || parts->empty())
      return nullptr;
    auto is_call = [](const json& p) { return member(p, "functionCall") != nullptr; };
    auto calls = static_cast<std::size_t>(std::count_if(parts->begin(), parts->end(), is_call));
    return calls == m.calls.size() ? std::move(own["parts"]) : json();
  }

  static json rebuilt(const message& m) {
    auto out = json::array();
    if (!blank(m.text))
      out.push_back(text_part(m.text));
    for (auto& c : m.calls) {
      auto args = parse(c.arguments);
      json call = {{"name", c.name}, {"args", args && args->is_object() ? *args : json::object()}};
      if (!c.id.empty())
        call["id"] = c.id;
      out.push_back({{"functionCall", std::move(call)}});
    }
    return out;
  }

  json response(const json& call, const message& m, json& images) const {
    json out = {{"name", string_at(call, "name")}};
    if (auto* id = member(call, "id"); id != nullptr && id->is_string())
      out["id"] = *id; // a call that has none is matched by its place
    auto text = m.text;
    if (images_ && !m.is_error)
      show_images(m, string_at(call, "name"), text, out, images);
    out["response"] = {{m.is_error ? "error" : "result", text}};
    return out;
  }

  /// Source of the types: https://ai.google.dev/gemini-api/docs/image-understanding, read 2026-11-26: no GIF.
  static const char* shown_type(const content_part& p) {
    auto* type = image_type(p);
    return type != nullptr && std::string_view(type) != "image/gif" ? type : nullptr;
  }

  /// Puts images into the result, or for older models behind all results, and takes their notes out of the text.
  void show_images(const message& m, const std::string& tool, std::string& text, json& response, json& images) const {
    auto shown = shown_parts(m.parts);
    if (std::none_of(shown.begin(), shown.end(), [](auto* p) { return shown_type(*p) != nullptr; }))
      return;
    text.clear();
    if (old_)
      images.push_back(text_part("Images that " + tool + " gave:"));
    for (auto* p : shown)
      if (auto* type = shown_type(*p)) {
        json part = {{"inlineData", {{"mimeType", type}, {"data", p->data}}}};
        (old_ ? images : response["parts"]).push_back(std::move(part));
      } else if (!blank(p->text)) {
        text += (text.empty() ? "" : "\n") + p->text;
      }
    if (text.empty())
      text = "(an image)";
  }

  const std::vector<message>& messages_;
  bool images_, old_;
  bool closed_ = false; ///< the last content takes no more parts
  std::string system_, continuation_;
  json out_ = json::array();
};

/// In `parameters` stands a form of OpenAPI's schema, where each has a type.
void give_types(json& schema) {
  if (!schema.is_object())
    return;
  if (!schema.contains("type") && !schema.contains("anyOf"))
    schema["type"] = schema.contains("properties") ? "object" : "string";
  for (auto* key : {"properties", "anyOf"})
    if (auto i = schema.find(key); i != schema.end())
      for (auto& part : *i)
        give_types(part);
  if (auto i = schema.find("items"); i != schema.end())
    give_types(*i);
}

json declarations(const model_request& req, const quirks& known) {
  auto out = json::array();
  for (auto& t : offered_tools(req.tools, known)) {
    json f = {{"name", std::move(t.name)}};
    if (!t.description.empty())
      f["description"] = std::move(t.description);
    if (known.simple_schemas)
      give_types(t.parameters);
    if (!t.parameters.is_null())
      f[known.simple_schemas ? "parameters" : "parametersJsonSchema"] = std::move(t.parameters);
    out.push_back(std::move(f));
  }
  return out;
}

/// Whether a part of a path names a version: v1, v1beta, v1alpha2.
bool is_version(std::string_view x) {
  return x.size() > 1 && x[0] == 'v' && std::isdigit(static_cast<unsigned char>(x[1])) != 0
         && std::all_of(x.begin(), x.end(), [](unsigned char c) { return std::isalnum(c) != 0; });
}

/// "models/x" also where a folder is in front already, as the API's own lists of models write it.
std::string resource_of(const std::string& model) {
  static constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out = model.starts_with("models/") || model.starts_with("tunedModels/") ? "/" : "/models/";
  for (unsigned char c : model)
    if (std::isalnum(c) != 0 || std::string_view("-._~/@").find(static_cast<char>(c)) != std::string_view::npos)
      out += static_cast<char>(c);
    else
      (out += '%') += {digits[c >> 4], digits[c & 15]};
  return out;
}

std::string url_of(const std::string& model, const endpoint& to) {
  constexpr std::string_view method = ":streamGenerateContent";
  auto query_at = std::min(to.base_url.find('?'), to.base_url.size());
  auto base = to.base_url.substr(0, query_at), query = to.base_url.substr(query_at);
  for (auto pasted : {method, std::string_view(":generateContent")})
    if (base.ends_with(pasted))
      for (auto* folder : {"/models/", "/tunedModels/"})
        base.resize(std::min(base.rfind(folder), base.size()));
  while (!base.empty() && base.back() == '/')
    base.pop_back();
  auto slash = std::min(base.rfind('/'), base.size());
  auto versioned = slash < base.size() && is_version(std::string_view(base).substr(slash + 1));
  if (versioned && !to.version.empty())
    base.resize(slash);
  if (!versioned || !to.version.empty())
    base += "/" + (to.version.empty() ? "v1beta" : to.version);
  auto url = with_query(base + resource_of(model) + std::string(method) + query, to.query);
  auto has_form = query.find("?alt=") != std::string::npos || query.find("&alt=") != std::string::npos || to.query.count("alt") > 0;
  return has_form ? url : with_query(std::move(url), {{"alt", "sse"}});
}

} // namespace

http_request encode_gemini(const model_request& req, const endpoint& to, const quirks& known, std::string& error) {
  content_list contents(req, known);
  json body = {{"contents", contents.take()}};
  if (!contents.system().empty())
    body["systemInstruction"] = content("user", text_part(contents.system()));
  if (!contents.continuation().empty())
    body["continuationToken"] = contents.continuation();
  if (auto functions = declarations(req, known); !functions.empty())
    body["tools"] = json::array({{{"functionDeclarations", std::move(functions)}}});
  auto& generation = body["generationConfig"] = json::object();
  if (!req.schema.empty()) {
    auto schema = parse(req.schema);
    if (!schema) {
      error = "the decision schema is no JSON";
      return {};
    }
    generation["responseMimeType"] = "application/json";
    generation["responseJsonSchema"] = std::move(*schema);
  }
  auto older = is_gemini_before_3(req.model);
  if (!place_gemini_params(body, req.params, older)) {
    error = "the backend's extra parameters are no JSON object";
    return {};
  }
  auto functions_alone = older && (body.contains("tools") || !req.schema.empty());
  if (to.hosted.any() && !functions_alone) {
    if (auto& config = body["toolConfig"]; body.contains("tools") && (config.is_null() || config.is_object()))
      config.emplace("includeServerSideToolInvocations", true); // both are taken together where this is said
    add_hosted_tools(body, "gemini", to, req.model);
  }
  if (req.max_output_tokens > 0)
    body["generationConfig"]["maxOutputTokens"] = req.max_output_tokens;
  if (!overlay_gemini_body(body, to.extra_body)) {
    error = "the backend's extra parameters are no JSON object";
    return {};
  }
  http_request out;
  out.url = url_of(req.model, to);
  out.headers = {{"Content-Type", "application/json"}, {"Accept", "text/event-stream"}};
  if (!to.api_key.empty())
    out.headers.emplace_back("x-goog-api-key", to.api_key);
  add_headers(out.headers, to);
  std::size_t texts = 0;
  for (auto& m : req.messages)
    texts += m.text.size() + m.opaque.size();
  out.body = dump(body, texts + texts / 8);
  out.http2 = to.http2;
  return out;
}

} // namespace conclave::wire
