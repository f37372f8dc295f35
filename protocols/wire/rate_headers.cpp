// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/rate_headers.hpp"

#include "protocols/text.hpp"
#include "protocols/wire/error_kind.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>

// x-ratelimit-{limit,remaining,reset}-{requests,tokens}, the reset as a duration (6m0s). Source:
// https://platform.openai.com/docs/guides/rate-limits, "Rate limits in headers", read 2026-11-26.
// anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}, the reset as an RFC 3339 time. Source:
// https://docs.claude.com/en/api/rate-limits, "Response headers", read 2026-11-26.
// Others keep to one of the two with a window's name at the end (-requests-day), or without any (x-ratelimit-reset, seconds since
// 1970 or until then).

namespace conclave::wire {

namespace {

constexpr std::size_t max_windows = 8;
constexpr std::size_t max_value = 64; ///< bytes of a header that are read

/// Returns a number that is not negative; -1 for what is none.
double number_of(const std::string& text) {
  if (text.empty() || text.size() > max_value || text.find_first_not_of("0123456789.") != std::string::npos)
    return -1;
  char* end = nullptr;
  auto n = std::strtod(text.c_str(), &end);
  return *end == '\0' && std::isfinite(n) ? n : -1;
}

std::int64_t count_of(const std::string& text) {
  constexpr double most = 1e15;
  auto n = number_of(text);
  return n < 0 ? -1 : static_cast<std::int64_t>(std::min(n, most));
}

std::int64_t reset_ms(const std::string& text, std::int64_t now_s) {
  constexpr double first_moment_s = 1e9, first_moment_ms = 1e12; // beyond these no span is meant
  auto until = [now_s](double s) { return wait_ms(std::max(s - static_cast<double>(now_s), 0.0) * 1000); };
  if (text.size() > max_value)
    return -1;
  if (auto n = number_of(text); n >= 0)
    return n >= first_moment_ms ? until(n / 1000) : n >= first_moment_s ? until(n) : wait_ms(n * 1000);
  std::tm tm{};
  if (strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &tm) != nullptr)
    return until(static_cast<double>(timegm(&tm)));
  return duration_ms(lower(text));
}

enum class part : std::uint8_t { none, limit, remaining, reset };

/// Splits a header's name into what it tells and the window it tells it of.
part part_of(std::string_view name, std::string& window) {
  auto out = part::none;
  window.clear();
  while (!name.empty()) {
    auto dash = std::min(name.find('-'), name.size());
    auto word = name.substr(0, dash);
    name.remove_prefix(std::min(dash + 1, name.size()));
    auto is = word == "limit" ? part::limit : word == "remaining" ? part::remaining : word == "reset" ? part::reset : part::none;
    if (is != part::none && out == part::none)
      out = is;
    else if (word != "x" && word != "anthropic" && word != "ratelimit")
      window.append(window.empty() ? "" : "-").append(word);
  }
  return out;
}

} // namespace

std::vector<rate_state> rate_states(const http_head& head) {
  std::vector<rate_state> out;
  std::string window;
  for (auto& [name, value] : head.headers) {
    if (name.find("ratelimit") == std::string::npos || name.size() > max_value)
      continue;
    auto tells = part_of(name, window);
    if (tells == part::none || window.find("concurren") != std::string::npos)
      continue;
    auto i = std::find_if(out.begin(), out.end(), [&](auto& w) { return w.name == window; });
    if (i == out.end() && out.size() == max_windows)
      continue;
    if (i == out.end()) {
      auto unit = window.find("token") == std::string::npos    ? rate_unit::requests
                  : window.find("output") == std::string::npos ? rate_unit::tokens
                                                               : rate_unit::output_tokens;
      i = out.insert(i, {window, unit, -1, -1, -1});
    }
    if (tells == part::limit)
      i->limit = count_of(value);
    else if (tells == part::remaining)
      i->remaining = count_of(value);
    else
      i->reset_ms = reset_ms(value, head.at_s);
  }
  std::erase_if(out, [](auto& w) { return w.remaining < 0 || w.reset_ms < 0; });
  return out;
}

} // namespace conclave::wire
