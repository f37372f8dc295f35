// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// What one streamed chunk costs all in: socket, decoder, backend actor, hub, readers. And how late it arrives at the first reader.
///
///   engine_streams STREAMS CHUNKS RATE [READERS [PACE]]    rate per second and stream, 0 = flat out; pace of the readers in ms
///
/// The server is a process of its own (stream_server); CPU counts this process alone. Latency is from the server's write to the
/// callback.

#include "actors/backend.hpp"
#include "actors/event_hub.hpp"
#include "app/engine_core.hpp"
#include "protocols/type_ids.hpp"
#include "support/process_cost.hpp"
#include "support/stream_server.hpp"
#include "transports/http_client.hpp"
#include "transports/outside.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <sys/resource.h>

namespace {

using namespace conclave;

struct config : caf::actor_system_config {
  config() {
    add_messages(*this);
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", std::size_t{2});
    set("scheduler.max-throughput", std::size_t{100});
  }
};

} // namespace

int main(int argc, char** argv) {
  auto argument = [&](int i, std::size_t otherwise) -> std::size_t {
    return argc > i ? std::strtoull(argv[i], nullptr, 10) : otherwise;
  };
  auto streams = argument(1, 1), chunks = argument(2, 200), rate = argument(3, 50), readers = argument(4, 1), pace = argument(5, 7);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  bench::stream_server server;
  if (server.port.empty())
    return 1;
  std::vector<std::int64_t> delays;
  delays.reserve(streams * chunks);
  long peak = 0;
  lane_callbacks calls;
  calls.to.on_chunk = [&](const chunk_batch& b) {
    auto now = std::chrono::steady_clock::now().time_since_epoch().count();
    for (auto& c : b.chunks)
      for (auto at = c.text.find("t="); at != std::string::npos; at = c.text.find("t=", at + 2))
        delays.push_back(now - std::strtoll(c.text.c_str() + at + 2, nullptr, 10));
    if (delays.size() % 4096 == 0)
      peak = std::max(peak, bench::resident_kib());
  };
  config cfg;
  caf::actor_system sys{cfg};
  auto hub = std::make_shared<event_hub>(nullptr, outside::of_machine());
  auto http = outside::of_machine()->open_http(hub);
  hub->begin("bench", "", 0);
  watch_bounds bounds;
  bounds.pace = std::chrono::milliseconds(pace);
  hub->watch({"bench", 0}, calls, bounds);
  for (std::size_t i = 1; i < readers; ++i)
    hub->watch({"bench", 0}, {{nullptr, [](const chunk_batch&) {}}, nullptr}, bounds);
  auto sink = spawn_chunk_door(sys, hub, "bench");
  backend_parts parts;
  parts.dialect = wire::find_dialect("openai_chat");
  parts.http = http;
  parts.endpoint.base_url = "http://127.0.0.1:" + server.port + "/v1";
  parts.endpoint.query = {{"chunks", std::to_string(chunks)}, {"rate", std::to_string(rate)}};
  auto backend = spawn_backend(sys, parts);
  auto before = bench::resident_kib();
  auto cpu = bench::cpu_seconds();
  auto began = std::chrono::steady_clock::now();
  std::size_t finished = 0;
  {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t done = 0;
    auto caller = sys.spawn([&](caf::event_based_actor* me) {
      for (std::size_t i = 0; i < streams; ++i) {
        model_request r;
        r.task = "bench";
        r.run = i + 1;
        r.call = 1;
        r.model = "load";
        r.messages = {{role::user, "go", "", {}, "", false, "", ""}};
        auto count = [&](bool ok) {
          std::lock_guard guard(mutex);
          finished += ok ? 1 : 0;
          if (++done == streams)
            changed.notify_one();
        };
        me->request(backend, std::chrono::seconds(900), r, caf::actor_cast<chunk_sink_actor>(sink))
            .then([count](const completion& c) { count(c.status == completion_status::finished); },
                  [count](const caf::error&) { count(false); });
      }
    });
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return done == streams; });
  }
  auto wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  cpu = bench::cpu_seconds() - cpu;
  caf::anon_send_exit(backend, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(sink, caf::exit_reason::user_shutdown);
  hub->close(std::chrono::seconds(10));
  backend = nullptr;
  sink = nullptr;
  sys.await_all_actors_done();
  std::sort(delays.begin(), delays.end());
  auto quantile = [&](double q) {
    return delays.empty()
               ? 0.0
               : static_cast<double>(delays[static_cast<std::size_t>(q * static_cast<double>(delays.size() - 1))]) * 1e-3;
  };
  std::printf("streams %zu chunks %zu rate %zu: complete %zu, %.0f chunks/s, CPU %.3f s = %.2f us/chunk, p50 %.0f us, p99 %.0f us, "
              "max %.0f us, %.1f KiB/stream\n",
              streams, chunks, rate, finished, static_cast<double>(delays.size()) / wall, cpu,
              cpu / static_cast<double>(streams * chunks) * 1e6, quantile(0.5), quantile(0.99), quantile(1),
              static_cast<double>(std::max(0L, peak - before)) / static_cast<double>(streams));
  return finished == streams ? 0 : 1;
}
