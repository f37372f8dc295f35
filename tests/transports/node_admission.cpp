// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.node_admission

#include "transports/node_admission.hpp"

#include "caf/test/unit_test.hpp"

#include <map>
#include <set>

using namespace conclave;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t room = 16;

/// A door at which time goes on as the test says.
struct door {
  node_admission admission{room, 7};
  std::map<node_admission::stranger, std::string> inside;
  std::set<node_admission::stranger> spoken;
  std::multiset<std::string> evicted;
  node_admission::time now{1'000};

  /// Returns who came in, or nobody.
  node_admission::stranger come(const std::string& source) {
    auto v = admission.admit(source, now, [this](auto who) { return spoken.count(who) > 0; });
    if (v.evicted != 0) {
      evicted.insert(inside.at(v.evicted));
      inside.erase(v.evicted);
    }
    if (v.admitted != 0)
      inside[v.admitted] = source;
    CAF_CHECK(inside.size() <= room);
    return v.admitted;
  }

  std::size_t come(const std::string& source, int times) {
    std::size_t in = 0;
    while (times-- > 0)
      in += come(source) != 0;
    return in;
  }
};

struct fixture : door {};

} // namespace

CAF_TEST_FIXTURE_SCOPE(node_admission_tests, fixture)

CAF_TEST(one source has half of the room and no more) {
  CAF_CHECK_EQUAL(come("a", 20), room / 2);
  CAF_CHECK(evicted.empty()); // all of them are under grace
  CAF_CHECK_EQUAL(come("b", 20), room / 2);
}

CAF_TEST(who has used up its share takes the place of one of its own after the grace) {
  come("a", 8);
  come("b", 4);
  now += node_admission::silent_grace - 1ms;
  CAF_CHECK_EQUAL(come("a"), 0u);
  now += 1ms;
  CAF_CHECK(come("a") != 0);
  CAF_CHECK(evicted == std::multiset<std::string>{"a"});
}

CAF_TEST(who has spoken has more time) {
  for (int i = 0; i < 8; ++i)
    spoken.insert(come("a"));
  now += node_admission::spoken_grace - 1ms;
  CAF_CHECK_EQUAL(come("a"), 0u);
  now += 1ms;
  CAF_CHECK(come("a") != 0);
}

CAF_TEST(a newcomer takes the place of one of the source that has most even under grace) {
  come("a", 8);
  come("b", 6);
  come("c", 2);
  CAF_CHECK(come("d") != 0);
  CAF_CHECK(evicted == std::multiset<std::string>{"a"});
}

CAF_TEST(two sources that fill the room push out none of one that has few) {
  come("few", 2);
  come("a", 8);
  come("b", 6);
  now += 10s; // nobody is under grace any more
  come("b", 200);
  come("a", 200);
  CAF_CHECK_EQUAL(evicted.count("few"), 0u);
  CAF_CHECK(!evicted.empty());
  CAF_CHECK(come("new") != 0);
  CAF_CHECK_EQUAL(evicted.count("few"), 0u);
}

CAF_TEST(where all have one the newcomer waits until the grace of somebody is over) {
  for (char c = 'a'; c < 'a' + static_cast<int>(room); ++c)
    come({c});
  CAF_CHECK_EQUAL(come("new"), 0u);
  now += node_admission::silent_grace;
  CAF_CHECK(come("new") != 0);
  CAF_CHECK_EQUAL(evicted.size(), 1u);
}

CAF_TEST(who leaves gives back its place and its share) {
  auto first = come("a");
  come("a", 7);
  CAF_CHECK_EQUAL(come("a"), 0u);
  inside.erase(first);
  admission.leave(first);
  admission.leave(first); // once
  CAF_CHECK(come("a") != 0);
  CAF_CHECK_EQUAL(come("a"), 0u);
}

CAF_TEST(whom chance chooses follows from the seed) {
  auto play = [] {
    door d;
    d.come("a", 8);
    d.come("b", 8);
    for (int i = 0; i < 5; ++i)
      d.come("n" + std::to_string(i));
    return d.inside;
  };
  CAF_CHECK(play() == play());
}

CAF_TEST_FIXTURE_SCOPE_END()
