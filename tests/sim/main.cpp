// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// sim --seed N              plays one seed and tells every step
/// sim --seeds A B           plays the seeds from A to B, without telling; exit 1 at the first finding
/// sim --part I OF N LONG    the I-th of `OF` parts of the seeds from 1 to N; in the long form of the checks, from 1 to LONG
/// sim --seconds S FROM      plays the seeds from FROM on, for so long
/// With --keep-going findings are counted.

#include "sim/simulator.hpp"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

std::string play(std::uint64_t seed, bool tracing) {
  return conclave::sim::simulator{seed, tracing}.run();
}

} // namespace

int main(int argc, char** argv) {
  std::uint64_t from = 1, to = 300, by = 1;
  auto keep_going = false;
  auto until = std::chrono::steady_clock::time_point::max();
  auto number = [&](int i) { return i < argc ? std::strtoull(argv[i], nullptr, 10) : 0; };
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--keep-going") == 0) {
      keep_going = true;
    } else if (std::strcmp(argv[i], "--seed") == 0) {
      auto found = play(number(i + 1), true);
      std::printf("seed %llu: %s\n", number(i + 1), found.empty() ? "no finding" : found.c_str());
      return found.empty() ? 0 : 1;
    } else if (std::strcmp(argv[i], "--seeds") == 0) {
      from = number(i + 1);
      to = number(i + 2);
      i += 2;
    } else if (std::strcmp(argv[i], "--part") == 0) {
      from = 1 + number(i + 1);
      by = number(i + 2);
      to = number(std::getenv("CONCLAVE_LONG") != nullptr ? i + 4 : i + 3);
      i += 4;
    } else if (std::strcmp(argv[i], "--seconds") == 0) {
      until = std::chrono::steady_clock::now() + std::chrono::seconds(number(i + 1));
      from = number(i + 2);
      to = UINT64_MAX;
      i += 2;
    } else {
      std::fprintf(stderr, "usage: sim [--keep-going] [--seed N | --seeds A B | --part I OF N LONG | --seconds S FROM]\n");
      return 2;
    }
  }
  std::size_t findings = 0, played = 0;
  for (auto seed = from; seed <= to && std::chrono::steady_clock::now() < until; seed += by) {
    ++played;
    auto found = play(seed, false);
    if (found.empty())
      continue;
    ++findings;
    std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed), found.c_str());
    if (!keep_going)
      break;
  }
  std::printf("%zu seeds played, %zu findings\n", played, findings);
  return findings == 0 ? 0 : 1;
}
