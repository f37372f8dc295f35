// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/line_diff.hpp"

#include <algorithm>
#include <unordered_map>
#include <vector>

namespace conclave {

namespace {

constexpr int most_differences = 1000;
constexpr std::size_t most_lines = 200'000; // between the first and the last difference, on either side
constexpr std::size_t most_steps = std::size_t{1} << 26;
constexpr std::size_t most_bytes = std::size_t{1} << 20; // of what is returned

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
  auto at = [most](std::vector<int>& v, int k) -> int& {
    auto i = k + most + 1;
    return v[static_cast<std::size_t>(i)];
  };
  int found = -1;
  std::size_t steps = 0;
  for (int d = 0; d <= most && found < 0 && steps <= most_steps; ++d) {
    trace.emplace_back(reach.begin() + (most + 1 - d), reach.begin() + (most + 2 + d));
    for (int k = -d; k <= d; k += 2) {
      int x = k == -d || (k != d && at(reach, k - 1) < at(reach, k + 1)) ? at(reach, k + 1) : at(reach, k - 1) + 1;
      while (x < n && x - k < m && a[start + static_cast<std::size_t>(x)] == b[start + static_cast<std::size_t>(x - k)])
        ++x, ++steps;
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
    auto reached = [&](int k) {
      auto i = k + d;
      return was[static_cast<std::size_t>(i)];
    };
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

std::size_t count_lines(std::string_view text) {
  auto ends = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  return ends + (text.empty() || text.back() == '\n' ? 0 : 1);
}

/// Two texts without the lines that both begin and end with, but for some around.
struct compared {
  std::string_view before, after;
  std::string_view above, below; ///< equal lines around
  std::size_t first = 0;         ///< number of the first line of `above`

  compared(std::string_view a, std::string_view b, std::size_t around) {
    auto same = static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
    auto line = same == 0 ? std::string_view::npos : a.rfind('\n', same - 1);
    auto begin = line == std::string_view::npos ? 0 : line + 1;
    if (same == a.size() && same == b.size())
      begin = same;
    above = a.substr(0, begin);
    a.remove_prefix(begin);
    b.remove_prefix(begin);
    same = static_cast<std::size_t>(std::mismatch(a.rbegin(), a.rend(), b.rbegin(), b.rend()).first - a.rbegin());
    auto whole = [&same](std::string_view t) { return same == t.size() || t[t.size() - same - 1] == '\n'; };
    if (!whole(a) || !whole(b)) {
      line = a.find('\n', a.size() - same);
      same = line == std::string_view::npos ? 0 : a.size() - line - 1;
    }
    below = a.substr(a.size() - same);
    before = a.substr(0, a.size() - same);
    after = b.substr(0, b.size() - same);
    auto from = above.size();
    for (std::size_t n = 0; n < around && from > 0; ++n) {
      line = from < 2 ? std::string_view::npos : above.rfind('\n', from - 2);
      from = line == std::string_view::npos ? 0 : line + 1;
    }
    first = count_lines(above.substr(0, from));
    above.remove_prefix(from);
    std::size_t end = 0;
    for (std::size_t n = 0; n < around && end < below.size(); ++n) {
      line = below.find('\n', end);
      end = line == std::string_view::npos ? below.size() : line + 1;
    }
    below = below.substr(0, end);
  }
};

/// What is shown of a diff, line by line.
struct shown_lines {
  std::size_t limit;
  std::string text;
  std::size_t shown = 0, left = 0;

  void add(std::string_view sign, std::string_view rest) {
    if (shown < limit && text.size() + rest.size() > most_bytes)
      limit = shown;
    if (shown >= limit) {
      ++left;
      return;
    }
    ++shown;
    text += sign;
    text += rest;
    if (!rest.ends_with('\n'))
      text += rest.empty() ? "\n" : "\n\\ No newline at end of file\n";
  }
  void add_all(std::string_view sign, std::string_view rest) {
    while (!rest.empty()) {
      if (shown >= limit) {
        left += count_lines(rest);
        return;
      }
      auto end = std::min(rest.find('\n'), rest.size() - 1) + 1;
      add(sign, rest.substr(0, end));
      rest.remove_prefix(end);
    }
  }
  void add_range(std::size_t old, std::size_t olds, std::size_t now, std::size_t news) {
    add("@@ -" + range(old, olds) + " +" + range(now, news) + " @@", {});
  }
};

/// All that differs as one hunk.
void replaced(const compared& c, shown_lines& out, diff_counts& counts) {
  counts.removed = count_lines(c.before);
  counts.added = count_lines(c.after);
  auto same = count_lines(c.above) + count_lines(c.below);
  out.add_range(c.first, counts.removed + same, c.first, counts.added + same);
  out.add_all(" ", c.above);
  out.add_all("-", c.before);
  out.add_all("+", c.after);
  out.add_all(" ", c.below);
}

void hunks(const compared& c, std::size_t around, shown_lines& out, diff_counts& counts) {
  auto a = split(c.above), b = a;
  auto append = [](lines& to, std::string_view text) {
    auto more = split(text);
    to.insert(to.end(), more.begin(), more.end());
  };
  append(a, c.before);
  append(a, c.below);
  append(b, c.after);
  append(b, c.below);
  auto steps = way(a, b);
  for (auto& s : steps) {
    counts.added += s.sign == '+';
    counts.removed += s.sign == '-';
  }
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
    out.add_range(c.first + steps[begin].before, olds, c.first + steps[begin].after, news);
    for (auto s = begin; s < end; ++s)
      out.add(std::string_view(&steps[s].sign, 1), steps[s].sign == '+' ? b[steps[s].after] : a[steps[s].before]);
    i = end;
  }
}

} // namespace

std::string unified_diff(std::string_view before, std::string_view after, std::size_t limit, std::size_t around,
                         diff_counts* counts) {
  compared c(before, after, around);
  shown_lines out{limit, {}};
  diff_counts n;
  if (count_lines(c.before) > most_lines || count_lines(c.after) > most_lines)
    replaced(c, out, n);
  else
    hunks(c, around, out, n);
  n.left_out = out.left;
  if (out.left > 0)
    out.text += "... " + std::to_string(out.left) + " more lines\n";
  if (counts != nullptr)
    *counts = n;
  return std::move(out.text);
}

bool looks_binary(std::string_view bytes) {
  return bytes.substr(0, 8000).find('\0') != std::string_view::npos;
}

} // namespace conclave
