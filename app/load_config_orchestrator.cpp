// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Rules, deadlines, display and cluster. Defaults are those of the structs; the rules: docs/protocol.md 2 to 5.

#include "app/load_config_parts.hpp"
#include "protocols/text.hpp"

#include <algorithm>
#include <cmath>

namespace conclave::loader {

namespace {

void read_pacing(const section& s, ledger::rules& rules) {
  bool defer = false;
  if (!s.read("defer_voting_until_all_answered", defer))
    return;
  if (s.get("pacing") || (s.get("straggler_patience_seconds") && defer))
    s.error("defer_voting_until_all_answered",
            "not together with pacing or straggler_patience_seconds: it stands for 'barrier' with patience 0");
  else if (defer)
    rules.patience_ms = 0;
}

void read_strategy(const section& s, ledger::rules& rules) {
  std::string strategy;
  bool skip = false;
  s.read("final_answer_strategy", strategy);
  if (strategy == "synthesize")
    s.to().add(severity::unavailable, s.at("final_answer_strategy"), s.path("final_answer_strategy"),
               "'synthesize' is not available yet; use winner_present or winner_reuse");
  if (!s.read("skip_final_presentation", skip) || !skip)
    return;
  if (!strategy.empty() && strategy != "winner_reuse")
    s.error("skip_final_presentation", "contradicts final_answer_strategy: '" + strategy + "'");
  rules.strategy = ledger::strategy::winner_reuse;
}

/// Whether the backend of this agent has a key; null counts as absent.
bool says_itself(const section& top, std::size_t agent, const char* key) {
  const auto* many = top.get("agents");
  const auto* node = top.map("agent");
  if (node == nullptr && many != nullptr && agent < many->value->items.size())
    node = many->value->items[agent].value.get();
  for (const auto* name : {"backend", key})
    node = node != nullptr && node->kind == tree::map ? node->find(name) : nullptr;
  return node != nullptr && node->kind != tree::null;
}

/// A word for all agents, but for those whose backend says it itself.
template <class F>
void read_shared(const section& top, const section& s, const char* key, run_config& out, F member) {
  std::string word;
  if (!s.read(key, word))
    return;
  std::string others;
  for (std::size_t i = 0; i < out.agents.size(); ++i) {
    auto& a = out.agents[i];
    auto& own = member(a.backend.workspace);
    if (!says_itself(top, i, key))
      own = word;
    else if (own != word && !a.backend.workspace.cwd.empty())
      others += (others.empty() ? "agent '" : ", agent '") + shown_text(a.id, 64) + "': '" + own + "'";
  }
  if (!others.empty())
    s.warning(key, "'" + word + "' is not for agents that say it themselves, of which each has its own (" + others + ")");
}

void read_rules(const section& top, run_config& out) {
  auto s = top.below("orchestrator", key_scope::orchestrator);
  s.read_rows(out);
  s.read_rows(out.rules);
  read_pacing(s, out.rules);
  read_strategy(s, out.rules);
  read_shared_context(s, out);
  judge_cwds(out, top.to());
  auto coordination = s.below("coordination", key_scope::coordination);
  coordination.read_rows(out.rules);
  read_shared(
      top, coordination, "write_mode", out, [](auto& w) -> auto& { return w.write_mode; });
  // Where both say it, the nearer one.
  auto& inner = coordination.get("drift_conflict_policy") ? coordination : s;
  read_shared(
      top, inner, "drift_conflict_policy", out, [](auto& w) -> auto& { return w.on_drift; });
  std::string folder;
  if (s.read("snapshot_storage", folder) && s.read("agent_temporary_workspace", folder))
    return;
  for (std::size_t i = 0; i < out.agents.size(); ++i)
    if (!out.agents[i].backend.workspace.cwd.empty()) {
      auto at = place_of(top.to().places(), "agents[" + std::to_string(i) + "].backend.cwd");
      top.to().adopt({{severity::error, at.file, at.line, at.path,
                       "needs orchestrator.snapshot_storage and orchestrator.agent_temporary_workspace", false, at.column}});
    }
}

void read_ui(const section& top, run_config& out) {
  // The singular `display` of some files is the same map.
  auto name = top.map("ui") ? "ui" : "display";
  section s{top.map(name), key_scope::ui, name, "ui", top.to()};
  s.read_rows(out.ui);
  bool orchestrate = true;
  if (s.read("use_orchestrator_for_single_agent", orchestrate) && !orchestrate && out.agents.size() == 1)
    out.rules.skip_coordination = true;
}

} // namespace

void read_budget(const section& owner, budget& out) {
  auto s = owner.below("budget", key_scope::budget);
  s.read_rows(out);
  // Of one that says what holds anyway nothing is left to see for validate().
  auto says = [&](const char* key) {
    const auto* value = owner.map("budget")->find(key);
    return value != nullptr && value->kind != tree::null;
  };
  if (owner.map("budget") != nullptr && out == budget{} && !says("tokens") && !says("usd"))
    owner.warning("budget", "limits nothing: it says neither `tokens` nor `usd`");
  const auto* marks = s.get("warn_at");
  if (!marks)
    return;
  out.warn_at.clear();
  for (const auto& e : marks->value->items) {
    double share = 0;
    if (!to_number(*e.value, share) || share < 0.001 || share > 1 || out.warn_at.size() >= 10)
      return s.error("warn_at", "expected at most 10 shares of the budget, each a number from 0.001 to 1, as in [0.5, 0.9]");
    out.warn_at.push_back(std::llround(share * 1000));
  }
  std::sort(out.warn_at.begin(), out.warn_at.end());
  out.warn_at.erase(std::unique(out.warn_at.begin(), out.warn_at.end()), out.warn_at.end());
}

void read_orchestrator(const section& top, run_config& out) {
  read_rules(top, out);
  read_budget(top, out.rules.budget);
  read_ui(top, out);
  auto cluster = top.below("cluster", key_scope::cluster);
  cluster.read_rows(out.cluster);
  cluster.below("tls", key_scope::tls).read_rows(out.cluster.tls);
}

void read_timeouts(const section& top, ledger::rules& rules, backend_config& base) {
  auto s = top.below("timeout_settings", key_scope::timeout_settings);
  s.read_rows(rules);
  s.read_rows(base);
}

} // namespace conclave::loader
