// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// The cause of a decision as its first event keeps it. Every field of the command that is not empty is a member; its value stands
/// there itself, or says where it is: {"in": 1, "as": "text"} in a field of the decision's second event, {"body": SHA-256} in a
/// body that was kept. Of a call, whose beginning and end are most of a log, only what its event does not tell: {"as": "event"}.

#include "protocols/members.hpp"
#include "protocols/replay.hpp"
#include "protocols/wire/json_fields.hpp"
#include "protocols/wire/json_util.hpp"
#include "protocols/wire/sha256.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <optional>
#include <utility>

namespace conclave::ledger {

namespace {

using wire::json;

constexpr std::size_t max_inline = 48; ///< bytes of a text that is written out without looking for it in the events

// In the order of the enums.
constexpr std::array<std::string_view, 16> kind_names{"start",      "begin_run", "answer",       "vote",   "fail",       "present",
                                                      "lose_agent", "lose_node", "timer",        "cancel", "begin_call", "end_call",
                                                      "note",       "take_over", "continue_run", "give_up"};
static_assert(kind_names.size() == static_cast<std::size_t>(command_kind::give_up) + 1);
constexpr std::array<std::string_view, 8> timer_names{"coordination", "round0_half", "patience",     "run",
                                                      "presentation", "backoff",     "cancel_grace", "closing"};
static_assert(timer_names.size() == static_cast<std::size_t>(timer_kind::closing) + 1);

struct text_field {
  const char* name;
  std::string event::*of;
};
constexpr text_field event_texts[] = {
    {"text", &event::text},   {"reason", &event::reason}, {"target", &event::target}, {"agent", &event::agent},
    {"state", &event::state}, {"detail", &event::detail}, {"label", &event::label},
};

struct command_text {
  const char* name;
  std::string command::*of;
};
constexpr command_text command_texts[] = {
    {"agent", &command::agent},   {"text", &command::text},   {"target", &command::target},
    {"reason", &command::reason}, {"step", &command::step},   {"status", &command::status},
    {"hash", &command::hash},     {"state", &command::state}, {"opening", &command::opening},
};

struct command_number {
  const char* name;
  std::uint64_t command::*of;
};
constexpr command_number command_numbers[] = {
    {"run", &command::run}, {"call", &command::call}, {"kept", &command::kept}, {"fence", &command::fence}};

static_assert(members::count<command>() == std::size(command_texts) + std::size(command_numbers) + 12,
              "a cause must hold every field of a command");

struct writer {
  const std::vector<event>& events;
  const std::function<std::string(const std::string&)>& keep;

  json text(const std::string& x) const {
    if (x.size() <= max_inline)
      return x;
    for (std::size_t i = 0; i < events.size(); ++i)
      for (const auto& f : event_texts)
        if (events[i].*f.of == x)
          return {{"in", i}, {"as", f.name}};
    if (!keep)
      return x;
    return {{"body", keep(x)}};
  }

  json list(const std::vector<std::string>& x) const {
    for (std::size_t i = 0; i < events.size(); ++i) {
      if (events[i].said == x)
        return {{"in", i}, {"as", "said"}};
      if (events[i].labels == x)
        return {{"in", i}, {"as", "labels"}};
    }
    return x;
  }

  json use(const usage& x) const {
    for (std::size_t i = 0; i < events.size(); ++i)
      if (events[i].use == x)
        return {{"in", i}, {"as", "usage"}};
    return wire::to_value(x);
  }
};

struct reader {
  const std::vector<event>& events;
  const std::function<const std::string*(const std::string&)>& find;

  const event* at(const json& v) const {
    auto* i = wire::member(v, "in");
    if (i == nullptr || !i->is_number_unsigned() || i->get<std::uint64_t>() >= events.size())
      return nullptr;
    return &events[i->get<std::size_t>()];
  }

  bool text(const json& v, std::string& x) const {
    if (v.is_string()) {
      x = v.get<std::string>();
      return true;
    }
    if (auto body = wire::string_at(v, "body"); !body.empty()) {
      auto* found = wire::is_sha256(body) && find ? find(body) : nullptr;
      if (found != nullptr)
        x = *found;
      return found != nullptr;
    }
    auto* e = at(v);
    auto as = wire::string_at(v, "as");
    for (const auto& f : event_texts)
      if (e != nullptr && as == f.name) {
        x = e->*f.of;
        return true;
      }
    return false;
  }

