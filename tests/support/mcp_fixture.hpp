// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// An MCP server that is a real child over stdio (tests/support/bad_mcp.py) in each of its moods. The scheduler is the real one:
/// pipes know no virtual time.

#include "actors/mcp_server.hpp"
#include "protocols/caf_error.hpp"
#include "support/fixture.hpp"
#include "support/places.hpp"

#include <caf/all.hpp>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace conclave::test {

using std::chrono::seconds;

struct mcp_fixture {
  threads_config cfg;
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
    c.command = {"python3", source_dir() + "/tests/support/bad_mcp.py", mode};
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

} // namespace conclave::test
