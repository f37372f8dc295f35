// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Checks mappings against the key table, and gives out typed values.

#include "app/key_hints.hpp"
#include "app/load_config_parts.hpp"
#include "protocols/spelling.hpp"
#include "protocols/text.hpp"
#include "protocols/time_text.hpp"

#include <algorithm>
#include <cmath>

namespace conclave::loader {

namespace {

const char* kind_text(const tree& node) {
  double number = 0;
  switch (node.kind) {
  case tree::null:
    return "nothing";
  case tree::scalar:
    return node.quoted ? "quoted text" : to_number(node, number) ? "a number" : "text";
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
  return node.text.empty() || lower(node.text) == key.fallback;
}

/// Reads a number in the unit of its key. A time may have a unit of its own, and is text then.
bool number_of(const tree& node, const key_info& key, double& out) {
  auto whole = key.type == key_type::integer || key.type == key_type::milliseconds;
  std::int64_t n = 0;
  if (whole && to_integer(node, n)) {
    out = static_cast<double>(n);
    return true;
  }
  if (!whole && to_number(node, out))
    return true;
  bool seconds = key.type == key_type::seconds;
  auto time = node.kind == tree::scalar && (seconds || key.type == key_type::milliseconds) ? read_time(node.text, 0) : std::nullopt;
  if (!time)
    return false;
  out = seconds ? *time / 1000 : *time;
  return true;
}

} // namespace

section::section(const tree* node, key_scope scope, std::string path, std::string canonical, report& to, const std::string& type,
                 const key_table& keys)
    : scope_(scope), path_(std::move(path)), canonical_(std::move(canonical)), type_(type), to_(to), keys_(keys) {
  if (!node || node->kind == tree::null)
    return;
  at_ = node->at;
  if (node->kind != tree::map) {
    to_.error(at_, path_, std::string{"expected a map, found "} + kind_text(*node) + kind_hint(*node, tree::map));
    return;
  }
  for (const auto& e : node->items) {
    to_.place(this->canonical(e.key), this->path(e.key), e.at);
    check(e);
  }
}

std::string section::path(const std::string& key) const {
  return path_.empty() ? key : path_ + "." + key;
}

std::string section::canonical(const std::string& key) const {
  return canonical_.empty() ? key : canonical_ + "." + key;
}

mark section::at(const std::string& key) const {
  auto it = values_.find(key);
  return it == values_.end() ? at_ : it->second->at;
}

section section::below(const std::string& key, key_scope scope) const {
  return {map(key), scope, path(key), canonical(key), to_, "", keys_};
}

void section::check(const entry& e) {
  const auto* key = keys_.find(scope_, e.key);
  if (!key) {
    unknown(e);
    return;
  }
  if (e.value->kind == tree::null)
    return; // as if it were not there
  // A program has no request; what it takes is not built yet.
  if (key->status == key_status::reserved && type_ != "cli") {
    to_.error(e.at, path(e.key), std::string{"cannot be set: "} + key->help);
    return;
  }
  if (scope_ == key_scope::backend && e.key == "provider" && e.value->kind == tree::map) {
    parameters_.push_back(&e); // OpenRouter's: which of its providers may answer
    return;
  }
  // What is not built yet and not asked for is of any type: files of other versions hold it.
  if ((key->status == key_status::later || key->status == key_status::cosmetic) && is_empty(*e.value) && is_inert(*e.value, *key))
    return;
  if (!check_value(e, *key))
    return;
  if (!check_status(e, *key))
    return;
  values_[e.key] = &e;
  if (key->status == key_status::parameter)
    parameters_.push_back(&e);
}

bool section::check_value(const entry& e, const key_info& key) {
  const auto& v = *e.value;
  auto wrong = [&](const char* expected, tree::kind_type wanted = tree::null) {
    to_.error(e.at, path(e.key), std::string{"expected "} + expected + ", found " + kind_text(v) + kind_hint(v, wanted));
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
  case key_type::milliseconds:
  case key_type::usd:
    return check_number(e, key);
  case key_type::choice: {
    if (v.kind != tree::scalar)
      return wrong("text");
    auto fault = choice_fault(key, v.text);
    if (path(e.key).ends_with("sandbox.network") && lower(v.text) == "allowlist") // known, and of a later version
      to_.add(severity::unavailable, e.at, path(e.key), "'allowlist' is not available yet; `none` reaches nothing, `full` all");
    else if (!fault.empty())
      to_.error(e.at, path(e.key), fault);
    return fault.empty();
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
  bool time = key.type == key_type::seconds || key.type == key_type::milliseconds;
  if (!number_of(*e.value, key, value)) {
    auto bare = *e.value; // a number that is only quoted?
    bare.quoted = false;
    auto hint = e.value->kind == tree::scalar && e.value->quoted && number_of(bare, key, value) ? "; leave out the quotes" : "";
    to_.error(e.at, path(e.key),
              std::string{"expected "}
                  + (time                            ? time_forms
                     : key.type == key_type::integer ? "a whole number"
                                                     : "a finite number")
                  + ", found " + (e.value->kind == tree::scalar ? "'" + shown_text(e.value->text, 20) + "'" : kind_text(*e.value))
                  + hint);
    return false;
  }
  auto fault = limits_fault(key, value, e.value->text);
  if (!fault.empty())
    to_.error(e.at, path(e.key), fault);
  return fault.empty();
}

bool section::check_status(const entry& e, const key_info& key) {
  if (*key.only && !type_.empty()) {
    auto types = words(key.only);
    if (std::find(types.begin(), types.end(), type_) == types.end()) {
      to_.warning(e.at, path(e.key), "has no effect with type '" + shown_text(type_) + "', only with: " + key.only);
      return false;
    }
  }
  if ((key.status != key_status::later && key.status != key_status::cosmetic) || is_inert(*e.value, key))
    return true;
  if (key.status == key_status::later)
    to_.add(severity::unavailable, e.at, path(e.key), std::string{"not available yet ("} + key.help + ")");
  else
    to_.warning(e.at, path(e.key),
                std::string{std::string_view{key.help}.starts_with("another spelling") ? "is " : "has no effect ("} + key.help
                    + (std::string_view{key.help}.starts_with("another spelling") ? "" : ")"));
  return true;
}

void section::unknown(const entry& e) {
  // x-...: a place for anchors, as in other YAML formats.
  if (scope_ == key_scope::top && e.key.starts_with("x-"))
    return;
  auto meant = hint_of(e.key, scope_, type_, keys_);
  auto near = to_.full() ? std::string{} : nearest(e.key, keys_.names_in(scope_));
  auto slip = !near.empty() && !meant.connection && !meant.limits
              && is_one_slip(e.key, near); // else the table knows better than the spelling
  auto hint = !meant.text.empty() && !slip ? "; " + meant.text : near.empty() ? "" : "; did you mean '" + near + "'?";
  auto name = path(shown_text(e.key));
  if (e.key.starts_with("//") || e.key.starts_with("/*")) {
    to_.error(e.at, name, "comments begin with '#', also in JSON");
  } else if (holds_odd_blank(e.key)) {
    to_.error(e.at, name, std::string{"unknown key; it holds "} + odd_blank);
  } else if (e.key.find(" = ") != std::string::npos) {
    to_.error(e.at, name, "unknown key; YAML has 'key: value', not 'key = value'");
  } else if (auto colon = e.key.find(':'); colon != std::string::npos && keys_.find(scope_, e.key.substr(0, colon))) {
    to_.error(e.at, name, "unknown key; a blank is missing behind '" + e.key.substr(0, colon + 1) + "'");
  } else if (scope_ == key_scope::backend) {
    if (e.value->kind == tree::null)
      return;
    if (meant.limits || (meant.connection && !is_empty(*e.value)))
      return to_.error(e.at, name, "unknown key, and not the provider's" + hint);
    if (is_clients_own(e.key)) {
      to_.add(is_empty(*e.value) ? severity::warning : severity::unavailable, e.at, name,
              "not available yet, and not the provider's: it is not sent" + hint);
      return;
    }
    to_.warning(e.at, name, "unknown key, sent to the provider as it is" + hint);
    parameters_.push_back(&e);
  } else if (scope_ == key_scope::mcp_server || scope_ == key_scope::ui || scope_ == key_scope::coordination) {
    to_.warning(e.at, name, "unknown key" + hint);
  } else if (e.key.find(' ') != std::string::npos) {
    to_.error(e.at, name, "unknown key" + hint + "; a text that goes on is indented deeper than its key");
  } else if (asks_for_nothing(e, near)) {
    to_.warning(e.at, name, "unknown key, without effect: its value asks for nothing" + hint);
  } else {
    to_.error(e.at, name, "unknown key" + hint);
  }
}

bool section::asks_for_nothing(const entry& e, const std::string& near) const {
  return is_empty(*e.value) && (near.empty() || !is_one_slip(e.key, near)); // a slip of a key of ours stays one
}

const entry* section::get(const std::string& key) const {
  auto it = values_.find(key);
  return it == values_.end() ? nullptr : it->second;
}

bool section::read(const std::string& key, std::string& out) const {
  const auto* e = get(key);
  if (!e)
    return false;
  const auto* info = keys_.find(scope_, key);
  auto type = info ? info->type : key_type::text;
  if (type == key_type::map) {
    std::string fault;
    out = to_json(*e->value, fault);
    if (!fault.empty())
      error(key, fault);
    return fault.empty();
  }
  out = type == key_type::choice ? lower(e->value->text) : e->value->text;
  return true;
}

bool section::read(const std::string& key, bool& out) const {
  const auto* e = get(key);
  return e && to_flag(*e->value, out);
}

bool section::read(const std::string& key, std::int64_t& out) const {
  const auto* e = get(key);
  const auto* info = keys_.find(scope_, key);
  if (!e || !info)
    return false;
  auto per_unit = held_per_unit(info->type);
  if (to_integer(*e->value, out) && per_unit == 1)
    return true;
  double value = 0;
  if (!number_of(*e->value, *info, value))
    return false;
  out = std::llround(value * per_unit);
  return true;
}

bool section::read(const std::string& key, std::vector<std::string>& out) const {
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

bool section::read(const std::string& key, std::vector<std::pair<std::string, std::string>>& out) const {
  const auto* e = get(key);
  if (!e)
    return false;
  out.clear();
  for (const auto& item : e->value->items) {
    out.emplace_back(item.key, item.value->text);
    to_.place(canonical(key) + "." + item.key, path(key) + "." + shown_text(item.key), item.at);
  }
  return true;
}

bool section::read(const std::string& key, std::map<std::string, std::string>& out) const {
  std::vector<std::pair<std::string, std::string>> pairs;
  if (!read(key, pairs))
    return false;
  out = {pairs.begin(), pairs.end()};
  return true;
}

const tree* section::map(const std::string& key) const {
  const auto* e = get(key);
  return e && e->value->kind == tree::map ? e->value.get() : nullptr;
}

} // namespace conclave::loader
