// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/error.hpp"

#include <array>
#include <cstddef>

namespace conclave {

namespace {

// Index = number on the wire.
constexpr std::array<std::string_view, 16> names{
    "none",         "bad_config",  "bad_request",      "bad_reply",        "unauthorized",
    "rate_limited", "unavailable", "stream_broken",    "timeout",          "cancelled",
    "breaker_open", "denied",      "version_mismatch", "context_overflow", "budget_exceeded",
    "unknown",
};
static_assert(names.size() == static_cast<std::size_t>(ec::unknown) + 1);

} // namespace

std::string to_string(ec code) {
  auto i = static_cast<std::size_t>(code);
  return std::string{i < names.size() ? names[i] : names.back()};
}

ec ec_from_string(std::string_view name) {
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] == name)
      return static_cast<ec>(i);
  return ec::unknown;
}

bool is_transient(ec code) {
  switch (code) {
  case ec::rate_limited:
  case ec::unavailable:
  case ec::timeout:
  case ec::stream_broken:
  case ec::bad_reply:
    return true;
  default:
    return false;
  }
}

bool is_fatal(ec code) {
  switch (code) {
  case ec::unauthorized:
  case ec::bad_request:
  case ec::bad_config:
  case ec::version_mismatch:
  case ec::budget_exceeded:
    return true;
  default:
    return false;
  }
}

} // namespace conclave
