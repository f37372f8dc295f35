// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Lines of stored logs, one per version and type, as literals: what a version wrote is read for ever, and means the same.

#define CAF_SUITE protocols.json_events

#include "caf/test/unit_test.hpp"
#include "protocols/events.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/wire/json_event.hpp"

#include <random>
#include <set>
#include <utility>

using namespace conclave;
using namespace conclave::wire;

namespace {

struct line {
  const char* stored;
  const char* now; ///< how this version prints it; nullptr = as it was stored
};

// Of version 1, as commit 0a7a79d wrote them.
const line version_1[] = {
    {R"({"labels":["a","b"],"seq":1,"text":"why?","time":5,"type":"session_start","v":1})", nullptr},
    {R"({"round":1,"seq":2,"time":5,"type":"round_started","v":1})", nullptr},
    {R"({"agent":"a","epoch":2,"labels":["agent2.1"],"number":1,"round":1,"run":3,"seq":3,"time":5,"type":"run_started","v":1})",
     nullptr},
    {R"({"agent":"a","labels":["agent2.1"],"run":3,"seq":4,"time":5,"type":"context_received","v":1})", nullptr},
    {R"({"agent":"a","number":2,"reason":"85944171f73967e8","run":3,"seq":5,"target":"model","time":5,"type":"call_started","v":1})",
     nullptr},
    {R"({"agent":"a","number":2,"reason":"finished","run":3,"seq":6,"target":"model","time":5,"type":"call_ended","usage":{"input_tokens":7,"output_tokens":1,"requests":1},"v":1})",
     nullptr},
    {R"({"agent":"a","epoch":1,"label":"agent1.1","run":1,"seq":7,"step":"tools","text":"blue","time":5,"type":"new_answer","v":1})",
     nullptr},
    {R"({"agent":"a","epoch":2,"label":"agent1.vote1","reason":"good","run":3,"seq":8,"step":"tools","target":"b","target_label":"agent2.1","time":5,"type":"vote_cast","v":1})",
     nullptr},
    {R"({"agent":"a","epoch":2,"number":1,"run":3,"seq":9,"target":"b","time":5,"type":"vote_ignored","v":1})", nullptr},
    {R"({"agent":"a","reason":"blank","run":3,"seq":10,"time":5,"type":"refused","v":1})", nullptr},
    {R"({"agent":"a","labels":["a","b"],"seq":11,"time":5,"type":"restart_triggered","v":1})", nullptr},
    {R"({"agent":"a","number":1,"seq":12,"time":5,"type":"restart_completed","v":1})", nullptr},
    {R"({"agent":"a","code":"timeout","reason":"deadline","run":3,"seq":13,"text":"half","time":5,"type":"run_ended","v":1})",
     nullptr},
    {R"({"agent":"a","code":"cancelled","flag":true,"reason":"late","run":3,"seq":14,"text":"half","time":5,"type":"run_ended","v":1})",
     R"({"agent":"a","code":"cancelled","run":3,"seq":14,"text":"half","time":5,"type":"late_text","v":2})"},
    {R"({"agent":"a","reason":"late","run":3,"seq":14,"text":"half","time":5,"type":"run_ended","v":1})",
     R"({"agent":"a","run":3,"seq":14,"text":"half","time":5,"type":"late_text","v":2})"},
    {R"({"agent":"a","code":"unavailable","number":2,"reason":"503","run":3,"seq":15,"text":"2000","time":5,"type":"agent_error","v":1})",
     R"({"agent":"a","code":"unavailable","ms":2000,"number":2,"reason":"503","run":3,"seq":15,"time":5,"type":"agent_error","v":2})"},
    {R"({"agent":"a","code":"unauthorized","number":1,"reason":"401","run":3,"seq":16,"time":5,"type":"agent_error","v":1})",
     nullptr},
    {R"({"agent":"a","flag":true,"reason":"works without tools","seq":17,"time":5,"type":"agent_error","v":1})",
     R"({"agent":"a","reason":"works without tools","seq":17,"time":5,"type":"agent_notice","v":2})"},
    {R"({"agent":"a","reason":"the deadline of a run of 1 s passed","run":3,"seq":18,"time":5,"type":"agent_timeout","v":1})",
     nullptr},
    {R"({"agent":"a","seq":19,"time":5,"type":"backoff_over","v":1})", nullptr},
    {R"({"agent":"a","run":3,"seq":20,"time":5,"type":"agent_cancelled","v":1})", nullptr},
    {R"({"agent":"a","code":"unauthorized","reason":"401","seq":21,"time":5,"type":"agent_out","v":1})", nullptr},
    {R"({"labels":["a"],"reason":"gone","seq":22,"target":"mars","time":5,"type":"node_lost","v":1})", nullptr},
    {R"({"labels":["a"],"reason":"the patience","round":1,"seq":23,"time":5,"type":"round_timeout","v":1})", nullptr},
    {R"({"seq":24,"time":5,"type":"coordination_timeout","v":1})", nullptr},
    {R"({"agent":"a","flag":true,"labels":["agent1.1"],"number":1,"reason":"tie","seq":25,"time":5,"type":"final_agent_selected","v":1})",
     nullptr},
    {R"({"agent":"a","round":2,"seq":26,"time":5,"type":"final_round_start","v":1})", nullptr},
    {R"({"agent":"a","run":4,"seq":27,"time":5,"type":"presentation_started","v":1})", nullptr},
    {R"({"agent":"a","reason":"503","run":5,"seq":28,"time":5,"type":"presentation_retried","v":1})", nullptr},
    {R"({"agent":"a","reason":"503","seq":29,"text":"blue","time":5,"type":"presentation_fallback","v":1})", nullptr},
    {R"({"agent":"a","flag":true,"label":"agent1.final","seq":30,"text":"blue","time":5,"type":"final_answer","v":1})", nullptr},
    {R"({"reason":"SIGINT","seq":31,"time":5,"type":"cancel_requested","v":1})", nullptr},
    {R"({"seq":32,"time":5,"type":"session_end","v":1})", nullptr},
    {R"({"code":"cancelled","reason":"interrupted","seq":33,"text":"interrupted: SIGINT","time":5,"type":"task_ended","v":1})",
     nullptr},
};

#define SHA_A "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
#define COMMIT "0b1b4a1f7a4f0d2f5f4a4e5c8a2a0c64d7d0c1d2"
#define SHA_B "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"

// Of version 2: types and fields that it brought.
const line version_2[] = {
    {R"({"cause":{"kind":"start"},"detail":{"agents":[{"id":"a"}],"v":1},"seq":1,"time":5,"type":"task_opened","v":2})", nullptr},
    {R"({"agent":"a","detail":{"backend":"claude","model":"m"},"seq":2,"target":"local","time":5,"type":"agent_placed","v":2})",
     nullptr},
    {R"({"agent":"a","code":"denied","reason":"tool","run":1,"seq":3,"time":5,"type":"agent_notice","v":2})", nullptr},
    {R"({"agent":"a","code":"cancelled","run":1,"seq":4,"text":"half","time":5,"type":"late_text","v":2})", nullptr},
    {R"({"agent":"a","number":1,"run":7,"seq":5,"time":5,"type":"run_continued","v":2})", nullptr},
    {R"({"ms":61000,"number":2,"seq":6,"target":"host 12 99","time":5,"type":"task_resumed","v":2})", nullptr},
    {R"({"agent":"a","code":"unavailable","ms":2000,"number":2,"reason":"503","run":3,"seq":7,"time":5,"type":"agent_error","v":2})",
     nullptr},
    {R"({"agent":"a","kept":3,"number":2,"reason":"85944171f73967e8","run":3,"said":[")" SHA_A R"("],"seq":8,"state":")" SHA_B
     R"(","target":"model","time":5,"type":"call_started","v":2})",
     nullptr},
    {R"({"agent":"a","number":2,"reason":"unknown","run":3,"said":[")" SHA_A R"(",")" SHA_B
     R"("],"seq":9,"target":"t","time":5,"type":"call_ended","v":2})",
     nullptr},
    {R"({"agent":"a","kept":4,"labels":["agent2"],"reason":"blank","run":3,"said":[")" SHA_A R"("],"seq":10,"state":")" SHA_B
     R"(","time":5,"type":"refused","v":2})",
     nullptr},
    {R"({"label":"kX3f9a","number":4,"seq":11,"target":"/home/u/project","time":5,"type":"changes_applied","v":2})", nullptr},
    {R"({"label":")" COMMIT
     R"(","number":2,"seq":12,"target":"/home/u/project","target_label":"agents/one","time":5,"type":"changes_applied","v":2})",
     nullptr},
    {R"({"label":"kX3f9a","number":4,"seq":13,"target":"/home/u/project","time":5,"type":"changes_undone","v":2})", nullptr},
};

