// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// How long everybody between a person and a tool server waits, in one place. Each level waits a little longer than what it waits
/// for, so the innermost one gives up first: it alone knows what happened and can say it.
///
///   server < guard < agent < node < hire     until the tools are listed; `start` is what a source needs for that at most
///   server < guard < agent                   one call; a source that was lost starts anew first, so `start` counts here too

#include "protocols/config.hpp"

#include <algorithm>
#include <chrono>

namespace conclave::tool_waits {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// A tool written in C++ lists itself at once; this is for one that is stuck behind something.
inline constexpr milliseconds native_start = seconds(30);

/// A workspace prepares a run, or keeps the files of one: up to 2 GiB.
inline constexpr milliseconds workspace = std::chrono::minutes(15);
/// One of its tools: a command may take an hour.
inline constexpr milliseconds workspace_call = seconds(3630);

/// What a server has to answer `initialize`, and once more to list its tools.
inline milliseconds step(const mcp_server_config& s) {
  return milliseconds(std::clamp<std::int64_t>(s.startup_timeout_ms, 1, 3'600'000));
}
inline milliseconds start(const mcp_server_config& s) {
  return 2 * step(s);
}

inline milliseconds longest_start(const backend_config& b) {
  auto out = native_start;
  for (const auto& s : b.mcp_servers)
    out = std::max(out, start(s));
  return out;
}

inline milliseconds guard_list(milliseconds source_start) {
  return source_start + seconds(1);
}
inline milliseconds agent_list(milliseconds source_start) {
  return source_start + seconds(2);
}
/// A list that changed keeps no model call waiting for longer: the tools of before are offered until it is there.
inline constexpr milliseconds patience = seconds(5);
inline milliseconds list_again(milliseconds source_start) {
  return std::min(agent_list(source_start), patience);
}
inline milliseconds node_ready(const backend_config& b) {
  return longest_start(b) + seconds(10);
}
/// The node may be on another machine.
inline milliseconds hire(const backend_config& b) {
  return longest_start(b) + seconds(25);
}

inline milliseconds guard_call(milliseconds source_start, milliseconds call) {
  return source_start + call + seconds(5);
}
inline milliseconds agent_call(milliseconds source_start, milliseconds call) {
  return source_start + call + seconds(10);
}

} // namespace conclave::tool_waits
