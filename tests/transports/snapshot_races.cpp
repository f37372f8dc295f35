// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.snapshot_races

#include "caf/test/unit_test.hpp"
#include "support/snapshot_fixture.hpp"
#include "transports/snapshot_store.hpp"

#include <atomic>
#include <cstdlib>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

using namespace conclave;
using namespace conclave::snapshots;
using namespace conclave::test;
namespace fs = std::filesystem;

namespace {

template <class T>
fault kind_of(const result<T>& r) {
  auto* bad = std::get_if<failure>(&r);
  return bad != nullptr ? bad->kind : fault{255};
}

} // namespace

CAF_TEST_FIXTURE_SCOPE(snapshot_races, snapshot_fixture)

CAF_TEST(a file that never rests is a failure and not half a copy) {
  write("busy", std::string(8 << 20, 'a'));
  std::atomic<bool> end = false;
  std::thread writer{[&] {
    auto fd = ::open((work + "/busy").c_str(), O_WRONLY);
    for (char c = 'a'; !end; c = c == 'z' ? 'a' : static_cast<char>(c + 1))
      (void) !::pwrite(fd, &c, 1, 4 << 20);
    ::close(fd);
  }};
  auto got = kept.take(work, options);
  for (int i = 0; i < 20 && std::holds_alternative<taken>(got); ++i) // a writer that the system did not let run
    got = kept.take(work, options);
  end = true;
  writer.join();
  CAF_CHECK_EQUAL(kind_of(got), fault::unsettled);
  take();
}

CAF_TEST(folders swapped for links are never entered) {
  fs::create_directory(place("outside"));
  std::ofstream{place("outside") + "/secret"} << "canary-secret";
  write("d/f", "x");
  write("other", "y");
  std::atomic<bool> end = false;
  std::thread swapper{[&] {
    auto d = work + "/d", away = work + "/away";
    while (!end) {
      ::rename(d.c_str(), away.c_str());
      (void) !::symlink(place("outside").c_str(), d.c_str());
      ::unlink(d.c_str());
      ::rename(away.c_str(), d.c_str());
      auto f = work + "/other";
      ::unlink(f.c_str());
      (void) !::symlink((place("outside") + "/secret").c_str(), f.c_str());
      ::unlink(f.c_str());
      std::ofstream{f} << "y";
    }
  }};
  int rounds = std::getenv("CONCLAVE_LONG") != nullptr ? 10'000 : 1000, snapshots = 0;
  for (int i = 0; i < rounds; ++i)
    snapshots += std::holds_alternative<taken>(kept.take(work, options));
  end = true;
  swapper.join();
  CAF_CHECK_GREATER(snapshots, 0);
  CAF_CHECK_EQUAL(files_with(home, "canary-secret"), "");
}

CAF_TEST(many at once share one store) {
  std::vector<std::thread> all;
  std::atomic<int> failures = 0;
  for (int n = 0; n < 4; ++n) {
    auto mine = place("w" + std::to_string(n));
    fs::create_directory(mine);
    all.emplace_back([&, n, mine] {
      take_options o{.holder = "holder" + std::to_string(n)};
      o.limits.keep_free = 0;
      for (int i = 0; i < 30; ++i) {
        std::ofstream{mine + "/f" + std::to_string(i)} << "same " << i;
        std::ofstream{mine + "/own"} << n << " " << i;
        auto got = kept.take(mine, o);
        auto* t = std::get_if<taken>(&got);
        if (t == nullptr || !std::holds_alternative<placed>(kept.verify(t->id)))
          ++failures;
        if (i % 5 == 4 && !std::holds_alternative<freed>(kept.remove(o.holder)))
          ++failures;
      }
    });
  }
  for (auto& t : all)
    t.join();
  CAF_CHECK_EQUAL(failures, 0);
}

CAF_TEST(a full disk leaves earlier snapshots whole) {
  auto disk = place("disk");
  fs::create_directory(disk);
  if (::mount("none", disk.c_str(), "tmpfs", 0, "size=3m,nr_inodes=400") != 0) {
    std::puts("skipped: a small disk needs root");
    CAF_CHECK(true);
    return;
  }
  store small{disk + "/snapshots"};
  write("first", std::string(300'000, '1'));
  auto first = small.take(work, options);
  int full = 0;
  // Leaves one page more at a time, so that each write is once the one that does not fit.
  auto fill = disk + "/fill";
  for (int i = 0; i < 24; ++i) {
    for (int f = 0; f < 8; ++f)
      write("more" + std::to_string(f), std::to_string(i) + std::string(4000, static_cast<char>('a' + f)));
    struct statvfs st {};
    ::statvfs(disk.c_str(), &st);
    auto pages = static_cast<long long>(st.f_bavail) - i;
    std::ofstream{fill, std::ios::binary} << std::string(static_cast<std::size_t>(std::max(pages, 0LL)) * st.f_frsize, 'x');
    auto got = small.take(work, options);
    if (auto* bad = std::get_if<failure>(&got)) {
      CAF_CHECK_EQUAL(bad->kind, fault::disk_full);
      CAF_CHECK_NOT_EQUAL(bad->text.find("free some room"), std::string::npos);
      ++full;
    }
    CAF_CHECK(std::holds_alternative<placed>(small.verify(good(first).id)));
    CAF_CHECK(fs::is_empty(disk + "/snapshots/incoming"));
    fs::remove(fill);
    for (auto& id : small.held("task"))
      CAF_CHECK(std::holds_alternative<placed>(small.verify(id)));
  }
  CAF_CHECK_GREATER(full, 3);
  auto after = small.take(work, options);
  CAF_CHECK(std::holds_alternative<taken>(after));
  ::umount2(disk.c_str(), MNT_DETACH);
}

CAF_TEST(room is kept free) {
  write("a", "x");
  options.limits.keep_free = std::uint64_t{1} << 60;
  CAF_CHECK_EQUAL(kind_of(kept.take(work, options)), fault::disk_full);
}

CAF_TEST_FIXTURE_SCOPE_END()