std::string in_version_2(std::string text) {
  const std::string end = R"("v":1})";
  return text.ends_with(end) ? text.replace(text.size() - end.size(), end.size(), R"("v":2})") : text;
}

template <class Lines>
void check(const Lines& lines) {
  for (auto& l : lines) {
    event e, back;
    CAF_MESSAGE(l.stored);
    CAF_REQUIRE(from_json(l.stored, e));
    CAF_CHECK(e.extra.empty() && e.type != event_type::unknown);
    CAF_CHECK_EQUAL(to_json(e), l.now != nullptr ? l.now : in_version_2(l.stored));
    CAF_CHECK(from_json(to_json(e), back) && back == e);
  }
}

} // namespace

CAF_TEST(every line of version 1 is read and printed as this version says it) {
  check(version_1);
  std::set<event_type> seen;
  for (auto& l : version_1) {
    event e;
    if (from_json(l.stored, e))
      seen.insert(e.type);
  }
  for (int i = 0; i < static_cast<int>(event_type::unknown); ++i)
    CAF_CHECK(seen.count(static_cast<event_type>(i)) == 1);
}

CAF_TEST(every type and field of version 2 is read and printed as it was) {
  check(version_2);
}

CAF_TEST(a delivery comes back from its event and from no other) {
  events::delivery_note applied{"/home/u/pro\xff", 4, "kX3f9a"}, branch{"/home/u/project", 2, COMMIT, "agents/one"};
  CAF_CHECK(events::delivery_of(events::changes_applied(applied)) == applied);
  CAF_CHECK(events::delivery_of(events::changes_applied(branch)) == branch);
  CAF_CHECK(events::delivery_of(events::changes_undone(applied)) == applied);
  auto line = to_json(events::changes_applied(applied)); // a name that is no UTF-8
  event back;
  CAF_REQUIRE(from_json(line, back));
  CAF_CHECK_EQUAL(events::delivery_of(back).id, "kX3f9a");
  for (int i = 0; i < static_cast<int>(event_type_count); ++i) {
    auto e = events::changes_applied(applied);
    e.type = static_cast<event_type>(i);
    CAF_CHECK_EQUAL(is_delivery(e.type), i >= static_cast<int>(event_type::changes_applied));
    CAF_CHECK_EQUAL(events::delivery_of(e) == events::delivery_note{}, !is_delivery(e.type));
  }
  auto odd = events::changes_undone({"/x", UINT64_MAX, "kX3f9a"});
  CAF_CHECK_EQUAL(events::delivery_of(odd).paths, static_cast<std::uint64_t>(INT64_MAX));
  odd.number = -7;
  CAF_CHECK_EQUAL(events::delivery_of(odd).paths, 0u);
}

