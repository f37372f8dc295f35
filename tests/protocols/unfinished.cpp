// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What a log says of the runs that were under way where it stops.

#define CAF_SUITE protocols.unfinished

#include "caf/test/unit_test.hpp"
#include "protocols/replay.hpp"

using namespace conclave;
using namespace conclave::ledger;

namespace {

using log_t = std::vector<event>;

event of(event_type type, const std::string& agent, std::uint64_t run) {
  event e;
  e.type = type;
  e.agent = agent;
  e.run = run;
  return e;
}

event call(bool ended, const std::string& agent, std::uint64_t run, std::int64_t number, const std::string& target,
           std::vector<std::string> said, const std::string& state = "", std::uint64_t kept = 0) {
  auto e = of(ended ? event_type::call_ended : event_type::call_started, agent, run);
  e.number = number;
  e.target = target;
  e.said = std::move(said);
  e.state = state;
  e.kept = kept;
  e.reason = ended ? "finished" : "";
  return e;
}

using names = std::vector<std::string>;

} // namespace

CAF_TEST(a run that was cut off is known by its newest state and what came since) {
  log_t log{of(event_type::run_started, "a", 1), of(event_type::run_started, "b", 2)};
  log.push_back(call(false, "a", 1, 1, "model", {"m1", "m2"}, "s1"));
  log.push_back(call(true, "a", 1, 1, "model", {"completion1"}));
  log.push_back(call(false, "a", 1, 2, "fs", {"args2"}));
  log.push_back(call(false, "a", 1, 3, "net", {"args3"}));
  log.push_back(call(true, "a", 1, 3, "net", {"result3"}));
  auto open = unfinished(log);
  CAF_REQUIRE_EQUAL(open.size(), 2u);
  CAF_CHECK(open[0].agent == "a" && open[0].run == 1 && !open[0].present && open[0].state == "s1"
            && open[0].talk == (names{"m1", "m2"}));
  CAF_CHECK_EQUAL(open[0].calls_made, 3u);
  CAF_REQUIRE_EQUAL(open[0].calls.size(), 3u);
  CAF_CHECK(open[0].calls[0].ended && open[0].calls[0].said == names{"completion1"} && open[0].calls[0].sent.empty());
  CAF_CHECK(!open[0].calls[1].ended && open[0].calls[1].target == "fs" && open[0].calls[1].sent == names{"args2"});
  CAF_CHECK(open[0].calls[2].ended && open[0].calls[2].said == names{"result3"} && open[0].calls[2].status == "finished");
  CAF_CHECK(open[1].agent == "b" && open[1].state.empty() && open[1].calls.empty() && open[1].calls_made == 0);
  // The next model call begins with a state that holds what came before it, and cuts the conversation where it was trimmed.
  log.push_back(call(false, "a", 1, 4, "model", {"m3", "m4"}, "s2", 1));
  open = unfinished(log);
  CAF_CHECK(open[0].state == "s2" && open[0].talk == (names{"m1", "m3", "m4"}) && open[0].calls.size() == 4);
  CAF_CHECK(open[0].calls[3].call == 4 && !open[0].calls[3].ended);
  // A state may come with a tool call: its arguments are no message.
  log.push_back(call(false, "a", 1, 5, "fs", {"m5", "args5"}, "s3", 3));
  log.back().flag = true;
  open = unfinished(log);
  CAF_CHECK(open[0].state == "s3" && open[0].talk == (names{"m1", "m3", "m4", "m5"}));
  CAF_CHECK(open[0].calls[4].sent == names{"args5"} && open[0].calls[4].effect == call_effect::repeatable
            && open[0].calls[1].effect == call_effect::once);
}

