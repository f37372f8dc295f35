// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/tool_schema.hpp"

#include "protocols/text.hpp"
#include "protocols/wire/verdict.hpp"

#include <algorithm>

// What is refused where: "schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level"
// (OpenAI), "input_schema does not support oneOf, allOf, or anyOf at the top level" (Anthropic), "object schema missing
// properties", "array schema missing items" (OpenAI): errors of these servers as reported in public issue trackers, read
// 2026-11-26.

namespace conclave::wire {

namespace {

constexpr int max_fold_depth = 8;
constexpr int max_fold_steps = 300; ///< references may fan out
constexpr std::size_t max_told = 300;

const json* resolve(const json& root, const std::string& ref) {
  if (ref.empty() || ref.front() != '#')
    return nullptr;
  auto* at = &root;
  for (std::size_t i = 1; i < ref.size();) {
    auto end = std::min(ref.find('/', i + 1), ref.size());
    auto key = ref.substr(i + 1, end - i - 1);
    for (auto [from, to] : {std::pair{"~1", "/"}, std::pair{"~0", "~"}})
      for (std::size_t p = 0; (p = key.find(from, p)) != std::string::npos; ++p)
        key.replace(p, 2, to);
    at = member(*at, key.c_str());
    if (at == nullptr)
      return nullptr;
    i = end;
  }
  return at;
}

/// Cuts `text` to at most `most` bytes, between characters.
void shorten(std::string& text, std::size_t most) {
  constexpr std::string_view mark = "...";
  if (text.size() <= most)
    return;
  text.resize(whole_characters(text, most > mark.size() ? most - mark.size() : 0));
  text += mark;
}

std::string list_of(const std::vector<std::string>& names) {
  std::string out;
  for (auto& n : names)
    out += (out.empty() ? "" : ", ") + n;
  return out;
}

void insert(std::vector<std::string>& names, const std::string& name) {
  if (std::find(names.begin(), names.end(), name) == names.end())
    names.push_back(name);
}

/// The alternatives of a schema's root become one object that admits them all.
struct root_folder {
  struct object {
    json properties = json::object();
    std::vector<std::string> required;
  };

  const json& root;
  std::string told; ///< what the one object does not say any more
  int steps = 0;

  void tell(std::string text) {
    shorten(text, max_told);
    if (told.size() < 4 * max_told)
      told += "\n" + text;
  }

  void add_property(object& out, const std::string& name, const json& schema) {
    auto [i, added] = out.properties.emplace(name, schema);
    if (added || *i == schema)
      return;
    // The same name in two alternatives: either form will do.
    if (auto* list = member(*i, "anyOf"); list != nullptr && i->size() == 1 && list->is_array() && list->size() < 16) {
      if (std::find(list->begin(), list->end(), schema) == list->end())
        (*i)["anyOf"].push_back(schema);
    } else {
      *i = json{{"anyOf", json::array({*i, schema})}};
    }
  }

  void fold(const json& s, object& out, int depth) {
    if (!s.is_object() || depth > max_fold_depth || ++steps > max_fold_steps)
      return;
    if (auto* target = resolve(root, string_at(s, "$ref")))
      fold(*target, out, depth + 1);
    if (auto* properties = member(s, "properties"); properties != nullptr && properties->is_object())
      for (auto& [name, schema] : properties->items())
        add_property(out, name, schema);
    if (auto* required = member(s, "required"); required != nullptr && required->is_array())
      for (auto& name : *required)
        if (name.is_string())
          insert(out.required, name.get<std::string>());
    if (auto* all = member(s, "allOf"); all != nullptr && all->is_array())
      for (auto& part : *all)
        fold(part, out, depth + 1);
    for (auto* key : {"anyOf", "oneOf"})
      if (auto* list = member(s, key); list != nullptr && list->is_array())
        alternatives(*list, out, depth, std::string(key) == "oneOf");
    for (auto* key : {"then", "else"})
      if (auto* part = member(s, key)) {
        object only_names;
        fold(*part, only_names, depth + 1);
        for (auto& [name, schema] : only_names.properties.items())
          add_property(out, name, schema);
      }
    if (auto* condition = member(s, "if"))
      tell("Condition: " + dump({{"if", *condition}, {"then", s.value("then", json())}, {"else", s.value("else", json())}}));
    if (auto* denied = member(s, "not"))
      tell("Not allowed: " + dump(*denied));
    for (auto* key : {"enum", "const"})
      if (auto* values = member(s, key))
        tell("Allowed arguments: " + dump(*values));
  }

