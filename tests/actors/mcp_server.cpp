// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.mcp_server

// What a tool server says and what is made of it.

#include "support/mcp_fixture.hpp"

using namespace conclave;
using std::chrono::seconds;

CAF_TEST_FIXTURE_SCOPE(mcp_server_tests, test::mcp_fixture)

CAF_TEST(a server that tells its token when it refuses to start is not quoted on it) {
  start("tells", 20'000, {{"API_TOKEN", "t0k/en"}}, {"--place=${PLACE}"});
  auto l = list();
  CAF_REQUIRE(!l);
  CAF_CHECK_EQUAL(text_of(l.error()), "MCP server 'bad' refused to start: no entry for *** *** from --place=***");
}

CAF_TEST(a token in a failed result is hidden and in a good one left alone) {
  start("tells-later", 20'000, {{"API_TOKEN", "t0ken-of-many-letters"}});
  auto r = call(R"({"how":"error"})");
  CAF_REQUIRE(r);
  CAF_CHECK_EQUAL(r->text, "Error: " + std::string(490, 'x') + " ***");
  r = call(R"({"how":"failed"})");
  CAF_REQUIRE(r);
  CAF_CHECK(r->is_error && r->text.find("it is ***") != std::string::npos);
  r = call(R"({"how":"fine"})");
  CAF_REQUIRE(r);
  CAF_CHECK_EQUAL(r->text, "it is t0ken-of-many-letters");
}

CAF_TEST(a server that behaves lists its tools and answers) {
  start("echo");
  auto t = list();
  CAF_REQUIRE(t);
  CAF_REQUIRE_EQUAL(t->tools.size(), 1u);
  CAF_CHECK_EQUAL(t->tools[0].spec.name, "mcp__bad__echo");
  auto r = call(R"({"x":1})");
  CAF_REQUIRE(r);
  CAF_CHECK(!r->is_error);
  CAF_CHECK_EQUAL(r->id, "c1");
  CAF_CHECK_EQUAL(r->text, R"({"x": 1})");
  auto bad = call("{no json");
  CAF_REQUIRE(bad);
  CAF_CHECK(bad->is_error);
}

CAF_TEST(a call without a result ends at its deadline) {
  start("slow", 300);
  CAF_REQUIRE(list());
  auto r = call("{}");
  CAF_REQUIRE(!r);
  CAF_CHECK(code_of(r.error()) == ec::timeout);
}

CAF_TEST(a cancelled call is answered at once) {
  start("slow");
  CAF_REQUIRE(list());
  caf::scoped_actor other{sys};
  auto pending = other->request(aut, seconds(40), asks("{}", 7));
  other->send(aut, cancel_tools{"t", "a", 7});
  pending.receive([](tool_result& r) { CAF_CHECK(r.is_error); }, [](caf::error&) { CAF_FAIL("no result"); });
}

CAF_TEST(a call cancelled while the server starts is answered and never runs) {
  start("mute");
  caf::scoped_actor other{sys};
  auto began = std::chrono::steady_clock::now();
  auto pending = other->request(aut, seconds(40), asks("{}", 7));
  other->send(aut, cancel_tools{"t", "a", 7});
  pending.receive([](tool_result& r) { CAF_CHECK(r.is_error); }, [](caf::error&) { CAF_FAIL("no result"); });
  CAF_CHECK(std::chrono::steady_clock::now() - began < seconds(5));
}

CAF_TEST(a reply that can be understood is the reply) {
  const std::string head = R"({"tools/call":")", tail = R"(\n"})";
  auto play = [&](const std::string& reply) { return said(head + reply + tail); };
  for (auto* reply : {R"({\"jsonrpc\":\"2.0\",\"id\":\"ID\",\"result\":{\"content\":\"fine\"}})",
                      R"({\"jsonrpc\":\"2.0\",\"id\":ID.0,\"result\":{\"content\":\"fine\"},\"error\":null})",
                      R"([{\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{\"content\":\"fine\"}}])",
                      R"(hello{\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{\"content\":\"fine\",\"x\":NaN}})",
                      R"({\"jsonrpc\":\"2.0\",\"result\":{\"content\":\"fine\"}})",
                      R"({\"jsonrpc\": \n{\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{\"content\":\"fine\"}})"})
    CAF_CHECK_EQUAL(play(reply), "fine");
  CAF_CHECK_EQUAL(play(R"({\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{\"content\":\"caf\u00e9\"}})"),
                  "caf\xEF\xBF\xBD"); // sent as Latin-1
  CAF_CHECK_EQUAL(play(R"({\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":null,\"error\":{\"message\":\"no\"}})"), "Error: no");
  CAF_CHECK_EQUAL(play(R"({\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"message\":\"no\"}})"), "Error: no");
}

CAF_TEST(a reply that cannot be read ends its call at once and the log says so) {
  keep_log();
  for (auto* reply : {R"({\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{\"cont)", R"({\"result\":{\"cont)", R"({\"jsonrpc\": )",
                      R"({\n \"jsonrpc\": \"2.0\",\n \"id\": ID)", R"({\"jsonrpc\":\"2.0\",\"id\":ID})"}) {
    auto began = std::chrono::steady_clock::now();
    auto text = said(std::string(R"({"tools/call":")") + reply + R"(\n"})");
    CAF_CHECK(text.find("! MCP server 'bad' sent a reply that cannot be read; it ") == 0);
    CAF_CHECK(text.find("log: " + log) != std::string::npos);
    CAF_CHECK(std::chrono::steady_clock::now() - began < seconds(15));
    CAF_CHECK(logged("[conclave] what may be a reply cannot be read; it "));
    std::filesystem::remove(log);
  }
}

CAF_TEST(a lost reply that may be of any of several calls ends them all) {
  plays(R"({"tools/call":["","{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"Parse error\"}}\n"]})");
  CAF_REQUIRE(list());
  caf::scoped_actor other{sys};
  auto first = other->request(aut, seconds(40), asks("{}"));
  auto r = call("{}");
  CAF_REQUIRE(!r);
  CAF_CHECK(text_of(r.error()).find("not known which of the calls") != std::string::npos);
  first.receive([](tool_result&) { CAF_FAIL("a result"); }, [](caf::error& e) { CAF_CHECK(code_of(e) == ec::bad_reply); });
}

CAF_TEST(an error about a notification does not end the list that is under way) {
  plays(
      R"({"notifications/initialized":"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32601,\"message\":\"Method not found\"}}\n"})");
  auto t = list();
  CAF_REQUIRE(t);
  CAF_CHECK_EQUAL(t->tools.size(), 1u);
}

CAF_TEST(a reply to a call that is over ends no other one) {
  keep_log();
  plays(
      R"({"tools/call":["","{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"content\":\"late\"}}\n{\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{\"content\":\"own\"}}\n"]})",
      1'500);
  CAF_CHECK(!call("{}"));
  auto r = call("{}");
  CAF_REQUIRE(r);
  CAF_CHECK_EQUAL(r->text, "own");
  CAF_CHECK(logged("a reply to request 3, which is over"));
}