CAF_TEST(a refusal is kept with the state it was given to) {
  log_t log{of(event_type::run_started, "a", 1), call(false, "a", 1, 1, "model", {"m1"}, "s1"),
            call(true, "a", 1, 1, "model", {"c1"}), of(event_type::refused, "a", 1)};
  log.back().reason = "blank";
  log.back().labels = {"agent2"};
  // Without a state: the run hands in again what it did.
  CAF_CHECK(!unfinished(log)[0].refused && unfinished(log)[0].calls.size() == 1);
  log.back().state = "s2";
  log.back().kept = 1;
  log.back().said = {"m2"};
  auto r = unfinished(log)[0];
  CAF_CHECK(r.refused && r.state == "s2" && r.talk == (names{"m1", "m2"}) && r.calls.size() == 1 && r.calls_made == 1);
  CAF_CHECK(r.refusal == (ruling{ruling_kind::refused, "blank", {"agent2"}}));
  log.push_back(call(false, "a", 1, 2, "model", {"m3"}, "s3", 2));
  r = unfinished(log)[0];
  CAF_CHECK(!r.refused && r.refusal == ruling{} && r.talk == (names{"m1", "m2", "m3"}));
}

CAF_TEST(a call of unknown outcome is open until its run has gone on over however many crashes) {
  log_t log{of(event_type::run_started, "a", 1), call(false, "a", 1, 1, "model", {"m1"}, "s1"),
            call(true, "a", 1, 1, "model", {"c1"}), call(false, "a", 1, 2, "fs", {"m2", "args"}, "s2", 1)};
  CAF_CHECK(!unfinished(log)[0].calls[0].unsettled && unfinished(log)[0].calls[1].unsettled);
  log.push_back(call(true, "a", 1, 2, "fs", {})); // taken over
  log.back().reason = "unknown";
  CAF_CHECK(unfinished(log)[0].calls[1].unsettled);
  log.push_back(of(event_type::run_continued, "a", 2));
  log.back().number = 1;
  CAF_CHECK(unfinished(log)[0].calls[1].unsettled);
  log.push_back(call(false, "a", 2, 3, "model", {"m3"}, "s3", 2));
  CAF_CHECK(!unfinished(log)[0].calls[1].unsettled && unfinished(log)[0].calls[2].unsettled);
}

CAF_TEST(a run that went on under a new number is one run also after two crashes) {
  log_t log{of(event_type::presentation_started, "a", 1), of(event_type::run_started, "a", 1),
            call(false, "a", 1, 1, "model", {"m1"}, "s1"), call(true, "a", 1, 1, "model", {})};
  log.back().reason = "unknown";
  for (std::uint64_t n = 2; n < 4; ++n) {
    log.push_back(of(event_type::run_continued, "a", n));
    log.back().number = static_cast<std::int64_t>(n) - 1;
  }
  auto open = unfinished(log);
  CAF_REQUIRE_EQUAL(open.size(), 1u);
  CAF_CHECK(open[0].run == 3 && open[0].present && open[0].state == "s1" && open[0].calls.size() == 1);
  CAF_CHECK(open[0].calls[0].ended && open[0].calls[0].status == "unknown");
  // What the old number says now is nothing.
  log.push_back(of(event_type::run_ended, "a", 1));
  CAF_CHECK_EQUAL(unfinished(log).size(), 1u);
  log.push_back(of(event_type::run_ended, "a", 3));
  CAF_CHECK(unfinished(log).empty());
}

CAF_TEST(what does not fit together in a log does no harm to the runs of it) {
  log_t log{of(event_type::run_started, "a", 1)};
  log.push_back(call(false, "b", 1, 9, "model", {"x"}, "s"));
  log.push_back(call(true, "a", 7, -5, "model", {}));
  log.push_back(call(false, "a", 1, -1, "model", {"m"}, "s1", 18446744073709551615ull));
  log.push_back(of(event_type::run_continued, "b", 5));
  log.back().number = 1;
  log.push_back(of(event_type::run_continued, "a", 6));
  log.back().number = -1;
  auto open = unfinished(log);
  CAF_REQUIRE_EQUAL(open.size(), 1u);
  CAF_CHECK(open[0].run == 1 && open[0].talk == names{"m"} && open[0].calls_made == 0);
}
