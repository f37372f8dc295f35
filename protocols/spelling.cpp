// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/spelling.hpp"

#include "protocols/text.hpp"

#include <algorithm>
#include <numeric>

namespace conclave {

namespace {

bool same(char a, char b) {
  return lower(a) == lower(b);
}

bool same(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return same(x, y); });
}

/// Edit distance with swaps of neighbours, letters compared without case.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  std::iota(d[0].begin(), d[0].end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    d[i][0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      auto same = lower(a[i - 1]) == lower(b[j - 1]);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

/// Returns whether one text is in the other as whole words ("timeout" in "idle_timeout_seconds"), or is how the other begins. At
/// least four characters of a word must match: less is chance.
bool is_part(const std::string& a, const std::string& b) {
  auto fold = [](const std::string& text) {
    auto from = std::min(text.find_first_not_of('-'), text.size()); // --option
    std::string out;
    for (auto c : text.substr(from))
      out += c == '-' || c == '.' || c == ' ' ? '_' : lower(c);
    return out;
  };
  auto part = fold(a), whole = fold(b);
  if (part.size() > whole.size())
    std::swap(part, whole);
  if (part.size() < 4 || part.find_first_not_of('_') == std::string::npos)
    return false;
  return whole.starts_with(part) || ("_" + whole + "_").find("_" + part + "_") != std::string::npos;
}

} // namespace

std::string nearest(const std::string& name, const std::vector<std::string>& candidates) {
  if (name.size() > 64)
    return "";
  std::string best;
  auto limit = std::max<std::size_t>(1, std::min<std::size_t>(4, name.size() / 3)) + 1;
  for (const auto& candidate : candidates) {
    auto apart = std::max(name.size(), candidate.size()) - std::min(name.size(), candidate.size());
    auto d = apart >= limit ? limit : distance(name, candidate);
    if (d < limit) {
      limit = d;
      best = candidate;
    }
  }
  if (!best.empty())
    return best;
  // No typing error: then a name that was cut short or said too much; the one that differs least.
  auto least = std::string::npos;
  for (const auto& candidate : candidates) {
    auto apart = std::max(name.size(), candidate.size()) - std::min(name.size(), candidate.size());
    if (apart < least && is_part(name, candidate)) {
      least = apart;
      best = candidate;
    }
  }
  return best;
}

bool is_one_slip(std::string_view a, std::string_view b) {
  if (a.size() < b.size())
    std::swap(a, b);
  if (a.size() > b.size() + 1)
    return false;
  std::size_t at = 0;
  while (at < b.size() && same(a[at], b[at]))
    ++at;
  auto left = a.substr(at), right = b.substr(at);
  if (left.empty())
    return true;
  if (left.size() > right.size())
    return same(left.substr(1), right);
  if (same(left.substr(1), right.substr(1)))
    return true;
  return left.size() > 1 && same(left[0], right[1]) && same(left[1], right[0]) && same(left.substr(2), right.substr(2));
}

} // namespace conclave
