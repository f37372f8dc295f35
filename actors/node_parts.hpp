// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// How a node makes an agent's parts: variables and keys resolved from this node's environment, the kind -> actor table.

#include "actors/known_secrets.hpp"
#include "actors/parts.hpp"
#include "actors/provider_gate.hpp"
#include "actors/workspace.hpp"

#include <string>
#include <vector>

namespace conclave {

/// What a model connection is made of, secrets resolved. Agents whose connections are equal share one: every member counts, so a
/// new one cannot be forgotten.
struct connection_parts {
  std::string kind;               ///< http, local, scripted
  std::string model_path, server; ///< local: as on this machine
  backend_config said;            ///< the keys that make a connection another one (protocols/config_rows.hpp), else as new
  backend_parts parts;
  bool operator==(const connection_parts&) const = default;
};

/// What the gate of a connection is made of. Connections to one place with one key share it, however else they differ.
struct gate_parts {
  std::string place; ///< scheme, host and port; empty = the connection is nobody else's
  std::string key;
  std::string name; ///< for people
  breaker_policy policy;
  rate_limits limits;
};

/// A model connection, ready to be spawned.
struct connection : connection_parts {
  gate_parts gate;
  ec code = ec::none; ///< not none: cannot be made, see `error`
  std::string error;
  std::vector<std::string> notices; ///< what redirects calls, and what was mended; to be said before the first call
};

/// Resolves an agent's backend: dialect, base URL, key (a provider's key goes only to that provider's hosts), decision step.
connection resolve_backend(const backend_config& config, const node_resources& with);

/// The kind -> actor table. `gate`: of the place and key; none = it has one of its own. `hidden` is taken out of what failures say.
backend_actor spawn_connection(caf::actor_system& sys, const connection& c, const spawn_agent& order, const node_resources& with,
                               const std::shared_ptr<const secrets_of_tasks>& hidden, const provider_gate_actor& gate = {});

/// Returns what is secret of a backend: its keys, and what its configuration gives its tool servers under the names of secrets.
secrets secrets_of(const backend_config& of, const connection& c, const node_resources& with);

/// Returns what an agent's workspace is made of. `error` says why there can be none.
workspace_parts workspace_of(const spawn_agent& order, const node_resources& with, std::string& error);

/// Spawns the tool sources an agent's configuration names, each behind its breaker, which takes `hidden` out of its results.
/// `status`: who is told while one is slow to start. `lost` (may be empty): is told of one that was ended for good, on the thread
/// of its actor. `workspace`: of the agent; its servers run in the sandbox of that.
std::vector<tool_source> spawn_tools(caf::actor_system& sys, const spawn_agent& order, const node_resources& with,
                                     const chunk_sink_actor& status, const std::shared_ptr<const known_secrets>& hidden,
                                     const std::function<void(const std::string&)>& lost, const workspace_actor& workspace = {});

} // namespace conclave
