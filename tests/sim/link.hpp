// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The connection of an engine to a node on another machine: both ends are actors, and what one says reaches the other when the
/// seed says so, in order. The node's end may outlive the engine: what was under way then still arrives, and what the node says is
/// lost.

#include "protocols/interfaces.hpp"
#include "sim/world.hpp"

#include <caf/all.hpp>

#include <deque>
#include <functional>
#include <memory>

namespace conclave::sim {

struct to_near;
struct to_far;
using near_end = node_actor::extend<caf::reacts_to<to_near>>;
using far_end = orchestrator_actor::extend<caf::reacts_to<to_far>>;

struct to_near {
  std::function<void(near_end::pointer)> act;
};
struct to_far {
  std::function<void(far_end::pointer)> act;
};

struct link {
  world* w = nullptr;
  process_ptr engine;
  std::size_t to = 0; ///< which node
  node_actor node;
  orchestrator_actor boss; ///< once it has hired
  near_end near;
  far_end far;
  std::deque<to_far> down;
  std::deque<to_near> up;
  bool broken = false;
};
using link_ptr = std::shared_ptr<link>;

/// A link to a node; `near` stands for it at the engine.
link_ptr open_link(caf::actor_system& sys, world& w, process_ptr engine, std::size_t to, node_actor node);
/// Puts something on the way. What is under way holds the link; so a link that is broken takes nothing more, or it would hold
/// itself.
void say_down(link& l, std::function<void(far_end::pointer)> act);
void say_up(link& l, std::function<void(near_end::pointer)> act);
void deliver_down(link& l);
void deliver_up(link& l);
void break_link(link& l); ///< both ends end

} // namespace conclave::sim

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::sim::to_near)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::sim::to_far)
