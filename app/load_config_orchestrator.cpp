// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Rules, deadlines, display and cluster. Defaults are those of the structs; the rules: docs/protocol.md 2 to 5.

#include "app/load_config_parts.hpp"

namespace conclave::loader {

namespace {

void read_pacing(const section& s, ledger::rules& rules) {
  std::string pacing;
  bool defer = false;
  bool has_pacing = s.text("pacing", pacing);
  bool has_patience = s.milliseconds("straggler_patience_seconds", rules.patience_ms);
  bool has_defer = s.flag("defer_voting_until_all_answered", defer);
  if (pacing == "eager")
    rules.pacing = ledger::pacing::eager;
  if (has_defer && (has_pacing || (has_patience && defer)))
    s.to().error(s.line("defer_voting_until_all_answered"), s.path("defer_voting_until_all_answered"),
                 "not together with pacing or straggler_patience_seconds: it stands for 'barrier' with patience 0");
  else if (defer)
    rules.patience_ms = 0;
}

void read_strategy(const section& s, ledger::rules& rules) {
  std::string strategy;
  bool skip = false;
  bool has_strategy = s.text("final_answer_strategy", strategy);
  s.flag("skip_final_presentation", skip);
  if (strategy == "synthesize")
    s.to().add(severity::unavailable, s.line("final_answer_strategy"), s.path("final_answer_strategy"),
               "'synthesize' is not available yet; use winner_present or winner_reuse");
  if (skip && has_strategy && strategy != "winner_reuse")
    s.to().error(s.line("skip_final_presentation"), s.path("skip_final_presentation"),
                 "contradicts final_answer_strategy: '" + strategy + "'");
  if (skip || strategy == "winner_reuse")
    rules.strategy = ledger::strategy::winner_reuse;
}

/// Only checked: what they mean comes later.
void check_context_paths(const section& s) {
  const auto* paths = s.get("context_paths");
  if (!paths)
    return;
  for (std::size_t i = 0; i < paths->value->items.size(); ++i) {
    const auto& e = paths->value->items[i];
    auto at = "context_paths[" + std::to_string(i) + "]";
    if (e.value->kind == tree::scalar)
      continue;
    section c{e.value.get(), key_scope::context_path, s.path(at), s.canonical(at), s.to()};
    if (e.value->kind == tree::map && !c.get("path"))
      s.to().error(e.line, s.path(at), "needs a path");
  }
}

void read_rules(const section& top, run_config& out) {
  section s{top.map("orchestrator"), key_scope::orchestrator, "orchestrator", "orchestrator", top.to()};
  read_pacing(s, out.rules);
  read_strategy(s, out.rules);
  s.number("max_new_answers_per_agent", out.rules.max_answers_per_agent);
  s.number("max_new_answers_global", out.rules.max_answers_global);
  s.number("max_failed_runs", out.rules.max_failed_runs);
  s.number("max_runs", out.rules.max_runs);
  s.number("max_answer_bytes", out.rules.max_answer_bytes);
  s.flag("skip_coordination_rounds", out.rules.skip_coordination);
  s.text("on_unknown_outcome", out.on_unknown);
  check_context_paths(s);
  section{s.map("coordination"), key_scope::coordination, "orchestrator.coordination", "orchestrator.coordination", top.to()};
  std::string folder;
  if (s.text("snapshot_storage", folder) && s.text("agent_temporary_workspace", folder))
    return;
  for (std::size_t i = 0; i < out.agents.size(); ++i)
    if (!out.agents[i].backend.cwd.empty())
      top.to().error_at("agents[" + std::to_string(i) + "].backend.cwd",
                        "needs orchestrator.snapshot_storage and orchestrator.agent_temporary_workspace");
}

void read_ui(const section& top, run_config& out) {
  // The singular `display` of some files is the same map.
  const auto* node = top.map("ui") ? top.map("ui") : top.map("display");
  section s{node, key_scope::ui, top.map("ui") ? "ui" : "display", "ui", top.to()};
  if (!s.text("display_type", out.ui.display_type))
    s.text("type", out.ui.display_type);
  bool orchestrate = true;
  if (s.flag("use_orchestrator_for_single_agent", orchestrate) && !orchestrate && out.agents.size() == 1)
    out.rules.skip_coordination = true;
}

void read_cluster(const section& top, run_config& out) {
  section s{top.map("cluster"), key_scope::cluster, "cluster", "cluster", top.to()};
  if (const auto* nodes = s.map("nodes"))
    for (const auto& e : nodes->items) {
      out.cluster.nodes.emplace_back(e.key, e.value->text);
      top.to().place("cluster.nodes." + e.key, "cluster.nodes." + shown_text(e.key), e.line);
    }
  section t{s.map("tls"), key_scope::tls, "cluster.tls", "cluster.tls", top.to()};
  t.text("cert", out.cluster.tls.cert);
  t.text("key", out.cluster.tls.key);
  t.text("ca", out.cluster.tls.ca);
  t.flag("insecure_loopback", out.cluster.tls.insecure_loopback);
}

} // namespace

void read_orchestrator(const section& top, run_config& out) {
  read_rules(top, out);
  read_ui(top, out);
  read_cluster(top, out);
}

void read_timeouts(const section& top, ledger::rules& rules, backend_config& base) {
  section s{top.map("timeout_settings"), key_scope::timeout_settings, "timeout_settings", "timeout_settings", top.to()};
  s.milliseconds("orchestrator_timeout_seconds", rules.coordination_ms);
  s.milliseconds("initial_round_timeout_seconds", rules.initial_run_ms);
  s.milliseconds("subsequent_round_timeout_seconds", rules.later_run_ms);
  s.milliseconds("presentation_timeout_seconds", rules.presentation_ms);
  s.milliseconds("first_token_timeout_seconds", base.first_token_timeout_ms);
  s.milliseconds("idle_timeout_seconds", base.idle_timeout_ms);
}

} // namespace conclave::loader
