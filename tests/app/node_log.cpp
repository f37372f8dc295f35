// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// The log of a node: one line per note, whatever others put into it.

#define CAF_SUITE app.node_log

#include "app/node_log.hpp"

#include "caf/test/unit_test.hpp"

#include <algorithm>

using namespace conclave;

namespace {

constexpr std::int64_t time_ms = 1'764'133'472'003;

std::string text(std::vector<std::pair<std::string, std::string>> fields) {
  return note_line({note_weight::info, "t", std::move(fields)}, time_ms, false);
}

} // namespace

CAF_TEST(a note is a line for people and a JSON object for programs) {
  node_note n{note_weight::info, "agent_ready", {{"task", "20261126-1"}, {"agent", "a b"}, {"model", ""}, {"tools", "2"}}};
  CAF_CHECK_EQUAL(note_line(n, time_ms, false), "2025-11-26T05:04:32.003Z agent_ready task=20261126-1 agent=\"a b\" tools=2\n");
  CAF_CHECK_EQUAL(note_line(n, time_ms, true),
                  "{\"time\":\"2025-11-26T05:04:32.003Z\",\"type\":\"agent_ready\",\"task\":\"20261126-1\","
                  "\"agent\":\"a b\",\"tools\":\"2\"}\n");
}

CAF_TEST(what others said stays on its line and in its quotes) {
  for (std::string bad : {"x\ny", "x\r\ny agent_ready", "\x1b[2J", "a=b", "say \"no\"", "\xff\xfe",
                          "\xe2\x80\xae"
                          "abc",
                          "a\tb"}) {
    auto line = text({{"why", bad}});
    CAF_CHECK_EQUAL(std::count(line.begin(), line.end(), '\n'), 1);
    CAF_CHECK(line.find("why=\"") != std::string::npos || line.find("why=?") != std::string::npos
              || line.find("why=x?y") != std::string::npos || line.find("why=a?b") != std::string::npos);
    CAF_CHECK(line.find('\x1b') == std::string::npos);
    auto json = note_line({note_weight::info, "t", {{"why", bad}}}, time_ms, true);
    CAF_CHECK_EQUAL(std::count(json.begin(), json.end(), '\n'), 1);
  }
  CAF_CHECK_LESS(text({{"why", std::string(100'000, 'x')}}).size(), 1'200u);
}
