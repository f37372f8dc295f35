// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What actors are spawned with. Local only: holds shared transports, never crosses nodes.

#include "protocols/interfaces.hpp"
#include "protocols/wire/dialect.hpp"

#include <caf/actor_system.hpp>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace conclave {

class http_client;

/// Spawns a C++ tool source; the node calls it once per agent that wants the tool.
using tool_factory = std::function<tool_source_actor(caf::actor_system&)>;

/// A tool source as its agent uses it.
struct tool_source {
  tool_source_actor actor;
  std::string name;                      ///< for people: "MCP server 'everything'"
  std::chrono::milliseconds start_limit; ///< how long it may take until it can say what it offers, see protocols/tool_waits.hpp
};

/// What a node owns and lends to its actors.
struct node_resources {
  std::shared_ptr<http_client> http;
  lookup env;                                ///< this node's environment and .env
  source_lookup sources = {};                ///< where its variables came from
  std::string log_dir;                       ///< where tool servers' stderr goes; empty = nowhere
  std::map<std::string, tool_factory> tools; ///< C++ tools by name
  bool tools_for_all = true;
};

struct agent_parts {
  spawn_agent order;
  backend_actor backend;
  std::vector<tool_source> tools;
  chunk_sink_actor chunks; ///< where pieces of its streams go
  orchestrator_actor boss;
};

struct backend_parts {
  const wire::dialect* dialect = nullptr;
  wire::endpoint endpoint;
  std::shared_ptr<http_client> http;
  std::shared_ptr<const tls_trust> trust; ///< none = the system's authorities
  std::string decision;                   ///< tools | schema | text; "auto" as settled for the type before spawning
  bool ladder_fixed = false;
  std::int32_t context_tokens = 0;
};

} // namespace conclave
