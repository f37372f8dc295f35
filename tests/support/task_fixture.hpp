// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A whole task in virtual time: the real orchestrator, real nodes with agents on scripted connections, and a recorder and a sink
/// that the test owns. Time passes from timer to timer, so a deadline of half an hour costs nothing.

#include "actors/node.hpp"
#include "actors/orchestrator.hpp"
#include "protocols/caf_error.hpp"
#include "support/fixture.hpp"

#include <deque>
#include <limits>

namespace conclave::test {

struct log_book {
  std::vector<event> stored;
  std::size_t appends = 0;
  std::size_t fail_at = std::numeric_limits<std::size_t>::max(); ///< from this append on (0-based) the store takes nothing
  bool hold = false;                                             ///< keep replies until `release`
  bool mute = false;                                             ///< never reply
  std::deque<std::pair<caf::typed_response_promise<appended>, appended>> held;
};

/// `ok` lets it answer the oldest append that it holds.
using keeper_actor = recorder_actor::extend<caf::reacts_to<caf::ok_atom>>;

inline keeper_actor::behavior_type book_keeper(keeper_actor::pointer self, std::shared_ptr<log_book> book) {
  return {[self, book](append_events& a) -> caf::result<appended> {
            if (book->appends++ >= book->fail_at)
              return appended{ec::unavailable, "the disk is full", 0};
            book->stored.insert(book->stored.end(), a.events.begin(), a.events.end());
            appended reply{ec::none, "", book->stored.back().seq};
            if (!book->hold && !book->mute)
              return reply;
            book->held.emplace_back(self->make_response_promise<appended>(), reply);
            return caf::delegated<appended>{};
          },
          [book](caf::ok_atom) {
            auto [promise, reply] = book->held.front();
            book->held.pop_front();
            promise.deliver(reply);
          }};
}

struct seen_by_host {
  std::vector<event> events;
  std::vector<chunk_batch> chunks;
};

inline event_sink_actor::behavior_type host_eyes(std::shared_ptr<seen_by_host> seen) {
  return {[seen](const event& e) { seen->events.push_back(e); }, [seen](const chunk_batch& b) { seen->chunks.push_back(b); },
          [seen](const chunk_delivery& d) {
            seen->chunks.push_back(d.batch);
            return chunk_ack{};
          }};
}

inline script_step says(std::string text, std::int64_t after_ms = 0) {
  script_step s;
  s.text = std::move(text);
  s.first_delay_ms = after_ms;
  return s;
}

inline script_step answers(const std::string& text, std::int64_t after_ms = 0) {
  script_step s;
  s.calls = {{"", "new_answer", "{\"content\":\"" + text + "\"}"}};
  s.first_delay_ms = after_ms;
  return s;
}

inline script_step votes(const std::string& target, std::int64_t after_ms = 0) {
  script_step s;
  s.calls = {{"", "vote", "{\"agent_id\":\"" + target + "\",\"reason\":\"good\"}"}};
  s.first_delay_ms = after_ms;
  return s;
}

inline script_step hangs(std::string text = "half a thou") {
  script_step s;
  s.text = std::move(text);
  s.hang = true;
  return s;
}

inline script_step breaks(ec code, std::string text = "") {
  script_step s;
  s.text = std::move(text);
  s.error = code;
  return s;
}

struct task_fixture : fixture {
  std::shared_ptr<log_book> book = std::make_shared<log_book>();
  std::shared_ptr<seen_by_host> host = std::make_shared<seen_by_host>();
  std::vector<node_actor> nodes;
  std::vector<placed_agent> team;
  ledger::rules rules;
  log_bounds bounds;
  std::shared_ptr<revived_task> revived; ///< set: it is gone on with
  keeper_actor recorder;
  event_sink_actor eyes;
  orchestrator_actor boss;
  caf::actor asker;
  std::vector<outcome> outcomes;
  std::vector<caf::error> refusals;
  std::chrono::steady_clock::time_point began;

