// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// Memory of an idle agent, and the cost of making an event durable.
///
///   actors_bench agents [N]     resident KiB per idle agent (10,000)
///   actors_bench append DIR     one event after another, and 1,000 at once, into a store in DIR

#include "actors/agent.hpp"
#include "actors/backend.hpp"
#include "actors/event_hub.hpp"
#include "actors/orchestrator.hpp"
#include "actors/recorder.hpp"
#include "app/engine_core.hpp"
#include "protocols/type_ids.hpp"
#include "transports/event_store.hpp"
#include "transports/outside.hpp"

#include <caf/all.hpp>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <future>
#include <unistd.h>

namespace {

using namespace conclave;

long resident_kib() {
  long pages = 0;
  if (auto* f = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(f, "%*d %ld", &pages) != 1)
      pages = 0;
    std::fclose(f);
  }
  return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

int agents(std::size_t n) {
  caf::actor_system_config cfg;
  add_messages(cfg);
  cfg.set("scheduler.policy", caf::atom("sharing"));
  caf::actor_system sys{cfg};
  auto hub = std::make_shared<event_hub>(nullptr, outside::of_machine());
  auto sink = spawn_chunk_door(sys, hub, "bench");
  auto backend = spawn_scripted_backend(sys, {}, "tools");
  orchestrator_parts boss_parts;
  auto boss = spawn_orchestrator(sys, boss_parts);
  std::vector<agent_actor> all;
  all.reserve(n);
  auto before = resident_kib();
  for (std::size_t i = 0; i < n; ++i) {
    agent_parts p;
    p.order.task = "bench";
    p.order.agent.id = "agent" + std::to_string(i);
    p.backend = backend;
    p.chunks = sink;
    p.boss = boss;
    all.push_back(spawn_agent_actor(sys, std::move(p)));
  }
  // An answer from the last one: by then every one of them has run.
  caf::scoped_actor self{sys};
  for (auto& a : all)
    self->request(a, std::chrono::seconds(60), get_ready{}).receive([](const agent_ready&) {}, [](const caf::error&) {});
  std::printf("%zu idle agents: %.2f KiB each\n", n, static_cast<double>(resident_kib() - before) / static_cast<double>(n));
  for (auto& a : all)
    caf::anon_send_exit(a, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(boss, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(backend, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(sink, caf::exit_reason::user_shutdown);
  return 0;
}

int append(const std::string& dir) {
  std::string error;
  auto store = event_store::open(dir + "/bench.db", error);
  if (!store) {
    std::fprintf(stderr, "%s\n", error.c_str());
    return 1;
  }
  auto now = [] { return std::chrono::steady_clock::now(); };
  auto us = [](auto d) { return std::chrono::duration<double, std::micro>(d).count(); };
  constexpr int rounds = 500;
  const std::string event =
      R"({"v":1,"seq":1,"time":1764000000000,"type":"vote_cast","agent":"writer","run":4,"label":"agent1.vote1"})";
  auto task = "seq" + std::to_string(::getpid());
  auto began = now();
  for (int i = 0; i < rounds; ++i) {
    std::promise<append_result> p;
    store->append(task, 1, static_cast<std::uint64_t>(i), {{event}, {}, {1, "q", ""}},
                  [&](append_result r) { p.set_value(std::move(r)); });
    if (p.get_future().get().code != ec::none)
      return 1;
  }
  std::printf("one event after another: %.0f us each\n", us(now() - began) / rounds);
  task = "group" + std::to_string(::getpid());
  began = now();
  std::promise<void> last;
  constexpr int many = 1000;
  for (int i = 0; i < many; ++i)
    store->append(task, 1, static_cast<std::uint64_t>(i), {{event}, {}, {1, "q", ""}}, [&, i](append_result) {
      if (i == many - 1)
        last.set_value();
    });
  last.get_future().get();
  std::printf("%d appends at once: %.1f us each\n", many, us(now() - began) / many);
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  if (argc > 2 && std::strcmp(argv[1], "append") == 0)
    return append(argv[2]);
  return agents(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 10'000);
}
