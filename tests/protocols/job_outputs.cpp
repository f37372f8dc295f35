// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What background jobs wrote is held within one bound.

#define CAF_SUITE protocols.job_outputs

#include "protocols/job_outputs.hpp"

#include "caf/test/unit_test.hpp"

#include <string>

using namespace conclave;

namespace {

constexpr std::size_t kib = 1024, mib = 1024 * kib;
constexpr auto out = job_stream::out, err = job_stream::err;

std::string named(int n) {
  return "job" + std::to_string(n);
}

std::string text(std::size_t bytes, char c = 'x') {
  return std::string(bytes, c);
}

} // namespace

CAF_TEST(what is held is read from any offset) {
  job_outputs h{mib};
  h.add("job1", out, "one");
  h.add("job1", out, "");
  h.add("job1", err, "oops");
  h.add("job1", out, "two");
  auto p = h.from("job1", out, 0, 100);
  CAF_CHECK(p.text == "onetwo" && p.next == 6 && !p.cut);
  p = h.from("job1", out, 2, 3);
  CAF_CHECK(p.text == "etw" && p.next == 5 && !p.cut);
  p = h.from("job1", out, 5'000, 3);
  CAF_CHECK(p.text.empty() && p.next == 6 && !p.cut);
  CAF_CHECK_EQUAL(h.from("job1", err, 0, 100).text, "oops");
  p = h.from("job2", out, 7, 100);
  CAF_CHECK(p.text.empty() && p.next == 0 && !p.cut);
  CAF_CHECK_EQUAL(h.size(), 10u);
}

CAF_TEST(a job that runs loses the beginning) {
  job_outputs h{mib};
  for (int i = 0; i < 40; ++i)
    h.add("job1", out, text(100 * kib));
  h.add("job1", out, "the end");
  CAF_CHECK(h.size() <= mib);
  auto p = h.from("job1", out, 0, 2 * mib);
  CAF_CHECK(p.cut && p.text.size() == mib && p.text.ends_with("the end"));
  CAF_CHECK_EQUAL(p.next, 40 * 100 * kib + 7);
  p = h.from("job1", out, p.next - 3, 100);
  CAF_CHECK(!p.cut && p.text == "end");
}

CAF_TEST(many jobs that ended leave no more than the bound behind) {
  job_outputs h{4 * mib};
  for (int i = 1; i <= 240; ++i) {
    h.add(named(i), out, text(mib) + named(i));
    h.add(named(i), err, text(mib) + named(i));
    h.ended(named(i));
    CAF_REQUIRE(h.size() <= 4 * mib);
    auto p = h.from(named(i), out, 0, 2 * mib); // the newest is there whole
    CAF_REQUIRE(!p.cut && p.text.size() > mib);
  }
  for (int i = 1; i <= 240; ++i) // and each still has its end
    for (auto s : {out, err}) {
      auto p = h.from(named(i), s, 0, 2 * mib);
      CAF_CHECK(p.text.ends_with(named(i)) && p.text.size() >= job_outputs::old_tail && p.next == mib + named(i).size());
      CAF_CHECK_EQUAL(p.cut, p.text.size() < mib);
    }
}

CAF_TEST(ended jobs give way before those that run and small ones last) {
  job_outputs h{mib};
  h.add("quiet", out, "ready\n");
  h.add("done", out, text(600 * kib));
  h.ended("done");
  h.add("loud", out, text(600 * kib));
  CAF_CHECK(!h.from("loud", out, 0, mib).cut);
  CAF_CHECK(h.from("done", out, 0, mib).cut);
  for (int i = 0; i < 10; ++i)
    h.add("loud", out, text(600 * kib));
  CAF_CHECK_EQUAL(h.from("quiet", out, 0, mib).text, "ready\n");
  CAF_CHECK_EQUAL(h.from("done", out, 0, mib).text.size(), job_outputs::old_tail);
  CAF_CHECK(h.size() <= mib);
}

CAF_TEST(no character is cut in two) {
  job_outputs h{100};
  std::string euros;
  for (int i = 0; i < 50; ++i)
    euros += "\u20AC";
  h.add("job1", out, euros);
  auto p = h.from("job1", out, 0, 1'000);
  CAF_CHECK(p.cut && p.text.starts_with("\u20AC") && p.text.size() == 99 && p.next == 150);
  p = h.from("job1", out, p.next - 9, 4);
  CAF_CHECK(p.text == "\u20AC" && p.next == 144);
  p = h.from("job1", out, 141, 1);
  CAF_CHECK_EQUAL(p.next, 142u); // it goes on, whatever is asked for
}

CAF_TEST(a job is forgotten whole) {
  job_outputs h{100};
  h.add("job1", out, "x");
  h.ended("job1");
  h.add("job2", out, "y");
  h.forget("job1");
  h.forget("job3");
  CAF_CHECK_EQUAL(h.size(), 1u);
  CAF_CHECK(h.from("job1", out, 0, 9).text.empty());
  h.clear();
  CAF_CHECK_EQUAL(h.size(), 0u);
  CAF_CHECK(h.from("job2", out, 0, 9).text.empty());
}
