// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The one table of configuration keys: it drives reading, unknown-key detection, type and range checks, and the reference in
/// docs/configuration.md. To add a key: a row here, and the line in app/load_config_*.cpp that stores it. Pure data.

#include <cstdint>
#include <string>
#include <vector>

namespace conclave {

/// The mapping a key stands in.
enum class key_scope : std::uint8_t {
  top,
  agent,
  backend,
  orchestrator,
  coordination,
  context_path,
  timeout_settings,
  ui,
  cluster,
  tls,
  mcp_server,
  security,
  security_env,
  upload,
  step,
  step_call,
};

enum class key_type : std::uint8_t {
  text, ///< any scalar
  flag, ///< true, false, yes, no, on, off
  integer,
  number,
  seconds,  ///< number, stored in milliseconds
  choice,   ///< one of `choices`, case-insensitive
  texts,    ///< list of scalars, or one scalar
  text_map, ///< map of scalars
  map,      ///< free map
  list,     ///< free list
  any,
};

enum class key_status : std::uint8_t {
  live,      ///< has effect
  parameter, ///< goes to the provider under the same name
  later,     ///< recognised; a value other than the default is `unavailable`: the run would differ
  cosmetic,  ///< recognised; a value other than the default is a warning: the run is the same
  reserved,  ///< set by Conclave itself: an error
};

/// One key. Ranges apply to integer, number and seconds, and are inclusive.
struct key_info {
  key_scope scope;
  const char* name;
  key_type type;
  key_status status;
  double low;
  double high;
  const char* choices;  ///< space separated; choice only
  const char* fallback; ///< default as written in YAML, "" = none
  const char* only;     ///< backend types it applies to, space separated; "" = all
  const char* help;
};

const std::vector<key_info>& config_keys();

/// Returns the row, or nullptr for an unknown key.
const key_info* find_key(key_scope scope, const std::string& name);

/// Returns the names valid in a scope.
std::vector<std::string> key_names_in(key_scope scope);

/// Returns whether an unknown key of a backend belongs to a family of settings of the program rather than of the provider
/// ("command_line_..."): such a key is never sent.
bool is_clients_own(const std::string& name);

/// Returns the path prefix of a scope as documentation writes it: "agents[].backend".
std::string to_string(key_scope scope);

/// Returns the reference of all keys as Markdown tables, one per scope.
std::string key_reference();

/// Splits at blanks.
std::vector<std::string> words(const char* text);

namespace key_table {
std::vector<key_info> general();
std::vector<key_info> backend();
std::vector<key_info> newer();
std::vector<key_info> tools();
} // namespace key_table

} // namespace conclave
