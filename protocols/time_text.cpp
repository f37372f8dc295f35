// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/time_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <ctime>
#include <utility>

namespace conclave {

std::optional<double> read_time(std::string_view text, double plain) {
  static constexpr std::array<std::pair<std::string_view, double>, 6> units = {
      {{"ms", 1}, {"s", 1e3}, {"m", 60e3}, {"h", 3'600e3}, {"d", 86'400e3}, {"w", 604'800e3}}};
  double number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc{} || !std::isfinite(number) || text.starts_with('-'))
    return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  auto unit = std::find_if(units.begin(), units.end(), [&](const auto& u) { return u.first == text; });
  auto each = text.empty() ? plain : unit != units.end() ? unit->second : 0;
  return each > 0 && std::isfinite(number * each) ? std::optional{number * each} : std::nullopt;
}

std::string clock_text(std::int64_t unix_ms, std::int32_t utc_offset_s, const char* form) {
  auto t = static_cast<std::time_t>(unix_ms / 1000 + utc_offset_s);
  std::tm tm{};
  gmtime_r(&t, &tm);
  char text[64];
  return {text, std::strftime(text, sizeof text, form, &tm)};
}

} // namespace conclave
