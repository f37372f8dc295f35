// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// The log of a node: one line per note, whatever others put into it.

#define CAF_SUITE app.node_log

#include "app/node_log.hpp"

#include "caf/test/unit_test.hpp"

#include <algorithm>
#include <functional>
#include <unistd.h>

using namespace conclave;

namespace {

constexpr std::int64_t time_ms = 1'764'133'472'003;

std::string text(note_fields fields) {
  return note_line({note_weight::info, "t", std::move(fields)}, time_ms, false);
}

/// What a log writes for people until it has finished.
std::string written(const std::function<void(node_log&)>& use) {
  int fds[2];
  CAF_REQUIRE_EQUAL(::pipe(fds), 0);
  auto saved = ::dup(2);
  ::dup2(fds[1], 2);
  {
    node_log log{false, note_weight::info};
    use(log);
    log.finish();
  }
  ::dup2(saved, 2);
  ::close(saved);
  ::close(fds[1]);
  std::string all(1 << 16, '\0');
  all.resize(static_cast<std::size_t>(std::max<ssize_t>(::read(fds[0], all.data(), all.size()), 0)));
  ::close(fds[0]);
  return all;
}

std::size_t count(const std::string& all, const std::string& what) {
  std::size_t n = 0;
  for (auto at = all.find(what); at != std::string::npos; at = all.find(what, at + 1))
    ++n;
  return n;
}

} // namespace

CAF_TEST(a note is a line for people and a JSON object for programs) {
  node_note n{note_weight::info,
              "agent_ready",
              {{"task", "20261126-1"},
               {"agent", "a b"},
               {"model", ""},
               {"tools", 2},
               {"seconds", note_value::seconds(29'004)},
               {"fresh", true},
               {"run", "7"}}};
  CAF_CHECK_EQUAL(note_line(n, time_ms, false),
                  "2025-11-26T05:04:32.003Z agent_ready task=20261126-1 agent=\"a b\" tools=2 seconds=29.004 fresh=true run=7\n");
  CAF_CHECK_EQUAL(note_line(n, time_ms, true),
                  "{\"time\":\"2025-11-26T05:04:32.003Z\",\"type\":\"agent_ready\",\"task\":\"20261126-1\","
                  "\"agent\":\"a b\",\"tools\":2,\"seconds\":29.004,\"fresh\":true,\"run\":\"7\"}\n");
}

CAF_TEST(strangers do not fill the disk and what is left out is counted) {
  auto all = written([](node_log& log) {
    for (int i = 0; i < 5'000; ++i)
      log.keep({note_weight::trouble, "refused", {{"peer", std::to_string(i)}}});
    log.keep({note_weight::detail, "run_started", {}}); // of no weight here
    log.keep({note_weight::info, "task_ended", {{"why", "over"}}});
    log.finish();
    log.keep({note_weight::info, "late", {}});
  });
  CAF_CHECK_EQUAL(count(all, " refused peer="), 100u);
  CAF_CHECK_EQUAL(count(all, " task_ended why=over"), 1u);
  CAF_CHECK_EQUAL(count(all, " lines_left_out of=refused left_out_before=4900\n"), 1u);
  CAF_CHECK_EQUAL(count(all, "run_started") + count(all, "late"), 0u);
}

CAF_TEST(a stranger that floods does not hide another) {
  auto all = written([](node_log& log) {
    for (int i = 0; i < 5'000; ++i)
      log.keep({note_weight::trouble, "refused", {{"peer", "10.0.0.1:" + std::to_string(i)}}});
    log.keep({note_weight::trouble, "refused", {{"peer", "[2001:db8::7]:1"}}});
  });
  CAF_CHECK_EQUAL(count(all, " refused peer=10.0.0.1:"), 20u);
  CAF_CHECK_EQUAL(count(all, " refused peer=[2001:db8::7]:1 left_out_before=4980\n"), 1u);
}

CAF_TEST(what a flood left out is said once it is over) {
  auto all = written([](node_log& log) {
    for (int i = 0; i < 50; ++i)
      log.keep({note_weight::trouble, "refused", {{"peer", "10.0.0.1:1"}}});
    log.settle();
    log.settle(); // nothing new
    log.keep({note_weight::info, "connected", {{"peer", "10.0.0.2:1"}}});
  });
  auto at = all.find(" lines_left_out of=refused left_out_before=30\n");
  CAF_CHECK(at < all.find(" connected "));
  CAF_CHECK_EQUAL(count(all, "lines_left_out"), 1u);
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
