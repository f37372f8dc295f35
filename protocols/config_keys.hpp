// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The keys of a configuration as data: what reading, unknown-key detection, type and range checks and the reference in
/// docs/configuration.md know of them. Keys that set a member come from the rows of protocols/config_tables.hpp; the others (the
/// provider's, those of other programs, other spellings) from protocols/config_keys_*.cpp. Pure data.

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace conclave {

/// The mapping a key stands in.
enum class key_scope : std::uint8_t {
  top,
  agent,
  budget,
  orchestrator,
  coordination,
  context_path,
  timeout_settings,
  ui,
  cluster,
  tls,
  backend,
  rate_limits,
  sandbox,
  mcp_server,
  tool_policy,
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
  seconds,      ///< a time: a number of seconds, or one with a unit (10m); held in milliseconds
  milliseconds, ///< a time: a whole number of milliseconds, or one with a unit
  usd,          ///< a number of US dollars; held in 10^-9 of one
  choice,       ///< one of `choices`, case-insensitive
  texts,        ///< list of scalars, or one scalar
  text_map,     ///< map of scalars
  map,          ///< free map
  list,         ///< free list
  any,
};

enum class key_status : std::uint8_t {
  live,      ///< has effect
  parameter, ///< goes to the provider under the same name
  later,     ///< recognised; a value other than the default is `unavailable`: the run would differ
  cosmetic,  ///< recognised; a value other than the default is a warning: the run is the same
  reserved,  ///< set by Conclave itself: an error
};

/// One key. Ranges apply to numbers and times, in the unit of the key, and are inclusive.
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

/// Keys by scope. Not copied: the rows hold texts of the table.
class key_table {
public:
  key_table() = default;
  key_table(key_table&&) = default;
  key_table& operator=(key_table&&) = default;

  /// `fallback`: the default, which the table keeps.
  void add(key_info key, std::string fallback);
  void add(const std::vector<key_info>& keys);

  const std::vector<key_info>& rows() const { return rows_; } ///< by scope, in each in the order they were added

  /// Returns the row, or nullptr for an unknown key.
  const key_info* find(key_scope scope, const std::string& name) const;

  /// Returns the names valid in a scope.
  std::vector<std::string> names_in(key_scope scope) const;

  /// Returns the reference of all keys as Markdown tables, one per scope.
  std::string reference() const;

private:
  std::vector<key_info> rows_;
  std::deque<std::string> texts_; ///< a deque never moves them
};

/// The keys of this version.
const key_table& config_keys();

/// Returns what one unit of a key is held as in a member: 1000 for seconds.
constexpr double held_per_unit(key_type type) {
  return type == key_type::seconds || type == key_type::number ? 1e3 : type == key_type::usd ? 1e9 : 1;
}

/// Returns what the values of a key are, in words: "seconds, 0.001 to 604800".
std::string value_text(const key_info& key);

/// Returns what a key means, with what becomes of it: "*no effect.* use `-v`".
std::string meaning_of(const key_info& key);

/// Returns why a value is outside the limits of its key, or empty; `shown` as the user wrote it, or empty.
std::string limits_fault(const key_info& key, double value, const std::string& shown);

/// Returns why a text (in any case) is none of the choices of a key, or empty.
std::string choice_fault(const key_info& key, const std::string& value);

/// Returns whether an unknown key of a backend belongs to a family of settings of the program rather than of the provider
/// ("command_line_..."): such a key is never sent.
bool is_clients_own(const std::string& name);

/// Returns the path prefix of a scope as documentation writes it: "agents[].backend".
std::string to_string(key_scope scope);

/// Splits at blanks.
std::vector<std::string> words(const char* text);

/// The keys that set no member.
namespace unbound_keys {
std::vector<key_info> general();
std::vector<key_info> backend();
std::vector<key_info> newer();
std::vector<key_info> tools();
} // namespace unbound_keys

} // namespace conclave
