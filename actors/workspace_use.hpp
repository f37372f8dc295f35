// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a tool written in C++ asks of the workspace of the agent that called it. Local: never crosses nodes.

#include "protocols/interfaces.hpp"
#include "protocols/workspace_handle.hpp"
#include "protocols/workspace_tools.hpp"

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/typed_actor.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace conclave {

/// One use of a handle.
struct use_files {
  enum class kind : std::uint8_t { read, write, list };
  std::string task;
  std::uint64_t run = 0;
  kind what = kind::read;
  std::string path, bytes; ///< bytes: to be written
};

struct files_used {
  bool failed = false;
  workspace_tools::tool_fault fault;
  std::string bytes;
  std::vector<workspace_entry> entries;
};

} // namespace conclave

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::use_files)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::files_used)

namespace conclave {

/// A workspace, for tools of the host's. What is denied, or fails, is told in the reply; a use of a run that is over fails.
using file_user_actor = caf::typed_actor<caf::replies_to<use_files>::with<files_used>>;

} // namespace conclave