  node_actor add_node() {
    nodes.push_back(spawn_node(sys, node_resources{}));
    return nodes.back();
  }

  void member(std::string id, std::vector<script_step> steps, node_actor at = {}, std::string at_name = "here") {
    if (!at)
      at = nodes.empty() ? add_node() : nodes.front();
    placed_agent a;
    a.config.id = std::move(id);
    a.config.backend.type = "scripted";
    a.config.backend.decision = "tools";
    a.config.backend.script = std::move(steps);
    a.node = std::move(at);
    a.node_name = std::move(at_name);
    team.push_back(std::move(a));
  }

  /// Every timer and message below is real; only the clock is ours.
  void ask(question q = {"why?", {}}) {
    recorder = sys.spawn(book_keeper, book);
    eyes = sys.spawn(host_eyes, host);
    orchestrator_parts p;
    p.task = "t";
    p.rules = rules;
    p.agents = team;
    p.recorder = recorder;
    p.sinks = {eyes};
    p.chunks = eyes;
    p.bounds = bounds;
    p.revived = revived;
    p.fence = revived ? 2 : 1;
    boss = spawn_orchestrator(sys, std::move(p));
    began = sched.clock().now();
    ask_again(std::move(q));
  }

  /// Lets the store answer the oldest append, and all that follows from it.
  void release() {
    caf::anon_send(recorder, caf::ok_atom::value);
    settle();
  }

  void ask_again(question q) {
    asker = sys.spawn([this, q](caf::event_based_actor* me) {
      me->request(boss, caf::infinite, q)
          .then([this](outcome& o) { outcomes.push_back(std::move(o)); },
                [this](caf::error& e) { refusals.push_back(std::move(e)); });
    });
    settle();
  }

  std::int64_t gone_ms() { return std::chrono::duration_cast<std::chrono::milliseconds>(sched.clock().now() - began).count(); }

  /// Lets time pass from timer to timer until `done` holds; false if nothing is left to happen.
  template <class F>
  bool until(F done) {
    settle();
    for (auto n = 0; !done(); ++n) {
      if (n > 20'000 || !sched.clock().trigger_timeout())
        return false;
      settle();
    }
    return true;
  }

  bool finish() {
    return until([this] { return !outcomes.empty(); });
  }

  bool until_seen(event_type type, const std::string& agent = "") {
    return until([&] { return count(type, agent) > 0; });
  }

  std::size_t count(event_type type, const std::string& agent = "", const std::string& target = "") const {
    return static_cast<std::size_t>(std::count_if(host->events.begin(), host->events.end(), [&](const event& e) {
      return e.type == type && (agent.empty() || e.agent == agent) && (target.empty() || e.target == target);
    }));
  }

  const event* last(event_type type) const {
    for (auto i = host->events.rbegin(); i != host->events.rend(); ++i)
      if (i->type == type)
        return &*i;
    return nullptr;
  }

  std::size_t model_calls() const { return count(event_type::call_started, "", "model"); }

  /// Exactly one terminal event, and it is the last thing the host sees, now and after every timer that is left.
  void check_end() {
    for (auto n = 0; n < 200 && sched.clock().trigger_timeout(); ++n)
      settle();
    CAF_CHECK_EQUAL(count(event_type::task_ended), 1u);
    CAF_REQUIRE(!host->events.empty());
    CAF_CHECK(host->events.back().type == event_type::task_ended);
    CAF_CHECK_EQUAL(outcomes.size(), 1u);
  }

  /// What the host saw is what was stored, in order.
  void check_log() {
    CAF_CHECK(host->events == book->stored);
    for (std::size_t i = 0; i < book->stored.size(); ++i)
      CAF_CHECK_EQUAL(book->stored[i].seq, i + 1);
  }

  ~task_fixture() {
    book->held.clear();
    kill(boss);
    for (auto& n : nodes)
      kill(n);
    team.clear();
    kill(recorder);
    kill(eyes);
    kill(asker);
  }
};

} // namespace conclave::test
