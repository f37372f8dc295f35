// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/opening.hpp"

#include "protocols/members.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json_util.hpp"

#include <iterator>
#include <limits>
#include <map>
#include <set>
#include <type_traits>

namespace conclave {

namespace {

using wire::json;

constexpr std::int64_t max_number = 9'000'000'000'000'000; ///< milliseconds, bytes, tokens: no sum of two overflows
constexpr std::size_t max_agents = 64;                     ///< as in a configuration
constexpr std::size_t max_structs = 100'000;               ///< in one opening; a few bytes of text may stand for hundreds in memory

template <class T>
json write(const T& x);
template <class T>
json write(const std::vector<T>& list);
json write(const std::pair<std::string, std::string>& x);

template <class T>
json write_members(const T& x) {
  const T defaults{};
  auto v = json::object();
  members::each_member<T>([&](const char* name, auto pointer) {
    if (!(x.*pointer == defaults.*pointer))
      v[name] = write(x.*pointer);
  });
  return v;
}

json write(const std::pair<std::string, std::string>& x) {
  return json::array({x.first, x.second});
}

template <class T>
json write(const std::vector<T>& list) {
  auto v = json::array();
  for (const auto& x : list)
    v.push_back(write(x));
  return v;
}

template <class T>
json write(const T& x) {
  if constexpr (members::is_listed<T>)
    return write_members(x);
  else if constexpr (std::is_same_v<T, ec>)
    return to_string(x);
  else if constexpr (std::is_enum_v<T>)
    return members::choices<T>[static_cast<std::size_t>(x)];
  else
    return x;
}

/// Reads a value strictly: what is not understood decides how a task is played, so nothing is skipped.
class reader {
public:
  std::string error;

  template <class T>
  bool read(const json& v, T& x) {
    if constexpr (members::is_listed<T>)
      return read_members(v, x);
    else if constexpr (std::is_same_v<T, ec>)
      return read_code(v, x);
    else if constexpr (std::is_enum_v<T>)
      return read_choice(v, x);
    else if constexpr (std::is_same_v<T, bool>)
      return v.is_boolean() ? (x = v.get<bool>(), true) : fail("is not true or false");
    else if constexpr (std::is_integral_v<T>)
      return read_number(v, x);
    else
      return v.is_string() ? (x = v.get<std::string>(), true) : fail("is no text");
  }

  template <class T>
  bool read(const json& v, std::vector<T>& list) {
    if (!v.is_array())
      return fail("is no list");
    if (std::is_same_v<T, agent_config> && v.size() > max_agents)
      return fail("has " + std::to_string(v.size()) + " agents, at most " + std::to_string(max_agents));
    if (members::is_listed<T> && (structs_ += v.size()) > max_structs)
      return fail("is too long");
    list.clear(); // it may have a default
    list.reserve(v.size());
    for (std::size_t i = 0; i < v.size(); ++i) {
      auto length = path_.size();
      path_ += "[" + std::to_string(i) + "]";
      if (!read(v[i], list.emplace_back()))
        return false;
      path_.resize(length);
    }
    return true;
  }

  bool read(const json& v, std::pair<std::string, std::string>& x) {
    return v.is_array() && v.size() == 2 ? read(v[0], x.first) && read(v[1], x.second) : fail("is no pair of texts");
  }

  bool read(const json& v, std::map<std::string, std::string>& map) {
    if (!v.is_object())
      return fail("is no object");
    for (const auto& [key, value] : v.items()) {
      if (!value.is_string())
        return fail("." + shown_text(key) + " is no text");
      map.emplace(key, value.get<std::string>());
    }
    return true;
  }

  bool fail(const std::string& what) {
    error = "the opening of the task cannot be read: " + (path_.empty() ? std::string{"it"} : path_.substr(1))
            + (what.starts_with('.') ? "" : " ") + what;
    return false;
  }

private:
  template <class T>
  bool read_members(const json& v, T& x) {
    if (!v.is_object())
      return fail("is no object");
    std::size_t known = path_.empty() ? v.count("v") : 0;
    auto good = true;
    members::each_member<T>([&](const char* name, auto pointer) {
      auto* m = wire::member(v, name);
      if (!good || m == nullptr)
        return;
      ++known;
      auto length = path_.size();
      path_.append(".").append(name);
      good = read(*m, x.*pointer);
      if (good)
        path_.resize(length);
    });
    return good && (known == v.size() || fail("." + unknown_member<T>(v) + " is not known to this build"));
  }

  template <class T>
  std::string unknown_member(const json& v) {
    std::set<std::string> names{"v"};
    members::each_member<T>([&](const char* name, auto) { names.insert(name); });
    for (const auto& [key, value] : v.items())
      if (names.count(key) == 0)
        return shown_text(key);
    return "v";
  }

  template <class T>
  bool read_number(const json& v, T& x) {
    constexpr auto most = std::is_same_v<T, std::int64_t> ? static_cast<T>(max_number) : std::numeric_limits<T>::max();
    if (v.is_number_unsigned()) {
      auto n = v.get<std::uint64_t>();
      if (n > static_cast<std::uint64_t>(most))
        return fail("is out of range");
      x = static_cast<T>(n);
      return true;
    }
    if (!v.is_number_integer())
      return fail("is no whole number");
    auto n = v.get<std::int64_t>(); // negative
    if constexpr (std::is_unsigned_v<T>)
      return fail("is out of range");
    else if (n < -static_cast<std::int64_t>(most))
      return fail("is out of range");
    else
      x = static_cast<T>(n);
    return true;
  }

  template <class T>
  bool read_choice(const json& v, T& x) {
    for (std::size_t i = 0; v.is_string() && i < std::size(members::choices<T>); ++i)
      if (v.get_ref<const std::string&>() == members::choices<T>[i]) {
        x = static_cast<T>(i);
        return true;
      }
    return fail("is none of the values this build knows");
  }

  bool read_code(const json& v, ec& x) {
    if (!v.is_string())
      return fail("is no text");
    x = ec_from_string(v.get_ref<const std::string&>());
    return true;
  }

  std::string path_;
  std::size_t structs_ = 0;
};

bool judge(const opening& o, reader& r) {
  if (o.agents.empty())
    return r.fail(".agents: there is none");
  std::set<std::string> ids;
  for (const auto& a : o.agents)
    if (a.id.empty() || !ids.insert(a.id).second)
      return r.fail(".agents: the id '" + shown_text(a.id) + "' is empty or there twice");
  for (const auto& x : o.answers)
    if (ids.count(x.agent) == 0)
      return r.fail(".answers: '" + shown_text(x.agent) + "' is no agent of this task");
  return true;
}

} // namespace

std::string to_json(const opening& o) {
  auto v = write_members(o);
  v["v"] = opening_version;
  return wire::dump(v);
}

bool from_json(const std::string& text, opening& out, std::string& error) {
  reader r;
  opening o;
  auto v = wire::parse(text);
  auto* version = v ? wire::member(*v, "v") : nullptr;
  auto good = true;
  if (version == nullptr || !version->is_number_unsigned())
    good = r.fail("is no JSON object with a version");
  else if (version->get<std::uint64_t>() > opening_version)
    good = r.fail("was written by a newer version of conclave (" + std::to_string(version->get<std::uint64_t>())
                  + ", this build reads up to " + std::to_string(opening_version) + "): go on with that one");
  else
    good = r.read(*v, o) && judge(o, r);
  if (!good) {
    error = std::move(r.error);
    return false;
  }
  out = std::move(o);
  return true;
}

} // namespace conclave
