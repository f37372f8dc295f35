// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/error.hpp"

#include <array>
#include <cstddef>

namespace conclave {

namespace {

/// What follows from a code. The one table for models and tool servers: what a provider's status or a tool server's error becomes
/// is decided where it is read (protocols/wire/error_kind.cpp, actors/mcp_replies.cpp), what is done about it here.
struct row {
  std::string_view name;
  bool transient = false; ///< an equal attempt may succeed
  bool fatal = false;     ///< of a run: no other run of this agent will do better
  bool outage = false;    ///< of a peer: it is out of order, not only this request
  bool elsewhere = false; ///< another backend may do better
};

// Index = number on the wire.
constexpr std::array<row, 16> rows{{
    {"none"},
    {"bad_config", false, true, false, true},    // this configuration, proxy or certificate
    {"bad_request", false, true, false, true},   // 400, 404, 422: an unknown model, an unknown path, a form that it does not take
    {"bad_reply", true, false, true, true},      // a body that no dialect reads; a tool server that breaks its protocol
    {"unauthorized", false, true, false, true},  // 401, 403, 402 and an account without credit
    {"rate_limited", true, false, true, true},   // 429
    {"unavailable", true, false, true, true},    // 408, 409, 5xx, 529, no connection; a tool server that is not there
    {"stream_broken", true, false, true, false}, // part of the reply has been used
    {"timeout", true, false, true, true},
    {"cancelled"},
    {"breaker_open", false, false, false, true},
    {"denied"},
    {"version_mismatch", false, true, false, false},
    {"context_overflow"},
    {"budget_exceeded", false, true, false, true}, // another model may be cheaper
    {"unknown"},
}};
static_assert(rows.size() == static_cast<std::size_t>(ec::unknown) + 1);

const row& row_of(ec code) {
  auto i = static_cast<std::size_t>(code);
  return i < rows.size() ? rows[i] : rows.back();
}

} // namespace

std::string to_string(ec code) {
  return std::string{row_of(code).name};
}

ec ec_from_string(std::string_view name) {
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (rows[i].name == name)
      return static_cast<ec>(i);
  return ec::unknown;
}

bool is_transient(ec code) {
  return row_of(code).transient;
}

bool is_fatal(ec code) {
  return row_of(code).fatal;
}

bool is_outage(ec code) {
  return row_of(code).outage;
}

bool asks_elsewhere(ec code) {
  return row_of(code).elsewhere;
}

} // namespace conclave
