// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// The bounded parse, and events as JSON lines: what is stored is what comes back, also from a newer version.

#define CAF_SUITE protocols.json

#include "protocols/wire/json.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/wire/json_util.hpp"

using namespace conclave;
using namespace conclave::wire;

namespace {

event full_event() {
  event e;
  e.seq = 18446744073709551615ull;
  e.time_ms = 1'790'000'000'123;
  e.type = event_type::vote_cast;
  e.agent = "zeta";
  e.run = 7;
  e.round = 4'000'000'000u;
  e.epoch = 3;
  e.label = "agent1.vote2";
  e.target = "alpha";
  e.target_label = "agent2.1";
  e.text = "line one\nline \"two\" \xE6\x9D\xB1 \x1b[0m";
  e.reason = "because";
  e.labels = {"agent1.1", "", "agent2.1"};
  e.number = -42;
  e.flag = true;
  e.code = ec::context_overflow;
  e.step = "schema";
  e.use = {10, 4, 5, 2};
  e.ms = 61'000;
  e.said = {"ca97", "3e23"};
  e.state = "5feceb66";
  e.kept = 9;
  e.detail = R"({"backend":"claude","model":"m"})";
  e.cause = R"({"kind":"vote"})";
  e.extra = R"({"digest":"abc","nested":{"a":[1,2.5,null,true]}})";
  return e;
}

} // namespace

