// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/json.hpp"
#include "protocols/wire/json_util.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

namespace conclave::wire {

namespace {} // namespace

json to_value(const usage& u) {
  json v = json::object();
  auto put = [&](const char* key, std::int64_t n) {
    if (n != 0)
      v[key] = n;
  };
  put("input_tokens", u.input_tokens);
  put("cached_input_tokens", u.cached_input_tokens);
  put("output_tokens", u.output_tokens);
  put("reasoning_tokens", u.reasoning_tokens);
  put("requests", u.requests);
  put("unreported", u.unreported);
  return v;
}

usage usage_from(const json& v) {
  return {tokens_at(v, "input_tokens"),  tokens_at(v, "cached_input_tokens"),
          tokens_at(v, "output_tokens"), tokens_at(v, "reasoning_tokens"),
          tokens_at(v, "requests"),      tokens_at(v, "unreported")};
}

namespace {

constexpr std::string_view known[] = {"v",      "seq",          "time", "type",   "agent",  "run",    "round", "epoch", "label",
                                      "target", "target_label", "text", "reason", "labels", "number", "flag",  "code",  "step",
                                      "usage",  "ms",           "said", "state",  "kept",   "detail", "cause"};

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

std::string object_at(const json& v, const char* key) {
  auto* m = member(v, key);
  return m != nullptr && m->is_object() ? dump(*m) : std::string{};
}

std::vector<std::string> strings_at(const json& v, const char* key) {
  std::vector<std::string> out;
  if (auto* list = member(v, key); list != nullptr && list->is_array())
    for (auto& x : *list)
      if (x.is_string())
        out.push_back(x.get<std::string>());
  return out;
}

bool is_known(const std::string& key) {
  for (auto k : known)
    if (key == k)
      return true;
  return false;
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

bool from_json(std::string_view text, event& out) {
  auto v = parse(text);
  if (!v || !v->is_object())
    return false;
  auto* type = member(*v, "type");
  auto* seq = member(*v, "seq");
  if (type == nullptr || !type->is_string() || seq == nullptr || !seq->is_number_unsigned())
    return false;
  event e;
  e.seq = seq->get<std::uint64_t>();
  e.time_ms = std::clamp<std::int64_t>(int_at(*v, "time"), 0, max_ms);
  e.type = event_type_from_string(type->get<std::string>());
  e.agent = string_at(*v, "agent");
  auto positive = [&](const char* key) { return static_cast<std::uint64_t>(std::max<std::int64_t>(int_at(*v, key), 0)); };
  e.run = positive("run");
  e.round = static_cast<std::uint32_t>(std::min<std::uint64_t>(positive("round"), std::numeric_limits<std::uint32_t>::max()));
  e.epoch = positive("epoch");
  e.label = string_at(*v, "label");
  e.target = string_at(*v, "target");
  e.target_label = string_at(*v, "target_label");
  e.text = string_at(*v, "text");
  e.reason = string_at(*v, "reason");
  e.labels = strings_at(*v, "labels");
  e.number = int_at(*v, "number");
  if (auto* flag = member(*v, "flag"); flag != nullptr && flag->is_boolean())
    e.flag = flag->get<bool>();
  if (auto code = string_at(*v, "code"); !code.empty())
    e.code = ec_from_string(code);
  e.step = string_at(*v, "step");
  if (auto* use = member(*v, "usage"))
    e.use = usage_from(*use);
  e.ms = std::clamp<std::int64_t>(int_at(*v, "ms"), 0, max_ms);
  e.said = strings_at(*v, "said");
  e.state = string_at(*v, "state");
  e.kept = positive("kept");
  e.detail = object_at(*v, "detail");
  e.cause = object_at(*v, "cause");
  if (int_at(*v, "v") < 2)
    from_version_1(e);
  json extra = json::object();
  for (auto& [key, value] : v->items())
    if (!is_known(key) || (key == "type" && e.type == event_type::unknown && value != to_string(event_type::unknown)))
      extra[key] = value;
  if (!extra.empty())
    e.extra = dump(extra);
  out = std::move(e);
  return true;
}

} // namespace conclave::wire
