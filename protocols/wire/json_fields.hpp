// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to wire/*.cpp: structs as JSON objects by a table of their members, see `fields`. Members that have their default are
/// left out. With a keeper, long texts are kept as pieces, and the object names them.

#include "protocols/run_state.hpp"
#include "protocols/wire/json_flat.hpp"
#include "protocols/wire/json_util.hpp"

#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace conclave::wire {

/// The table of T: visit(f, x, plain) calls f(name, x.member, plain.member), for an enum with its last value.
template <class T>
struct fields;

// The stored form of these is the same in a state of a run and in the cause of a decision.

template <>
struct fields<folder_change> {
  static void visit(auto& f, auto& x, const folder_change& d) {
    f("folder", x.folder, d.folder);
    f("before", x.before, d.before);
    f("after", x.after, d.after);
    f("files", x.files, d.files);
    f("commit", x.commit, d.commit);
  }
};

template <>
struct fields<kept_files> {
  static void visit(auto& f, auto& x, const kept_files& d) {
    f("snapshot", x.snapshot, d.snapshot);
    f("files", x.files, d.files);
    f("bytes", x.bytes, d.bytes);
    f("why", x.why, d.why);
    f("mend", x.mend, d.mend);
    f("changes", x.changes, d.changes);
    f("left", x.left, d.left);
  }
};

/// Returns the text as JSON: a string if it is short, else a list of strings and {"sha": name} of pieces that were kept. What is
/// quoted in it (lines that begin with "| ") is a piece of its own.
json text_in_pieces(const std::string& text, const run::keeper& keep);

/// Reads what text_in_pieces wrote. Returns why it cannot, empty if it can. `left`: bytes that may be read altogether.
std::string read_pieces(const json& v, const run::finder& find, std::size_t& left, std::string& to);

struct field_writer {
  const run::keeper* keep = nullptr;
  json out = json::object();

  template <class T>
  void members(const T& x) {
    fields<T>::visit(*this, x, T{});
  }

  template <class T>
  void operator()(const char* name, const T& x, const T& plain) {
    if (!(x == plain))
      out[name] = value(x);
  }

  template <class T>
  void operator()(const char* name, const T& x, const T& plain, T) {
    if (x != plain)
      out[name] = static_cast<std::underlying_type_t<T>>(x);
  }

  template <class T>
  json value(const T& x) const {
    if constexpr (std::is_arithmetic_v<T>) {
      return x;
    } else {
      field_writer inner{keep};
      inner.members(x);
      return std::move(inner.out);
    }
  }

  json value(const std::string& x) const { return keep != nullptr ? text_in_pieces(x, *keep) : json(x); }

  template <class T>
  json value(const std::vector<T>& all) const {
    auto list = json::array();
    for (auto& x : all)
      list.push_back(value(x));
    return list;
  }
};

/// Bounded: a list has no more elements than the JSON, the texts of pieces no more than `left` bytes.
struct field_reader {
  const run::finder* find = nullptr;
  std::size_t left = 4 * run::max_body;
  std::string error; ///< empty = none so far

  template <class T>
  void members(const json& v, T& x, const std::string& where) {
    if (!v.is_object())
      return fail(where, "no object");
    one_object o{*this, v, where, 0};
    fields<T>::visit(o, x, T{});
    if (o.seen != v.size() && error.empty())
      fail(where, "a member this build does not know");
  }

private:
  struct one_object {
    field_reader& all;
    const json& v;
    const std::string& where;
    std::size_t seen;

    template <class T>
    void operator()(const char* name, T& x, const T& plain) {
      x = plain;
      if (auto* m = member(v, name)) {
        ++seen;
        all.value(*m, x, where.empty() ? name : where + "." + name);
      }
    }

    template <class T>
    void operator()(const char* name, T& x, const T& plain, T last) {
      std::underlying_type_t<T> number{};
      (*this)(name, number, static_cast<std::underlying_type_t<T>>(plain));
      if (number > static_cast<std::underlying_type_t<T>>(last))
        all.fail(where.empty() ? name : where + "." + name, "a value this build does not know");
      else
        x = static_cast<T>(number);
    }
  };

  void fail(const std::string& where, const std::string& why) {
    if (error.empty())
      error = (where.empty() ? "" : "`" + where + "`: ") + why;
  }

  template <class T>
  void value(const json& v, T& x, const std::string& where) {
    if constexpr (std::is_same_v<T, bool>) {
      if (!v.is_boolean())
        return fail(where, "neither true nor false");
      x = v.get<bool>();
    } else if constexpr (std::is_unsigned_v<T>) {
      if (!v.is_number_unsigned() || v.get<std::uint64_t>() > std::numeric_limits<T>::max())
        return fail(where, "no number in its range");
      x = static_cast<T>(v.get<std::uint64_t>());
    } else if constexpr (std::is_integral_v<T>) {
      static_assert(sizeof(T) == sizeof(std::int64_t));
      if (!v.is_number_integer() || (v.is_number_unsigned() && v.get<std::uint64_t>() > INT64_MAX))
        return fail(where, "no number in its range");
      x = v.get<std::int64_t>();
    } else {
      members(v, x, where);
    }
  }

  void value(const json& v, std::string& x, const std::string& where) {
    if (v.is_string())
      x = v.get<std::string>();
    else if (find == nullptr)
      fail(where, "no text");
    else if (auto why = read_pieces(v, *find, left, x); !why.empty())
      fail(where, why);
  }

  template <class T>
  void value(const json& v, std::vector<T>& all, const std::string& where) {
    if (!v.is_array())
      return fail(where, "no list");
    all.reserve(v.size());
    for (auto& m : v) {
      if (!error.empty())
        return;
      T x{};
      value(m, x, where);
      all.push_back(std::move(x));
    }
  }
};

/// Reads what field_writer wrote straight from its text, ten times as fast; for structs whose members all have the default of their
/// type's. Whatever else the text holds (another version, texts in pieces) is for field_reader, which judges it: `in.ok()` is
/// false then, and `x` holds anything.
struct flat_field_reader {
  flat_reader& in;
  std::int64_t version = 0; ///< of the outermost object

  template <class T>
  void members(T& x, bool outermost) {
    std::string_view key, before;
    while (in.next(key)) {
      auto here = outermost && key == "v";
      if (here)
        version = in.whole();
      one_member m{*this, key, here};
      if (!here)
        fields<T>::visit(m, x, x);
      if (!m.taken || key <= before)
        return in.refuse();
      before = key;
    }
  }

private:
  struct one_member {
    flat_field_reader& all;
    std::string_view key;
    bool taken;

    template <class T>
    void operator()(std::string_view name, T& x, const T&) {
      if (taken || name != key)
        return;
      taken = true;
      all.value(x);
    }

    template <class T>
    void operator()(std::string_view name, T& x, const T&, T last) {
      if (taken || name != key)
        return;
      std::underlying_type_t<T> number{};
      (*this)(name, number, number);
      if (number > static_cast<std::underlying_type_t<T>>(last))
        return all.in.refuse();
      x = static_cast<T>(number);
    }
  };

  template <class T>
  void value(T& x) {
    if constexpr (std::is_same_v<T, bool>) {
      x = in.flag();
    } else if constexpr (std::is_integral_v<T>) {
      auto n = in.whole();
      if (!std::in_range<T>(n))
        return in.refuse();
      x = static_cast<T>(n);
    } else {
      in.open();
      members(x, false);
    }
  }

  void value(std::string& x) { x = in.text(); }

  template <class T>
  void value(std::vector<T>& all) {
    while (in.element(all.size()))
      value(all.emplace_back());
  }
};

} // namespace conclave::wire
