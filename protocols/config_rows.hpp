// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The members of the structs of a configuration, one row each. A row binds a member to its key in a file, or says that it has
/// none (`inner`):
///
///   field(&x::idle_timeout_ms, "idle_timeout_seconds", seconds, {0.001, week}, "between two pieces of a reply"),
///
/// All the rest is derived: reading (app/load_config_parts.hpp), the limits of configurations made by hand (`check`), default texts
/// and the reference (protocols/config_keys.hpp), what travels between nodes (protocols/inspect.hpp, in the order of the rows:
/// append only), what a task's opening stores (protocols/members.hpp), which connections are equal (`of_connection`). A member
/// without a row does not compile. Rules between keys are written by hand, in protocols/config_validate*.cpp where the data alone
/// decides, else in app/load_config_*.cpp. The rows themselves: protocols/config_tables.hpp. Pure.

#include "protocols/config.hpp"
#include "protocols/config_keys.hpp"

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

namespace conclave::config_rows {

inline constexpr double hour = 3'600, day = 86'400, week = 604'800; ///< in seconds

struct limits {
  double low = 0, high = 0; ///< inclusive, in the unit of the key; equal = none
};

template <class T, class M>
struct row {
  using owner = T;
  using value = M;
  M T::*member = nullptr;
  key_info key{};          ///< no name = no key
  const char* stored = ""; ///< the member's name in a stored opening
  bool by_hand = false;    ///< read by hand: the value wants more than its type
  bool or_none = false;    ///< 0 in a struct stands for "none", which the key cannot say
  bool connection = false; ///< agents that differ here do not share a connection

