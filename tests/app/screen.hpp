// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

// A display and what it wrote, and the stories the display's tests tell.

#include "app/display.hpp"
#include "caf/test/unit_test.hpp"
#include "tests/app/story.hpp"

#include <string>
#include <vector>

namespace conclave {

/// A display and everything it wrote, write by write.
struct screen {
  std::vector<std::string> writes;
  std::int64_t now = story::start_ms;
  display shown;

  explicit screen(display_options o = {}) : shown(with_clock(o), [this](std::string_view s) { writes.emplace_back(s); }) {}

  display_options with_clock(display_options o) {
    o.now_ms = [this] { return now; };
    return o;
  }

  void say(const std::string& agent, const std::string& text, chunk_kind kind = chunk_kind::text, std::uint64_t run = 1) {
    shown.on(chunk_batch{"t", run, agent, {{kind, text}}});
  }

  std::string text() const {
    std::string out;
    for (const auto& w : writes)
      out += w;
    return out;
  }

  bool has(const std::string& part) const {
    if (text().find(part) != std::string::npos)
      return true;
    CAF_MESSAGE("'" << part << "' is missing in:\n" << text());
    return false;
  }
};

inline story::teller two_agents() {
  story::teller t;
  t.session("q", {"writer", "me"});
  t.run("writer", 1, 0, 0, {});
  t.run("me", 2, 0, 0, {});
  return t;
}

inline outcome answered() {
  outcome o;
  o.task = "20261124-081638-abc123";
  o.kind = outcome_kind::answered;
  o.winner = "critic";
  o.answer = "6 x 7 is 42.";
  o.finish_reason = "completed";
  return o;
}

} // namespace conclave
