// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/line_diff.hpp"

#include <algorithm>
#include <unordered_map>
#include <vector>

namespace conclave {

namespace {

constexpr std::size_t around = 3;
constexpr int most_differences = 1000;

using lines = std::vector<std::string_view>;

lines split(std::string_view text) {
  lines out;
  while (!text.empty()) {
    auto end = text.find('\n');
    auto length = end == std::string_view::npos ? text.size() : end + 1;
    out.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return out;
}

/// ' ' = in both, '-' = of the old text alone, '+' = of the new one.
struct step {
  char sign;
  std::size_t before, after; ///< line numbers, from 0
};

void replace_all(std::vector<step>& out, std::size_t a, std::size_t a_end, std::size_t b, std::size_t b_end) {
  for (auto i = a; i < a_end; ++i)
    out.push_back({'-', i, b});
  for (auto i = b; i < b_end; ++i)
    out.push_back({'+', a_end, i});
}

/// The greedy search for a shortest way by Myers ("An O(ND) Difference Algorithm and Its Variations", 1986), with numbers for
/// lines. Appends the steps of the range, or replaces all of it if more than `most_differences` lines differ.
void shortest(const std::vector<int>& a, const std::vector<int>& b, std::size_t start, std::size_t a_end, std::size_t b_end,
              std::vector<step>& out) {
  const int n = static_cast<int>(a_end - start), m = static_cast<int>(b_end - start);
  const int most = std::min(n + m, most_differences);
  std::vector<std::vector<int>> trace; // how far each diagonal reached, before each round
  std::vector<int> reach(static_cast<std::size_t>(2 * most + 3), 0);
  auto at = [most](std::vector<int>& v, int k) -> int& { return v[static_cast<std::size_t>(k + most + 1)]; };
  int found = -1;
  for (int d = 0; d <= most && found < 0; ++d) {
    trace.emplace_back(reach.begin() + (most + 1 - d), reach.begin() + (most + 2 + d));
    for (int k = -d; k <= d; k += 2) {
      int x = k == -d || (k != d && at(reach, k - 1) < at(reach, k + 1)) ? at(reach, k + 1) : at(reach, k - 1) + 1;
      while (x < n && x - k < m && a[start + static_cast<std::size_t>(x)] == b[start + static_cast<std::size_t>(x - k)])
        ++x;
      at(reach, k) = x;
      if (x >= n && x - k >= m) {
        found = d;
        break;
      }
    }
  }
  if (found < 0)
    return replace_all(out, start, a_end, start, b_end);
  auto first = out.size();
  int x = n, y = m;
  auto number = [start](int v) { return start + static_cast<std::size_t>(v); };
  for (int d = found; d > 0; --d) {
    auto& was = trace[static_cast<std::size_t>(d)]; // diagonals -d to d
    auto reached = [&](int k) { return was[static_cast<std::size_t>(k + d)]; };
    int k = x - y;
    bool down = k == -d || (k != d && reached(k - 1) < reached(k + 1));
    int from = down ? k + 1 : k - 1, from_x = reached(from), from_y = from_x - from;
    while (x > from_x && y > from_y && x > 0 && y > 0 && (down ? y > from_y + 1 : x > from_x + 1)) {
      --x, --y;
      out.push_back({' ', number(x), number(y)});
    }
    if (down)
      out.push_back({'+', number(from_x), number(from_y)});
    else
      out.push_back({'-', number(from_x), number(from_y)});
    x = from_x, y = from_y;
  }
  while (x > 0 && y > 0) {
    --x, --y;
    out.push_back({' ', number(x), number(y)});
  }
  std::reverse(out.begin() + static_cast<std::ptrdiff_t>(first), out.end());
}

std::vector<step> way(const lines& before, const lines& after) {
  std::unordered_map<std::string_view, int> numbers;
  auto numbered = [&](const lines& all) {
    std::vector<int> out;
    for (auto l : all)
      out.push_back(numbers.try_emplace(l, static_cast<int>(numbers.size())).first->second);
    return out;
  };
  auto a = numbered(before), b = numbered(after);
  std::size_t start = 0, a_end = a.size(), b_end = b.size();
  while (start < a_end && start < b_end && a[start] == b[start])
    ++start;
  while (a_end > start && b_end > start && a[a_end - 1] == b[b_end - 1])
    --a_end, --b_end;
  std::vector<step> out;
  for (std::size_t i = 0; i < start; ++i)
    out.push_back({' ', i, i});
  shortest(a, b, start, a_end, b_end, out);
  for (std::size_t i = 0; a_end + i < a.size(); ++i)
    out.push_back({' ', a_end + i, b_end + i});
  return out;
}

std::string range(std::size_t first, std::size_t count) {
  auto shown = std::to_string(count == 0 ? first : first + 1);
  return count == 1 ? shown : shown + "," + std::to_string(count);
}

} // namespace

std::string unified_diff(std::string_view before, std::string_view after, std::size_t limit) {
  auto a = split(before), b = split(after);
  auto steps = way(a, b);
  std::string out;
  std::size_t shown = 0, left = 0;
  auto line = [&](std::string_view text, std::string_view rest) {
    if (shown >= limit) {
      ++left;
      return;
    }
    ++shown;
    out += text;
    out += rest;
    if (!rest.ends_with('\n'))
      out += rest.empty() ? "\n" : "\n\\ No newline at end of file\n";
  };
  for (std::size_t i = 0; i < steps.size();) {
    if (steps[i].sign == ' ') {
      ++i;
      continue;
    }
    auto begin = i - std::min(i, around), end = i;
    for (auto last = i; end < steps.size() && end - last <= 2 * around; ++end)
      if (steps[end].sign != ' ')
        last = end, i = end;
    end = std::min(i + 1 + around, steps.size());
    std::size_t olds = 0, news = 0;
    for (auto s = begin; s < end; ++s) {
      olds += steps[s].sign != '+';
      news += steps[s].sign != '-';
    }
    line("@@ -" + range(steps[begin].before, olds) + " +" + range(steps[begin].after, news) + " @@", {});
    for (auto s = begin; s < end; ++s)
      line(std::string(1, steps[s].sign), steps[s].sign == '+' ? b[steps[s].after] : a[steps[s].before]);
    i = end;
  }
  if (left > 0)
    out += "... " + std::to_string(left) + " more lines\n";
  return out;
}

bool looks_binary(std::string_view bytes) {
  return bytes.substr(0, 8000).find('\0') != std::string_view::npos;
}

} // namespace conclave
