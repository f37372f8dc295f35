// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/config_keys.hpp"

#include "protocols/config_tables.hpp"
#include "protocols/spelling.hpp"
#include "protocols/text.hpp"

#include <algorithm>
#include <sstream>

namespace conclave {

namespace {

std::string number_text(double value) {
  auto text = std::to_string(value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.')
    text.pop_back();
  return text;
}

} // namespace

void key_table::add(key_info key, std::string fallback) {
  texts_.push_back(std::move(fallback));
  key.fallback = texts_.back().c_str();
  auto later = std::find_if(rows_.begin(), rows_.end(), [&](const key_info& k) { return k.scope > key.scope; });
  rows_.insert(later, key);
}

void key_table::add(const std::vector<key_info>& keys) {
  for (const auto& key : keys)
    add(key, key.fallback);
}

const key_info* key_table::find(key_scope scope, const std::string& name) const {
  for (const auto& row : rows_)
    if (row.scope == scope && name == row.name)
      return &row;
  return nullptr;
}

std::vector<std::string> key_table::names_in(key_scope scope) const {
  std::vector<std::string> result;
  for (const auto& row : rows_)
    if (row.scope == scope)
      result.emplace_back(row.name);
  return result;
}

const key_table& config_keys() {
  static const auto all = [] {
    using namespace config_rows;
    key_table out;
    add_keys<agent_config>(out);
    add_keys<run_config>(out);
    add_keys<ledger::rules>(out);
    add_keys<budget>(out);
    add_keys<ui_config>(out);
    add_keys<cluster_config>(out);
    add_keys<tls_config>(out);
    add_keys<backend_config>(out);
    add_keys<workspace_config>(out);
    add_keys<context_path>(out);
    add_keys<mcp_server_config>(out);
    add_keys<tool_policy>(out);
    add_keys<script_step>(out);
    add_keys<tool_call>(out);
    for (const auto& keys : {unbound_keys::general(), unbound_keys::backend(), unbound_keys::newer(), unbound_keys::tools()})
      out.add(keys);
    return out;
  }();
  return all;
}

std::vector<std::string> words(const char* text) {
  std::istringstream in{text};
  std::vector<std::string> result;
  for (std::string word; in >> word;)
    result.push_back(word);
  return result;
}

// A switch per enum, though they look alike: the compiler says which value has no text.

std::string to_string(key_scope scope) {
  switch (scope) {
  case key_scope::top:
    return "";
  case key_scope::agent:
    return "agents[]";
  case key_scope::backend:
    return "agents[].backend";
  case key_scope::budget:
    return "budget";
  case key_scope::rate_limits:
    return "agents[].backend.rate_limits";
  case key_scope::sandbox:
    return "agents[].backend.sandbox";
  case key_scope::orchestrator:
    return "orchestrator";
  case key_scope::coordination:
    return "orchestrator.coordination";
  case key_scope::context_path:
    return "orchestrator.context_paths[]";
  case key_scope::timeout_settings:
    return "timeout_settings";
  case key_scope::ui:
    return "ui";
  case key_scope::cluster:
    return "cluster";
  case key_scope::tls:
    return "cluster.tls";
  case key_scope::mcp_server:
    return "agents[].backend.mcp_servers[]";
  case key_scope::tool_policy:
    return "agents[].backend.mcp_servers[].tool_policies.*";
  case key_scope::security:
    return "agents[].backend.mcp_servers[].security";
  case key_scope::security_env:
    return "agents[].backend.mcp_servers[].security.env";
  case key_scope::upload:
    return "agents[].backend.upload_files[]";
  case key_scope::step:
    return "agents[].backend.steps[]";
  case key_scope::step_call:
    return "agents[].backend.steps[].calls[]";
  }
  return "";
}

std::string limits_fault(const key_info& key, double value, const std::string& shown) {
  if (!(key.low < key.high) || (value >= key.low && value <= key.high))
    return {};
  auto unit = key.type == key_type::seconds        ? " seconds"
              : key.type == key_type::milliseconds ? " milliseconds"
              : key.type == key_type::usd          ? " US dollars"
                                                   : "";
  return (shown.empty() ? number_text(value) : shown_text(shown, 20)) + " is outside " + number_text(key.low) + " to "
         + number_text(key.high) + unit;
}

std::string choice_fault(const key_info& key, const std::string& value) {
  auto choices = words(key.choices);
  auto same = [&](const std::string& c) {
    return std::equal(c.begin(), c.end(), value.begin(), value.end(),
                      [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b - 'A' + 'a') : b); });
  };
  if (std::any_of(choices.begin(), choices.end(), same))
    return {};
  std::string list;
  for (const auto& c : choices)
    list += (list.empty() ? "" : ", ") + c;
  auto near = nearest(value, choices);
  return "'" + shown_text(value) + "' is none of " + list + (near.empty() ? "" : "; did you mean '" + near + "'?");
}

