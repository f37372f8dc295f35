// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a task is played by, as its first event holds it: rules, history, agents as configured, where they live. With it the log
/// alone replays the task and restores it after a crash. Pure.

#include "protocols/config.hpp"
#include "protocols/coordination.hpp"
#include "protocols/secrets.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace conclave {

inline constexpr int opening_version = 1;

/// Stands for a literal secret, which is never stored: resume reads it again from the configuration file.
/// Without a space or a character that means something in a URL: it stands where the secret stood and is found there again.
inline constexpr const char* secret_mark = "<secret-read-again-from-the-configuration-file>";

/// An answer that an earlier task left behind, for one that starts where it ended.
struct earlier_answer {
  std::string agent; ///< real id
  std::string label;
  std::string text;
  std::uint64_t epoch = 0;
  std::string snapshot = {};               ///< of the files that go with it, which this task holds; empty = none, or none any more
  std::int64_t files = 0, bytes = 0;       ///< that went with it
  std::vector<folder_change> changes = {}; ///< that it proposes if it is delivered as it is
  bool operator==(const earlier_answer&) const = default;
};

struct opening {
  ledger::rules rules;
  std::vector<turn_text> history;
  std::vector<agent_config> agents; ///< variables unexpanded, literal secrets as marks; registration order
  cluster_config cluster;
  std::vector<std::string> nodes; ///< where each agent was placed, "local" = the engine's process
  std::string config_path;        ///< absolute, or "-" = standard input; empty = built by hand
  std::string folder;             ///< where it was started, absolute: relative paths count from there; empty = none does
  std::string build;
  std::uint64_t seed = 0;              ///< what the random numbers of its owners derive from: the jitter of back-offs
  std::string on_unknown = "tell";     ///< see run_config
  std::vector<earlier_answer> answers; ///< of the task this one goes on from
  std::string continues;               ///< that task's id
  std::vector<attachment> attachments; ///< what goes with the question; the log has their bytes as bodies
  bool operator==(const opening&) const = default;
};

/// Returns one JSON object {"v":1,...}, members that have their default left out. Invalid UTF-8 is replaced.
std::string to_json(const opening& o);

/// Reads what to_json of any version wrote. Returns false and says why in `error` on a newer version or anything else: what is not
/// understood decides how a task is played, so no member is skipped. There are 1 to 64 agents with ids of their own. `out` is as it
/// was then.
bool from_json(const std::string& text, opening& out, std::string& error);

/// Replaces literal secrets by `secret_mark`: where protocols/secret_places.hpp finds one. `known` (may be null): secrets of
/// this machine, which variables may have brought there under any name.
void mask_secrets(opening& o, const secrets* known = nullptr);

/// Puts the secrets of `from`, the same team read again, where marks stand: by the agent's id and the place of the key, and only if
/// who gets it is the same in both: the backend's type and the host of its base_url, of a tool server its type, host and command.
/// What is a variable there now stays one. Returns false and names the keys in `error` (agents[0].backend.api_key, at most five)
/// where there is none any more, or one for somebody else, for the caller to add what to do; `o` is as it was then. `known`: see
/// mask_secrets; those of when `from` was read.
bool restore_secrets(opening& o, const run_config& from, std::string& error, const secrets* known = nullptr);

} // namespace conclave
