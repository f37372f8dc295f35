// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.mcp_server_ends

// How tool servers end, or are ended.

#include "support/mcp_fixture.hpp"

using namespace conclave;
using std::chrono::seconds;

CAF_TEST_FIXTURE_SCOPE(mcp_server_ends_tests, test::mcp_fixture)

CAF_TEST(a crash in a call is told at once and the next call starts a new server) {
  start("crash");
  CAF_REQUIRE(list());
  for (int i = 0; i < 2; ++i) {
    auto r = call("{}");
    CAF_REQUIRE(!r);
    CAF_CHECK(code_of(r.error()) == ec::unavailable);
    CAF_CHECK(text_of(r.error()).find("'bad'") != std::string::npos);
  }
  CAF_CHECK_EQUAL(pids().size(), 2u);
}

CAF_TEST(a server that closes its input and lives on fails a call at once) {
  start("deaf");
  for (std::size_t i = 1; i <= 2; ++i) {
    CAF_REQUIRE(list());
    CAF_CHECK_EQUAL(pids().size(), i); // the next call starts a new server
    auto began = std::chrono::steady_clock::now();
    auto r = call("{}");
    CAF_REQUIRE(!r);
    CAF_CHECK(std::chrono::steady_clock::now() - began < seconds(5));
    CAF_CHECK(code_of(r.error()) == ec::unavailable);
    CAF_CHECK(text_of(r.error()).find("'bad' closed its input") != std::string::npos);
    CAF_CHECK(gone(pids().back(), seconds(6)));
  }
}

CAF_TEST(a server that closes its input may still answer what it has read) {
  start("deaf-later");
  CAF_REQUIRE(list());
  auto r = call("{}");
  CAF_REQUIRE(r);
  CAF_CHECK_EQUAL(r->text, "the last");
}

CAF_TEST(a grandchild that keeps the pipes delays nobody) {
  start("grandchild");
  CAF_REQUIRE(list());
  auto began = std::chrono::steady_clock::now();
  auto r = call("{}");
  CAF_CHECK(!r);
  CAF_CHECK(std::chrono::steady_clock::now() - began < seconds(8));
}

CAF_TEST(a server that does not start in time is told with its last words and its log) {
  startup_ms = 6'000;
  keep_log();
  plays(R"({"initialize":"","stderr":"Waiting for API_TOKEN t0ken-of-many-letters\u001b[31m\n\n  }\n"})", 20'000,
        {{"API_TOKEN", "t0ken-of-many-letters"}});
  auto t = list();
  CAF_REQUIRE(!t);
  CAF_CHECK_EQUAL(text_of(t.error()), "MCP server 'bad' did not start within 6 s (startup_timeout_seconds); its last words: "
                                      "\"Waiting for API_TOKEN ***[31m\"; log: "
                                          + log);
  std::lock_guard lock(told_mutex);
  CAF_REQUIRE_EQUAL(told.size(), 1u);
  CAF_CHECK_EQUAL(told[0], "MCP server 'bad' is still starting, 5 s so far (at most 6 s, startup_timeout_seconds)");
}

CAF_TEST(a server that is ended for what it wrote tells the call under way and can be started again) {
  plays(R"({"tools/call":""})");
  CAF_REQUIRE(list());
  auto under_way = me->request(aut, caf::infinite, asks("{}"));
  auto ended = false;
  me->request(caf::actor_cast<confined_server_actor>(aut), seconds(20), end_server{"E_SIZE: ended because it is full"})
      .receive([&](const server_ended&) { ended = true; }, [](const caf::error&) {});
  CAF_CHECK(ended);
  under_way.receive(
      [](const tool_result& r) {
        CAF_CHECK(r.is_error);
        CAF_CHECK_EQUAL(r.id, "c1");
        CAF_CHECK_EQUAL(r.text, "Error: MCP server 'bad' was ended. E_SIZE: ended because it is full");
      },
      [](const caf::error& e) { CAF_ERROR(text_of(e)); });
  CAF_CHECK(list());
  CAF_CHECK_EQUAL(pids().size(), 2u);
}

CAF_TEST(a server that ends says its last words) {
  keep_log();
  auto words = "! MCP server 'bad' ended with status 3; its last words: \"RuntimeError: no more paper\"; log: " + log;
  CAF_CHECK_EQUAL(said(R"({"initialize":"exit"})"), words);
  CAF_CHECK_EQUAL(said(R"({"tools/list":"exit"})"), words);
  CAF_CHECK_EQUAL(said(R"({"tools/call":"exit"})"), words);
}

// Measures memory, which the sanitizer keeps long after it was freed.
#ifndef __SANITIZE_ADDRESS__
CAF_TEST(a server that floods has to wait and is ended) {
  auto resident_mib = [] {
    std::ifstream in("/proc/self/statm");
    long size = 0, resident = 0;
    in >> size >> resident;
    return resident * ::sysconf(_SC_PAGESIZE) >> 20;
  };
  for (auto* kind : {"notifications", "progress", "changes", "requests", "blank", "unreadable", "results"}) {
    auto before = resident_mib();
    start("floods", 20'000, {}, {kind});
    CAF_CHECK(list());
    auto r = call("{}");
    CAF_CHECK(!r);
    // On a slow machine a call fails of the results before they are a flood.
    for (int i = 0; i < 5 && !r && text_of(r.error()).find("nobody asked for") == std::string::npos; ++i)
      r = call("{}");
    if (!r && text_of(r.error()).find("nobody asked for") == std::string::npos)
      CAF_ERROR(kind << ": " << text_of(r.error()));
    auto started = pids().size(); // it would do the same again with every call
    for (int i = 0; i < 3; ++i) {
      auto again = call("{}");
      CAF_CHECK(!again && code_of(again.error()) == ec::denied);
    }
    CAF_CHECK_EQUAL(pids().size(), started);
    CAF_CHECK_LESS(resident_mib() - before, 64);
    stop();
    std::lock_guard lock(told_mutex);
    CAF_REQUIRE_EQUAL(lost.size(), 1u);
    CAF_CHECK(lost[0].find("messages") != std::string::npos && lost[0].find("it is not started again") != std::string::npos);
    lost.clear();
  }
  start("floods", 500, {}, {"stderr"}); // costs lines of its log, nothing else
  CAF_CHECK(list());
  auto before = resident_mib();
  CAF_CHECK(!call("{}"));
  CAF_CHECK_LESS(resident_mib() - before, 16);
}
#endif

CAF_TEST(a server that heeds neither the end of stdin nor a signal is killed) {
  start("ignores-sigterm");
  CAF_REQUIRE(list());
  auto all = pids();
  CAF_REQUIRE_EQUAL(all.size(), 1u);
  stop();
  CAF_CHECK(gone(all[0], seconds(8)));
}

CAF_TEST(a server that was lost and lists other tools has another list) {
  auto one = [](const std::string& name) {
    return R"({"jsonrpc":"2.0","id":ID,"result":{"tools":[{"name":")" + name + R"(","inputSchema":{"type":"object"}}]}}\n)";
  };
  std::string script = R"({"tools/list":")";
  for (char c : one("echo"))
    script += c == '"' ? std::string("\\\"") : std::string(1, c);
  plays(script + R"(","tools/call":"exit"})");
  CAF_CHECK(list());
  CAF_CHECK(!call("{}"));
  CAF_CHECK_EQUAL(version->load(), 0u);
  CAF_CHECK(!call("{}")); // started anew, the same list
  CAF_CHECK_EQUAL(version->load(), 0u);
}

CAF_TEST_FIXTURE_SCOPE_END()