namespace {

std::string type_text(const key_info& k) {
  switch (k.type) {
  case key_type::text:
    return "text";
  case key_type::flag:
    return "true or false";
  case key_type::integer:
    return "whole number";
  case key_type::number:
    return "number";
  case key_type::seconds:
    return "seconds";
  case key_type::milliseconds:
    return "milliseconds";
  case key_type::usd:
    return "US dollars";
  case key_type::choice: {
    std::string result;
    for (const auto& word : words(k.choices))
      result += (result.empty() ? "`" : ", `") + word + "`";
    return result;
  }
  case key_type::texts:
    return "list of texts";
  case key_type::text_map:
    return "map of texts";
  case key_type::map:
    return "map";
  case key_type::list:
    return "list";
  case key_type::any:
    return "anything";
  }
  return "";
}

std::string status_text(key_status s) {
  switch (s) {
  case key_status::live:
    return "";
  case key_status::parameter:
    return "sent to the provider. ";
  case key_status::later:
    return "*not available yet.* ";
  case key_status::cosmetic:
    return "*no effect.* ";
  case key_status::reserved:
    return "*set by Conclave, refused.* ";
  }
  return "";
}

} // namespace

std::string value_text(const key_info& key) {
  auto number = key.type == key_type::integer || key.type == key_type::number || key.type == key_type::seconds
                || key.type == key_type::milliseconds || key.type == key_type::usd;
  auto limits = number && key.low < key.high ? ", " + number_text(key.low) + " to " + number_text(key.high) : std::string{};
  return type_text(key) + limits;
}

std::string meaning_of(const key_info& key) {
  auto out = status_text(key.status) + (*key.only ? "Only `" + std::string{key.only} + "`. " : "") + key.help;
  out.resize(out.find_last_not_of(' ') + 1);
  return out;
}

std::string key_table::reference() const {
  std::string out;
  const key_info* last = nullptr;
  for (const auto& k : rows_) {
    if (!last || k.scope != last->scope) {
      auto title = to_string(k.scope);
      out += std::string{last ? "\n" : ""} + "### " + (title.empty() ? "top level" : "`" + title + "`")
             + "\n\n| key | value | default | meaning |\n|---|---|---|---|\n";
    }
    last = &k;
    out += "| `" + std::string{k.name} + "` | " + value_text(k) + " | " + (*k.fallback ? "`" + std::string{k.fallback} + "`" : "")
           + " | " + meaning_of(k) + " |\n";
  }
  return out;
}

namespace config_rows {

namespace {

bool is_limited(const key_info& key) {
  return key.type == key_type::integer || key.type == key_type::seconds || key.type == key_type::milliseconds
         || key.type == key_type::usd || key.type == key_type::number;
}

double in_unit(const key_info& key, std::int64_t value) {
  return static_cast<double>(value) / held_per_unit(key.type);
}

} // namespace

std::string default_text(const key_info&, const budget& value) {
  if (!value.limits())
    return {};
  std::string out = value.tokens > 0 ? std::to_string(value.tokens) + " tokens" : "";
  if (value.nano_usd > 0)
    out += (out.empty() ? "" : ", ") + dollars(value.nano_usd);
  return out + ", " + choices<exceed_policy>[static_cast<std::size_t>(value.on_exceed)];
}

std::string default_text(const key_info&, bool value) {
  return value ? "true" : "false";
}

std::string default_text(const key_info& key, std::int64_t value) {
  auto number = in_unit(key, value);
  return key.low < key.high && (number < key.low || number > key.high) ? "" : number_text(number);
}

std::string default_text(const key_info&, const std::string& value) {
  return value;
}

std::string fault_of(const key_info& key, std::int64_t value) {
  return is_limited(key) ? limits_fault(key, in_unit(key, value), "") : std::string{};
}

std::string fault_of(const key_info& key, const std::string& value) {
  return key.type == key_type::choice ? choice_fault(key, value) : std::string{};
}

std::string path_in(const std::string& path, key_scope own, key_scope scope, const char* name) {
  auto here = to_string(own), there = to_string(scope);
  if (scope == own)
    return path.empty() ? name : path + "." + name;
  if (there.empty())
    return name;
  return (there.starts_with(here + ".") ? path + there.substr(here.size()) : there) + "." + name;
}

} // namespace config_rows

} // namespace conclave
