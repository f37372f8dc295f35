// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.names

#include "caf/test/unit_test.hpp"
#include "protocols/coordination.hpp"

#include <set>

using namespace conclave;

CAF_TEST(codes have names and come back) {
  std::set<std::string> names;
  for (auto i = 0; i <= static_cast<int>(ec::unknown); ++i) {
    auto code = static_cast<ec>(i);
    CAF_CHECK(names.insert(to_string(code)).second);
    CAF_CHECK(ec_from_string(to_string(code)) == code);
  }
  CAF_CHECK_EQUAL(to_string(ec::context_overflow), "context_overflow");
  CAF_CHECK_EQUAL(to_string(ec::breaker_open), "breaker_open");
  CAF_CHECK_EQUAL(to_string(static_cast<ec>(200)), "unknown");
  CAF_CHECK(ec_from_string("no such") == ec::unknown);
}

CAF_TEST(what may be tried again and what puts an agent out and what another backend may do better) {
  std::set<ec> transient{ec::rate_limited, ec::unavailable, ec::timeout, ec::stream_broken, ec::bad_reply};
  std::set<ec> fatal{ec::unauthorized, ec::bad_request, ec::bad_config, ec::version_mismatch, ec::budget_exceeded};
  std::set<ec> elsewhere{ec::bad_config,  ec::bad_request, ec::bad_reply,    ec::unauthorized,   ec::rate_limited,
                         ec::unavailable, ec::timeout,     ec::breaker_open, ec::budget_exceeded};
  for (auto i = 0; i <= static_cast<int>(ec::unknown); ++i) {
    auto code = static_cast<ec>(i);
    CAF_CHECK_EQUAL(is_transient(code), transient.count(code) > 0);
    CAF_CHECK_EQUAL(is_fatal(code), fatal.count(code) > 0);
    CAF_CHECK_EQUAL(is_outage(code), transient.count(code) > 0);
    CAF_CHECK_EQUAL(asks_elsewhere(code), elsewhere.count(code) > 0);
  }
}

CAF_TEST(events have names and come back) {
  std::set<std::string> names;
  for (auto i = 0; i < static_cast<int>(event_type_count); ++i) {
    auto type = static_cast<event_type>(i);
    CAF_CHECK(names.insert(to_string(type)).second);
    CAF_CHECK(event_type_from_string(to_string(type)) == type);
  }
  CAF_CHECK_EQUAL(to_string(event_type::session_start), "session_start");
  CAF_CHECK_EQUAL(to_string(event_type::backoff_over), "backoff_over");
  CAF_CHECK_EQUAL(to_string(event_type::task_ended), "task_ended");
  CAF_CHECK(event_type_from_string("of a newer version") == event_type::unknown);
  CAF_CHECK_EQUAL(to_string(static_cast<event_type>(250)), "unknown");
}

CAF_TEST(roles chunks statuses and outcomes have names) {
  CAF_CHECK_EQUAL(to_string(role::system) + to_string(role::user) + to_string(role::assistant) + to_string(role::tool),
                  "systemuserassistanttool");
  CAF_CHECK_EQUAL(to_string(chunk_kind::text), "text");
  CAF_CHECK_EQUAL(to_string(chunk_kind::reasoning), "reasoning");
  CAF_CHECK_EQUAL(to_string(chunk_kind::tool_call), "tool_call");
  CAF_CHECK_EQUAL(to_string(chunk_kind::status), "status");
  CAF_CHECK_EQUAL(to_string(completion_status::finished), "finished");
  CAF_CHECK_EQUAL(to_string(completion_status::truncated), "truncated");
  CAF_CHECK_EQUAL(to_string(completion_status::refused), "refused");
  CAF_CHECK_EQUAL(to_string(completion_status::cancelled), "cancelled");
  CAF_CHECK_EQUAL(to_string(completion_status::broken), "broken");
  CAF_CHECK_EQUAL(to_string(completion_status::paused), "paused");
  CAF_CHECK_EQUAL(to_string(outcome_kind::timed_out), "timed_out");
}
