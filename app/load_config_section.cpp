// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Checks mappings against the key table, and gives out typed values.

#include "app/load_config_parts.hpp"
#include "protocols/spelling.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace conclave::loader {

namespace {

std::string number_text(double value) {
  auto text = std::to_string(value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.')
    text.pop_back();
  return text;
}

std::string lowered(std::string text) {
  for (auto& c : text)
    if (c >= 'A' && c <= 'Z')
      c = static_cast<char>(c - 'A' + 'a');
  return text;
}

const char* kind_text(const tree& node) {
  switch (node.kind) {
  case tree::null:
    return "nothing";
  case tree::scalar:
    return node.quoted ? "quoted text" : "text";
  case tree::list:
    return "a list";
  case tree::map:
    return "a map";
  }
  return "";
}

/// Returns what is probably missing where one kind of value stands for another: a blank, or the mark of a list item.
std::string kind_hint(const tree& node, tree::kind_type wanted) {
  if (wanted == tree::map && node.kind == tree::scalar && !node.quoted) {
    auto colon = node.text.find(':');
    auto is_key = colon != std::string::npos && colon > 0
                  && std::all_of(node.text.begin(), node.text.begin() + static_cast<std::ptrdiff_t>(colon),
                                 [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
    if (is_key && colon + 1 < node.text.size())
      return "; a blank is missing behind '" + shown_text(node.text.substr(0, colon + 1)) + "'";
  }
  return wanted == tree::list && node.kind == tree::map ? "; begin each item with '- '" : "";
}

/// Returns whether there is nothing in a value: nothing, false, an empty text, a list or map of nothing but that, or a map that is
/// `enabled: false` itself.
bool is_empty(const tree& node) {
  bool flag = true;
  if (node.kind == tree::null)
    return true;
  if (node.kind == tree::scalar)
    return node.text.empty() || (to_flag(node, flag) && !flag);
  const auto* enabled = node.kind == tree::map ? node.find("enabled") : nullptr;
  return (enabled && to_flag(*enabled, flag) && !flag)
         || std::all_of(node.items.begin(), node.items.end(), [](const entry& e) { return is_empty(*e.value); });
}

/// Returns whether the value asks for nothing: the default, false, or empty.
bool is_inert(const tree& node, const key_info& key) {
  if (node.kind == tree::list || node.kind == tree::map)
    return is_empty(node);
  bool flag = true;
  if (key.type != key_type::text && to_flag(node, flag) && !flag && std::string{key.fallback} != "true")
    return true;
  return node.text.empty() || lowered(node.text) == key.fallback;
}

} // namespace

section::section(const tree* node, key_scope scope, std::string path, std::string canonical, report& to, const std::string& type)
    : scope_(scope), path_(std::move(path)), canonical_(std::move(canonical)), type_(type), to_(to) {
  if (!node || node->kind == tree::null)
    return;
  line_ = node->line;
  if (node->kind != tree::map) {
    to_.error(line_, path_, std::string{"expected a map, found "} + kind_text(*node) + kind_hint(*node, tree::map));
    return;
  }
  for (const auto& e : node->items) {
    to_.place(this->canonical(e.key), this->path(e.key), e.line);
    check(e);
  }
}

std::string section::path(const std::string& key) const {
  return path_.empty() ? key : path_ + "." + key;
}

std::string section::canonical(const std::string& key) const {
  return canonical_.empty() ? key : canonical_ + "." + key;
}

int section::line(const std::string& key) const {
  auto it = values_.find(key);
  return it == values_.end() ? line_ : it->second->line;
}

void section::check(const entry& e) {
  const auto* key = find_key(scope_, e.key);
  if (!key) {
    unknown(e);
    return;
  }
  if (e.value->kind == tree::null)
    return; // as if it were not there
  if (key->status == key_status::reserved) {
    to_.error(e.line, path(e.key), std::string{"cannot be set: "} + key->help);
    return;
  }
  // What is not built yet and not asked for is of any type: files of other versions hold it.
  if ((key->status == key_status::later || key->status == key_status::cosmetic) && is_empty(*e.value) && is_inert(*e.value, *key))
    return;
  if (!check_value(e, *key))
    return;
  check_status(e, *key);
  values_[e.key] = &e;
  if (key->status == key_status::parameter)
    parameters_.push_back(&e);
}

bool section::check_value(const entry& e, const key_info& key) {
  const auto& v = *e.value;
  auto wrong = [&](const char* expected, tree::kind_type wanted = tree::null) {
    to_.error(e.line, path(e.key), std::string{"expected "} + expected + ", found " + kind_text(v) + kind_hint(v, wanted));
    return false;
  };
  auto scalars = [](const tree& node) {
    return std::all_of(node.items.begin(), node.items.end(), [](const entry& x) { return x.value->kind == tree::scalar; });
  };
  bool flag = false;
  switch (key.type) {
  case key_type::text:
    return v.kind == tree::scalar || wrong("text");
  case key_type::flag:
    return to_flag(v, flag) || wrong("true or false");
  case key_type::integer:
  case key_type::number:
  case key_type::seconds:
    return check_number(e, key);
  case key_type::choice: {
    if (v.kind != tree::scalar)
      return wrong("text");
    auto choices = words(key.choices);
    if (std::find(choices.begin(), choices.end(), lowered(v.text)) != choices.end())
      return true;
    std::string list;
    for (const auto& c : choices)
      list += (list.empty() ? "" : ", ") + c;
    auto near = nearest(v.text, choices);
    to_.error(e.line, path(e.key),
              "'" + shown_text(v.text) + "' is none of " + list + (near.empty() ? "" : "; did you mean '" + near + "'?"));
    return false;
  }
  case key_type::texts:
    return v.kind == tree::scalar || (v.kind == tree::list && scalars(v)) || wrong("a list of texts", tree::list);
  case key_type::text_map:
    return (v.kind == tree::map && scalars(v)) || wrong("a map of texts", tree::map);
  case key_type::map:
    return v.kind == tree::map || wrong("a map", tree::map);
  case key_type::list:
    return v.kind == tree::list || wrong("a list", tree::list);
  case key_type::any:
    return true;
  }
  return false;
}

bool section::check_number(const entry& e, const key_info& key) {
  double value = 0;
  std::int64_t whole = 0;
  bool integer = key.type == key_type::integer;
  if (integer && to_integer(*e.value, whole))
    value = static_cast<double>(whole);
  else if (integer || !to_number(*e.value, value)) {
    std::string hint = e.value->kind == tree::scalar && e.value->quoted ? "; leave out the quotes" : "";
    to_.error(e.line, path(e.key),
              std::string{"expected a "} + (integer ? "whole number" : "finite number") + ", found "
                  + (e.value->kind == tree::scalar ? "'" + shown_text(e.value->text, 20) + "'" : kind_text(*e.value)) + hint);
    return false;
  }
  if (key.low < key.high && (value < key.low || value > key.high)) {
    to_.error(e.line, path(e.key),
              shown_text(e.value->text, 20) + " is outside " + number_text(key.low) + " to " + number_text(key.high));
    return false;
  }
  return true;
}

void section::check_status(const entry& e, const key_info& key) {
  if (*key.only && !type_.empty()) {
    auto types = words(key.only);
    if (std::find(types.begin(), types.end(), type_) == types.end()) {
      to_.warning(e.line, path(e.key), "has no effect with type '" + shown_text(type_) + "', only with: " + key.only);
      return;
    }
  }
  if (key.status != key_status::later && key.status != key_status::cosmetic)
    return;
  if (is_inert(*e.value, key))
    return;
  if (key.status == key_status::later)
    to_.add(severity::unavailable, e.line, path(e.key), std::string{"not available yet ("} + key.help + ")");
  else
    to_.warning(e.line, path(e.key),
                std::string{std::string_view{key.help}.starts_with("another spelling") ? "is " : "has no effect ("} + key.help
                    + (std::string_view{key.help}.starts_with("another spelling") ? "" : ")"));
}

void section::unknown(const entry& e) {
  // x-...: a place for anchors, as in other YAML formats.
  if (scope_ == key_scope::top && e.key.starts_with("x-"))
    return;
  auto near = to_.full() ? std::string{} : nearest(e.key, key_names_in(scope_));
  auto hint = near.empty() ? "" : "; did you mean '" + near + "'?";
  auto name = path(shown_text(e.key));
  if (e.key.starts_with("//") || e.key.starts_with("/*")) {
    to_.error(e.line, name, "comments begin with '#', also in JSON");
  } else if (holds_odd_blank(e.key)) {
    to_.error(e.line, name, std::string{"unknown key; it holds "} + odd_blank);
  } else if (e.key.find(" = ") != std::string::npos) {
    to_.error(e.line, name, "unknown key; YAML has 'key: value', not 'key = value'");
  } else if (auto colon = e.key.find(':'); colon != std::string::npos && find_key(scope_, e.key.substr(0, colon))) {
    to_.error(e.line, name, "unknown key; a blank is missing behind '" + e.key.substr(0, colon + 1) + "'");
  } else if (scope_ == key_scope::backend) {
    if (e.value->kind == tree::null)
      return;
    if (is_clients_own(e.key)) {
      to_.add(is_empty(*e.value) ? severity::warning : severity::unavailable, e.line, name,
              "not available yet, and not the provider's: it is not sent" + hint);
      return;
    }
    to_.warning(e.line, name, "unknown key, sent to the provider as it is" + hint);
    parameters_.push_back(&e);
  } else if (scope_ == key_scope::mcp_server || scope_ == key_scope::ui || scope_ == key_scope::coordination) {
    to_.warning(e.line, name, "unknown key" + hint);
  } else if (e.key.find(' ') != std::string::npos) {
    to_.error(e.line, name, "unknown key" + hint + "; a text that goes on is indented deeper than its key");
  } else if (asks_for_nothing(e, near)) {
    to_.warning(e.line, name, "unknown key, without effect: its value asks for nothing" + hint);
  } else {
    to_.error(e.line, name, "unknown key" + hint);
  }
}

bool section::asks_for_nothing(const entry& e, const std::string& near) const {
  return is_empty(*e.value) && (near.empty() || !is_one_slip(e.key, near)); // a slip of a key of ours stays one
}

const entry* section::get(const std::string& key) const {
  auto it = values_.find(key);
  return it == values_.end() ? nullptr : it->second;
}

bool section::text(const std::string& key, std::string& out) const {
  const auto* e = get(key);
  if (!e)
    return false;
  const auto* info = find_key(scope_, key);
  out = info && info->type == key_type::choice ? lowered(e->value->text) : e->value->text;
  return true;
}

bool section::flag(const std::string& key, bool& out) const {
  const auto* e = get(key);
  return e && to_flag(*e->value, out);
}

bool section::number(const std::string& key, std::int64_t& out) const {
  const auto* e = get(key);
  return e && to_integer(*e->value, out);
}

bool section::number(const std::string& key, std::int32_t& out) const {
  std::int64_t value = 0;
  if (!number(key, value) || value < std::numeric_limits<std::int32_t>::min() || value > std::numeric_limits<std::int32_t>::max())
    return false;
  out = static_cast<std::int32_t>(value);
  return true;
}

bool section::number(const std::string& key, std::uint32_t& out) const {
  std::int64_t value = 0;
  if (!number(key, value) || value < 0 || value > std::numeric_limits<std::uint32_t>::max())
    return false;
  out = static_cast<std::uint32_t>(value);
  return true;
}

bool section::milliseconds(const std::string& key, std::int64_t& out) const {
  const auto* e = get(key);
  double value = 0;
  if (!e || !to_number(*e->value, value))
    return false;
  out = std::llround(value * 1000);
  return true;
}

bool section::texts(const std::string& key, std::vector<std::string>& out) const {
  const auto* e = get(key);
  if (!e)
    return false;
  out.clear();
  if (e->value->kind == tree::scalar)
    out.push_back(e->value->text);
  for (const auto& item : e->value->items)
    out.push_back(item.value->text);
  return true;
}

bool section::text_map(const std::string& key, std::map<std::string, std::string>& out) const {
  const auto* e = get(key);
  if (!e)
    return false;
  out.clear();
  for (const auto& item : e->value->items) {
    out[item.key] = item.value->text;
    to_.place(canonical(key) + "." + item.key, path(key) + "." + item.key, item.line);
  }
  return true;
}

const tree* section::map(const std::string& key) const {
  const auto* e = get(key);
  return e && e->value->kind == tree::map ? e->value.get() : nullptr;
}

} // namespace conclave::loader