  bool list(const json& v, std::vector<std::string>& x) const {
    if (auto* e = at(v)) {
      auto as = wire::string_at(v, "as");
      x = as == "said" ? e->said : e->labels;
      return as == "said" || as == "labels";
    }
    if (!v.is_array())
      return false;
    for (const auto& one : v) {
      if (!one.is_string())
        return false;
      x.push_back(one.get<std::string>());
    }
    return true;
  }

  bool use(const json& v, usage& x) const {
    auto* e = at(v);
    if (e == nullptr && (!v.is_object() || v.contains("in")))
      return false;
    x = e != nullptr ? e->use : wire::usage_from(v);
    return true;
  }

  static bool files(const json& v, kept_files& x) {
    wire::field_reader r;
    r.members(v, x, "files");
    return r.error.empty();
  }

  static bool effect(const json& v, call_effect is, command& c) {
    if (!v.is_boolean())
      return false;
    if (v.get<bool>())
      c.effect = is;
    return true;
  }

  static bool number(const json& v, std::uint64_t& x) {
    if (!v.is_number_unsigned())
      return false;
    x = v.get<std::uint64_t>();
    return true;
  }

  static bool time(const json& v, std::int64_t& x) {
    if (!v.is_number_integer() || (v.is_number_unsigned() && v.get<std::uint64_t>() > INT64_MAX))
      return false;
    x = v.get<std::int64_t>();
    return true;
  }

  static bool timer(const json& v, timer_key& x) {
    if (!v.is_array() || v.size() != 4 || !v[0].is_string() || !v[1].is_string() || !number(v[2], x.run) || !time(v[3], x.due_ms))
      return false;
    x.agent = v[1].get<std::string>();
    return named(v[0], timer_names, x.kind);
  }

  static bool placements(const json& v, std::vector<placement>& x) {
    for (const auto& one : v) {
      if (!one.is_array() || one.size() != 4 || !std::all_of(one.begin(), one.end(), [](const json& s) { return s.is_string(); }))
        return false;
      x.push_back({one[0].get<std::string>(), one[1].get<std::string>(), one[2].get<std::string>(), one[3].get<std::string>()});
    }
    return v.is_array();
  }

  template <class Names, class T>
  static bool named(const json& v, const Names& names, T& x) {
    for (std::size_t i = 0; v.is_string() && i < names.size(); ++i)
      if (v.get_ref<const std::string&>() == names[i]) {
        x = static_cast<T>(i);
        return true;
      }
    return false;
  }

