// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.mcp_server

// A real child over stdio (tests/support/bad_mcp.py) in each of its moods. The scheduler is the real one: pipes know no virtual
// time.

#include "actors/mcp_server.hpp"

#include "protocols/caf_error.hpp"
#include "support/fixture.hpp"

#include <caf/all.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace conclave;
using std::chrono::seconds;

namespace {

struct mcp_fixture {
  test::threads_config cfg;
  caf::actor_system sys{cfg};
  caf::scoped_actor me{sys};
  tool_source_actor aut;
  std::string pid_file;
  std::string place = "a-place-nobody-knows"; ///< the variable PLACE
  std::string log;                            ///< where the server's stderr goes
  std::int64_t startup_ms = 60'000;
  std::vector<std::string> told; ///< while it is slow to start
  std::vector<std::string> lost; ///< for good
  std::mutex told_mutex;
  list_version version = std::make_shared<std::atomic<std::uint64_t>>(0);

  mcp_fixture() {
    auto name = (std::filesystem::temp_directory_path() / "conclave_mcp_XXXXXX").string();
    auto fd = ::mkstemp(name.data());
    CAF_REQUIRE(fd >= 0);
    ::close(fd);
    pid_file = name;
  }

  ~mcp_fixture() {
    stop();
    std::filesystem::remove(pid_file);
    std::filesystem::remove(pid_file + ".log");
  }

  void stop() {
    if (aut)
      caf::anon_send_exit(aut, caf::exit_reason::user_shutdown);
    aut = nullptr;
  }

  void start(const std::string& mode, std::int64_t timeout_ms = 20'000, std::map<std::string, std::string> env = {},
             std::vector<std::string> more_args = {}) {
    mcp_server_config c;
    c.name = "bad";
    c.type = "stdio";
    c.command = {"python3", CONCLAVE_SOURCE_DIR "/tests/support/bad_mcp.py", mode};
    c.command.insert(c.command.end(), more_args.begin(), more_args.end());
    c.env = std::move(env);
    c.env["BAD_MCP_PID"] = pid_file;
    c.timeout_ms = timeout_ms;
    c.startup_timeout_ms = startup_ms;
    auto variables = [this](const std::string& name) -> const std::string* { return name == "PLACE" ? &place : nullptr; };
    auto tell = [this](std::string text, bool for_good) {
      std::lock_guard lock(told_mutex);
      (for_good ? lost : told).push_back(std::move(text));
    };
    aut = spawn_mcp_server(sys, outside::of_machine(), c, variables, log, false, {}, {}, tell, version);
  }

  /// A server that writes bytes of its own, see bad_mcp.py.
  void plays(const std::string& script, std::int64_t timeout_ms = 20'000, std::map<std::string, std::string> env = {}) {
    start("plays", timeout_ms, std::move(env), {script});
  }

  /// The text of a call, or the sentence of its error.
  std::string said(const std::string& script) {
    stop();
    plays(script);
    auto r = call("{}");
    return r ? r->text : "! " + text_of(r.error());
  }

  void keep_log() { log = pid_file + ".log"; }

  /// Waits for the log to hold this; it is written by another thread.
  bool logged(const std::string& what) { return logged_times(what, 1); }

  bool logged_times(const std::string& what, int n) {
    for (int i = 0; i < 500; ++i) {
      std::ifstream in(log);
      std::string all{std::istreambuf_iterator<char>(in), {}};
      int found = 0;
      for (auto at = all.find(what); at != std::string::npos; at = all.find(what, at + 1))
        ++found;
      if (found >= n)
        return true;
      ::poll(nullptr, 0, 10);
    }
    return false;
  }

  caf::expected<tool_list> list() {
    caf::expected<tool_list> out{caf::sec::none};
    me->request(aut, seconds(40), list_tools{})
        .receive([&](tool_list& t) { out = std::move(t); }, [&](caf::error& e) { out = std::move(e); });
    return out;
  }

  tool_invocation asks(std::string arguments, std::uint64_t run = 1) {
    tool_invocation i;
    i.task = "t";
    i.agent = "a";
    i.run = run;
    i.call = {"c1", "mcp__bad__echo", std::move(arguments)};
    return i;
  }

  caf::expected<tool_result> call(std::string arguments) {
    caf::expected<tool_result> out{caf::sec::none};
    me->request(aut, seconds(40), asks(std::move(arguments)))
        .receive([&](tool_result& r) { out = std::move(r); }, [&](caf::error& e) { out = std::move(e); });
    return out;
  }

  std::vector<int> pids() {
    std::vector<int> out;
    std::ifstream in(pid_file);
    for (int pid = 0; in >> pid;)
      out.push_back(pid);
    return out;
  }

  /// Waits until the process has ended.
  static bool gone(int pid, seconds limit) {
    auto fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (fd < 0)
      return true;
    pollfd p{fd, POLLIN, 0};
    auto ended = ::poll(&p, 1, static_cast<int>(limit.count() * 1000)) == 1;
    ::close(fd);
    return ended;
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(mcp_server_tests, mcp_fixture)

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

CAF_TEST(a grandchild that keeps the pipes delays nobody) {
  start("grandchild");
  CAF_REQUIRE(list());
  auto began = std::chrono::steady_clock::now();
  auto r = call("{}");
  CAF_CHECK(!r);
  CAF_CHECK(std::chrono::steady_clock::now() - began < seconds(8));
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

CAF_TEST(a server that ends says its last words) {
  keep_log();
  auto words = "! MCP server 'bad' ended with status 3; its last words: \"RuntimeError: no more paper\"; log: " + log;
  CAF_CHECK_EQUAL(said(R"({"initialize":"exit"})"), words);
  CAF_CHECK_EQUAL(said(R"({"tools/list":"exit"})"), words);
  CAF_CHECK_EQUAL(said(R"({"tools/call":"exit"})"), words);
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

CAF_TEST(a server that heeds neither the end of stdin nor a signal is killed) {
  start("ignores-sigterm");
  CAF_REQUIRE(list());
  auto all = pids();
  CAF_REQUIRE_EQUAL(all.size(), 1u);
  stop();
  CAF_CHECK(gone(all[0], seconds(8)));
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