  constexpr row in(key_scope s) const { return row(*this).set(&key_info::scope, s); }
  constexpr row only(const char* types) const { return row(*this).set(&key_info::only, types); }
  constexpr row is(key_status s) const { return row(*this).set(&key_info::status, s); }
  constexpr row shown_as(const char* text) const { return row(*this).set(&key_info::fallback, text); }
  constexpr row stored_as(const char* name) const { return {member, key, name, by_hand, or_none, connection}; }
  constexpr row read_by_hand() const { return {member, key, stored, true, or_none, connection}; }
  constexpr row zero_is_none() const { return {member, key, stored, by_hand, true, connection}; }
  constexpr row of_connection() const { return {member, key, stored, by_hand, or_none, true}; }
  constexpr bool has_key() const { return *key.name != '\0'; }

private:
  template <class V>
  constexpr row set(V key_info::*part, V to) {
    key.*part = to;
    return *this;
  }
};

/// The mapping in which the keys of T stand, unless a row says another.
template <class T>
inline constexpr auto scope_of = key_scope::top;

template <class T, class M>
constexpr row<T, M> field(M T::*member, const char* name, key_type type, const char* help) {
  return {member, {scope_of<T>, name, type, key_status::live, 0, 0, "", nullptr, "", help}, name};
}

template <class T, class M>
constexpr row<T, M> field(M T::*member, const char* name, key_type type, limits range, const char* help) {
  return {member, {scope_of<T>, name, type, key_status::live, range.low, range.high, "", nullptr, "", help}, name};
}

/// `choices`: space separated.
template <class T, class M>
constexpr row<T, M> field(M T::*member, const char* name, key_type type, const char* choices, const char* help) {
  return {member, {scope_of<T>, name, type, key_status::live, 0, 0, choices, nullptr, "", help}, name};
}

/// A member that no key sets.
template <class T, class M>
constexpr row<T, M> inner(M T::*member, const char* stored) {
  return {member, {scope_of<T>, "", key_type::any, key_status::live, 0, 0, "", nullptr, "", ""}, stored};
}

/// The rows of a struct, in the order of its members; specialised in protocols/config_tables.hpp.
template <class T>
inline constexpr std::nullptr_t table = nullptr;

/// More keys that set members of T: other spellings, and defaults that another mapping holds. Read first, so that a key of `table`
/// wins.
template <class T>
inline constexpr std::tuple<> again{};

/// Names of the values of an enum, in their order.
template <class E>
inline constexpr std::nullptr_t choices = nullptr;
template <>
inline constexpr const char* choices<ledger::pacing>[] = {"barrier", "eager"};
template <>
inline constexpr const char* choices<ledger::strategy>[] = {"winner_present", "winner_reuse"};
template <>
inline constexpr const char* choices<exceed_policy>[] = {"block", "warn", "terminate"};
template <>
inline constexpr const char* choices<unknown_cost_policy>[] = {"deny", "allow"};

template <class T>
inline constexpr bool is_bound = !std::is_same_v<std::remove_cv_t<decltype(table<T>)>, std::nullptr_t>;

/// Calls `f(row)` for every row of T that has a key, those of `again` first.
template <class T, class F>
constexpr void each_key(F&& f) {
  auto one = [&](const auto& r) {
    if (r.has_key())
      f(r);
  };
  std::apply([&](const auto&... r) { (one(r), ...); }, again<T>);
  std::apply([&](const auto&... r) { (one(r), ...); }, table<T>);
}

/// Whether a key of this type can be read into a member of type M.
template <class M>
constexpr bool fits(key_type type) {
  switch (type) {
  case key_type::text:
    return std::is_same_v<M, std::string>;
  case key_type::choice:
    return std::is_same_v<M, std::string> || std::is_enum_v<M>;
  case key_type::flag:
    return std::is_same_v<M, bool>;
  case key_type::integer:
  case key_type::number: // in thousandths
    return std::is_integral_v<M> && !std::is_same_v<M, bool>;
  case key_type::seconds:
  case key_type::milliseconds:
  case key_type::usd:
    return std::is_same_v<M, std::int64_t>;
  case key_type::texts:
    return std::is_same_v<M, std::vector<std::string>>;
  case key_type::text_map:
    return std::is_same_v<
               M, std::map<std::string, std::string>> || std::is_same_v<M, std::vector<std::pair<std::string, std::string>>>;
  case key_type::map: // as JSON
    return std::is_same_v<M, std::string>;
  default:
    return false;
  }
}

/// Whether every key of T that is not read by hand has a type its member can hold.
template <class T>
constexpr bool readable() {
  bool good = true;
  each_key<T>([&](const auto& r) {
    using M = typename std::remove_cvref_t<decltype(r)>::value;
    good = good && (r.by_hand || fits<M>(r.key.type));
  });
  return good;
}

/// The default of a member as its key writes it, empty where it has none or the default is beyond its limits ("none").
std::string default_text(const key_info& key, bool value);
std::string default_text(const key_info& key, std::int64_t value);
std::string default_text(const key_info& key, const std::string& value);
std::string default_text(const key_info& key, const budget& value);
template <class M>
std::string default_text(const key_info& key, const M& value) {
  if constexpr (std::is_enum_v<M> && !std::is_same_v<M, ec>)
    return choices<M>[static_cast<std::size_t>(value)];
  else if constexpr (std::is_integral_v<M>)
    return default_text(key, static_cast<std::int64_t>(value));
  else
    return {};
}

/// What is wrong with a value that is not its default, or empty.
std::string fault_of(const key_info& key, std::int64_t value);
std::string fault_of(const key_info& key, const std::string& value);
template <class M>
std::string fault_of(const key_info& key, const M& value) {
  if constexpr (std::is_integral_v<M>)
    return fault_of(key, static_cast<std::int64_t>(value));
  else
    return {};
}

/// The path of a key in `scope`, of a struct that stands at `path` and whose keys stand in `own`.
std::string path_in(const std::string& path, key_scope own, key_scope scope, const char* name);

/// Adds the keys of T to a table.
template <class T>
void add_keys(key_table& to) {
  static_assert(readable<T>(), "a key's type does not fit its member");
  const T fresh{};
  auto add = [&](const auto& r) {
    if (r.has_key())
      to.add(r.key, r.key.fallback ? r.key.fallback : default_text(r.key, fresh.*r.member));
  };
  std::apply([&](const auto&... r) { (add(r), ...); }, table<T>);
  std::apply([&](const auto&... r) { (add(r), ...); }, again<T>);
}

/// Reports values outside the limits of their keys. `path`: where the struct stands, as validate() writes it.
template <class T>
void check(const T& x, const std::string& path, std::vector<problem>& out) {
  const T fresh{};
  auto one = [&](const auto& r) {
    const auto& value = x.*r.member;
    if (!r.has_key() || value == fresh.*r.member || (r.or_none && value == std::remove_cvref_t<decltype(value)>{}))
      return;
    if (auto text = fault_of(r.key, value); !text.empty())
      out.push_back({severity::error, "", 0, path_in(path, scope_of<T>, r.key.scope, r.key.name), std::move(text)});
  };
  std::apply([&](const auto&... r) { (one(r), ...); }, table<T>);
}

/// What of `x` makes its connection another one than that of its neighbour: all else is as in a new T.
template <class T>
T connection_part(const T& x) {
  T out{};
  auto one = [&](const auto& r) {
    if (r.connection)
      out.*r.member = x.*r.member;
  };
  std::apply([&](const auto&... r) { (one(r), ...); }, table<T>);
  return out;
}

} // namespace conclave::config_rows
