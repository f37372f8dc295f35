// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.child_flow

#include "transports/child_flow.hpp"

#include "caf/test/unit_test.hpp"
#include "transports/child_last_words.hpp"

using namespace conclave;

namespace {

using lines = std::vector<std::string>;

} // namespace

CAF_TEST(lines are the same wherever the bytes are cut) {
  const std::string text = "one\n\ntwo words\r\n\xFF\nrest";
  for (std::size_t size = 1; size <= text.size(); ++size) {
    child_flow f{100, 0};
    lines out;
    for (std::size_t i = 0; i < text.size(); i += size)
      CAF_CHECK(f.cut(std::string_view(text).substr(i, size), out));
    CAF_CHECK_EQUAL(out, (lines{"one", "", "two words\r", "\xFF"}));
    CAF_CHECK_EQUAL(f.take_rest(), "rest");
    CAF_CHECK_EQUAL(f.take_rest(), "");
  }
}

CAF_TEST(a line of just the bound passes and of one byte more does not ) {
  for (std::size_t size : {1, 3, 100}) {
    auto fits = [size](const std::string& text, lines& out) {
      child_flow f{4, 0};
      for (std::size_t i = 0; i < text.size(); i += size)
        if (!f.cut(std::string_view(text).substr(i, size), out))
          return false;
      return true;
    };
    lines good, bad, open;
    CAF_CHECK(fits("1234\n12\n1234", good));
    CAF_CHECK_EQUAL(good, (lines{"1234", "12"}));
    CAF_CHECK(!fits("1\n12345\n6\n", bad));
    CAF_CHECK_EQUAL(bad, lines{"1"}); // those before it count
    CAF_CHECK(!fits("12345", open));
  }
}

CAF_TEST(it is held while too much waits and goes on when half of that is free) {
  const std::string line(72, 'x'); // 200 of weight
  child_flow f{1'000, 400};
  lines out;
  auto add = [&](int n) {
    while (n-- > 0)
      f.cut(line + "\n", out);
  };
  add(2);
  CAF_CHECK(!f.hold());
  add(1);
  CAF_CHECK(f.hold());
  CAF_CHECK(!f.give_back(child_flow::weight(line)));
  CAF_CHECK(f.give_back(child_flow::weight(line)));
  CAF_CHECK(!f.give_back(child_flow::weight(line))); // told once
  CAF_CHECK(!f.hold());
  CAF_CHECK(!f.give_back(1'000'000)); // more than there was counts as all
  add(2);
  CAF_CHECK(!f.hold());
}

CAF_TEST(empty lines weigh too) {
  child_flow f{1'000, 1'000};
  lines out;
  f.cut(std::string(8, '\n'), out);
  CAF_CHECK(f.hold());
}

CAF_TEST(nothing is held without a bound or once nobody deals with lines) {
  lines out;
  child_flow unbounded{1'000, 0};
  unbounded.cut(std::string(1'000, '\n'), out);
  CAF_CHECK(!unbounded.hold());
  child_flow f{1'000, 100};
  f.cut("\n", out);
  CAF_CHECK(f.hold());
  CAF_CHECK(f.let_run());
  CAF_CHECK(!f.let_run());
  f.cut("\n", out);
  CAF_CHECK(!f.hold());
}

CAF_TEST(last words are the last) {
  child_last_words w{5};
  CAF_CHECK_EQUAL(w.text(), "");
  w.add("abc");
  CAF_CHECK_EQUAL(w.text(), "abc");
  w.add("def");
  CAF_CHECK_EQUAL(w.text(), "bcdef");
  w.add("0123456789");
  CAF_CHECK_EQUAL(w.text(), "56789");
}
