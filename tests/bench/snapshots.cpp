// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// Takes snapshots of a folder again and again: `snapshots FOLDER STORE [times]`. Prints what each cost, what this process wrote
/// for it in all, to any file, and how far memory grew.

#include "transports/snapshot_store.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <sys/resource.h>
#include <utility>

using namespace conclave::snapshots;

namespace {

long peak_kib() {
  rusage u{};
  ::getrusage(RUSAGE_SELF, &u);
  return u.ru_maxrss;
}

/// Bytes given to write(), and bytes of pages that were made dirty.
std::pair<unsigned long long, unsigned long long> written() {
  unsigned long long given = 0, dirty = 0;
  if (auto* f = std::fopen("/proc/self/io", "r")) {
    if (std::fscanf(f, "rchar: %*u wchar: %llu syscr: %*u syscw: %*u read_bytes: %*u write_bytes: %llu", &given, &dirty) != 2)
      given = dirty = 0;
    std::fclose(f);
  }
  return {given, dirty};
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: snapshots FOLDER STORE [times]\n", stderr);
    return 2;
  }
  store kept{argv[2]};
  take_options options{.holder = "bench", .scan_cache = std::string{argv[2]} + ".scan"};
  options.limits.files = 1'000'000;
  auto times = argc > 3 ? std::atoi(argv[3]) : 1;
  auto before = peak_kib();
  for (int i = 0; i < times; ++i) {
    auto [given, dirty] = written();
    auto begun = std::chrono::steady_clock::now();
    auto got = kept.take(argv[1], options);
    auto took = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count();
    if (auto* bad = std::get_if<failure>(&got)) {
      std::fprintf(stderr, "%s\n", bad->text.c_str());
      return 1;
    }
    auto& t = std::get<taken>(got);
    auto [given_now, dirty_now] = written();
    std::printf(
        "%.1f ms, %llu files, %llu bytes, read %llu files, wrote %llu bytes, %llu in all, %llu in pages, memory grew %ld KiB\n",
        took, static_cast<unsigned long long>(t.files), static_cast<unsigned long long>(t.bytes),
        static_cast<unsigned long long>(t.read_files), static_cast<unsigned long long>(t.new_bytes), given_now - given,
        dirty_now - dirty, peak_kib() - before);
  }
  return 0;
}