CAF_TEST(a result without an id is not given to a call if it may be of one that was given up) {
  plays(R"({"tools/call":["","{\"jsonrpc\":\"2.0\",\"result\":{\"content\":\"whose?\"}}\n"]})", 1'500);
  CAF_CHECK(!call("{}"));
  auto r = call("{}");
  CAF_REQUIRE(!r);
  CAF_CHECK(text_of(r.error()).find("a result without an id") != std::string::npos);
}

CAF_TEST(a list whose cursor repeats is used as far as it came) {
  const std::string page =
      R"({\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{\"nextCursor\":\"more\",\"tools\":[{\"name\":\"say it\"},{\"name\":\"gr\u00fc\u00df\"}]}}\n)";
  plays(R"({"tools/list":")" + page + R"(","tools/call":"{\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{\"content\":\"fine\"}}\n"})");
  auto t = list();
  CAF_REQUIRE(t);
  CAF_CHECK_EQUAL(t->tools.size(), 2u);
  CAF_CHECK(t->notes.size() == 1 && t->notes[0].find("the same cursor came twice") != std::string::npos);
  auto i = asks("{}");
  i.call.name = "mcp__bad__say_it";
  me->request(aut, seconds(40), i)
      .receive([](tool_result& r) { CAF_CHECK_EQUAL(r.text, "fine"); }, [](caf::error&) { CAF_FAIL("no result"); });
}

CAF_TEST(a next page that is refused or never comes leaves the tools before it) {
  const std::string page =
      R"({\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{\"nextCursor\":\"more\",\"tools\":[{\"name\":\"one\"}]}}\n)";
  startup_ms = 4'000;
  for (auto* next : {R"({\"jsonrpc\":\"2.0\",\"id\":ID,\"error\":{\"message\":\"no\"}}\n)", ""}) {
    stop();
    plays(R"({"tools/list":[")" + page + R"(",")" + next + R"("]})");
    auto t = list();
    CAF_REQUIRE(t);
    CAF_CHECK(t->tools.size() == 1 && t->notes.size() == 1);
  }
}

CAF_TEST(a slow start and a slow list may each take the time of a start) {
  startup_ms = 6'000;
  plays(R"({"delay":{"initialize":4,"tools/list":4}})");
  auto t = list();
  CAF_REQUIRE(t);
  CAF_CHECK_EQUAL(t->tools.size(), 1u);
}

CAF_TEST(what is no JSON is skipped) {
  start("malformed");
  CAF_REQUIRE(list());
  auto r = call(R"({"x":1})");
  CAF_REQUIRE(r);
  CAF_CHECK_EQUAL(r->text, R"({"x": 1})");
}

CAF_TEST(a flood of changed lists neither doubles the tools nor blocks a call) {
  start("burst");
  CAF_REQUIRE(list());
  for (int i = 0; i < 5; ++i)
    CAF_REQUIRE(call("{}"));
  auto t = list();
  CAF_REQUIRE(t);
  CAF_CHECK_EQUAL(t->tools.size(), 1u);
}

CAF_TEST(a server that sends replies of nobody all the time is believed none) {
  // Each call is answered with an id that was never sent; beside it, replies to nothing come and come.
  const std::string stray = R"({\"jsonrpc\":\"2.0\",\"id\":777,\"result\":{\"content\":\"stray\"}}\n)";
  const std::string own = R"({\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{\"content\":\"own\"}}\n)";
  auto second = [&](int strays, const std::string& reply) {
    std::string many;
    for (int i = 0; i < strays; ++i)
      many += stray;
    plays(R"({"tools/call":[")" + own + many + R"(",")" + reply + R"("]})");
    auto first = call("{}");
    CAF_CHECK(first && first->text == "own");
    CAF_REQUIRE(logged_times("with an id that was never sent", strays));
    auto r = call("{}");
    stop();
    std::filesystem::remove(log);
    return r ? r->text : text_of(r.error());
  };
  keep_log();
  CAF_CHECK_EQUAL(second(3, stray), "stray");
  CAF_CHECK_EQUAL(second(3, stray + own), "own");
  CAF_CHECK_EQUAL(second(20, stray + own), "own");
  CAF_CHECK_NOT_EQUAL(second(3, stray + stray).find("more than one result for one call"), std::string::npos);
  CAF_CHECK_NOT_EQUAL(second(20, stray).find("an id that was never sent"), std::string::npos);
}

CAF_TEST(a server of an unknown version is refused by name) {
  start("old");
  auto t = list();
  CAF_REQUIRE(!t);
  CAF_CHECK(code_of(t.error()) == ec::version_mismatch);
  CAF_CHECK(text_of(t.error()).find("1999-01-01") != std::string::npos);
}

CAF_TEST(a list that changes is read when it is asked for and no oftener) {
  start("burst"); // 200 notices before each answer
  CAF_CHECK(list());
  auto before = version->load();
  CAF_CHECK(call("{}"));
  CAF_CHECK_EQUAL(version->load() - before, 200u);
  auto l = list();
  CAF_REQUIRE(l);
  CAF_CHECK_EQUAL(l->tools.size(), 1u);
  CAF_CHECK_EQUAL(version->load() - before, 400u); // those that came while it was read
}

CAF_TEST_FIXTURE_SCOPE_END()