  bool field(const std::string& name, const json& v, command& c) const {
    for (const auto& f : command_texts)
      if (name == f.name)
        return text(v, c.*f.of);
    for (const auto& f : command_numbers)
      if (name == f.name)
        return number(v, c.*f.of);
    if (name == "kind")
      return named(v, kind_names, c.kind);
    if (name == "now")
      return time(v, c.now_ms);
    if (name == "truncated")
      return v.is_boolean() && (c.truncated = v.get<bool>(), true);
    if (name == "repeatable")
      return effect(v, call_effect::repeatable, c);
    if (name == "read_only")
      return effect(v, call_effect::none, c);
    if (name == "placements")
      return placements(v, c.placements);
    if (name == "agents")
      return list(v, c.agents);
    if (name == "said")
      return list(v, c.said);
    if (name == "usage")
      return use(v, c.use);
    if (name == "timer")
      return timer(v, c.timer);
    if (name == "files")
      return files(v, c.files);
    if (name == "code")
      return v.is_string() && (c.code = ec_from_string(v.get_ref<const std::string&>()), true);
    std::uint64_t jitter = 0;
    if (name != "jitter" || !number(v, jitter) || jitter > std::numeric_limits<std::uint32_t>::max())
      return false;
    c.jitter_permille = static_cast<std::uint32_t>(jitter);
    return true;
  }
};

/// Returns what a call's event tells of its command, but for what nothing else bears out: that stands in the cause as well, so that
/// a log that was changed is found out. Nothing of another event.
std::optional<command> told_by(const event& e) {
  if (e.type != event_type::call_started && e.type != event_type::call_ended)
    return {};
  auto call = events::call_of(e);
  command c;
  c.kind = e.type == event_type::call_started ? command_kind::begin_call : command_kind::end_call;
  c.now_ms = e.time_ms;
  c.agent = e.agent;
  c.run = e.run;
  c.call = call.number;
  c.target = e.target;
  c.use = e.use;
  c.said = e.said;
  c.state = e.state;
  c.kept = e.kept;
  return c;
}

json written_out(const command& c, const std::vector<event>& events, const std::function<std::string(const std::string&)>& keep) {
  writer w{events, keep};
  json v{{"kind", kind_names.at(static_cast<std::size_t>(c.kind))}};
  if (events.empty() || events.front().time_ms != c.now_ms)
    v["now"] = c.now_ms;
  // What a run stood at is of no effect where no event holds it (a verdict that was accepted).
  auto stood = std::any_of(events.begin(), events.end(), [&](const event& e) { return e.state == c.state && e.said == c.said; });
  auto partial = c.kind == command_kind::fail && std::any_of(events.begin(), events.end(), [](const event& e) {
                   return (e.type == event_type::run_ended || e.type == event_type::late_text) && !e.text.empty();
                 });
  auto skipped = [&](std::string_view name) { return !stood && (name == "state" || name == "kept"); };
  for (const auto& f : command_texts)
    if (!(c.*f.of).empty() && !skipped(f.name) && !(partial && f.of == &command::text))
      v[f.name] = w.text(c.*f.of);
  // Of a partial text the log holds what is kept of it, and no more.
  for (std::size_t i = 0; i < events.size() && c.kind == command_kind::fail && !c.text.empty(); ++i)
    if ((events[i].type == event_type::run_ended || events[i].type == event_type::late_text) && !events[i].text.empty()) {
      v["text"] = {{"in", i}, {"as", "text"}};
      break;
    }
  for (const auto& f : command_numbers)
    if (c.*f.of != 0 && !skipped(f.name))
      v[f.name] = c.*f.of;
  if (c.truncated)
    v["truncated"] = true;
  if (c.effect != call_effect::once)
    v[c.effect == call_effect::none ? "read_only" : "repeatable"] = true;
  for (const auto& p : c.placements)
    v["placements"].push_back({p.agent, p.node, p.backend, p.model});
  if (!c.agents.empty())
    v["agents"] = w.list(c.agents);
  if (!c.said.empty() && (stood || c.state.empty()))
    v["said"] = w.list(c.said);
  if (!(c.use == usage{}))
    v["usage"] = w.use(c.use);
  if (!(c.timer == timer_key{}))
    v["timer"] = {timer_names.at(static_cast<std::size_t>(c.timer.kind)), c.timer.agent, c.timer.run, c.timer.due_ms};
  if (!(c.files == kept_files{}))
    v["files"] = wire::field_writer{}.value(c.files);
  if (c.code != ec::none)
    v["code"] = to_string(c.code);
  if (c.jitter_permille != 0)
    v["jitter"] = c.jitter_permille;
  return v;
}

} // namespace

std::string cause_of(const command& c, const std::vector<event>& events,
                     const std::function<std::string(const std::string&)>& keep) {
  auto v = written_out(c, events, keep);
  auto told = events.empty() ? std::nullopt : told_by(events.front());
  if (!told)
    return wire::dump(v);
  auto known = written_out(*told, events, keep);
  if (std::all_of(known.items().begin(), known.items().end(),
                  [&](const auto& x) { return v.value(x.key(), json{}) == x.value(); })) {
    for (const auto& x : known.items())
      if (x.key() != "kind")
        v.erase(x.key());
    v["as"] = "event";
  }
  return wire::dump(v);
}

bool read_cause(const std::vector<event>& decision, const std::function<const std::string*(const std::string&)>& find,
                command& out) {
  if (decision.empty())
    return false;
  auto v = wire::parse(decision.front().cause);
  if (!v || wire::member(*v, "kind") == nullptr)
    return false;
  command c;
  c.now_ms = decision.front().time_ms;
  if (auto* as = wire::member(*v, "as")) {
    auto told = told_by(decision.front());
    if (*as != "event" || !told)
      return false;
    c = std::move(*told);
  }
  reader r{decision, find};
  for (const auto& [name, value] : v->items())
    if (name != "as" && !r.field(name, value, c))
      return false;
  out = std::move(c);
  return true;
}

} // namespace conclave::ledger
