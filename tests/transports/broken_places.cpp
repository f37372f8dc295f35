// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Processes that are killed while they make a folder of the user's.

#define CAF_SUITE transports.broken_places

#include "caf/test/unit_test.hpp"
#include "support/snapshot_fixture.hpp"

#include <csignal>
#include <sys/wait.h>

using namespace conclave;
using namespace conclave::snapshots;
using namespace conclave::test;
namespace fs = std::filesystem;

namespace {

struct fixture : snapshot_fixture {
  std::string out = place("out/dir"), id;
  fixture() {
    fs::create_directory(place("out"));
    for (auto* path : {"a", "b/c", "b/d", "e"})
      write(path, path);
    id = take().id;
  }

  /// Restores in a child, which is killed when it comes to the `n`-th path.
  void kill_at(int n) {
    auto child = ::fork();
    if (child == 0) {
      kept.restore(
          id, out, nullptr, 0,
          [n](const std::string&, bool) mutable {
            if (n-- == 0)
              ::raise(SIGKILL);
            return std::string{};
          },
          true);
      ::_exit(0);
    }
    int status = 0;
    CAF_REQUIRE_EQUAL(::waitpid(child, &status, 0), child);
    CAF_REQUIRE_EQUAL(WIFSIGNALED(status), n < 5);
  }
  std::vector<std::string> beside() const {
    std::vector<std::string> all;
    for (auto& f : fs::directory_iterator(place("out")))
      all.push_back(f.path().filename().string());
    std::sort(all.begin(), all.end());
    return all;
  }
  std::size_t notes() const {
    auto all = fs::directory_iterator(home + "/placing");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(broken_places, fixture)

CAF_TEST(what a killed process left beside a folder is deleted at the next start) {
  CAF_CHECK_EQUAL(kept.clear_broken_places().size(), 0u); // nothing was ever placed
  for (int n = 0; n < 5; ++n) {
    kill_at(n);
    auto left = beside();
    CAF_REQUIRE_EQUAL(left.size(), 1u);
    CAF_CHECK(left[0].starts_with("dir."));
    auto said = kept.clear_broken_places();
    CAF_REQUIRE_EQUAL(said.size(), 1u);
    CAF_CHECK_NOT_EQUAL(said[0].find(place("out") + "/" + left[0]), std::string::npos);
    CAF_CHECK_EQUAL(beside().size(), 0u);
    CAF_CHECK_EQUAL(kept.clear_broken_places().size(), 0u);
  }
  kill_at(5); // not at all
  CAF_CHECK_EQUAL(notes(), 0u);
  CAF_CHECK_EQUAL(beside(), std::vector<std::string>{"dir"});
  CAF_CHECK_EQUAL(kept.clear_broken_places().size(), 0u);
  CAF_CHECK_EQUAL(take(out).id, id);
  auto again = kept.restore(id, out, nullptr, 0, {}, true); // not empty
  CAF_CHECK(std::holds_alternative<failure>(again));
  CAF_CHECK_EQUAL(notes(), 0u);
  CAF_CHECK_EQUAL(beside(), std::vector<std::string>{"dir"});
}

CAF_TEST(another folder of the name stays) {
  kill_at(3);
  auto rest = place("out") + "/" + beside().at(0);
  fs::rename(rest, place("moved"));
  fs::create_directory(rest);
  std::ofstream{rest + "/own"} << "user";
  CAF_CHECK_EQUAL(kept.clear_broken_places().size(), 0u);
  CAF_CHECK_EQUAL(contents(rest + "/own"), "user");
  CAF_CHECK(fs::exists(place("moved") + "/a"));
  CAF_CHECK_EQUAL(notes(), 0u);
}

CAF_TEST(what is being made meanwhile stays) {
  bool asked = false;
  good(kept.restore(
      id, out, nullptr, 0,
      [&](const std::string&, bool) {
        asked = true;
        CAF_CHECK_EQUAL(notes(), 1u);
        CAF_CHECK_EQUAL(kept.clear_broken_places().size(), 0u);
        CAF_CHECK_EQUAL(beside().size(), 1u);
        return std::string{};
      },
      true));
  CAF_CHECK(asked);
  CAF_CHECK_EQUAL(take(out).id, id);
}

CAF_TEST_FIXTURE_SCOPE_END()
