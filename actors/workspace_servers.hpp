// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a workspace and the tool servers of its agent say to each other. Local: never crosses nodes.

#include "protocols/interfaces.hpp"
#include "protocols/wire/foreign_paths.hpp"
#include "transports/server_walls.hpp"

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/typed_actor.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace conclave {

/// End, and answer once nothing of the server's process is left.
struct end_server {
  std::string why = {}; ///< what calls under way are told; empty = their run is over
};
struct server_ended {};

} // namespace conclave

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::end_server)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::server_ended)

namespace conclave {

using confined_server_actor = caf::typed_actor<caf::replies_to<end_server>::with<server_ended>>;

/// A server is about to be started; `who` is told when it has to end: before a snapshot, and when a run begins, whose grants are
/// others.
struct ask_walls {
  std::string server;
  confined_server_actor who;
};

/// May a tool server be given these paths? Asked for each of its calls that holds some.
struct ask_ruling {
  std::string task;
  std::uint64_t run = 0;
  std::string tool; ///< its public name
  std::vector<wire::foreign_path> paths;
  bool guessed = false; ///< that it writes: nobody says so
  bool adds = false;    ///< it may make something, so there has to be room
  std::string base;     ///< where relative paths begin for a server that does not start in the workspace; empty = there
};
struct call_ruling {
  std::string denial; ///< what the model is told; empty = it may
};

} // namespace conclave

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::ask_ruling)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::call_ruling)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::ask_walls)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::server_walls)

namespace conclave {

/// A workspace, for the servers of its agent. Errors: unavailable (nothing confines here, the disk), cancelled (the task is over).
using wall_actor = caf::typed_actor<caf::replies_to<ask_walls>::with<server_walls>, caf::replies_to<ask_ruling>::with<call_ruling>>;

} // namespace conclave
