// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Keys of the file, its agents, the orchestrator, timeouts, display and cluster. What the limits mean: docs/protocol.md 5.

#include "protocols/config_keys.hpp"

namespace conclave::key_table {

namespace {

constexpr double week = 604'800;

using scope = key_scope;
using type = key_type;
using status = key_status;

key_info row(scope s, const char* name, type t, const char* fallback, const char* help, status st = status::live) {
  return {s, name, t, st, 0, 0, "", fallback, "", help};
}

key_info range(scope s, const char* name, type t, double low, double high, const char* fallback, const char* help) {
  return {s, name, t, status::live, low, high, "", fallback, "", help};
}

key_info pick(scope s, const char* name, const char* choices, const char* fallback, const char* help, status st = status::live) {
  return {s, name, type::choice, st, 0, 0, choices, fallback, "", help};
}

key_info later(scope s, const char* name, type t, const char* fallback, const char* help) {
  return row(s, name, t, fallback, help, status::later);
}

void agents(std::vector<key_info>& out) {
  out.insert(
      out.end(),
      {
          row(scope::top, "agents", type::list, "", "the team, in registration order; at most 64"),
          row(scope::top, "agent", type::map, "", "a team of one; not together with `agents`"),
          row(scope::top, "orchestrator", type::map, "", "rules of the coordination"),
          row(scope::top, "timeout_settings", type::map, "", "deadlines"),
          row(scope::top, "ui", type::map, "", "display"),
          row(scope::top, "cluster", type::map, "", "other machines"),
          row(scope::top, "display", type::map, "", "another spelling of `ui`", status::cosmetic),
          row(scope::agent, "id", type::text, "",
              "unique name, default `agent<i>`; no control or invisible characters, `/` or `\\`; at most 64 bytes"),
          row(scope::agent, "backend", type::map, "", "how the agent's model is reached"),
          row(scope::agent, "system_message", type::text, "", "role of the agent, in front of the coordination instructions"),
          row(scope::agent, "node", type::text, "", "name in `cluster.nodes` where the agent runs"),
          later(scope::agent, "voting_sensitivity", type::text, "", "how demanding this agent is as a voter"),
          later(scope::agent, "subtask", type::text, "", "this agent's part of a divided task"),
      });
}

void orchestrator(std::vector<key_info>& out) {
  const auto s = scope::orchestrator;
  out.insert(
      out.end(),
      {
          pick(s, "on_unknown_outcome", "tell ask fail repeat", "tell",
               "`conclave resume`: what becomes of a tool call that was under way when the task was cut off, unless the tool is "
               "read-only or idempotent (those are called again): the model is told that it may have happened, the person at the "
               "terminal is asked, the run fails and its agent is out, or the call is repeated"),
          pick(s, "pacing", "barrier eager", "barrier",
               "`barrier`: in rounds, everybody is heard before anybody is asked again; `eager`: no rounds"),
          range(s, "straggler_patience_seconds", type::seconds, 0, week, "120",
                "how long a round waits for its last agents; 0 = for ever, but the first one ends at half of the time to decide"),
          row(s, "defer_voting_until_all_answered", type::flag, "false",
              "barrier with patience 0; not together with `pacing` or the patience"),
          range(s, "max_new_answers_per_agent", type::integer, 1, 1000, "3", "answers one agent may hand in"),
          range(s, "max_new_answers_global", type::integer, 1, 10'000, "",
                "answers all agents together may hand in; none = no limit"),
          range(s, "max_failed_runs", type::integer, 1, 100, "3", "failures in a row after which an agent is out"),
          range(s, "max_runs", type::integer, 1, 100'000, "", "runs in one task; default 20 x agents"),
          range(s, "max_answer_bytes", type::integer, 1, 4'194'304, "262144", "longest answer accepted"),
          pick(s, "final_answer_strategy", "winner_present winner_reuse synthesize", "winner_present",
               "the winner presents, or its answer is delivered as it is; `synthesize` is not available yet"),
          row(s, "skip_coordination_rounds", type::flag, "false", "the first agent presents at once"),
          row(s, "skip_final_presentation", type::flag, "false", "another spelling of `final_answer_strategy: winner_reuse`"),
          row(s, "snapshot_storage", type::text, "", "folder of workspace snapshots; needed by `cwd`", status::cosmetic),
          row(s, "agent_temporary_workspace", type::text, "", "folder of copies of other workspaces; needed by `cwd`",
              status::cosmetic),
          row(s, "session_storage", type::text, "", "folder of sessions", status::cosmetic),
          later(s, "context_paths", type::list, "", "files and folders the agents may use"),
          row(s, "coordination", type::map, "", "modes of the coordination"),
          later(s, "voting_sensitivity", type::text, "lenient", "how demanding voters are"),
          later(s, "voting_threshold", type::number, "", "strictness of the checklist"),
          later(s, "answer_novelty_requirement", type::text, "lenient", "how new an answer must be"),
          later(s, "fairness_enabled", type::flag, "false", "keeps agents from running ahead"),
          later(s, "fairness_lead_cap_answers", type::integer, "", "how far ahead an agent may be"),
          later(s, "coordination_mode", type::text, "voting", "voting or decomposition"),
          later(s, "presenter_agent", type::text, "", "agent that presents"),
          later(s, "disable_injection", type::flag, "false", "no answers of others during a run"),
          later(s, "skip_voting", type::flag, "false", "no votes"),
          later(s, "defer_peer_updates_until_restart", type::flag, "false", "updates only between runs"),
          later(s, "max_midstream_injections_per_round", type::integer, "", "updates during a run"),
          later(s, "personas", type::any, "", "roles made for the task"),
          later(s, "dspy", type::map, "", "paraphrased questions"),
          later(s, "shared_tools_directory", type::text, "", "folder of tools"),
      });
  const auto c = scope::coordination;
  out.insert(out.end(),
             {
                 later(c, "enable_planning_mode", type::flag, "false", "no tool is called before the final presentation"),
                 row(c, "planning_mode_instruction", type::text, "", "what agents are told while planning", status::cosmetic),
                 later(c, "persona_generator", type::map, "", "roles made for the task"),
                 later(c, "evaluation_criteria_generator", type::map, "", "criteria made for the task"),
                 later(c, "prompt_improver", type::map, "", "rewrites the question"),
                 later(c, "max_orchestration_restarts", type::integer, "0", "starting over after a weak result"),
                 later(c, "enable_agent_task_planning", type::flag, "false", "task lists"),
                 later(c, "enable_subagents", type::flag, "false", "runs within runs"),
                 later(c, "enable_memory_filesystem_mode", type::flag, "false", "memory in files"),
                 later(c, "enable_changedoc", type::flag, "false", "a document of changes"),
                 later(c, "use_skills", type::flag, "false", "skills"),
                 later(c, "skills_directory", type::text, "", "folder of skills"),
                 later(c, "broadcast", type::any, "false", "questions to other agents or people"),
                 later(c, "broadcast_timeout", type::number, "", "wait for replies"),
                 later(c, "write_mode", type::text, "", "isolation of writes"),
                 later(c, "resume_from_log", type::any, "", "going on from a log"),
                 later(c, "checkpoint_enabled", type::flag, "false", "checkpoints"),
                 later(c, "fast_iteration_mode", type::flag, "false", "less polishing"),
                 later(c, "novelty_injection", type::text, "none", "pressure for new ideas"),
                 later(c, "criteria_mode", type::text, "static", "where criteria come from"),
             });
  const auto p = scope::context_path;
  out.insert(out.end(), {
                            row(p, "path", type::text, "", "file or folder"),
                            pick(p, "permission", "read write", "read", "what the winner may do in its presentation"),
                            row(p, "protected_paths", type::texts, "", "never written"),
                        });
}

void timeouts(std::vector<key_info>& out) {
  const auto s = scope::timeout_settings;
  out.insert(out.end(),
             {
                 range(s, "orchestrator_timeout_seconds", type::seconds, 0.001, week, "1800",
                       "the coordination; then the best answer so far is presented"),
                 range(s, "initial_round_timeout_seconds", type::seconds, 0.001, week, "600", "one run in round 0"),
                 range(s, "subsequent_round_timeout_seconds", type::seconds, 0.001, week, "600", "one run in a later round"),
                 range(s, "presentation_timeout_seconds", type::seconds, 0.001, week, "300", "the final presentation"),
                 range(s, "first_token_timeout_seconds", type::seconds, 0.001, week, "300",
                       "from a request to the first text of its reply"),
                 range(s, "idle_timeout_seconds", type::seconds, 0.001, week, "120", "between two pieces of a reply"),
                 row(s, "round_timeout_grace_seconds", type::number, "", "time after a soft deadline; deadlines are hard here",
                     status::cosmetic),
             });
}

} // namespace

std::vector<key_info> general() {
  std::vector<key_info> out;
  agents(out);
  orchestrator(out);
  timeouts(out);
  const auto u = scope::ui;
  out.insert(out.end(),
             {
                 pick(u, "display_type", "rich_terminal textual_terminal terminal simple silent", "", "how a run is shown"),
                 row(u, "type", type::text, "", "another spelling of `display_type`", status::cosmetic),
                 row(u, "logging_enabled", type::flag, "true", "logs are always written", status::cosmetic),
                 row(u, "debug", type::flag, "false", "use `-v`", status::cosmetic),
                 row(u, "use_orchestrator_for_single_agent", type::flag, "true", "false: an agent that is alone answers at once"),
                 row(u, "theme", type::text, "", "colours", status::cosmetic),
                 row(u, "refresh_rate", type::number, "", "pictures per second", status::cosmetic),
             });
  out.insert(out.end(),
             {
                 row(scope::cluster, "nodes", type::text_map, "", "name: host:port"),
                 row(scope::cluster, "tls", type::map, "", "certificates; default: the per-user CA"),
                 row(scope::tls, "cert", type::text, "", "certificate, PEM file"),
                 row(scope::tls, "key", type::text, "", "private key, PEM file"),
                 row(scope::tls, "ca", type::text, "", "authority both sides trust, PEM file"),
                 row(scope::tls, "insecure_loopback", type::flag, "false", "no TLS on loopback addresses; for tests only"),
             });
  return out;
}

} // namespace conclave::key_table