  void alternatives(const json& list, object& out, int depth, bool exactly_one) {
    std::string text;
    std::vector<std::string> common;
    bool first = true;
    for (auto& part : list) {
      object one;
      fold(part, one, depth + 1);
      for (auto& [name, schema] : one.properties.items())
        add_property(out, name, schema);
      std::erase_if(common, [&](auto& n) { return std::find(one.required.begin(), one.required.end(), n) == one.required.end(); });
      if (first)
        common = one.required;
      first = false;
      auto names = one.required;
      if (names.empty())
        for (auto& [name, schema] : one.properties.items())
          names.push_back(name);
      if (!names.empty())
        text += (text.empty() ? "(" : " or (") + list_of(names) + ")";
    }
    for (auto& name : common)
      insert(out.required, name);
    if (text.find(" or ") != std::string::npos)
      tell((exactly_one ? "Give exactly one set of arguments: " : "Give at least one set of arguments: ") + text + ".");
  }
};

/// Mends what no server reads: rules of old drafts, a list of `items`, an array without any.
void mend(json& s, int depth) {
  if (!s.is_object()) {
    s = json::object(); // true, false or nonsense in the place of a schema
    return;
  }
  if (depth > 40) {
    s = json::object();
    return;
  }
  auto drop_unless = [&](const char* key, auto ok) {
    if (auto i = s.find(key); i != s.end() && !ok(*i))
      s.erase(i);
  };
  drop_unless("required", [](const json& x) { return x.is_array(); });
  drop_unless("properties", [](const json& x) { return x.is_object(); });
  drop_unless("type", [](const json& x) { return x.is_string() || (x.is_array() && !x.empty()); });
  for (auto* key : {"exclusiveMinimum", "exclusiveMaximum"})
    drop_unless(key, [](const json& x) { return x.is_number(); });
  if (auto i = s.find("items"); i != s.end() && i->is_array())
    *i = i->empty() ? json::object() : i->size() == 1 ? json(i->front()) : json{{"anyOf", json(*i)}};
  if (auto* type = member(s, "type"); type != nullptr && !s.contains("items"))
    if (*type == "array" || (type->is_array() && std::find(type->begin(), type->end(), "array") != type->end()))
      s["items"] = json::object();
  for (auto* key : {"properties", "$defs", "definitions", "patternProperties"})
    if (auto i = s.find(key); i != s.end() && i->is_object())
      for (auto& part : *i)
        mend(part, depth + 1);
  for (auto* key : {"anyOf", "oneOf", "allOf", "prefixItems"})
    if (auto i = s.find(key); i != s.end() && i->is_array())
      for (auto& part : *i)
        mend(part, depth + 1);
  if (auto i = s.find("items"); i != s.end())
    mend(*i, depth + 1);
  if (auto i = s.find("additionalProperties"); i != s.end() && !i->is_boolean())
    mend(*i, depth + 1);
}

json object_schema(const std::string& text, std::string& description) {
  auto parsed = parse(text);
  json root = parsed && parsed->is_object() ? std::move(*parsed) : json::object();
  root_folder folder{root, {}};
  root_folder::object whole;
  folder.fold(root, whole, 0);
  for (auto* key :
       {"$ref", "allOf", "anyOf", "oneOf", "enum", "const", "not", "if", "then", "else", "$schema", "$id", "id", "$comment"})
    root.erase(key);
  root["type"] = "object";
  for (auto& name : whole.required)
    whole.properties.emplace(name, json::object());
  root["properties"] = std::move(whole.properties);
  root.erase("required");
  if (!whole.required.empty())
    root["required"] = whole.required;
  mend(root, 0);
  description += folder.told;
  return root;
}

/// A schema in the few words that every server knows.
struct simplifier {
  const json& root;
  int steps = 0;

