// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.line_diff

#include "protocols/line_diff.hpp"

#include "caf/test/unit_test.hpp"

#include <charconv>
#include <random>
#include <string>
#include <string_view>
#include <vector>

using namespace conclave;

namespace {

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    auto end = std::min(text.find('\n'), text.size() - 1) + 1;
    out.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return out;
}

/// What becomes of `before` by the diff; empty where it does not fit.
std::string applied(const std::string& before, const std::string& diff) {
  auto old = lines_of(before), steps = lines_of(diff);
  std::string out;
  std::size_t at = 0;
  auto take = [&](std::string_view line) {
    if (at >= old.size() || old[at] != line)
      return false;
    ++at;
    return true;
  };
  for (std::size_t i = 0; i < steps.size(); ++i) {
    std::string line = steps[i].substr(1);
    auto sign = steps[i][0];
    if (i + 1 < steps.size() && steps[i + 1].starts_with("\\ No newline")) {
      line.pop_back();
      steps.erase(steps.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    }
    if (sign == '@') {
      std::size_t first = 0;
      auto text = steps[i].substr(4);
      auto end = std::from_chars(text.data(), text.data() + text.size(), first).ptr;
      auto none = std::string_view(end).starts_with(",0 ");
      for (auto to = none ? first : first - 1; at < to && at < old.size();)
        out += old[at++];
    } else if (sign == ' ' || sign == '-') {
      if (!take(line))
        return "does not fit: " + steps[i];
      out += sign == ' ' ? line : "";
    } else if (sign == '+') {
      out += line;
    } else {
      return "no diff: " + steps[i];
    }
  }
  while (at < old.size())
    out += old[at++];
  return out;
}

std::string repeated(std::string_view what, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i)
    out += what;
  return out;
}

} // namespace

CAF_TEST(a diff makes one text of the other) {
  std::mt19937 random(7);
  for (int i = 0; i < 20'000; ++i) {
    auto text = [&random] {
      std::string out;
      for (auto n = random() % 9; n > 0; --n)
        out += std::string(1, static_cast<char>('a' + random() % 3)) + "\n";
      if (!out.empty() && random() % 4 == 0)
        out.pop_back();
      return out;
    };
    auto same = text(), before = same + text(), after = same + text();
    if (random() % 2 == 0)
      before += "\n" + same, after += "\n" + same;
    diff_counts counts;
    auto diff = unified_diff(before, after, 1000, random() % 4, &counts);
    if (applied(before, diff) != after || diff.empty() != (before == after) || counts.left_out != 0)
      CAF_FAIL(before << "---\n" << after << "---\n" << diff);
  }
}

CAF_TEST(lines around are those next to what differs) {
  CAF_CHECK_EQUAL(unified_diff("1\n2\n3\n4\n5\n", "1\n2\nx\n4\n5\n", 100, 1), "@@ -2,3 +2,3 @@\n 2\n-3\n+x\n 4\n");
  CAF_CHECK_EQUAL(unified_diff("1\n2\n3\n", "1\n2\n3\n4", 100, 1), "@@ -3 +3,2 @@\n 3\n+4\n\\ No newline at end of file\n");
  CAF_CHECK_EQUAL(unified_diff("1\n2\n", "2\n", 100, 0), "@@ -1 +0,0 @@\n-1\n");
  CAF_CHECK_EQUAL(unified_diff("", "a\n", 100), "@@ -0,0 +1 @@\n+a\n");
  CAF_CHECK_EQUAL(unified_diff("ab", "a", 100),
                  "@@ -1 +1 @@\n-ab\n\\ No newline at end of file\n+a\n\\ No newline at end of file\n");
}

CAF_TEST(many lines are replaced as a whole and counted) {
  auto same = repeated("same\n", 10), before = same + repeated("old\n", 300'000) + same,
       after = same + repeated("new\n", 400'000) + same;
  diff_counts counts;
  auto diff = unified_diff(before, after, 5, 2, &counts);
  CAF_CHECK_EQUAL(counts.removed, 300'000u);
  CAF_CHECK_EQUAL(counts.added, 400'000u);
  CAF_CHECK_EQUAL(counts.left_out, 700'000u);
  CAF_CHECK_EQUAL(diff, "@@ -9,300004 +9,400004 @@\n same\n same\n-old\n-old\n... 700000 more lines\n");
  // Far fewer that differ in as many are found.
  before = same + repeated("x\n", 1'000'000) + "1\n" + repeated("x\n", 100'000) + "2\n" + same;
  after = same + repeated("x\n", 1'000'000) + "3\n" + repeated("x\n", 100'000) + "4\n" + same;
  counts = {};
  unified_diff(before, after, 100, 3, &counts);
  CAF_CHECK_EQUAL(counts.added + counts.removed, 4u);
}

CAF_TEST(a line too long to be shown is counted) {
  diff_counts counts;
  auto diff = unified_diff(std::string(3'000'000, 'a'), std::string(3'000'000, 'b'), 500, 3, &counts);
  CAF_CHECK_EQUAL(diff, "@@ -1 +1 @@\n... 2 more lines\n");
  CAF_CHECK_EQUAL(counts.left_out, 2u);
}

CAF_TEST(texts made to have no short way end soon) {
  std::mt19937 random(3);
  std::string before, after;
  for (int i = 0; i < 190'000; ++i) {
    before += random() % 2 == 0 ? "a\n" : "b\n";
    after += random() % 2 == 0 ? "a\n" : "b\n";
  }
  diff_counts counts;
  unified_diff(before, after, 500, 3, &counts);
  CAF_CHECK(counts.left_out > 0);
  // Long equal stretches on every way: as many steps as there can be.
  before = "y\n" + repeated("x\n", 190'000) + repeated("z\n", 2000);
  after = repeated("w\n", 2000) + repeated("x\n", 190'000) + "v\n";
  counts = {};
  unified_diff(before, after, 500, 3, &counts);
  CAF_CHECK(counts.left_out > 0);
}