CAF_TEST(a flag of version 1 is a type of its own and a wait is a number) {
  event e;
  CAF_REQUIRE(from_json(R"({"v":1,"seq":1,"type":"agent_error","agent":"a","text":"4000","reason":"x"})", e));
  CAF_CHECK(e.type == event_type::agent_error && e.ms == 4000 && e.text.empty());
  // What is no number of milliseconds stays where it was.
  for (auto* text : {"soon", "12 s", "-5", "99999999999999999999", ""}) {
    CAF_REQUIRE(from_json(R"({"v":1,"seq":1,"type":"agent_error","text":")" + std::string{text} + "\"}", e));
    CAF_CHECK(e.ms == 0 && e.text == text);
  }
  CAF_REQUIRE(from_json(R"({"v":1,"seq":1,"type":"run_ended","flag":true,"reason":"cancelled"})", e));
  CAF_CHECK(e.type == event_type::late_text && !e.flag && e.reason == "cancelled");
  // Flags that mean what they always did.
  CAF_REQUIRE(from_json(R"({"v":1,"seq":1,"type":"final_answer","flag":true})", e));
  CAF_CHECK(e.type == event_type::final_answer && e.flag);
  // Version 2 says what it means.
  CAF_REQUIRE(from_json(R"({"v":2,"seq":1,"type":"agent_error","text":"4000"})", e));
  CAF_CHECK(e.ms == 0 && e.text == "4000");
}

CAF_TEST(new fields of a wrong type or out of range do no harm) {
  event e;
  CAF_REQUIRE(
      from_json(R"({"v":2,"seq":1,"type":"call_ended","ms":"x","said":"a","state":7,"kept":-3,"detail":[1],"cause":"{}"})", e));
  CAF_CHECK(e.ms == 0 && e.said.empty() && e.state.empty() && e.kept == 0 && e.detail.empty() && e.cause.empty());
  // No sum of two times overflows.
  CAF_REQUIRE(from_json(R"({"v":2,"seq":1,"type":"call_ended","time":9223372036854775807,"ms":9223372036854775807})", e));
  CAF_CHECK(e.time_ms > 0 && e.ms > 0 && e.time_ms < INT64_MAX / 4 && e.ms < INT64_MAX / 4);
  CAF_REQUIRE(from_json(R"({"v":2,"seq":1,"type":"call_ended","time":-9223372036854775808,"ms":-5})", e));
  CAF_CHECK(e.time_ms == 0 && e.ms == 0);
}

