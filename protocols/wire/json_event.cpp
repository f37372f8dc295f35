// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/json_event.hpp"

#include "protocols/wire/json.hpp"
#include "protocols/wire/json_flat.hpp"
#include "protocols/wire/json_util.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <limits>

namespace conclave::wire {

json to_value(const usage& u) {
  json v = json::object();
  for (auto& [name, count] : usage_counts)
    if (u.*count != 0)
      v[name] = u.*count;
  return v;
}

usage usage_from(const json& v) {
  usage u;
  for (auto& [name, count] : usage_counts)
    u.*count = tokens_at(v, name);
  return u;
}

namespace {

/// Neither a time nor the sum of two can overflow.
constexpr std::int64_t max_ms = 9'000'000'000'000'000;

// Version 1 had three meanings of `flag`, and a wait as decimal text.
void from_version_1(event& e) {
  if (e.type == event_type::agent_error) {
    std::int64_t wait = 0;
    auto end = e.text.data() + e.text.size();
    if (auto [at, fault] = std::from_chars(e.text.data(), end, wait); fault == std::errc{} && at == end && wait >= 0) {
      e.ms = std::min(wait, max_ms);
      e.text.clear();
    }
    if (e.flag)
      e.type = event_type::agent_notice;
    e.flag = false;
  } else if (e.type == event_type::run_ended && (e.flag || e.reason == "late")) {
    e.type = event_type::late_text;
    e.flag = false;
    if (e.reason == "late")
      e.reason.clear();
  }
}

/// Puts a JSON object that is kept as text under `key`. What is none, or would be too deep to be read back, is left out.
void embed(json& v, const char* key, const std::string& text) {
  if (text.empty())
    return;
  if (auto wrapped = parse("[" + text + "]"); wrapped && wrapped->size() == 1 && wrapped->front().is_object())
    v[key] = std::move(wrapped->front());
}

/// The value of one member, by the general parser: of another type than asked for, it is empty.
struct any_value {
  const json& v;

  std::string text() const { return v.is_string() ? v.get<std::string>() : std::string{}; }
  std::int64_t whole() const { return int_of(v); }
  bool flag() const { return v.is_boolean() && v.get<bool>(); }
  std::string object() const { return v.is_object() ? dump(v) : std::string{}; }
  conclave::usage use() const { return usage_from(v); }
  bool natural(std::uint64_t& to) const { return v.is_number_unsigned() && (to = v.get<std::uint64_t>(), true); }
  std::vector<std::string> texts() const {
    std::vector<std::string> out;
    for (auto& x : v.is_array() ? v : json::array())
      if (x.is_string())
        out.push_back(x.get<std::string>());
    return out;
  }
};

/// The same by the reader of what we wrote ourselves.
struct own_value {
  flat_reader& r;

  std::string text() const { return r.text(); }
  std::int64_t whole() const { return r.whole(); }
  bool flag() const { return r.flag(); }
  std::string object() const { return r.object(); }
  std::vector<std::string> texts() const { return r.texts(); }
  bool natural(std::uint64_t& to) const {
    auto n = r.whole();
    to = static_cast<std::uint64_t>(n);
    return n >= 0;
  }
  conclave::usage use() const {
    json v = json::object();
    r.open();
    for (std::string_view key; r.next(key);)
      v[std::string(key)] = r.whole();
    return usage_from(v);
  }
};

/// An event of which members are still being read.
struct reading {
  event e;
  std::int64_t version = 0;
  bool has_seq = false;
  std::string type;

  void finish(event& out) {
    if (version < 2)
      from_version_1(e);
    out = std::move(e);
  }
};

std::uint64_t natural(std::int64_t n) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(n, 0));
}

std::int64_t time_in(std::int64_t ms) {
  return std::clamp<std::int64_t>(ms, 0, max_ms);
}

template <class Value>
struct member_of_event {
  std::string_view name;
  void (*take)(reading&, const Value&);
};

