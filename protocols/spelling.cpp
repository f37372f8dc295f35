// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/spelling.hpp"

#include <algorithm>

namespace conclave {

namespace {

bool same(char a, char b) {
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return lower(a) == lower(b);
}

bool same(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return same(x, y); });
}

} // namespace

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
