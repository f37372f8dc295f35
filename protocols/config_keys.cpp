// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/config_keys.hpp"

#include <sstream>

namespace conclave {

const std::vector<key_info>& config_keys() {
  static const std::vector<key_info> all = [] {
    auto rows = key_table::general();
    for (auto part : {key_table::backend(), key_table::newer(), key_table::tools()})
      rows.insert(rows.end(), part.begin(), part.end());
    return rows;
  }();
  return all;
}

const key_info* find_key(key_scope scope, const std::string& name) {
  for (const auto& row : config_keys())
    if (row.scope == scope && name == row.name)
      return &row;
  return nullptr;
}

std::vector<std::string> key_names_in(key_scope scope) {
  std::vector<std::string> result;
  for (const auto& row : config_keys())
    if (row.scope == scope)
      result.emplace_back(row.name);
  return result;
}

std::vector<std::string> words(const char* text) {
  std::istringstream in{text};
  std::vector<std::string> result;
  for (std::string word; in >> word;)
    result.push_back(word);
  return result;
}

std::string to_string(key_scope scope) {
  switch (scope) {
  case key_scope::top:
    return "";
  case key_scope::agent:
    return "agents[]";
  case key_scope::backend:
    return "agents[].backend";
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

const char* status_text(key_status s) {
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

std::string key_reference() {
  std::ostringstream out;
  auto last = key_scope::step_call;
  bool first = true;
  for (const auto& k : config_keys()) {
    if (first || k.scope != last) {
      auto title = to_string(k.scope);
      out << (first ? "" : "\n") << "### " << (title.empty() ? "top level" : "`" + title + "`") << "\n\n"
          << "| key | value | default | meaning |\n|---|---|---|---|\n";
      last = k.scope;
      first = false;
    }
    out << "| `" << k.name << "` | " << type_text(k);
    if (k.low < k.high && (k.type == key_type::integer || k.type == key_type::number || k.type == key_type::seconds))
      out << ", " << static_cast<std::int64_t>(k.low) << " to " << static_cast<std::int64_t>(k.high);
    out << " | " << (*k.fallback ? "`" + std::string{k.fallback} + "`" : "") << " | " << status_text(k.status);
    if (*k.only)
      out << "Only `" << k.only << "`. ";
    out << k.help << " |\n";
  }
  return out.str();
}

} // namespace conclave
