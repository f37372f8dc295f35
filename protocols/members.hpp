// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The members of the structs of an opening, each named once: what writes and what reads them go through the same list. A list that
/// lacks a member of its struct, or names one twice, does not compile. Pure.
///
///   each_member<agent_config>([](const char* name, auto pointer) { ... });

#include "protocols/config_tables.hpp"
#include "protocols/opening.hpp"

#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace conclave::members {

template <class T, class M>
struct named {
  const char* name;
  M T::*pointer;
};

template <class T, class M>
constexpr named<T, M> is(const char* name, M T::*pointer) {
  return {name, pointer};
}

using config_rows::choices;

template <class T>
inline constexpr std::nullptr_t table = nullptr;

/// Structs of a configuration have their rows already.
template <class T>
requires config_rows::is_bound<T>
inline constexpr auto table<T> =
    std::apply([](const auto&... r) { return std::make_tuple(is(r.stored, r.member)...); }, config_rows::table<T>);

template <>
inline constexpr auto table<turn_text> = std::make_tuple(is("from_user", &turn_text::from_user), is("text", &turn_text::text));

template <>
inline constexpr auto table<attachment> = [] {
  using x = attachment;
  return std::make_tuple(is("name", &x::name), is("media_type", &x::media_type), is("sha", &x::sha), is("bytes", &x::bytes),
                         is("agent", &x::agent), is("data", &x::data));
}();

template <>
inline constexpr auto table<folder_change> = [] {
  using x = folder_change;
  return std::make_tuple(is("folder", &x::folder), is("before", &x::before), is("after", &x::after), is("files", &x::files),
                         is("commit", &x::commit));
}();

template <>
inline constexpr auto table<earlier_answer> = [] {
  using x = earlier_answer;
  return std::make_tuple(is("agent", &x::agent), is("label", &x::label), is("text", &x::text), is("epoch", &x::epoch),
                         is("snapshot", &x::snapshot), is("files", &x::files), is("bytes", &x::bytes), is("changes", &x::changes));
}();

template <>
inline constexpr auto table<opening> = [] {
  using x = opening;
  return std::make_tuple(is("rules", &x::rules), is("history", &x::history), is("agents", &x::agents), is("cluster", &x::cluster),
                         is("on_unknown", &x::on_unknown), is("nodes", &x::nodes), is("config_path", &x::config_path),
                         is("folder", &x::folder), is("build", &x::build), is("seed", &x::seed), is("answers", &x::answers),
                         is("continues", &x::continues), is("attachments", &x::attachments));
}();

/// Whether T is a struct whose members are listed here.
template <class T>
inline constexpr bool is_listed = !std::is_same_v<std::remove_cv_t<decltype(table<T>)>, std::nullptr_t>;

namespace detail {

struct anything {
  template <class T>
  operator T() const;
};

template <class T, std::size_t... I>
constexpr bool takes(std::index_sequence<I...>) {
  return requires {
    T{(static_cast<void>(I), anything{})...};
  };
}

} // namespace detail

/// How many members the aggregate T has.
template <class T, std::size_t N = 0>
constexpr std::size_t count() {
  if constexpr (detail::takes<T>(std::make_index_sequence<N + 1>{}))
    return count<T, N + 1>();
  else
    return N;
}

namespace detail {

template <class T, class A, class B>
constexpr bool same(const named<T, A>& a, const named<T, B>& b) {
  if (std::string_view{a.name} == b.name)
    return true;
  if constexpr (std::is_same_v<A, B>)
    return a.pointer == b.pointer;
  else
    return false;
}

template <class T>
constexpr bool complete() {
  return std::apply(
      [](const auto&... m) {
        auto times = [&](const auto& one) { return (std::size_t{0} + ... + (same(one, m) ? 1 : 0)); };
        return sizeof...(m) == count<T>() && (... && (times(m) == 1));
      },
      table<T>);
}

} // namespace detail

/// Calls `f(name, pointer to member)` for each member of T, in the order of the list.
template <class T, class F>
void each_member(F&& f) {
  static_assert(detail::complete<T>(), "a member of this struct is not in its list, or is there twice");
  std::apply([&](const auto&... m) { (f(m.name, m.pointer), ...); }, table<T>);
}

} // namespace conclave::members
