// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/gemini_params.hpp"

#include "protocols/text.hpp"

#include <algorithm>
#include <cctype>

// Source: GenerateContentRequest and GenerationConfig of https://ai.google.dev/api/generate-content, and what npm
// @google/genai 3.1.0 puts where (generateContentConfigToMldev); read 2026-11-26.

namespace conclave::wire {

namespace {

/// What stands beside `generationConfig` and not inside.
constexpr std::string_view of_request[] = {"safetySettings", "toolConfig", "cachedContent",     "labels",
                                           "serviceTier",    "store",      "continuationToken", "modelArmorConfig"};

/// Whose members are the user's names and not the API's.
constexpr std::string_view of_user[] = {"responseSchema", "responseJsonSchema", "labels"};

bool is_in(std::string_view name, const auto& list) {
  return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

/// some_name -> someName; what is no such name, HARM_CATEGORY_X say, stays.
std::string camel(const std::string& name) {
  if (std::any_of(name.begin(), name.end(), [](unsigned char c) { return std::isupper(c) != 0; }))
    return name;
  std::string out;
  bool up = false;
  for (unsigned char c : name) {
    if (c != '_')
      out += static_cast<char>(up ? std::toupper(c) : c);
    up = c == '_';
  }
  return out;
}

json camel_members(const json& v) {
  json out = v;
  if (v.is_object()) {
    out = json::object();
    for (auto& [key, value] : v.items()) {
      auto name = camel(key);
      out[name] = is_in(name, of_user) ? value : camel_members(value);
    }
  } else if (v.is_array()) {
    for (auto& x : out)
      x = camel_members(x);
  }
  return out;
}

/// A map of category to threshold is what users write; the API wants a list.
json safety_list(const json& v) {
  if (!v.is_object() || v.contains("category"))
    return v.is_object() ? json::array({v}) : v;
  auto out = json::array();
  for (auto& [category, threshold] : v.items())
    out.push_back({{"category", category}, {"threshold", threshold}});
  return out;
}

/// The choice of tool as other APIs write it; null = in none of their forms.
json calling_config(const json& choice) {
  auto word = choice.is_string() ? choice.get<std::string>() : string_at(choice, "type");
  auto name = string_at(choice, "name");
  if (auto* function = member(choice, "function"); name.empty() && function != nullptr)
    name = string_at(*function, "name");
  if (!name.empty())
    return {{"mode", "ANY"}, {"allowedFunctionNames", {name}}};
  if (word == "required")
    return {{"mode", "ANY"}};
  std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return word.empty() ? json() : json{{"mode", word}};
}

/// Source of the numbers: https://ai.google.dev/gemini-api/docs/openai, "Thinking", read 2026-11-26.
json thinking_of(const std::string& effort, bool older) {
  struct row {
    std::string_view effort;
    const char* level;
    int budget;
  };
  static constexpr row rows[] = {{"none", "MINIMAL", 0},     {"minimal", "MINIMAL", 1024}, {"low", "LOW", 1024},
                                 {"medium", "MEDIUM", 8192}, {"high", "HIGH", 24'576},     {"xhigh", "HIGH", 24'576},
                                 {"max", "HIGH", 24'576}};
  for (auto& r : rows)
    if (lower(effort) == r.effort)
      return older ? json{{"thinkingBudget", r.budget}} : json{{"thinkingLevel", r.level}};
  return {};
}

void put_if_absent(json& to, const char* name, json value) {
  if (!value.is_null() && (to.is_object() || to.is_null()))
    to.emplace(name, std::move(value));
}

/// What other APIs call otherwise.
constexpr std::string_view of_others[] = {"maxTokens", "maxCompletionTokens", "stop",          "reasoningEffort",
                                          "reasoning", "toolChoice",          "responseFormat"};

void translate(std::string_view key, const json& v, json& body, bool older) {
  auto& generation = body["generationConfig"];
  if (key == "maxTokens" || key == "maxCompletionTokens") {
    put_if_absent(generation, "maxOutputTokens", v);
  } else if (key == "stop") {
    put_if_absent(generation, "stopSequences", v.is_string() ? json::array({v}) : v);
  } else if (key == "toolChoice") {
    if (auto config = calling_config(v); !config.is_null())
      put_if_absent(body["toolConfig"], "functionCallingConfig", std::move(config));
  } else if (key == "responseFormat") {
    if (string_at(v, "type").starts_with("json"))
      put_if_absent(generation, "responseMimeType", "application/json");
    if (auto* schema = member(v, "json_schema"))
      if (auto* inner = member(*schema, "schema"))
        put_if_absent(generation, "responseJsonSchema", *inner);
  } else {
    put_if_absent(generation, "thinkingConfig", thinking_of(v.is_string() ? v.get<std::string>() : string_at(v, "effort"), older));
  }
}

/// Takes over the members of `from`, null takes away.
void overlay(json& to, const json& from) {
  for (auto& [key, value] : from.items())
    if (value.is_null())
      to.erase(key);
    else
      to[key] = value;
}

} // namespace

bool place_gemini_params(json& body, const std::string& params, bool older) {
  if (params.empty())
    return true;
  auto given = parse(params);
  if (!given || !given->is_object())
    return false;
  auto& generation = body["generationConfig"];
  for (auto& [key, value] : given->items()) {
    auto name = camel(key);
    if (value.is_null() || is_in(name, of_others))
      continue;
    auto own = is_in(name, of_user) ? value : name == "safetySettings" ? safety_list(value) : camel_members(value);
    if (name == "generationConfig" && own.is_object())
      overlay(generation, own);
    else if (name == "stopSequences" && own.is_string())
      generation[name] = json::array({own});
    else
      (is_in(name, of_request) ? body : generation)[name] = std::move(own);
  }
  for (auto& [key, value] : given->items()) // where nothing was said in the API's own words
    if (auto name = camel(key); !value.is_null() && is_in(name, of_others))
      translate(name, value, body, older);
  return true;
}

bool overlay_gemini_body(json& body, const std::string& extra_body) {
  auto extra = extra_body.empty() ? json::object() : parse(extra_body).value_or(json());
  if (!extra.is_object())
    return false;
  for (auto* key : {"generationConfig", "toolConfig"})
    if (auto i = extra.find(key); i != extra.end() && i->is_object() && body.contains(key) && body[key].is_object()) {
      overlay(body[key], *i);
      extra.erase(i);
    }
  overlay(body, extra);
  if (auto i = body.find("toolConfig"); i != body.end() && !body.contains("tools") && i->is_object())
    i->erase("functionCallingConfig");
  for (auto* key : {"generationConfig", "toolConfig"})
    if (auto i = body.find(key); i != body.end() && i->empty())
      body.erase(i);
  return true;
}

} // namespace conclave::wire
