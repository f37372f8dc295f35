// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// Replies of a model as they come: text, calls of known and unknown tools with good and bad arguments, failures of each kind.

#pragma once

#include "support/run_world.hpp"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace conclave::test {

/// A reply drawn by `d`; `id` gives each call its id. Thread-safe as far as the two are.
template <class MakeId>
completion random_reply(dice& d, MakeId id) {
  static const char* names[] = {"look", "write", "put", "functions.look", "nobody", "new_answer", "vote", "write"};
  static const char* arguments[] = {"{}", "{\"a\":1}", R"({"content":"42","agent_id":"agent1","reason":"x"})", "["};
  auto kind = d.roll(16);
  if (kind < 9) {
    std::vector<tool_call> out;
    for (auto n = 1 + d.roll(5) + (d.roll(6) == 5 ? 9 : 0); n > 0; --n) {
      auto name = names[d.roll(8)];
      out.push_back({id(), name, arguments[std::strncmp(name, "new", 3) == 0 || name[0] == 'v' ? 2 + d.roll(2) % 2 : d.roll(2)]});
    }
    auto c = calls(std::move(out));
    c.text = d.roll(2) == 1 ? "words" : "";
    return c;
  }
  static const ec codes[] = {ec::unavailable, ec::context_overflow, ec::bad_request, ec::stream_broken};
  completion c = text(d.roll(2) == 1 ? "VOTE: agent1" : "The answer is 42.");
  switch (kind) {
  case 9:
    return broken(codes[d.roll(4)], "no tools here");
  case 10:
    c.status = completion_status::truncated;
    return c;
  case 11:
    c.status = d.roll(2) == 1 ? completion_status::refused : completion_status::cancelled;
    return c;
  case 12:
    c = broken(ec::bad_reply, "unreadable");
    c.model_fault = true;
    return c;
  case 13:
    c.status = completion_status::paused;
    c.opaque = "[{}]";
    if (d.roll(4) == 3)
      c.calls = {{id(), "look", "{}"}};
    return c;
  case 14:
    return text(R"({"action":"new_answer"})");
  default:
    return c;
  }
}

} // namespace conclave::test