CAF_TEST(depth is bounded before anything is built) {
  auto nested = [](std::size_t n) { return std::string(n, '[') + std::string(n, ']'); };
  CAF_CHECK(parse(nested(64)));
  CAF_CHECK(!parse(nested(65)));
  CAF_CHECK(!parse(std::string(5'000'000, '[')));
  CAF_CHECK(!parse(std::string(1000, ']') + std::string(100'000, '[')));
  CAF_CHECK(parse(R"({"a":"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"["})")); // not depth: a string
}

CAF_TEST(a text is read as the library reads it) {
  auto long_key = std::string(5000, 'k'), long_text = std::string(100'000, 't');
  for (auto& text :
       {std::string(R"([])"), std::string(R"({})"),
        std::string(R"( [1, -2, 3.5, 1e300, 18446744073709551615, true, null, "a\u00e9\n"] )"),
        std::string(R"({"a":{"b":[{},[],{"c":[[1],[2,[3]]]}]},"a":{"d":1},"":0,"e":""})"), std::string("\"x\""), std::string("7"),
        R"({")" + long_key + R"(":[")" + long_text + R"(","short",")" + long_text + R"("],"z":")" + long_text + R"("})"}) {
    auto v = parse(text);
    CAF_REQUIRE(v);
    CAF_CHECK(*v == json::parse(text));
  }
}

CAF_TEST(a value takes no more than it may) {
  for (auto* text : {R"([1,[2,{}],[]])",
                     R"({"a":{"b":"a text that does not fit into the string itself"},"a key that does not fit in either":[null]})",
                     R"("x")", R"([{"a":1},{"a":2}])"}) {
    auto v = parse(text);
    CAF_REQUIRE(v);
    auto too_much = true;
    CAF_CHECK(parse(text, false, weight(*v), &too_much) && !too_much);
    CAF_CHECK(!parse(text, false, weight(*v) / 2, &too_much) && too_much);
  }
}

CAF_TEST(values are counted as the message says) {
  for (auto* item : {"0", "[]", "{}", "[[]]", R"({"a":0})", R"({"a":[1,2]})", R"({"a":{}})"}) {
    std::string text = "[";
    std::size_t n = 0;
    auto read = [&](std::size_t count) {
      for (; n < count; ++n)
        (text += n == 0 ? "" : ",") += item;
      auto whole = text + std::string(long_text, ' ') + "]";
      CAF_CHECK_EQUAL(!parse(whole), too_many_values(whole));
    };
    read(max_values / 4);
    read(max_values / 3);
    read(max_values / 2);
    read(max_values - 1);
    read(max_values);
    read(max_values + 1);
  }
}

CAF_TEST(what is no JSON gives nothing and never throws) {
  for (auto* bad :
       {"", " ", "{", "{\"a\":}", "[1,]", "nul", "1 2", "\"\xFF\"", "\"\\ud800\"", "1e999", "{\"a\":NaN}", "\"a\nb\"", "'a'"})
    CAF_CHECK(!parse(bad));
  CAF_CHECK(parse_lenient("\"a\xFFz\"") && parse_lenient("\"a\xFFz\"")->get<std::string>() == "a\xEF\xBF\xBDz");
  CAF_CHECK(!parse_lenient("\"a\xFF"));
}

CAF_TEST(a repeated key is refused where that matters) {
  CAF_CHECK(parse(R"({"a":1,"a":2})"));
  CAF_CHECK(!parse(R"({"a":1,"a":2})", true));
  CAF_CHECK(!parse(R"([{"b":{"a":1,"\u0061":2}}])", true));
  CAF_CHECK(parse(R"([{"a":{"a":1}},{"a":1}])", true));
  CAF_CHECK(is_object(R"({"a":1})") && !is_object("[]") && !is_object(R"({"a":1,"a":1})") && !is_object("{"));
}

CAF_TEST(members of any type are read without a throw) {
  auto v = *parse(R"({"s":"x","i":-3,"u":18446744073709551615,"f":2.9,"big":1e300,"neg":-1e300,"n":null,"b":true,"a":[1]})");
  CAF_CHECK_EQUAL(string_at(v, "s") + string_at(v, "i") + string_at(v, "none"), "x");
  CAF_CHECK_EQUAL(int_at(v, "i"), -3);
  CAF_CHECK_EQUAL(int_at(v, "u"), INT64_MAX);
  CAF_CHECK_EQUAL(int_at(v, "f"), 2);
  for (auto* key : {"big", "neg", "n", "b", "a", "s", "none"})
    CAF_CHECK_EQUAL(int_at(v, key), 0);
  CAF_CHECK_EQUAL(tokens_at(v, "u"), 1'000'000'000'000);
  CAF_CHECK_EQUAL(tokens_at(v, "i"), 0);
  CAF_CHECK(member(json::array(), "a") == nullptr);
}

CAF_TEST(quoted text is one line of valid JSON whatever it holds) {
  auto q = quote(std::string("a\n\"\\\0\x1b\xFF", 7));
  CAF_CHECK_EQUAL(q, "\"a\\n\\\"\\\\\\u0000\\u001b\xEF\xBF\xBD\"");
}

CAF_TEST(a hash has 16 digits and is that of the published algorithm) {
  CAF_CHECK_EQUAL(hash(""), "cbf29ce484222325"); // test vectors of the FNV page
  CAF_CHECK_EQUAL(hash("a"), "af63dc4c8601ec8c");
  CAF_CHECK_EQUAL(hash("foobar"), "85944171f73967e8");
}

CAF_TEST(an event with every field comes back equal) {
  auto e = full_event();
  auto line = to_json(e);
  CAF_CHECK(line.find('\n') == std::string::npos);
  event back;
  CAF_REQUIRE(from_json(line, back));
  CAF_CHECK(back == e);
}

CAF_TEST(every type of event comes back and empty fields are left out) {
  for (int i = 0; i < static_cast<int>(event_type_count); ++i) {
    event e, back;
    e.seq = 1;
    e.type = static_cast<event_type>(i);
    CAF_CHECK(from_json(to_json(e), back) && back == e);
  }
  event e;
  e.seq = 1;
  e.type = event_type::session_end;
  CAF_CHECK_EQUAL(to_json(e), R"({"seq":1,"time":0,"type":"session_end","v":2})");
}

CAF_TEST(an event of a newer version keeps its type and its unknown fields) {
  std::string line = R"({"v":9,"seq":5,"time":1,"type":"agent_moved","agent":"a","to":{"node":"n2"},"why":[1,null]})";
  event e;
  CAF_REQUIRE(from_json(line, e));
  CAF_CHECK(e.type == event_type::unknown && e.agent == "a");
  auto v = *parse(to_json(e));
  CAF_CHECK_EQUAL(string_at(v, "type"), "agent_moved");
  CAF_CHECK_EQUAL(dump(v["to"]) + dump(v["why"]), R"({"node":"n2"}[1,null])");
  event again;
  CAF_CHECK(from_json(to_json(e), again) && again == e);
}

CAF_TEST(what is no event is refused) {
  event e;
  for (auto* bad :
       {"", "[]", "{}", R"({"seq":1})", R"({"type":"new_answer"})", R"({"seq":-1,"type":"new_answer"})",
        R"({"seq":"1","type":"new_answer"})", R"({"seq":1.5,"type":"new_answer"})", R"({"seq":1,"type":7})", "{\"seq\":1,"})
    CAF_CHECK(!from_json(bad, e));
}

CAF_TEST(fields of a wrong type or out of range do no harm) {
  event e;
  CAF_REQUIRE(from_json(R"({"seq":1,"type":"new_answer","time":"x","agent":7,"run":-5,"round":99999999999,"labels":[1,"a"],
    "flag":"yes","code":"of the future","number":1e300,"usage":{"input_tokens":-1,"output_tokens":9223372036854775807}})",
                        e));
  CAF_CHECK(e.time_ms == 0 && e.agent.empty() && e.run == 0 && e.round == 4294967295u && e.labels == std::vector<std::string>{"a"});
  CAF_CHECK(!e.flag && e.code == ec::unknown && e.number == 0);
  CAF_CHECK(e.use.input_tokens == 0 && e.use.output_tokens == 1'000'000'000'000); // sums of these cannot overflow
}
