// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Asks the policies about a call, and keeps on hold what one of them waits with.

#include "protocols/run_mover.hpp"

#include <algorithm>
#include <utility>

namespace conclave::run {

namespace {

constexpr std::size_t max_reason = 4'096; ///< bytes of what is said against a call

/// What a policy that says no has said; it may have said nothing.
std::string objection(const policy_said& x, const std::string& policy) {
  return x.text.empty() ? "the policy '" + policy + "' is against it" : x.text;
}

/// An error result in place of the one that is denied.
tool_result withheld(const std::string& id, const std::string& why) {
  return {id, "Error: the call was carried out, its result is withheld: " + why + ".", true};
}

} // namespace

/// Where judging begins again; at the first if no policy has this name any more.
std::size_t mover::place_of(const std::string& name) const {
  auto i = std::find_if(with.policies->begin(), with.policies->end(), [&](auto& p) { return p.name == name; });
  return i == with.policies->end() ? 0 : static_cast<std::size_t>(i - with.policies->begin());
}

std::uint64_t mover::hold(const policy& by, std::string what) {
  out.push_back(ask_policy{s.task.run, ++s.holds, by.name, std::move(what)});
  return s.holds;
}

void mover::hold(pending_call& p, const policy& by, std::string what) {
  p.stage = call_stage::on_hold;
  p.policy = by.name;
  p.hold = hold(by, std::move(what));
}

void mover::judge_model(std::size_t at) {
  for (; at < with.policies->size(); ++at) {
    auto& rule = (*with.policies)[at];
    if (rule.before_model == nullptr)
      continue;
    auto r = rule.before_model(with, s);
    if (r.answer == policy_answer::deny)
      return fail(r.code, std::move(r.text));
    if (r.answer == policy_answer::wait) {
      s.stage = stage::on_hold;
      s.policy = rule.name;
      hold(rule, std::move(r.text));
      return;
    }
  }
  s.policy.clear();
  announce_model();
}

usage mover::reserve_of(const model_request& r) const {
  usage most;
  for (auto& rule : *with.policies)
    if (rule.reserve != nullptr)
      add(most, rule.reserve(with, s, r));
  return most;
}

/// Returns whether the call is announced: every policy from there on lets it pass, or one refuses it so that the log has it.
bool mover::judge_call(pending_call& p, std::size_t at) {
  for (; at < with.policies->size(); ++at) {
    auto& rule = (*with.policies)[at];
    if (rule.before_tool == nullptr)
      continue;
    auto r = rule.before_tool(with, s, p.call);
    if (r.answer == policy_answer::deny) {
      auto why = "Error: not carried out: " + r.text + ".";
      if (r.status.empty())
        return settle(p, std::move(why)), false;
      p.refused = std::move(r.status);
      p.result = {p.call.id, std::move(why), true};
      return true;
    }
    if (r.answer == policy_answer::wait) {
      hold(p, rule, std::move(r.text));
      return false;
    }
  }
  return true;
}

bool mover::may_begin(pending_call& p) {
  if (!std::exchange(p.cleared, false) && !judge_call(p, place_of(p.policy)))
    return false;
  p.policy.clear();
  return true;
}

bool mover::judge_result(pending_call& p, std::size_t at) {
  p.stage = call_stage::done;
  p.policy.clear();
  for (; at < with.policies->size(); ++at) {
    auto& rule = (*with.policies)[at];
    if (rule.after_tool == nullptr)
      continue;
    auto r = rule.after_tool(with, s, p.call, p.result);
    if (r.answer == policy_answer::deny) {
      p.result = withheld(p.call.id, r.text);
      return true;
    }
    if (r.answer == policy_answer::wait) {
      hold(p, rule, std::move(r.text));
      return false;
    }
  }
  return true;
}

/// A result that becomes another one is stored with the state.
void mover::judge_logged(pending_call& p, std::size_t at) {
  auto logged = p.result;
  if (judge_result(p, at) && !(p.result == logged))
    p.number = 0;
}

void mover::on(policy_said x) {
  if (x.run != s.task.run || x.call == 0)
    return;
  prompts::cut(x.text, max_reason);
  if (s.stage == stage::on_hold && x.call == s.holds) {
    if (!x.go)
      return fail(ec::denied, objection(x, s.policy));
    return judge_model(place_of(s.policy) + 1);
  }
  auto p =
      std::find_if(s.pending.begin(), s.pending.end(), [&](auto& c) { return c.stage == call_stage::on_hold && c.hold == x.call; });
  if (p == s.pending.end())
    return;
  if (p->number != 0) {
    if (x.go) {
      judge_logged(*p, place_of(p->policy) + 1);
    } else {
      p->stage = call_stage::done;
      p->number = 0;
      p->result = withheld(p->call.id, objection(x, p->policy));
    }
    s.held = held_bytes();
  } else if (!x.go) {
    settle(*p, "Error: not carried out: " + objection(x, p->policy) + ".");
  } else if (judge_call(*p, place_of(p->policy) + 1)) {
    p->stage = call_stage::waiting;
    p->cleared = true;
  }
  next_tools();
}

} // namespace conclave::run
