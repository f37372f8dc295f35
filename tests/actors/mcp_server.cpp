// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.mcp_server

// A real child over stdio (tests/support/bad_mcp.py) in each of its moods. The scheduler is the real one: pipes know no virtual
// time.

#include "actors/mcp_server.hpp"

#include "caf/test/dsl.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/type_ids.hpp"

#include <caf/all.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace conclave;
using std::chrono::seconds;

namespace {

struct config : caf::actor_system_config {
  config() {
    add_message_types<caf::id_block::conclave>();
    set("scheduler.policy", caf::atom("sharing"));
  }
};

struct mcp_fixture {
  config cfg;
  caf::actor_system sys{cfg};
  caf::scoped_actor me{sys};
  tool_source_actor aut;
  std::string pid_file;
  std::string place = "a-place-nobody-knows"; ///< the variable PLACE

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
    auto variables = [this](const std::string& name) -> const std::string* { return name == "PLACE" ? &place : nullptr; };
    aut = spawn_mcp_server(sys, c, variables, "", false, {}, {});
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
  CAF_CHECK_EQUAL(t->tools[0].name, "mcp__bad__echo");
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

CAF_TEST_FIXTURE_SCOPE_END()
