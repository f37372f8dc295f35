// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// The part of an opening that the ledger plays by: rules, ids of the agents, answers of an earlier task.

#include "protocols/opening.hpp"
#include "protocols/wire/json_util.hpp"

#include <algorithm>
#include <limits>

namespace conclave {

namespace {

using wire::json;

template <class F>
void each_number(ledger::rules& r, F f) {
  f("patience_ms", r.patience_ms);
  f("max_answers_per_agent", r.max_answers_per_agent);
  f("max_answers_global", r.max_answers_global);
  f("max_failed_runs", r.max_failed_runs);
  f("max_runs", r.max_runs);
  f("max_answer_bytes", r.max_answer_bytes);
  f("max_reason_chars", r.max_reason_chars);
  f("coordination_ms", r.coordination_ms);
  f("initial_run_ms", r.initial_run_ms);
  f("later_run_ms", r.later_run_ms);
  f("presentation_ms", r.presentation_ms);
  f("backoff_ms", r.backoff_ms);
  f("backoff_cap_ms", r.backoff_cap_ms);
  f("cancel_grace_ms", r.cancel_grace_ms);
  f("closing_ms", r.closing_ms);
}

} // namespace

std::string to_json(const opening& o) {
  json v = {{"v", opening_version}, {"rules", json::object()}, {"agents", json::array()}, {"answers", json::array()}};
  auto r = o.rules;
  v["rules"]["pacing"] = r.pacing == ledger::pacing::barrier ? "barrier" : "eager";
  v["rules"]["strategy"] = r.strategy == ledger::strategy::winner_present ? "winner_present" : "winner_reuse";
  v["rules"]["skip_coordination"] = r.skip_coordination;
  each_number(r, [&](const char* name, auto& x) { v["rules"][name] = x; });
  for (const auto& a : o.agents)
    v["agents"].push_back({{"id", a.id}});
  for (const auto& a : o.answers)
    v["answers"].push_back({{"agent", a.agent}, {"label", a.label}, {"text", a.text}, {"epoch", a.epoch}});
  return wire::dump(v);
}

bool from_json(const std::string& text, opening& out, std::string& error) {
  auto v = wire::parse(text);
  auto* rules = v ? wire::member(*v, "rules") : nullptr;
  if (rules == nullptr) {
    error = "the opening of the task cannot be read";
    return false;
  }
  opening o;
  o.rules.pacing = wire::string_at(*rules, "pacing") == "eager" ? ledger::pacing::eager : ledger::pacing::barrier;
  o.rules.strategy =
      wire::string_at(*rules, "strategy") == "winner_reuse" ? ledger::strategy::winner_reuse : ledger::strategy::winner_present;
  if (auto* skip = wire::member(*rules, "skip_coordination"); skip != nullptr && skip->is_boolean())
    o.rules.skip_coordination = skip->get<bool>();
  each_number(o.rules, [&]<class T>(const char* name, T& x) {
    if (wire::member(*rules, name) != nullptr)
      x = static_cast<T>(
          std::clamp<std::int64_t>(wire::int_at(*rules, name), 0, static_cast<std::int64_t>(std::numeric_limits<T>::max())));
  });
  if (auto* agents = wire::member(*v, "agents"); agents != nullptr && agents->is_array())
    for (const auto& a : *agents)
      o.agents.emplace_back().id = wire::string_at(a, "id");
  if (auto* answers = wire::member(*v, "answers"); answers != nullptr && answers->is_array())
    for (const auto& a : *answers)
      o.answers.push_back({wire::string_at(a, "agent"), wire::string_at(a, "label"), wire::string_at(a, "text"),
                           static_cast<std::uint64_t>(std::max<std::int64_t>(wire::int_at(a, "epoch"), 0))});
  out = std::move(o);
  return true;
}

} // namespace conclave
