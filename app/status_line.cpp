// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/status_line.hpp"

#include "app/event_text.hpp"
#include "app/plain_text.hpp"
#include "app/usage_text.hpp"

#include <algorithm>

namespace conclave {

namespace {

constexpr std::size_t names_shown = 3;

std::string waiting_text(const std::vector<std::string>& names) {
  std::vector<std::string> some(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(std::min(names.size(), names_shown)));
  auto more = names.size() - some.size();
  return names_text(some, "") + (more > 0 ? " and " + std::to_string(more) + " more" : "");
}

std::string phase_text(const task_view& v, bool names) {
  if (!v.cancel_reason.empty())
    return "ending early";
  if (v.selected)
    return one_line(v.winner, longest_name) + (v.presenting ? " presents" : " wins");
  std::vector<std::string> waited;
  std::size_t done = 0, out = 0;
  for (const auto& m : v.state.members) {
    auto* a = v.find(m.id);
    // An answer makes up for nobody in a later round: there an agent is asked once more.
    bool ready = v.state.round == 0 ? !m.answers.empty() : m.closed;
    done += ready && m.live;
    out += !m.live;
    if (m.live && !ready && a)
      waited.push_back(m.id);
  }
  auto text = "round " + std::to_string(v.state.round) + (v.state.round == 0 ? ", answered " : ", decided ") + std::to_string(done)
              + " of " + std::to_string(v.state.members.size());
  if (out > 0)
    text += ", " + std::to_string(out) + " out";
  return waited.empty() || !names ? text : text + ", waiting for " + waiting_text(waited);
}

} // namespace

std::string status_text(const task_view& v, std::int64_t now_ms, bool names) {
  if (v.agents.empty() || v.ended)
    return {};
  auto text = phase_text(v, names) + ", " + seconds(now_ms - v.started_ms);
  bool any = std::any_of(v.agents.begin(), v.agents.end(), [](const agent_view& a) { return a.model.ended > 0; });
  return any ? text + ", " + tokens_in_all(v.cost()) : text;
}

} // namespace conclave
