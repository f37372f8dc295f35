// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// From a backend that is out to the next of the agent's list (docs/protocol.md 8.3). What follows from it depends on the
// configuration and the failed call alone, so that a log is replayed without asking a connection.

#include "protocols/catalogue.hpp"
#include "protocols/config_url.hpp"
#include "protocols/prompts.hpp"
#include "protocols/run_mover.hpp"
#include "protocols/text.hpp"

#include <algorithm>
#include <utility>

namespace conclave::run {

using prompts::ladder;

namespace {

constexpr std::size_t max_cause = 1'000; ///< bytes of why one backend is out

/// Where the decision ladder of a backend stands that was never asked.
ladder first_step(const backend_config& b) {
  if (b.decision.empty() || b.decision == "auto")
    return b.type == "local" ? ladder::schema : ladder::tools;
  return b.decision == "schema" ? ladder::schema : b.decision == "text" ? ladder::text : ladder::tools;
}

std::string named(const backend_config& b) {
  return b.type + (b.model.empty() ? "" : " " + b.model);
}

/// As above, with the host of its address: of two of one type and model it tells them apart.
std::string placed(const backend_config& b) {
  auto host = url_host(base_url_of(b));
  return named(b) + (host.empty() ? "" : " at " + shown_text(host, 100));
}

/// Why a backend is not asked any more, as one line of a list.
std::string cause(const backend_config& b, std::string why) {
  prompts::cut(why, max_cause);
  return named(b) + ": " + why;
}

} // namespace

const backend_config& mover::in_use() const {
  return backend_at(with.agent, s.memory.backend);
}

bool mover::fall_over(ec code, std::string& why) {
  auto& m = s.memory;
  // A turn that was paused half-way is in the form of the provider that paused it.
  if (!asks_elsewhere(code) || with.agent.failover.empty() || s.pauses > 0)
    return false;
  auto from = named(in_use());
  auto left = m.left;
  left.push_back(cause(in_use(), why));
  auto to = std::min<std::size_t>(m.backend, with.agent.failover.size()) + 1; // a stored number may be any
  for (; to < with.unusable.size() && !with.unusable[to].empty(); ++to)
    left.push_back(cause(backend_at(with.agent, to), with.unusable[to]));
  if (to > with.agent.failover.size()) {
    why.clear();
    for (auto& x : left)
      why += (why.empty() ? "" : "; ") + x;
    return false;
  }
  m.left = std::move(left);
  const memory fresh; // what was learned is the other backend's, and so are the requests made in vain
  m.saw_tools = fresh.saw_tools;
  m.learned_budget = fresh.learned_budget;
  m.decision_room = fresh.decision_room;
  m.vain = fresh.vain;
  m.vain_code = fresh.vain_code;
  m.vain_error.clear();
  auto known = m.backend < with.unusable.size() && !with.unusable[m.backend].empty(); // and told at the start
  m.backend = next.backend = static_cast<std::uint32_t>(to);
  next.moved = "goes on with " + placed(in_use()) + " instead of " + from + (known ? "" : ": " + why);
  return true;
}

/// The conversation stays as it is, with its tool calls and results. Where it has only begun, it begins as the new backend takes
/// it.
void mover::go_on_elsewhere() {
  const auto& b = in_use();
  auto step = first_step(b);
  auto room = b.context_tokens > 0 ? static_cast<std::size_t>(b.context_tokens) * 3 / 2 : std::size_t{0};
  s.ladder_fixed = !b.decision.empty() && b.decision != "auto";
  s.bare_replies = 0;
  s.overflows = 0;
  s.partial.clear();
  auto begun = s.iterations > 0 || s.attempt > 1 || s.want == asked_for::presentation;
  if (room > 0 && (s.budget_bytes == 0 || room < s.budget_bytes))
    s.budget_bytes = room;
  if (!begun && step != s.step) {
    s.step = step;
    open_talk();
  }
  call_model();
}

} // namespace conclave::run
