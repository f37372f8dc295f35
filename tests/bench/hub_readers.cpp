// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// What readers of every pace cost a task: 30 scripted agents that stream for three seconds and more, alone, then followed by one
/// reader that is blocked until all is over, one that takes an event a second, one that comes late and one that is fast.
///
///   hub_readers [TIMES]     each way so many times, in turns (9); prints both medians. 1 = a reader did not get every event in
///   order

#include "app/engine.hpp"
#include "support/process_cost.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace conclave;
using clock_type = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int agents = 30;
constexpr auto late = milliseconds(1'500);

run_config team() {
  run_config out;
  for (int i = 0; i < agents; ++i) {
    agent_config a;
    a.id = "m" + std::to_string(i);
    a.backend.type = "scripted";
    a.backend.script.resize(3);
    auto& first = a.backend.script[0];
    first.text = std::string(3'000, 'x'); // 150 pieces
    first.chunk_bytes = 20;
    first.chunk_delay_ms = 20;
    first.calls = {{"", "new_answer", "{\"content\":\"from " + a.id + "\"}"}};
    a.backend.script[1].calls = {{"", "vote", "{\"agent_id\":\"agent1\",\"reason\":\"fine\"}"}};
    a.backend.script[2].text = "final";
    a.backend.script[2].optional = true;
    out.agents.push_back(std::move(a));
  }
  return out;
}

/// One reader. `pace`: how long it takes over each event, until it is let go.
struct reader {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::uint64_t> seqs;
  std::size_t bytes = 0;
  bool ended = false, free = false;

  listener calls(milliseconds pace) {
    listener l;
    l.on_event = [this, pace](const event& e) {
      std::unique_lock lock(mutex);
      if (pace.count() > 0)
        changed.wait_for(lock, pace, [this] { return free; });
      seqs.push_back(e.seq);
      ended = ended || e.type == event_type::task_ended;
      changed.notify_all();
    };
    l.on_chunk = [this](const chunk_batch& b) {
      std::lock_guard guard(mutex);
      for (auto& c : b.chunks)
        bytes += c.text.size();
    };
    return l;
  }

  void let_go() {
    std::lock_guard guard(mutex);
    free = true;
    changed.notify_all();
  }

  bool is_whole() {
    std::unique_lock lock(mutex);
    if (!changed.wait_for(lock, std::chrono::minutes(1), [this] { return ended; }))
      return false;
    for (std::size_t i = 0; i < seqs.size(); ++i)
      if (seqs[i] != i + 1)
        return false;
    return !seqs.empty();
  }
};

struct figure {
  double wall = 0, cpu = 0;
  bool ok = false;
};

figure measure(const std::string& folder, bool followed) {
  std::filesystem::remove_all(folder);
  engine_options o;
  o.store_path = folder + "/tasks.db";
  o.log_root = folder + "/logs";
  std::filesystem::create_directories(folder);
  std::deque<reader> all(5);
  engine eng{o};
  std::vector<subscription> held;
  auto follow = [&](std::size_t i, milliseconds pace) { held.push_back(eng.watch({}, all[i].calls(pace))); };
  if (followed) {
    follow(1, std::chrono::hours(1));
    follow(2, milliseconds(1'000));
    follow(3, {});
  }
  figure out;
  auto cpu = bench::cpu_seconds();
  auto began = clock_type::now();
  std::promise<outcome> ended;
  auto end = ended.get_future();
  auto id = eng.start(team(), {"q", {}}, all[0].calls({}), [&](outcome x) { ended.set_value(std::move(x)); });
  if (end.wait_for(late) == std::future_status::timeout && followed)
    held.push_back(eng.watch({id}, all[4].calls({})));
  out.ok = end.get().kind == outcome_kind::answered;
  out.wall = std::chrono::duration<double>(clock_type::now() - began).count();
  out.cpu = bench::cpu_seconds() - cpu;
  for (std::size_t i = 0; i < (followed ? all.size() : 1); ++i) {
    all[i].let_go();
    out.ok = all[i].is_whole() && all[i].seqs == all[0].seqs && out.ok;
  }
  return out;
}

} // namespace

int main(int argc, char** argv) {
  auto times = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 9;
  auto name = (std::filesystem::temp_directory_path() / "conclave-hub-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr)
    return std::perror("mkdtemp"), 1;
  ::setenv("CONCLAVE_HOME", name.c_str(), 1);
  std::vector<double> wall[2], cpu[2];
  bool ok = true;
  for (std::size_t i = 0; i < times; ++i)
    for (auto followed : {false, true}) {
      auto f = measure(name + "/run", followed);
      wall[followed].push_back(f.wall);
      cpu[followed].push_back(f.cpu);
      ok = ok && f.ok;
    }
  std::filesystem::remove_all(name);
  auto median = [](std::vector<double>& x) {
    std::ranges::sort(x);
    return x.empty() ? 0 : x[x.size() / 2];
  };
  std::printf("alone %.3f s, CPU %.3f s; followed %.3f s, CPU %.3f s: %.3f times as long, every event once and in order: %s\n",
              median(wall[0]), median(cpu[0]), median(wall[1]), median(cpu[1]), median(wall[1]) / median(wall[0]),
              ok ? "yes" : "no");
  return ok ? 0 : 1;
}
