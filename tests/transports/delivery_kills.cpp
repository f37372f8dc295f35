// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.delivery_kills

#include "caf/test/unit_test.hpp"
#include "support/delivery_fixture.hpp"
#include "support/traced.hpp"
#include "transports/delivery.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sys/mount.h>

using namespace conclave;
using namespace conclave::delivery;
using namespace conclave::snapshots;
using namespace conclave::test;
namespace fs = std::filesystem;

CAF_TEST_FIXTURE_SCOPE(delivery_kills, delivery_fixture)

CAF_TEST(a killed apply is the old tree or the new) {
  for (int i = 0; i < 1000; ++i)
    write("d" + std::to_string(i % 13) + "/f" + std::to_string(i), "base " + std::to_string(i));
  start();
  auto old = id_of(user);
  for (int i = 0; i < 1000; ++i) {
    auto path = "d" + std::to_string(i % 13) + "/f" + std::to_string(i);
    if (i % 5 == 4)
      fs::remove(work + "/" + path);
    else
      write(i % 5 == 3 ? path + ".new" : path, "changed " + std::to_string(i));
  }
  fs::remove_all(work + "/d3");
  write("d3", "a file now");
  auto j = plan();
  auto next = id_of(work);
  int kills = std::getenv("CONCLAVE_LONG") != nullptr ? 100 : 20, completed = 0, taken_back = 0, ended_alone = 0;
  std::mt19937 chance{7};
  auto applies = [&] { apply(j); };
  auto whole = changes_until_end(applies);
  if (whole < 0) {
    std::puts("skipped: the kernel lets nobody trace a child here");
    CAF_CHECK(true);
    return;
  }
  for (auto& p : history(journal))
    good(undo(journal, p.id));
  for (int i = 0; i < kills; ++i) {
    std::string id;
    auto undoing = i % 4 == 3;
    if (undoing)
      id = good(apply(j)).id;
    auto moment = (whole * i + static_cast<long>(chance() % static_cast<unsigned>(whole))) / kills; // each part of it, at random
    auto count = undoing ? changes_until_end([&] { undo(journal, id); }, moment) : changes_until_end(applies, moment);
    ended_alone += count < moment; // undoing makes fewer changes
    auto ended = good(recover(journal));
    for (auto& e : ended)
      ++(e.completed ? completed : taken_back);
    CAF_CHECK(no_rests());
    auto now = id_of(user);
    CAF_CHECK(now == old || now == next);
    if (now == next)
      for (auto& p : history(journal))
        if (!p.undone())
          good(undo(journal, p.id));
    CAF_CHECK_EQUAL(id_of(user), old);
    CAF_CHECK_EQUAL(good(recover(journal)).size(), 0u);
    CAF_CHECK_EQUAL(remove_tree(journal), "");
  }
  std::printf("killed %d times within %ld changes: completed %d, taken back %d, had ended %d\n", kills, whole, completed,
              taken_back, ended_alone);
  CAF_CHECK_GREATER(completed, 0);
  CAF_CHECK_GREATER(taken_back, 0);
}

CAF_TEST(a full disk leaves the old tree) {
  auto disk = place("disk");
  fs::create_directory(disk);
  if (::mount("none", disk.c_str(), "tmpfs", 0, "size=2m,nr_inodes=600") != 0) {
    std::puts("skipped: a small disk needs root");
    CAF_CHECK(true);
    return;
  }
  for (int i = 0; i < 20; ++i)
    write("f" + std::to_string(i), std::string(5000, 'a'));
  user = disk + "/user";
  journal = disk + "/journal";
  base = take().id;
  good(kept.restore(base, user, nullptr, 0));
  auto old = id_of(user);
  for (int i = 0; i < 20; ++i)
    write("f" + std::to_string(i), std::string(9000, 'b'));
  write("new/x", "new");
  auto next = id_of(work);
  auto j = plan();
  int full = 0;
  for (int left = 0; left < 140; left += 4) {
    struct statvfs st {};
    ::statvfs(disk.c_str(), &st);
    auto pages = std::max(static_cast<long long>(st.f_bavail) - left, 0LL);
    std::ofstream{disk + "/fill", std::ios::binary} << std::string(static_cast<std::size_t>(pages) * st.f_frsize, 'x');
    auto got = apply(j);
    auto* bad = std::get_if<failure>(&got);
    if (bad != nullptr) {
      CAF_CHECK_EQUAL(bad->kind, fault::disk_full);
      ++full;
    }
    auto now = id_of(user);
    CAF_CHECK_EQUAL(now, bad != nullptr ? old : next);
    CAF_CHECK(no_rests());
    fs::remove(disk + "/fill");
    if (bad == nullptr)
      good(undo(journal, std::get<applied>(got).id));
    CAF_CHECK_EQUAL(id_of(user), old);
    CAF_CHECK_EQUAL(good(recover(journal)).size(), 0u);
    CAF_CHECK_EQUAL(remove_tree(journal), "");
  }
  CAF_CHECK_GREATER(full, 5);
  ::umount2(disk.c_str(), MNT_DETACH);
}

CAF_TEST_FIXTURE_SCOPE_END()
