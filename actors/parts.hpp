// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What actors are spawned with. Local only: holds shared transports, never crosses nodes.

#include "actors/caller_book.hpp"
#include "protocols/config_expand.hpp"
#include "protocols/interfaces.hpp"
#include "protocols/node_note.hpp"
#include "protocols/secrets.hpp"
#include "protocols/wire/dialect.hpp"
#include "transports/node_link.hpp"
#include "transports/outside.hpp"
#include "transports/sandbox_finder.hpp"

#include <caf/actor_system.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace conclave {

namespace run {
struct ask_policy;
struct ended_call;
struct policy;
} // namespace run

/// What a connection trusts; equal if the authorities are.
struct trust_choice : std::shared_ptr<const tls_trust> {
  using std::shared_ptr<const tls_trust>::shared_ptr;
  trust_choice(std::shared_ptr<const tls_trust> t) : std::shared_ptr<const tls_trust>(std::move(t)) {}
  bool operator==(const trust_choice& o) const { return get() == o.get() || (*this && o && **this == *o); }
};

/// Spawns a C++ tool source; the node calls it once per agent that wants the tool, with the agent's workspace, if it has one.
using tool_factory = std::function<tool_source_actor(caf::actor_system&, const workspace_actor&)>;

/// Spawns the model connection of an agent; the node calls it once per agent.
using model_factory = std::function<backend_actor(caf::actor_system&, const spawn_agent&)>;

/// Counts the changes of a source's list: the source adds one with each, whoever has an older number lists it again. A number and
/// no message, so that a source that announces changes without end costs its agent nothing. Any thread.
using list_version = std::shared_ptr<std::atomic<std::uint64_t>>;

/// A tool source as its agent uses it.
struct tool_source {
  tool_source_actor actor;
  std::string name;                       ///< for people: "MCP server 'everything'"
  std::chrono::milliseconds start_limit;  ///< how long it may take until it can say what it offers, see protocols/tool_waits.hpp
  list_version version = {};              ///< none = its list stays as it is
  std::chrono::milliseconds call_limit{}; ///< of its calls, whatever the user's limit of tool calls; 0 = that limit
};

/// How busy a node is, and whether it is ending: it takes no new task then, and finishes those it has. Any thread.
struct node_load {
  std::atomic<bool> ending = false;
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t tasks = 0; ///< with the lock held
};

/// How a run ended.
struct run_end {
  std::string how = "superseded"; ///< answered, voted, presented, failed, or it was decided without this run
  ec code = ec::none;
  std::string why; ///< failed only
};

/// Reads along what an agent does; for the node's log. Called by the agent, and must not block.
class run_watcher {
public:
  virtual ~run_watcher() = default;
  virtual void began(const start_run& t) = 0;
  virtual void call_ended(std::uint64_t run, const run::ended_call& c) = 0; ///< may come after the end of its run
  virtual void ended(const run_end& e) = 0;
};

/// What a node owns and lends to its actors.
struct node_resources {
  std::shared_ptr<http_transfers> http;
  lookup env;                                   ///< this node's environment and .env
  source_lookup sources = {};                   ///< where its variables came from
  std::string log_dir;                          ///< where tool servers' stderr goes; empty = nowhere
  std::shared_ptr<sandbox_finder> sandbox = {}; ///< none = no command is run
  std::string home = {};                        ///< where workspaces and snapshots are kept; empty = this process keeps none
  std::map<std::string, tool_factory> tools;    ///< C++ tools by name
  bool tools_for_all = true;
  secrets known = {};                        ///< of its environment: never shown to a model
  model_factory scripted = {};               ///< plays scripted models; empty = their scripts do
  note_taker note = {};                      ///< who keeps the log; empty = nobody
  std::shared_ptr<node_load> load = {};      ///< for whoever waits for its tasks; empty = nobody
  std::shared_ptr<caller_book> callers = {}; ///< filled by the door; empty = no caller has an address
  peer_book_actor peers = {};                ///< asked by the door
  std::shared_ptr<conclave::outside> outside = conclave::outside::of_machine();
  std::shared_ptr<lane_group> disk = {}; ///< on which workspaces use the disk; empty = lanes of the outside that the node opens
};

/// Threads of one node that use the disk for the workspaces on it.
inline constexpr std::size_t disk_threads = 4;

/// Takes the answer to a question of a policy, on any thread as long as the actor system lives. A second one, or one that comes
/// after the run, has no effect.
using policy_say = std::function<void(bool go, std::string text)>;

/// Decides what a policy waits for, now or later. Called by the agent, and must not block.
using policy_hook = std::function<void(const run::ask_policy& what, policy_say say)>;

/// A model connection of an agent, or why there is none in its place.
struct model_link {
  backend_actor actor;
  ec code = ec::none;
  std::string error;
};

/// What an agent works with as long as it lives.
struct agent_links {
  backend_actor backend; ///< the only one, where `models` is empty
  std::vector<tool_source> tools;
  chunk_sink_actor chunks; ///< where pieces of its streams go
  orchestrator_actor boss;
  std::shared_ptr<run_watcher> watcher = {}; ///< none = nobody reads along
  policy_hook ask = {};                      ///< none = what a policy waits for is denied
  workspace_actor workspace = {};            ///< none = it has no files
  std::vector<model_link> models = {};       ///< one for each of the agent's backends (backend_at); empty = `backend` alone
  std::shared_ptr<conclave::outside> outside = conclave::outside::of_machine();
};

struct agent_parts : agent_links {
  spawn_agent order;
  const std::vector<run::policy>* policies = nullptr; ///< outlives the agent; none = `run::policies()`
};

struct backend_parts {
  const wire::dialect* dialect = nullptr;
  wire::endpoint endpoint;
  std::shared_ptr<http_transfers> http;
  trust_choice trust;   ///< none = the system's authorities
  std::string decision; ///< tools | schema | text; "auto" as settled for the type before spawning
  bool ladder_fixed = false;
  std::int32_t context_tokens = 0;
  bool operator==(const backend_parts&) const = default;
};

} // namespace conclave
