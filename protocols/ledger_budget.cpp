// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// Budgets: whether a call may begin, and who is told what of it (docs/protocol.md 8.5). What is reserved is what the calls under
/// way may use at most; what is spent follows from the ends of calls alone.

#include "protocols/ledger_draft.hpp"

#include <algorithm>
#include <iterator>

namespace conclave::ledger {

namespace {

constexpr std::int64_t exceeded_mark = 1'001; ///< in permille, see agent_notice

/// A budget that counts the calls of a member, and how it stands.
struct counted {
  const budget& of;
  bool task = false; ///< else the member's own
  amount spent, reserved;
  bool told = false; ///< that it might be exceeded

  const char* whose() const { return task ? "task" : "agent"; }
  std::string name(const member& m) const { return task ? "the budget of the task" : "the budget of " + m.id; }
};

std::vector<counted> budgets_of(const state& s, const member& m) {
  std::vector<counted> out;
  if (m.budget.limits())
    out.push_back({m.budget, false, m.spent, reserved(m), m.told_over});
  if (s.rules.budget.limits())
    out.push_back({s.rules.budget, true, spent(s), reserved(s), s.told_over});
  return out;
}

/// Why a call may not begin under a budget.
struct excess {
  std::string why; ///< empty = it may
  budget_unit unit = budget_unit::tokens;
  bool for_good = false; ///< also once the calls under way have ended
};

excess excess_of(const counted& b, const member& m, const amount& need) {
  excess out;
  for (auto u : {budget_unit::tokens, budget_unit::usd}) {
    auto limit = limit_of(b.of, u);
    auto alone = b.spent;
    add(alone, need);
    auto all = alone;
    add(all, b.reserved);
    if (limit <= 0 || in(all, u) <= limit || (!out.why.empty() && in(alone, u) <= limit))
      continue;
    auto figure = [u](std::int64_t n) { return u == budget_unit::tokens ? thousands(n) : dollars(n); };
    auto held = in(b.reserved, u);
    out.unit = u;
    out.for_good = in(alone, u) > limit;
    auto left = in(b.spent, u) < limit;
    out.why = b.name(m) + (left ? " might be exceeded: " : " is used up: ") + share_text(in(b.spent, u), limit, u) + " are spent"
              + (held > 0 ? ", " + figure(held) + " are reserved for calls under way" : "") + ", and this call may take "
              + figure(in(need, u));
  }
  return out;
}

/// How many marks of the budget a spent amount has reached.
std::ptrdiff_t marks(const budget& b, std::int64_t spent, std::int64_t limit) {
  return std::count_if(b.warn_at.begin(), b.warn_at.end(), [&](std::int64_t permille) {
    // Without a product: a limit may be as large as a number is.
    return permille > 0 && permille <= 1'000 && spent > 0
           && spent >= limit / 1'000 * permille + (limit % 1'000 * permille + 999) / 1'000;
  });
}

/// One notice for all the marks that one call passes.
void warn(draft& x, const std::string& agent, const counted& b, const amount& before) {
  for (auto u : {budget_unit::tokens, budget_unit::usd}) {
    auto limit = limit_of(b.of, u);
    auto reached = limit > 0 ? marks(b.of, in(b.spent, u), limit) : 0;
    if (reached == 0 || reached <= marks(b.of, in(before, u), limit))
      continue;
    auto sorted = b.of.warn_at;
    std::sort(sorted.begin(), sorted.end());
    auto mark = sorted[static_cast<std::size_t>(reached - 1)];
    x.emit(events::budget_notice(agent, {b.whose(), u, mark, false},
                                 share_text(in(b.spent, u), limit, u) + " of "
                                     + (b.task ? "the budget of the task" : "its own budget") + " are spent",
                                 ec::none));
  }
}

/// The budget of the task ends the task with what there is.
decision end_task(state& s, const command& c, budget_unit u, const std::string& why) {
  draft x{s, c.now_ms};
  x.emit(events::budget_notice(c.agent, {"task", u, exceeded_mark, true},
                               why + "; the task ends" + (s.epoch > 0 ? " with what there is" : ""), ec::budget_exceeded));
  x.d.kind = ruling_kind::superseded;
  if (s.phase == phase::presenting) {
    x.end_run(c.agent, c.run, "budget", {}, ec::budget_exceeded);
    x.fall_back(why, outcome_kind::failed, ec::budget_exceeded);
    return std::move(x.d);
  }
  x.end_all_runs("budget", ec::budget_exceeded);
  x.settle();
  return std::move(x.d);
}

/// The budget of an agent ends that agent: no backend of its `failover` is asked. The others go on.
decision end_agent(state& s, const command& c, budget_unit u, const std::string& why) {
  draft x{s, c.now_ms};
  x.emit(events::budget_notice(c.agent, {"agent", u, exceeded_mark, false}, why + "; the agent is out", ec::budget_exceeded));
  x.d.kind = ruling_kind::superseded;
  x.end_run(c.agent, c.run, "budget", {}, ec::budget_exceeded);
  x.put_out(c.agent, ec::budget_exceeded, why);
  if (s.phase == phase::presenting)
    x.fall_back("the winner is out: " + why, outcome_kind::failed, ec::budget_exceeded);
  else
    x.settle();
  return std::move(x.d);
}

decision no_go(std::string why) {
  decision d;
  d.kind = ruling_kind::refused;
  d.code = ec::budget_exceeded;
  d.reason = std::move(why);
  return d;
}

} // namespace

