// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to node*.cpp: what a node hosts, and how that begins and ends.

#include "actors/node.hpp"
#include "actors/node_notes.hpp"
#include "actors/node_parts.hpp"
#include "protocols/type_ids.hpp"

#include <caf/actor_clock.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <deque>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace conclave::hosting {

struct shared_backend {
  connection_parts what;
  backend_actor handle;
  std::size_t users = 0;
  provider_gate_actor gate; ///< none = its own
};

/// A gate outlives its connections: what a day's limit has left, and that a provider is out, holds for the next task too.
struct shared_gate {
  gate_parts what;
  provider_gate_actor handle;
};

struct hosted_agent {
  agent_actor handle;
  workspace_actor workspace; ///< none = it has no files
  std::vector<tool_source> tools;
  backend_actor own_backend;           ///< scripted: ends with the agent
  std::vector<shared_backend*> shared; ///< of the others their places in the node's list
  chunk_sink_actor relay;              ///< when the sink is on another node
};

struct hosted_task {
  std::uint64_t fence = 0;
  std::string peer; ///< where its caller is, for the log
  std::shared_ptr<task_cost> cost = std::make_shared<task_cost>();
  caf::actor_clock::time_point since = {};
  std::uint64_t runs = 0;
  orchestrator_actor boss;
  std::map<std::string, hosted_agent> agents;
  std::map<std::string, std::string> texts; ///< label -> answer
  std::size_t text_bytes = 0;
  std::map<std::string, std::string> files; ///< by the name of their body, as base64; what is not whole yet as well
  std::size_t file_bytes = 0;
  std::shared_ptr<known_secrets> hidden; ///< from the results of its tools
};

struct node_state {
  static inline const char* name = "node";
  node_resources resources;
  std::map<std::string, hosted_task> tasks;
  std::shared_ptr<secrets_of_tasks> hidden = std::make_shared<secrets_of_tasks>(); ///< from failures of models
  std::list<shared_gate> gates;                                                    ///< by place and key
  std::list<shared_backend> backends; ///< unused ones keep what they learned, up to a bound
  std::size_t agents = 0;
  std::map<std::string, std::uint64_t> fences; ///< the highest seen of each task: less is a former owner's
  std::deque<std::string> fence_order;         ///< oldest first
};

using node_ptr = node_actor::stateful_pointer<node_state>;

void note(node_ptr self, note_weight weight, const char* type, note_fields fields);
/// Tells whoever waits for the end of the tasks.
void count_tasks(node_ptr self);
void release_backend(node_ptr self, shared_backend* shared);
void end_agent(node_ptr self, hosted_agent& a);
void end_hosted(node_ptr self, std::map<std::string, hosted_task>::iterator i, note_weight weight, const char* why);
/// The agent is out for its task: something it cannot do without has ended.
void lose_agent(node_ptr self, const std::string& task, hosted_task& t, std::map<std::string, hosted_agent>::iterator a, ec code,
                const std::string& why);
backend_actor backend_for(node_ptr self, const connection& c, const spawn_agent& order, hosted_agent& a);
/// Why this order is not taken, or none.
caf::error refusal(node_ptr self, const spawn_agent& order);
/// The task of an order, begun if this is its first.
hosted_task& task_of(node_ptr self, const spawn_agent& order, const orchestrator_actor& boss);
/// Whether this comes from the task's owner, or from a newer one than any before, which is remembered.
bool is_owner(node_ptr self, const std::string& task, std::uint64_t fence);
/// The task this is about, if it is here and its present owner says it.
hosted_task* find_task(node_ptr self, const std::string& task, std::uint64_t fence);
hosted_agent* find_agent(hosted_task* t, const std::string& agent);

} // namespace conclave::hosting
