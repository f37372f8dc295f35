// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/commands.hpp"
#include "app/environment.hpp"
#include "app/load_config.hpp"
#include "app/local_servers.hpp"
#include "app/plain_text.hpp"
#include "protocols/catalogue.hpp"
#include "protocols/catalogue_models.hpp"
#include "protocols/config_expand.hpp"
#include "protocols/config_validate.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"
#include "transports/outside.hpp"

#include <algorithm>
#include <set>

namespace conclave {

namespace {

constexpr int usage_code = static_cast<int>(exit_code::usage);

std::string padded(std::string text, std::size_t width) {
  auto now = columns(text);
  return now < width ? text + std::string(width - now, ' ') : text;
}

std::string right(const std::string& text, std::size_t width) {
  auto now = columns(text);
  return now < width ? std::string(width - now, ' ') + text : text;
}

/// "128k", "1M": windows are round, more or less.
std::string window_text(std::int64_t tokens) {
  if (tokens <= 0)
    return "-";
  if (tokens < 1'000)
    return std::to_string(tokens);
  if (tokens < 1'000'000)
    return std::to_string(tokens / 1'000) + "k";
  auto tenths = tokens / 100'000;
  return std::to_string(tenths / 10) + (tenths % 10 == 0 ? "" : "." + std::to_string(tenths % 10)) + "M";
}

/// Nano-USD a token as USD per million tokens: 2500 -> "2.5".
std::string usd_text(std::int64_t nano) {
  if (nano < 0)
    return "?";
  auto text = std::to_string(nano / 1000);
  if (auto rest = nano % 1000; rest > 0) {
    auto digits = std::to_string(1000 + rest).substr(1);
    text += "." + digits.substr(0, digits.find_last_not_of('0') + 1);
  }
  return text;
}

/// Whether a provider's key is there: its name, never its value.
struct key_state {
  std::string name; ///< that is set, else the first one; empty = none is needed
  bool set = false;
};

key_state key_of(const std::string& names, const lookup& env) {
  key_state out;
  for (std::size_t at = 0; at < names.size();) {
    auto end = std::min(names.find(',', at), names.size());
    auto name = names.substr(at, end - at);
    const auto* value = env(name);
    if (value != nullptr && !is_blank(*value))
      return {name, true};
    out.name = out.name.empty() ? name : out.name;
    at = end + 1;
  }
  return out;
}

std::string shown(const key_state& key) {
  return key.name.empty() ? "no key needed" : key.name + (key.set ? " (set)" : " (not set)");
}

std::string json_text(const std::string& name, const std::string& value) {
  return wire::quote(name) + ":" + (value.empty() ? "null" : wire::quote(value));
}

std::string backends_json(const lookup& env, const std::vector<local_server>& servers) {
  std::string types, rows;
  for (const auto& kind : backend_kinds()) {
    auto key = key_of(kind.key_env, env);
    types += (types.empty() ? "\n    {" : ",\n    {") + json_text("type", kind.type) + "," + json_text("name", kind.provider)
             + ",\"available\":" + (is_available(kind) ? "true" : "false") + "," + json_text("base_url", kind.base_url) + ","
             + json_text("key", key.name) + ",\"key_set\":" + (key.set ? "true" : "false") + ","
             + json_text("default_model", kind.default_model);
    for (const auto& s : servers)
      if (s.type == kind.type)
        types += ",\"running\":" + std::string{s.running ? "true" : "false"};
    types += "}";
  }
  for (const auto& p : providers()) {
    auto key = key_of(p.key_env, env);
    rows += (rows.empty() ? "\n    {" : ",\n    {") + json_text("provider", p.id) + "," + json_text("name", p.name) + ","
            + json_text("base_url", p.base_url) + "," + json_text("key", key.name) + ",\"key_set\":" + (key.set ? "true" : "false")
            + "}";
  }
  return "{\n  \"backends\":[" + types + "\n  ],\n  \"providers\":[" + rows + "\n  ]\n}\n";
}

/// "http://localhost:1234" without what is always the same.
std::string host_of(const std::string& place) {
  auto at = place.find("://");
  return at == std::string::npos ? place : place.substr(at + 3);
}

std::string backends_text(const lookup& env, const std::vector<local_server>& servers) {
  std::string out = padded("TYPE", 16) + padded("KEY", 36) + "DEFAULT MODEL\n";
  std::set<std::string> own;
  for (const auto& kind : backend_kinds()) {
    auto key = is_available(kind) ? shown(key_of(kind.key_env, env)) : std::string{"not available yet"};
    for (const auto& s : servers)
      if (s.type == kind.type)
        key =
            s.place.empty() ? "its variable names no address" : (s.running ? "running at " : "not running at ") + host_of(s.place);
    out += padded(kind.type, 16) + padded(key, 36) + (*kind.default_model ? kind.default_model : "-") + "\n";
    own.insert(kind.type);
  }
  out += "\nBy type 'chatcompletion' with base_url:\n" + padded("PROVIDER", 16) + padded("KEY", 34) + "BASE URL\n";
  for (const auto& p : providers())
    if (!own.contains(p.id)) {
      auto key = shown(key_of(p.key_env, env));
      auto line = padded(p.id, 16) + padded(key, 34);
      out += columns(line) + columns(p.base_url) <= 80 ? line + p.base_url + "\n"
                                                       : padded(p.id, 16) + key + "\n" + std::string(16, ' ') + p.base_url + "\n";
    }
  return out + "\nModels, windows and prices: conclave models [--backend TYPE or PROVIDER]\n";
}

const char* trait_json(trait t) {
  return t == trait::unknown ? "null" : t == trait::yes ? "true" : "false";
}

std::string number_json(const std::string& name, std::int64_t value, bool known) {
  return wire::quote(name) + ":" + (known ? std::to_string(value) : "null");
}

std::string price_json(const model_row& row, std::int64_t now) {
  auto p = price_at(row, now, 0);
  if (!p)
    return "null";
  auto usd = [](const char* name, std::int64_t nano) { return wire::quote(name) + ":" + (nano < 0 ? "null" : usd_text(nano)); };
  return "{" + usd("input", p->input) + "," + usd("cached_input", p->cached_input) + "," + usd("cache_write", p->cache_write) + ","
         + usd("output", p->output) + "," + usd("audio_in", p->audio_in) + "," + usd("audio_out", p->audio_out) + ","
         + usd("per_1000_hosted_calls", p->per_hosted_call < 0 ? -1 : p->per_hosted_call / 1000) + "}";
}

std::string model_json(const model_row& row, std::int64_t now) {
  std::string names;
  for (const auto& name : row.names)
    names += (names.empty() ? "" : ",") + wire::quote(name);
  std::string traits;
  for (auto [name, value] : {std::pair{"images", row.traits.images},
                             {"documents", row.traits.documents},
                             {"tools", row.traits.tools},
                             {"reasoning", row.traits.reasoning},
                             {"web_search", row.traits.web_search},
                             {"code", row.traits.code}})
    traits += "," + wire::quote(name) + ":" + trait_json(value);
  return "{" + json_text("provider", row.provider) + ",\"names\":[" + names + "],"
         + number_json("context_tokens", row.context_tokens, row.context_tokens > 0) + ","
         + number_json("max_output_tokens", row.max_output_tokens, row.max_output_tokens > 0) + traits + ","
         + json_text("ends", row.ends > 0 ? day_text(row.ends) : "") + ",\"ended\":" + (has_ended(row, now) ? "true" : "false")
         + "," + json_text("successor", row.successor) + ",\"usd_per_million_tokens\":" + price_json(row, now) + "}";
}

/// What becomes of a model, as far as there is room.
std::string end_text(const model_row& row, std::int64_t now) {
  if (row.ends == 0)
    return "";
  return (has_ended(row, now) ? "ended " : "ends ") + day_text(row.ends) + (row.successor.empty() ? "" : " -> " + row.successor);
}

std::string model_line(const model_row& row, std::int64_t now) {
  constexpr std::size_t name_width = 38, rest_width = 80 - 2;
  auto p = price_at(row, now, 0);
  auto numbers =
      right(window_text(row.context_tokens), 6) + right(p ? usd_text(p->input) : "?", 9) + right(p ? usd_text(p->output) : "?", 9);
  auto name = one_line(row.names.front());
  auto end = end_text(row, now);
  auto line = columns(name) <= name_width ? "  " + padded(name, name_width) + numbers
                                          : "  " + one_line(name, rest_width) + "\n" + std::string(name_width + 2, ' ') + numbers;
  return line + "\n" + (end.empty() ? "" : "    " + end + "\n");
}

/// The user's rows and those of the catalogue that they leave as they are, by provider and name.
std::vector<const model_row*> rows_of(const std::string& provider, const std::vector<model_row>& own) {
  std::vector<const model_row*> out;
  for (const auto& row : own)
    if (provider.empty() || row.provider == provider)
      out.push_back(&row);
  for (const auto& row : catalogue_models())
    if ((provider.empty() || row.provider == provider) && find_model(row.provider, row.names.front(), own) == &row)
      out.push_back(&row);
  std::stable_sort(out.begin(), out.end(), [](const auto* a, const auto* b) {
    return std::pair(a->provider, a->names.front()) < std::pair(b->provider, b->names.front());
  });
  return out;
}

std::string models_text(const std::vector<const model_row*>& rows, std::int64_t now) {
  std::string out, provider;
  for (const auto* row : rows) {
    if (row->provider != provider) {
      provider = row->provider;
      out += (out.empty() ? "" : "\n") + padded(provider, 40) + right("WINDOW", 6) + right("USD/M IN", 9) + right("OUT", 9) + "\n";
    }
    out += model_line(*row, now);
  }
  return out;
}

/// Reads the user's models. Returns false after a complaint.
bool read_own(std::vector<model_row>& own) {
  std::vector<problem> problems;
  own = load_models(own_models_file(), problems);
  for (const auto& p : problems)
    complain(to_string(p));
  return std::none_of(problems.begin(), problems.end(), [](const problem& p) { return p.severity == severity::error; });
}

/// The models of a server on this machine, as it names them itself.
int print_local(const std::string& type, const environment& env, bool json) {
  auto servers = ask_local_servers(type, env.lookup(), env.sources(), *outside::of_machine());
  if (servers.empty() || !servers.front().running) {
    complain(servers.empty() ? "type '" + type + "' has no list of models" : servers.front().trouble);
    return static_cast<int>(exit_code::failed);
  }
  std::string out;
  for (const auto& name : servers.front().models)
    out += json ? (out.empty() ? "\n  {" : ",\n  {") + json_text("provider", type) + ",\"names\":[" + wire::quote(name) + "]}"
                : "  " + one_line(name) + "\n";
  if (json)
    return print("[" + out + (out.empty() ? "]\n" : "\n]\n"));
  auto head = type + " at " + servers.front().place;
  return print(out.empty() ? head + " has no models\n" : head + "\n" + out);
}

} // namespace

int command_backends(const backends_options& o) {
  std::vector<problem> problems;
  auto env = environment::load(problems);
  auto servers = ask_local_servers("", env.lookup(), env.sources(), *outside::of_machine());
  return print(o.json ? backends_json(env.lookup(), servers) : backends_text(env.lookup(), servers));
}

int command_models(const models_options& o) {
  std::vector<model_row> own;
  if (!read_own(own))
    return usage_code;
  auto provider = o.backend.empty() ? std::string{} : provider_id(o.backend);
  auto rows = rows_of(provider, own);
  if (rows.empty() && is_own_server(provider)) {
    std::vector<problem> problems;
    return print_local(provider, environment::load(problems), o.json);
  }
  if (rows.empty()) {
    auto hint = type_hint(o.backend);
    auto known = std::any_of(providers().begin(), providers().end(), [&](const auto& p) { return provider == p.id; });
    complain((known ? "no model of '" + provider + "' is known; add yours in models.yaml (docs/configuration.md)"
                    : "no provider or backend type '" + shown_text(o.backend, 100) + "'")
             + (known || hint.empty() ? "" : "; " + hint) + (known ? "" : "; all of them: conclave backends"));
    return usage_code;
  }
  auto now = outside::of_machine()->now_unix_ms();
  if (!o.json)
    return print(models_text(rows, now));
  std::string out;
  for (const auto* row : rows)
    out += (out.empty() ? "[\n  " : ",\n  ") + model_json(*row, now);
  return print(out + "\n]\n");
}

} // namespace conclave
