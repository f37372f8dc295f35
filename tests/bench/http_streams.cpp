// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// What one event of a model stream costs in http_client: CPU time and latency from the server's write to on_data.
///
///   http_streams [streams [chunks [rate]]]     rate per second and stream, 0 = flat out; without arguments: a table
///
/// The server is a process of its own on the same machine; the CPU column counts the client's process alone.

#include "support/process_cost.hpp"
#include "support/stream_server.hpp"
#include "transports/http_client.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <iterator>
#include <mutex>
#include <spawn.h>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <sys/wait.h>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;

/// Written by the client's thread alone until `done` reaches the number of streams.
struct tally {
  std::vector<std::int64_t> delays; ///< ns
  std::size_t calls = 0;
  std::size_t failed = 0;
  long peak_kib = 0;
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t done = 0;

  void take(std::string_view data) {
    auto now = clock_type::now().time_since_epoch().count();
    ++calls;
    for (auto at = data.find("\"t="); at != std::string_view::npos; at = data.find("\"t=", at + 3))
      delays.push_back(now - std::strtoll(data.data() + at + 3, nullptr, 10));
    if (calls % 5'000 == 1)
      peak_kib = std::max(peak_kib, bench::resident_kib());
  }
};

bool measure(const std::string& port, std::size_t streams, std::size_t chunks, std::size_t rate) {
  tally t;
  t.delays.reserve(streams * chunks);
  std::fill_n(std::back_inserter(t.delays), streams * chunks, 0); // touch the pages now: they are not the client's
  t.delays.clear();
  auto before_kib = bench::resident_kib();
  auto cpu = bench::cpu_seconds();
  auto began = clock_type::now();
  {
    conclave::http_client client;
    for (std::size_t i = 0; i < streams; ++i) {
      conclave::http_request r;
      r.url =
          "http://127.0.0.1:" + port + "/v1/chat/completions?chunks=" + std::to_string(chunks) + "&rate=" + std::to_string(rate);
      r.headers = {{"Content-Type", "application/json"}};
      r.body = R"({"model":"load","stream":true,"messages":[{"role":"user","content":"go"}]})";
      r.max_bytes = std::int64_t{1} << 40;
      client.start(std::move(r), {{},
                                  [&](std::string data) { t.take(data); },
                                  [&](conclave::http_end end) {
                                    std::lock_guard guard{t.mutex};
                                    if (end.code != conclave::ec::none && t.failed++ == 0)
                                      std::fprintf(stderr, "%s\n", end.error.c_str());
                                    if (++t.done == streams)
                                      t.changed.notify_one();
                                  }});
    }
    std::unique_lock guard{t.mutex};
    t.changed.wait(guard, [&] { return t.done == streams; });
  }
  auto wall = std::chrono::duration<double>(clock_type::now() - began).count();
  cpu = bench::cpu_seconds() - cpu;
  std::ranges::sort(t.delays);
  auto quantile = [&](double q) {
    return t.delays.empty()
               ? 0.0
               : static_cast<double>(t.delays[static_cast<std::size_t>(q * static_cast<double>(t.delays.size() - 1))]) * 1e-3;
  };
  auto count = static_cast<double>(t.delays.size());
  std::printf("%8zu %7zu %6zu %9.0f %9.2f %7.0f %9.0f %9.0f %9.0f %8.1f %7zu\n", streams, chunks, rate, count / wall,
              cpu / count * 1e6, cpu / wall * 100, quantile(0.5), quantile(0.99), quantile(1),
              static_cast<double>(std::max(0L, t.peak_kib - before_kib)) / static_cast<double>(streams), t.failed);
  std::fflush(stdout);
  return t.failed == 0 && t.delays.size() == streams * chunks;
}

} // namespace

int main(int argc, char** argv) {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  bench::stream_server server;
  if (server.port.empty()) {
    std::fprintf(stderr, "cannot start %s\n", CONCLAVE_STREAM_SERVER);
    return 1;
  }
  std::printf("%8s %7s %6s %9s %9s %7s %9s %9s %9s %8s %7s\n", "streams", "chunks", "rate", "chunks/s", "us CPU/ch", "CPU %",
              "p50 us", "p99 us", "max us", "KiB/str", "failed");
  auto argument = [&](int i, std::size_t otherwise) -> std::size_t {
    return argc > i ? std::strtoull(argv[i], nullptr, 10) : otherwise;
  };
  if (argc > 1)
    return measure(server.port, argument(1, 1), argument(2, 200), argument(3, 50)) ? 0 : 1;
  bool ok = true;
  struct row {
    std::size_t streams, chunks, rate;
  };
  for (auto r :
       {row{1, 200, 50}, row{100, 200, 50}, row{1'000, 50, 10}, row{1'000, 200, 50}, row{1, 100'000, 0}, row{100, 5'000, 0}})
    ok = measure(server.port, r.streams, r.chunks, r.rate) && ok;
  return ok ? 0 : 1;
}
