// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// From a decision to its effects: its events are made durable first. And the end of a task, which comes with the last of them.

#include "actors/orchestrator_state.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/replay.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <utility>

namespace conclave {

using ledger::command;
using ledger::command_kind;

namespace {
constexpr auto append_limit = std::chrono::seconds(30);
constexpr auto close_limit = std::chrono::seconds(3);
constexpr auto close_files_limit = std::chrono::seconds(12); ///< where an agent has a workspace: what runs in it is ended first
constexpr std::size_t max_listed = 8;                        ///< agents named in a warning
} // namespace

void orchestrator_state::commit(batch b) {
  if (b.events.empty()) {
    // Nothing to make durable, but what came before must be: keep the order.
    if (inflight.empty())
      release(std::move(b));
    else
      std::move(b.effects.begin(), b.effects.end(), std::back_inserter(inflight.back().effects));
    return;
  }
  for (auto& x : b.bodies)
    stored_bytes += x.bytes.size();
  stored_bytes += ledger::stored_bytes(b.events);
  append_events msg{b.events, std::move(b.bodies), b.events.front().seq == 1 ? log.question : std::string{}};
  inflight.push_back(std::move(b));
  self->request(parts.recorder, append_limit, std::move(msg))
      .then(
          [this](const appended& a) {
            if (failed || inflight.empty())
              return;
            if (a.code != ec::none)
              return give_up(a.code, a.error);
            auto next = std::move(inflight.front());
            inflight.pop_front();
            release(std::move(next));
          },
          [this](const caf::error& e) { give_up(ec::unavailable, "the event store did not answer: " + text_of(e)); });
}

void orchestrator_state::release(batch b) {
  auto over = std::any_of(b.events.begin(), b.events.end(), [](const event& e) { return e.type == event_type::task_ended; });
  for (auto& e : b.events)
    tell(std::move(e));
  for (auto& effect : b.effects)
    effect();
  if (over)
    close();
  else
    end_if_full();
}

// One copy for all.
void orchestrator_state::tell(event e) {
  auto msg = caf::make_message(std::move(e));
  for (auto& sink : parts.sinks)
    caf::anon_send(caf::actor_cast<caf::actor>(sink), msg);
}

// A log that grows without end: what there is by now is the answer, as when the time is over.
void orchestrator_state::end_if_full() {
  auto& most = parts.bounds;
  if (full || (seq < most.events && stored_bytes < most.bytes))
    return;
  full = true;
  auto why = "its log has " + std::to_string(seq) + " events and " + std::to_string(stored_bytes >> 20) + " MiB, a task may have "
             + std::to_string(most.events) + " and " + std::to_string(most.bytes >> 20) + ": the task is ended";
  if (!log.members.empty())
    note(log.members.front().id, why);
  for (auto& t : ledger::want(log).timers)
    if (t.kind == ledger::timer_kind::coordination || t.kind == ledger::timer_kind::presentation)
      return fire(t);
  command c;
  c.kind = command_kind::cancel;
  c.reason = why;
  apply(std::move(c), nullptr);
}

/// One sentence per tool source that was missed.
void orchestrator_state::add_missing(std::vector<std::string>& warnings) const {
  for (auto& [key, m] : missing) {
    auto& [source, at_start] = key;
    std::string who;
    std::size_t n = 0;
    for (auto& [agent, times] : m.agents)
      if (n++ < max_listed)
        who += (n > 1 ? ", " : "") + agent;
    if (n > max_listed)
      who += " and " + std::to_string(n - max_listed) + " more";
    auto why = m.why.starts_with(source + " ") ? m.why.substr(source.size() + 1) : m.why;
    warnings.push_back("tools of " + source + (at_start ? " were missing for " : " failed for ") + who + ": " + why);
  }
}

void orchestrator_state::close() {
  if (closing)
    return;
  closing = true;
  ending = ledger::to_outcome(log, parts.task);
  add_missing(ending.warnings);
  auto has_files = [](const placed_agent& a) { return !a.config.backend.workspace.cwd.empty(); };
  auto files = std::any_of(parts.agents.begin(), parts.agents.end(), has_files);
  for (auto& a : parts.agents)
    if (auto addr = caf::actor_cast<caf::actor_addr>(a.node); a.node && unclosed.insert(addr).second)
      self->request(a.node, files ? close_files_limit : close_limit, end_task{parts.task, parts.fence})
          .then([this, addr](const task_closed& c) { closed(addr, &c); },
                [this, addr](const caf::error&) { closed(addr, nullptr); });
  closed({}, nullptr);
}

void orchestrator_state::closed(const caf::actor_addr& node, const task_closed* with) {
  if (unclosed.erase(node) > 0 && with != nullptr)
    ending.warnings.insert(ending.warnings.end(), with->notes.begin(), with->notes.end());
  if (!closing || replied || !unclosed.empty())
    return;
  replied = true;
  done.deliver(std::move(ending));
}

void orchestrator_state::give_up(ec code, const std::string& reason) {
  if (failed)
    return;
  failed = true;
  inflight.clear();
  if (closing) { // the terminal event is out: what is left is to say how it ended
    if (!replied)
      done.deliver(ledger::to_outcome(log, parts.task));
    replied = true;
    return;
  }
  for (auto& a : parts.agents)
    if (a.node)
      caf::anon_send(a.node, end_task{parts.task, parts.fence});
  // The store cannot take it: the terminal event goes to the host only.
  command c;
  c.kind = command_kind::give_up;
  c.now_ms = now_ms();
  c.code = code;
  c.reason = reason;
  for (auto& e : ledger::advance(log, c).events) {
    e.task = parts.task;
    tell(std::move(e));
  }
  if (!asked || replied)
    return;
  replied = true;
  auto out = ledger::to_outcome(log, parts.task);
  out.kind = outcome_kind::failed;
  out.answer.clear();
  out.code = code;
  out.error = reason;
  done.deliver(std::move(out));
}

} // namespace conclave