  json simple(const json& s, int depth) {
    json out = json::object();
    if (!s.is_object() || depth > max_fold_depth || ++steps > 2000)
      return out;
    if (auto* target = resolve(root, string_at(s, "$ref")))
      out = simple(*target, depth + 1);
    if (auto* all = member(s, "allOf"); all != nullptr && all->is_array())
      for (auto& part : *all)
        out.update(simple(part, depth + 1));
    auto description = string_at(s, "description");
    if (auto* type = member(s, "type")) {
      if (type->is_string())
        out["type"] = *type;
      else if (type->is_array())
        for (auto& t : *type)
          if (t.is_string() && t != "null") {
            if (!out.contains("type"))
              out["type"] = t;
            else
              description += (description.empty() ? "or: " : "; or: ") + t.get<std::string>();
          }
    }
    json values = s.value("enum", json());
    if (s.contains("const"))
      values = json::array({s["const"]});
    if (values.is_array() && !values.empty()) {
      if (std::all_of(values.begin(), values.end(), [](const json& x) { return x.is_string(); }))
        out["enum"] = values;
      else
        description += (description.empty() ? "one of " : "; one of ") + dump(values).substr(0, max_told);
    }
    if (!description.empty())
      out["description"] = description;
    if (auto* properties = member(s, "properties"); properties != nullptr && properties->is_object()) {
      auto& list = out["properties"] = json::object();
      for (auto& [name, part] : properties->items())
        list[name] = simple(part, depth + 1);
      if (auto* required = member(s, "required"); required != nullptr && required->is_array())
        for (auto& name : *required)
          if (name.is_string() && list.contains(name.get<std::string>()))
            out["required"].push_back(name);
    }
    if (out.value("type", "") == "array")
      out["items"] = simple(s.value("items", json::object()), depth + 1);
    for (auto* key : {"anyOf", "oneOf"})
      if (auto* list = member(s, key); list != nullptr && list->is_array()) {
        json some = json::array();
        for (auto& part : *list)
          if (string_at(part, "type") != "null")
            some.push_back(simple(part, depth + 1));
        if (some.size() == 1)
          out.update(some.front());
        else if (!some.empty())
          out["anyOf"] = some;
      }
    return out;
  }
};

} // namespace

std::vector<offered_tool> offered_tools(const std::vector<tool_spec>& tools, const quirks& known) {
  std::size_t ours = 0;
  for (auto& t : tools)
    ours += is_workflow_tool(t.name) ? 1 : 0;
  auto room = known.max_tools == 0 ? tools.size() : std::max(known.max_tools, ours) - ours;
  std::vector<offered_tool> out;
  for (auto& t : tools) {
    if (!is_workflow_tool(t.name)) {
      if (room == 0 || known.dropped.count(tool_key(t)) > 0)
        continue;
      --room;
    }
    offered_tool offered{t.name, t.description, {}};
    offered.parameters = object_schema(t.parameters, offered.description);
    if (known.simple_schemas) {
      offered.parameters = simplifier{offered.parameters}.simple(json(offered.parameters), 0);
      offered.parameters["type"] = "object";
      offered.parameters.emplace("properties", json::object());
    }
    if (known.no_empty_parameters && offered.parameters["properties"].empty())
      offered.parameters = nullptr;
    if (known.max_description > 0)
      shorten(offered.description, known.max_description);
    out.push_back(std::move(offered));
  }
  return out;
}

} // namespace conclave::wire
