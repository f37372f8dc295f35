// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.agent_limits

// What a run may hold, and what an agent may ask for in vain.

#include "support/agent_fixture.hpp"

using namespace conclave;
using namespace conclave::test;

namespace {

struct limits_fixture : agent_fixture {
  /// A reply of `n` calls of the tool, different from every other.
  completion looks(int n) {
    std::vector<tool_call> out;
    for (int i = 0; i < n; ++i) {
      auto id = "c" + std::to_string(++made);
      out.push_back({id, "mcp__t__look", "{\"n\":" + std::to_string(made) + "}"});
    }
    return calls(std::move(out));
  }

  completion costs(completion c, std::int64_t requests) {
    c.usage.requests = requests;
    return c;
  }

  static std::size_t size_of(const model_request& r) {
    std::size_t sum = 0;
    for (auto& m : r.messages)
      sum += m.text.size();
    return sum;
  }

  int made = 0;
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(agent_limits_tests, limits_fixture)

CAF_TEST(a conversation that grows keeps its newest results and shortens the oldest) {
  max_run_bytes = 1 << 20;
  tool->result = std::string(14'000, 'r'); // a longer one would be shown in part
  spawn_with("tools");
  for (int i = 0; i < 30; ++i)
    model->replies.push_back(looks(4));
  model->replies.push_back(calls({{"a", "new_answer", R"({"content":"42"})"}}));
  run(task(false));
  CAF_REQUIRE_EQUAL(model->asked.size(), 31u);
  for (auto& r : model->asked)
    CAF_CHECK(size_of(r) <= (1u << 20));
  auto& last = model->asked.back().messages;
  CAF_CHECK_EQUAL(last.back().text, tool->result);
  auto oldest = std::find_if(last.begin(), last.end(), [](auto& m) { return m.from == role::tool; });
  CAF_CHECK(oldest->text.size() < 1'000 && oldest->text.find("bytes left out]") != std::string::npos);
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK(boss->verdicts[0].kind == verdict_kind::answer);
  check_call_ids();
}

CAF_TEST(one round of calls alone may be too much) {
  max_run_bytes = 1 << 19;
  tool->result = std::string(14'000, 'r');
  spawn_with("tools");
  model->replies = {looks(60), calls({{"a", "new_answer", R"({"content":"42"})"}})};
  run(task(false));
  CAF_REQUIRE_EQUAL(model->asked.size(), 2u);
  CAF_CHECK(size_of(model->asked[1]) <= (1u << 19));
  CAF_CHECK_EQUAL(model->asked[1].messages.back().text, tool->result);
  check_call_ids();
}

CAF_TEST(a run that cannot be shortened fails with the limit and its key) {
  max_run_bytes = 65'536;
  spawn_with("tools");
  for (int i = 0; i < 5; ++i) { // what the model itself writes is not cut
    model->replies.push_back(looks(1));
    model->replies.back().calls[0].arguments = "{\"n\":\"" + std::string(30'000, "abcde"[i]) + "\"}";
  }
  run(task(false));
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK(boss->verdicts[0].kind == verdict_kind::failed);
  CAF_CHECK(boss->verdicts[0].code == ec::context_overflow);
  CAF_CHECK(boss->verdicts[0].reason.find("the limit is 65536: raise `max_run_bytes`") != std::string::npos);
  CAF_CHECK(model->asked.size() < 4u);
}

CAF_TEST(requests in vain are counted over all runs of a round) {
  spawn_with("tools");
  // Of each call two tries fail and the third brings a reply of no use; then everything fails.
  model->replies = {costs(text("a"), 3), costs(text("b"), 3), costs(broken(ec::unavailable, "503"), 2)};
  run(task(false));
  CAF_REQUIRE_EQUAL(model->asked.size(), 3u);
  CAF_CHECK_EQUAL(model->asked[0].max_requests, 9);
  CAF_CHECK_EQUAL(model->asked[2].max_requests, 3);
  auto again = task(false);
  again.run = 8;
  model->replies = {costs(broken(ec::unavailable, "503 again"), 1)};
  run(again);
  CAF_CHECK_EQUAL(model->asked.at(3).max_requests, 1);
  again.run = 9;
  run(again);
  CAF_CHECK_EQUAL(model->asked.size(), 4u); // nothing is left
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 3u);
  CAF_CHECK(boss->verdicts[2].code == ec::unavailable);
  CAF_CHECK(boss->verdicts[2].reason.find("no usable reply to 9 requests in this round") != std::string::npos);
  CAF_CHECK(boss->verdicts[2].reason.find("503 again") != std::string::npos);
  again.run = 10;
  again.round = 1; // a new round begins anew
  model->replies = {calls({{"a", "new_answer", R"({"content":"42"})"}})};
  run(again);
  CAF_CHECK_EQUAL(model->asked.at(4).max_requests, 9);
}

CAF_TEST(a reply that brings the run on ends the count and polls of a loading server do not count) {
  spawn_with("tools");
  auto loaded = costs(looks(1), 60);
  loaded.polls = 59;
  model->replies = {costs(text("a"), 8), loaded, costs(text("b"), 8), calls({{"a", "new_answer", R"({"content":"42"})"}})};
  run(task(false));
  CAF_REQUIRE_EQUAL(model->asked.size(), 4u);
  CAF_CHECK_EQUAL(model->asked[1].max_requests, 1);
  CAF_CHECK_EQUAL(model->asked[2].max_requests, 9);
  CAF_CHECK_EQUAL(model->asked[3].max_requests, 1);
  CAF_CHECK(boss->verdicts.at(0).kind == verdict_kind::answer);
}

CAF_TEST_FIXTURE_SCOPE_END()
