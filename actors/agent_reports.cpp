// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// A run's reports as messages to the orchestrator, and its rulings as inputs: the ends of calls first, then what is to begin, or
// the verdict.

#include "actors/agent_state.hpp"
#include "protocols/caf_error.hpp"

#include <caf/all.hpp>

#include <memory>

namespace conclave {

namespace {

constexpr auto boss_limit = std::chrono::seconds(60);
constexpr int verdict_tries = 3;

call_notice notice(const run_task& t, std::uint64_t run, std::uint64_t call, std::string target) {
  call_notice n;
  n.task = t.task;
  n.fence = t.fence;
  n.agent = t.agent;
  n.run = run;
  n.call = call;
  n.target = std::move(target);
  return n;
}

ruling superseded() {
  return {ruling_kind::superseded, "", {}};
}

} // namespace

void agent_state::carry_out(run::report& a) {
  if (a.has_verdict && a.handed_in.kind == verdict_kind::failed && parts.on_failed)
    parts.on_failed(a.handed_in);
  for (auto& e : a.ended) {
    auto n = notice(run.task, a.run, e.call, std::move(e.target));
    n.ended = true;
    n.status = std::move(e.status);
    n.use = e.use;
    n.trouble = std::move(e.trouble);
    self->request(parts.boss, boss_limit, std::move(n)).then([](const noted&) {}, [](const caf::error&) {});
  }
  if (!a.begun.empty())
    begin_calls(a);
  else if (a.has_verdict && a.ask)
    ask_for_ruling(a.number, std::move(a.handed_in), verdict_tries);
  else if (a.has_verdict)
    self->request(parts.boss, boss_limit, std::move(a.handed_in)).then([](const ruling&) {}, [](const caf::error&) {});
}

/// Each call by itself; they may begin once all of them may.
void agent_state::begin_calls(const run::report& a) {
  auto left = std::make_shared<std::size_t>(a.begun.size());
  for (auto& b : a.begun) {
    auto n = notice(run.task, a.run, b.call, b.target);
    n.hash = b.hash;
    self->request(parts.boss, boss_limit, std::move(n))
        .then(
            [this, left, number = a.number](const noted& r) {
              if (!r.go)
                input(run::ruled{number, superseded()});
              else if (--*left == 0)
                input(run::ruled{number, {ruling_kind::accepted, "", {}}});
            },
            [this, number = a.number](const caf::error&) { // no orchestrator, no run
              input(run::ruled{number, superseded()});
            });
  }
}

/// A second verdict of the same run does no harm, so a lost ruling is asked for again.
void agent_state::ask_for_ruling(std::uint64_t report, verdict v, int tries) {
  auto copy = v;
  self->request(parts.boss, boss_limit, std::move(copy))
      .then(
          [this, report](ruling& r) {
            input(run::ruled{report, std::move(r)});
          },
          [this, report, v = std::move(v), tries](const caf::error& e) {
            if (code_of(e) == ec::timeout && tries > 1 && run.awaited == report)
              ask_for_ruling(report, v, tries - 1);
            else
              input(run::ruled{report, superseded()});
          });
}

} // namespace conclave
