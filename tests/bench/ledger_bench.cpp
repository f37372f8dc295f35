// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// What a decision costs where the answers are long: 64 agents with one of 256 KiB each.
///
///   ledger_bench     one decision; and the round change in one handler of the orchestrator: judge the last answer, begin 64 runs

#include "actors/message_types.hpp"
#include "actors/orchestrator.hpp"
#include "protocols/type_ids.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <utility>

namespace {

using namespace conclave;
using ledger::command;
using ledger::command_kind;

constexpr int team = 64;
constexpr std::size_t length = 262'144;

std::string id(int i) {
  return "m" + std::to_string(i);
}

std::string long_answer(int i) {
  auto head = "answer " + std::to_string(i) + " ";
  return head + std::string(length - head.size(), static_cast<char>('a' + i % 26));
}

// Of this thread's processor time: other work of the machine does not count.
double now_ms() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}

double ms_since(double t) {
  return now_ms() - t;
}

void decisions() {
  std::vector<std::string> ids;
  for (int i = 0; i < team; ++i)
    ids.push_back(id(i));
  auto s = ledger::make({}, ids);
  command c;
  c.text = "why?";
  ledger::advance(s, c);
  auto begin_all = [&] {
    for (auto& who : ids) {
      c = {};
      c.kind = command_kind::begin_run;
      c.agent = who;
      ledger::advance(s, c);
    }
  };
  begin_all();
  double last = 0;
  for (int i = 0; i < team; ++i) {
    c = {};
    c.kind = command_kind::answer;
    c.agent = id(i);
    c.run = ledger::find(s, c.agent)->run.id;
    c.text = long_answer(i);
    auto t = now_ms();
    ledger::advance(s, c);
    last = ms_since(t);
  }
  std::printf("an answer of 256 KiB beside 63 others: %.3f ms\n", last);
  auto t = now_ms();
  begin_all();
  std::printf("64 runs begin, each shown 64 answers: %.3f ms\n", ms_since(t));
  constexpr int calls = 1'000;
  t = now_ms();
  for (int i = 0; i < calls; ++i) {
    c = {};
    c.kind = i % 2 == 0 ? command_kind::begin_call : command_kind::end_call;
    c.agent = "m1";
    c.run = ledger::find(s, c.agent)->run.id;
    c.call = static_cast<std::uint64_t>(i / 2 + 1);
    c.target = "model";
    ledger::advance(s, c);
  }
  std::printf("a call recorded beside 64 answers of 256 KiB: %.4f ms\n", ms_since(t) / calls);
}

struct desk {
  std::vector<start_run> runs;
  orchestrator_actor boss;
};

node_actor::behavior_type node(node_actor::pointer, desk* d) {
  return {[d](const spawn_agent& o, const orchestrator_actor& boss, const event_sink_actor&) -> caf::result<agent_ready> {
            d->boss = boss;
            return agent_ready{o.agent.id, {}, {}, {}};
          },
          [](const publish_answer&) {},
          [](const publish_file&) {},
          [d](const start_run& t) { d->runs.push_back(t); },
          [](const cancel_run&) {},
          [](const end_task& e) {
            return task_closed{e.task, {}};
          }};
}

recorder_actor::behavior_type recorder(recorder_actor::pointer) {
  return {[](const append_events& a) { return appended{ec::none, "", a.events.back().seq}; }};
}

event_sink_actor::behavior_type sink(event_sink_actor::pointer) {
  return {[](const event&) {}, [](const chunk_batch&) {}, [](const chunk_delivery&) { return chunk_ack{}; }};
}

void round_change() {
  caf::actor_system_config cfg;
  add_messages(cfg);
  cfg.set("scheduler.policy", caf::atom("testing"));
  caf::actor_system sys{cfg};
  auto& sched = dynamic_cast<caf::scheduler::test_coordinator&>(sys.scheduler());
  auto slowest = [&] {
    double most = 0;
    for (;;) {
      auto t = now_ms();
      if (!sched.try_run_once())
        return most;
      most = std::max(most, ms_since(t));
    }
  };
  desk d;
  orchestrator_parts p;
  p.task = "t";
  auto at = sys.spawn(node, &d);
  for (int i = 0; i < team; ++i) {
    placed_agent a;
    a.config.id = id(i);
    a.node = at;
    a.node_name = "local";
    p.agents.push_back(std::move(a));
  }
  p.recorder = sys.spawn(recorder);
  p.sinks = {sys.spawn(sink), sys.spawn(sink)};
  p.chunks = p.sinks[0];
  auto boss = spawn_orchestrator(sys, std::move(p));
  auto asker = sys.spawn([boss](caf::event_based_actor* me) {
    me->request(boss, std::chrono::seconds(3'600), question{"why?", {}}).then([](const outcome&) {}, [](const caf::error&) {});
  });
  slowest();
  auto first = std::exchange(d.runs, {});
  double most = 0;
  for (auto& t : first) {
    run_report r;
    r.of = {"t", t.fence, t.run};
    r.agent = t.agent;
    r.number = 1;
    r.has_verdict = true;
    r.handed_in.text = long_answer(static_cast<int>(t.run));
    r.handed_in.kind = verdict_kind::answer;
    caf::anon_send(boss, std::move(r));
    most = slowest();
  }
  std::printf("the round change, its slowest handler: %.3f ms (%zu runs begun)\n", most, d.runs.size());
  d.boss = nullptr;
  for (auto& a : {caf::actor_cast<caf::actor>(boss), caf::actor_cast<caf::actor>(asker), caf::actor_cast<caf::actor>(at)})
    caf::anon_send_exit(a, caf::exit_reason::user_shutdown);
  slowest();
}

} // namespace

int main() {
  for (int i = 0; i < 3; ++i) { // the first touches its memory for the first time
    decisions();
    round_change();
  }
  return 0;
}