CAF_TEST(an object that could not be read back is not written) {
  auto nested = [](int n) {
    std::string out = "1";
    for (int i = 0; i < n; ++i)
      out = "{\"a\":" + out + "}";
    return out;
  };
  for (int n = 55; n < 70; ++n) {
    event e, back;
    e.seq = 1;
    e.type = event_type::task_opened;
    e.detail = nested(n);
    CAF_CHECK(from_json(to_json(e), back));
    CAF_CHECK_EQUAL(back.detail.empty(), n > 63);
  }
  event e, back;
  e.seq = 1;
  e.detail = R"({"a":1},{"b":2})";
  e.cause = R"({"kind":"start"}],"seq":[7)";
  CAF_CHECK(from_json(to_json(e), back) && back.detail.empty() && back.cause.empty() && back.seq == 1);
}

CAF_TEST(both readers of an event agree on every text) {
  event e;
  e.seq = 7;
  e.time_ms = 1'764'000'000'000;
  e.type = event_type::call_ended;
  e.agent = "a \"b\"\n\u4e2d\U0001F600";
  e.run = 3;
  e.number = -5;
  e.target = "model";
  e.labels = {"agent1.1", ""};
  e.said = {std::string(64, 'a')};
  e.use.input_tokens = 12;
  e.use.requests = 1;
  e.cause = R"({"agent":"a","kind":"end_call","n":[1,-2,{"x":null}],"ok":true,"text":{"as":"text","in":1},"z":"\\\"\n"})";
  auto line = to_json(e);
  auto agree = [](const std::string& text) {
    event own, any;
    auto quickly = read_own(text, own);
    auto whole = read_any(text, any);
    if (quickly && (!whole || own != any || to_json(own) != to_json(any)))
      CAF_FAIL(text);
    return quickly;
  };
  CAF_CHECK(agree(line));
  event back;
  CAF_CHECK(from_json(line, back) && back == e);
  // What our own writer makes of any type is read quickly.
  for (std::size_t i = 0; i < event_type_count; ++i)
    if (auto type = static_cast<event_type>(i); type != event_type::unknown) {
      e.type = type;
      CAF_CHECK(agree(to_json(e)));
    }
  // Every text that differs from it in one or two bytes.
  std::mt19937 random(1);
  const std::string bytes = "{}[]\",:\\/ntu0159-+.eE xtrue\n\t\x01\x7f\x80\xc3\xa9\xff";
  for (std::size_t i = 0; i < line.size(); ++i)
    for (auto c : bytes) {
      auto text = line;
      text[i] = c;
      agree(text);
      agree(text.substr(0, i) + text.substr(i + 1));
      agree(text.substr(0, i) + c + line.substr(i));
      text[random() % text.size()] = bytes[random() % bytes.size()];
      agree(text);
      text.erase(random() % text.size(), random() % 9);
      agree(text);
    }
  for (std::size_t i = 0; i <= line.size(); ++i)
    agree(line.substr(0, i));
}

CAF_TEST(what the quick reader does not judge is left to the other) {
  auto says = [](const std::string& members) {
    event own, any;
    auto text = R"({"seq":1,"type":"note","v":2})";
    auto with = R"({"seq":1,"type":"session_end","v":2,)" + members + "}";
    CAF_CHECK(!read_own(text, own));
    return std::pair{read_own(with, own), read_any(with, any)};
  };
  using both = std::pair<bool, bool>;
  CAF_CHECK(says(R"("run":3)") == both(true, true));
  for (auto* odd : {R"("run":3.5)", R"("run":1e3)", R"("run":"3")", R"("agent":7)", R"("new":1)", R"("run":1,"run":2)",
                    R"("agent":"\u0041")", R"("cause":{"b":1,"a":2})", R"("cause":{"a":1,"a":2})", R"("cause":{"a":1.0})",
                    R"("cause":{ })", R"( "run":3)", R"("run":1234567890123456789)", R"("flag":null)", R"("usage":[])"})
    CAF_CHECK(says(odd) == both(false, true));
  for (auto* bad : {R"("run":03)", R"("run":-)", R"("agent":"\q")", "\"agent\":\"\xc0\x80\"", "\"agent\":\"\x01\"", R"("run":3,)",
                    R"("labels":[1,])", R"("cause":{"a":1,})", R"("cause":{"a":1e999})"})
    CAF_CHECK(says(bad) == both(false, false));
  std::string deep = "1";
  for (int i = 0; i < 62; ++i)
    deep = "[" + deep + "]";
  CAF_CHECK(says(R"("cause":{"a":)" + deep + "}") == both(true, true)); // 64 levels with the event itself
  CAF_CHECK(says(R"("cause":{"a":[)" + deep + "]}") == both(false, false));
}
