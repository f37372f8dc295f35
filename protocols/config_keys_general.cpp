// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Keys of the file, its agents, the orchestrator, timeouts and display that set no member. What the limits mean:
// docs/protocol.md 5.

#include "protocols/config_keys.hpp"

namespace conclave::unbound_keys {

namespace {

using scope = key_scope;
using type = key_type;
using status = key_status;

key_info row(scope s, const char* name, type t, const char* fallback, const char* help, status st = status::live) {
  return {s, name, t, st, 0, 0, "", fallback, "", help};
}

key_info later(scope s, const char* name, type t, const char* fallback, const char* help) {
  return row(s, name, t, fallback, help, status::later);
}

// Tables: rows of one kind look alike, and each says something else.

void agents(std::vector<key_info>& out) {
  out.insert(out.end(), {
                            row(scope::top, "agents", type::list, "", "the team, in registration order; at most 64"),
                            row(scope::top, "agent", type::map, "", "a team of one; not together with `agents`"),
                            row(scope::top, "orchestrator", type::map, "", "rules of the coordination"),
                            row(scope::top, "timeout_settings", type::map, "", "deadlines"),
                            row(scope::top, "ui", type::map, "", "display"),
                            row(scope::top, "cluster", type::map, "", "other machines"),
                            row(scope::top, "sandbox", type::map, "", "as `agents[].backend.sandbox`, for all agents"),
                            row(scope::top, "display", type::map, "", "another spelling of `ui`", status::cosmetic),
                            later(scope::agent, "voting_sensitivity", type::text, "", "how demanding this agent is as a voter"),
                            later(scope::agent, "subtask", type::text, "", "this agent's part of a divided task"),
                        });
}

void orchestrator(std::vector<key_info>& out) {
  const auto s = scope::orchestrator;
  out.insert(
      out.end(),
      {
          row(s, "defer_voting_until_all_answered", type::flag, "false",
              "barrier with patience 0; not together with `pacing` or the patience"),
          row(s, "skip_final_presentation", type::flag, "false", "another spelling of `final_answer_strategy: winner_reuse`"),
          row(s, "snapshot_storage", type::text, "", "needed by `cwd`; snapshots are kept in `$CONCLAVE_HOME`, whatever it says"),
          row(s, "agent_temporary_workspace", type::text, "",
              "needed by `cwd`; the others' files are shown below `$CONCLAVE_HOME`, whatever it says"),
          row(s, "session_storage", type::text, "", "no sessions of several turns yet: each question is a task of its own",
              status::cosmetic),
          row(s, "context_paths", type::any, "", "files and folders that all agents may read, see below"),
          row(s, "coordination", type::map, "", "modes of the coordination"),
          {s, "drift_conflict_policy", type::choice, status::live, 0, 0, "fail skip prefer_presenter", "fail", "",
           "as `agents[].backend.drift_conflict_policy`, for agents that have none of their own"},
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
  out.insert(out.end(), {
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
                            later(c, "broadcast_timeout", type::seconds, "", "wait for replies"),
                            {c, "write_mode", type::choice, status::live, 0, 0, "auto worktree isolated legacy", "auto", "",
                             "as `agents[].backend.write_mode`, for agents that have none of their own"},
                            {c, "drift_conflict_policy", type::choice, status::live, 0, 0, "fail skip prefer_presenter", "fail", "",
                             "as `agents[].backend.drift_conflict_policy`, for agents that have none of their own"},
                            later(c, "resume_from_log", type::any, "", "going on from a log"),
                            later(c, "checkpoint_enabled", type::flag, "false", "checkpoints"),
                            later(c, "fast_iteration_mode", type::flag, "false", "less polishing"),
                            later(c, "novelty_injection", type::text, "none", "pressure for new ideas"),
                            later(c, "criteria_mode", type::text, "static", "where criteria come from"),
                        });
}

void timeouts(std::vector<key_info>& out) {
  const auto s = scope::timeout_settings;
  out.insert(out.end(), {
                            row(s, "round_timeout_grace_seconds", type::seconds, "",
                                "time after a soft deadline; deadlines are hard here", status::cosmetic),
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
                 row(u, "logging_enabled", type::flag, "true", "logs are always written", status::cosmetic),
                 row(u, "debug", type::flag, "false", "use `-v`", status::cosmetic),
                 row(u, "use_orchestrator_for_single_agent", type::flag, "true", "false: an agent that is alone answers at once"),
                 row(u, "theme", type::text, "", "colours", status::cosmetic),
                 row(u, "refresh_rate", type::number, "", "pictures per second", status::cosmetic),
             });
  return out;
}

} // namespace conclave::unbound_keys
