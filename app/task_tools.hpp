// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What tools a task had and called, from its log.

#include "protocols/coordination.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace conclave {

class event_store;

/// Where an agent's tools come from.
struct tool_source_use {
  std::string agent;
  std::string kind; ///< mcp, native, built_in
  std::string name; ///< of the MCP server or of the native tool; empty = all that the engine was given; "conclave" = built in
  std::uint64_t calls = 0;
  std::uint64_t failed = 0; ///< of them: without a result, or with one that is an error
  bool operator==(const tool_source_use&) const = default;
};

/// One call that was carried out. One that was refused before (a limit, planning mode) is none.
struct tool_use {
  std::string agent;
  std::uint64_t run = 0;
  std::uint64_t call = 0; ///< number of the agent's calls, as in the events
  std::string tool;       ///< public name
  std::string source;     ///< name of its source, as above
  std::string arguments;  ///< JSON, as the model wrote it
  call_effect effect = call_effect::once;
  std::string status;                      ///< finished, error, unknown, or the code of what went wrong; empty = under way
  tool_result result;                      ///< the whole of it, whatever the model was shown
  std::int64_t begun_ms = 0, ended_ms = 0; ///< Unix time; 0 = it has not ended
};

struct task_tools {
  std::string error; ///< why the log or a body of it cannot be read; what could be is there
  std::vector<tool_source_use> sources;
  std::vector<tool_use> calls; ///< in the order in which they began
};

/// Reads them on the caller's thread, also of a task that runs: as far as its log goes. A task that is not there has an `error`.
task_tools tools_of(event_store& store, const std::string& task);

} // namespace conclave