amount spent(const state& s) {
  amount sum;
  for (auto& m : s.members)
    add(sum, m.spent);
  return sum;
}

amount reserved(const member& m) {
  amount sum;
  for (auto& c : m.open)
    add(sum, amount_of(c.reserve));
  return sum;
}

amount reserved(const state& s) {
  amount sum;
  for (auto& m : s.members)
    add(sum, reserved(m));
  return sum;
}

std::optional<decision> judge_budget(state& s, const command& c, std::vector<event>& notices) {
  auto& m = *find(s, c.agent);
  if (c.target != events::model_target)
    return {};
  auto need = amount_of(c.use);
  for (auto& b : budgets_of(s, m))
    if (b.of.nano_usd > 0 && c.use.unpriced > 0 && b.of.on_unknown_cost == unknown_cost_policy::deny)
      return no_go(b.name(m) + " is in US dollars, and what this model costs is not known: add its price to models.yaml, limit "
                   + "`tokens` instead, or set `on_unknown_cost: allow`");
  decision waits;
  std::string blocked;
  for (auto& b : budgets_of(s, m)) {
    auto x = excess_of(b, m, need);
    if (x.why.empty())
      continue;
    if (b.of.on_exceed == exceed_policy::warn) {
      if (!b.told)
        notices.push_back(
            events::budget_notice(m.id, {b.whose(), x.unit, exceeded_mark, false}, x.why + "; it goes on", ec::budget_exceeded));
    } else if (!x.for_good) {
      waits = no_go(std::move(x.why));
      waits.waits = true;
    } else if (b.of.on_exceed == exceed_policy::terminate) {
      return b.task ? end_task(s, c, x.unit, x.why) : end_agent(s, c, x.unit, x.why);
    } else if (blocked.empty()) {
      blocked = std::move(x.why) + "; allow more (`budget`) or shorter replies (`max_tokens`)";
    }
  }
  if (!blocked.empty())
    return no_go(std::move(blocked));
  return waits.waits ? std::optional{std::move(waits)} : std::nullopt;
}

void draft::end_call(const events::call_name& c, const std::string& status, const usage& use, std::vector<std::string> said) {
  auto* m = find(s, c.agent);
  auto before = m->spent, before_all = ledger::spent(s);
  emit(events::call_ended(c, status, use, std::move(said)));
  if (c.target != events::model_target || s.phase == phase::closing)
    return;
  for (auto& b : budgets_of(s, *m))
    warn(*this, c.agent, b, b.task ? before_all : before);
}

} // namespace conclave::ledger