/// What each member means, whichever reader is at work; in the order of the alphabet, in which they are written.
template <class V>
constexpr member_of_event<V> members_of_event[] = {
    {"agent", [](reading& x, const V& v) { x.e.agent = v.text(); }},
    {"cause", [](reading& x, const V& v) { x.e.cause = v.object(); }},
    {"code",
     [](reading& x, const V& v) {
       if (auto code = v.text(); !code.empty())
         x.e.code = ec_from_string(code);
     }},
    {"detail", [](reading& x, const V& v) { x.e.detail = v.object(); }},
    {"epoch", [](reading& x, const V& v) { x.e.epoch = natural(v.whole()); }},
    {"flag", [](reading& x, const V& v) { x.e.flag = v.flag(); }},
    {"kept", [](reading& x, const V& v) { x.e.kept = natural(v.whole()); }},
    {"label", [](reading& x, const V& v) { x.e.label = v.text(); }},
    {"labels", [](reading& x, const V& v) { x.e.labels = v.texts(); }},
    {"ms", [](reading& x, const V& v) { x.e.ms = time_in(v.whole()); }},
    {"number", [](reading& x, const V& v) { x.e.number = v.whole(); }},
    {"reason", [](reading& x, const V& v) { x.e.reason = v.text(); }},
    {"round",
     [](reading& x, const V& v) {
       x.e.round =
           static_cast<std::uint32_t>(std::min<std::uint64_t>(natural(v.whole()), std::numeric_limits<std::uint32_t>::max()));
     }},
    {"run", [](reading& x, const V& v) { x.e.run = natural(v.whole()); }},
    {"said", [](reading& x, const V& v) { x.e.said = v.texts(); }},
    {"seq", [](reading& x, const V& v) { x.has_seq = v.natural(x.e.seq); }},
    {"state", [](reading& x, const V& v) { x.e.state = v.text(); }},
    {"step", [](reading& x, const V& v) { x.e.step = v.text(); }},
    {"target", [](reading& x, const V& v) { x.e.target = v.text(); }},
    {"target_label", [](reading& x, const V& v) { x.e.target_label = v.text(); }},
    {"text", [](reading& x, const V& v) { x.e.text = v.text(); }},
    {"time", [](reading& x, const V& v) { x.e.time_ms = time_in(v.whole()); }},
    {"type",
     [](reading& x, const V& v) {
       x.type = v.text();
       x.e.type = event_type_from_string(x.type);
     }},
    {"usage", [](reading& x, const V& v) { x.e.use = v.use(); }},
    {"v", [](reading& x, const V& v) { x.version = v.whole(); }},
};

constexpr auto known_members = std::size(members_of_event<any_value>);

/// Returns the place of a member, looked for from `from` on and then from the beginning; `known_members` if it is none.
std::size_t place_of(std::string_view name, std::size_t from) {
  for (std::size_t i = 0; i < known_members; ++i)
    if (auto at = from + i < known_members ? from + i : from + i - known_members; members_of_event<any_value>[at].name == name)
      return at;
  return known_members;
}

} // namespace

std::string to_json(const event& e) {
  json v = json::object();
  if (!e.extra.empty())
    if (auto extra = parse(e.extra); extra && extra->is_object())
      v = std::move(*extra);
  v["v"] = event_version;
  v["seq"] = e.seq;
  v["time"] = e.time_ms;
  if (e.type != event_type::unknown || member(v, "type") == nullptr)
    v["type"] = to_string(e.type); // an unknown type was kept in `extra`
  auto text = [&](const char* key, const std::string& x) {
    if (!x.empty())
      v[key] = x;
  };
  auto number = [&](const char* key, auto n) {
    if (n != 0)
      v[key] = n;
  };
  text("agent", e.agent);
  number("run", e.run);
  number("round", e.round);
  number("epoch", e.epoch);
  text("label", e.label);
  text("target", e.target);
  text("target_label", e.target_label);
  text("text", e.text);
  text("reason", e.reason);
  if (!e.labels.empty())
    v["labels"] = e.labels;
  number("number", e.number);
  if (e.flag)
    v["flag"] = true;
  if (e.code != ec::none)
    v["code"] = to_string(e.code);
  text("step", e.step);
  if (!(e.use == usage{}))
    v["usage"] = to_value(e.use);
  number("ms", e.ms);
  if (!e.said.empty())
    v["said"] = e.said;
  text("state", e.state);
  number("kept", e.kept);
  embed(v, "detail", e.detail);
  embed(v, "cause", e.cause);
  return dump(v);
}

bool read_own(std::string_view text, event& out) {
  flat_reader r(text);
  reading x;
  std::uint32_t seen = 0;
  std::size_t at = 0;
  for (std::string_view key; r.next(key); ++at) {
    at = place_of(key, at);
    auto bit = std::uint32_t{1} << at;
    if (at == known_members || (seen & bit) != 0) // it is kept as it is; the last one wins
      return false;
    seen |= bit;
    members_of_event<own_value>[at].take(x, own_value{r});
  }
  if (!r.at_end() || !x.has_seq || x.e.type == event_type::unknown)
    return false;
  x.finish(out);
  return true;
}

bool read_any(std::string_view text, event& out) {
  auto v = parse(text);
  if (!v || !v->is_object())
    return false;
  reading x;
  json extra = json::object();
  for (auto& [key, value] : v->items())
    if (auto at = place_of(key, 0); at < known_members)
      members_of_event<any_value>[at].take(x, any_value{value});
    else
      extra[key] = value;
  auto* type = member(*v, "type");
  if (type == nullptr || !type->is_string() || !x.has_seq)
    return false;
  if (x.e.type == event_type::unknown && x.type != to_string(event_type::unknown))
    extra["type"] = x.type;
  if (!extra.empty())
    x.e.extra = dump(extra);
  x.finish(out);
  return true;
}

bool from_json(std::string_view text, event& out) {
  return read_own(text, out) || read_any(text, out);
}

} // namespace conclave::wire
