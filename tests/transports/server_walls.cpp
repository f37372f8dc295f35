// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// How the command of a tool server becomes one of the launcher.

#define CAF_SUITE transports.server_walls

#include "transports/server_walls.hpp"

#include "caf/test/unit_test.hpp"
#include "tests/support/scratch_folder.hpp"
#include "transports/sandbox_lines.hpp"

#include <algorithm>

using namespace conclave;

namespace {

server_walls walls(sandbox_tier tier = sandbox_tier::namespaces) {
  server_walls w;
  w.profile.tier = tier;
  w.profile.home = "/place/servers/s";
  w.profile.network = w.profile.server = true;
  w.profile.writable = {"/place/work"};
  w.launcher = "/usr/libexec/conclave-sandbox";
  w.work = "/place/work";
  return w;
}

mcp_server_config server(std::vector<std::string> command) {
  mcp_server_config c;
  c.name = "s";
  c.type = "stdio";
  c.command = std::move(command);
  c.env = {{"TOKEN", "a b"}};
  return c;
}

/// The profile in what goes to the launcher first.
sandbox_line profile_in(const std::string& opening) {
  sandbox_line line;
  CAF_REQUIRE(opening.size() > 9);
  CAF_CHECK_EQUAL(std::stoul(opening.substr(0, 8)), opening.size() - 8);
  CAF_REQUIRE(sandbox_line::read(std::string_view{opening}.substr(8, opening.size() - 9), line));
  return line;
}

bool has(const std::vector<std::string>& list, const std::string& x) {
  return std::find(list.begin(), list.end(), x) != list.end();
}

} // namespace

CAF_TEST(a server is started by the launcher with its own words) {
  for (auto tier : {sandbox_tier::namespaces, sandbox_tier::landlock}) {
    auto c = server({"sh", "-c", "echo 'it' $X; exit", ""});
    std::string opening;
    CAF_CHECK_EQUAL(confine(c, walls(tier), {{"PATH", "bin::/usr/bin:/bin"}, {"HOME", "/root"}, {"TERM", "x"}}, opening), "");
    CAF_CHECK_EQUAL(c.command, (std::vector<std::string>{"/usr/libexec/conclave-sandbox", "exec"}));
    CAF_CHECK(c.env.empty());
    auto line = profile_in(opening);
    CAF_CHECK(line.get("command").ends_with(R"(/sh' '-c' 'echo '\''it'\'' $X; exit' '')"));
    CAF_CHECK_EQUAL(line.get("cwd"), "/place/work");
    CAF_CHECK_EQUAL(line.get("network"), "full");
    auto env = line.all("env");
    CAF_CHECK(has(env, "PATH=/usr/bin:/bin")); // a relative folder would be one that the agent writes
    CAF_CHECK(has(env, "HOME=/place/servers/s"));
    CAF_CHECK(has(env, "TOKEN=a b"));
    CAF_CHECK(has(env, "TERM=x"));
  }
}

CAF_TEST(what the user sets counts) {
  auto c = server({"/bin/sh"});
  c.cwd = "/place/work/sub";
  c.env["HOME"] = "/place/work";
  std::string opening;
  CAF_CHECK_EQUAL(confine(c, walls(), {}, opening), "");
  auto line = profile_in(opening);
  CAF_CHECK_EQUAL(line.get("cwd"), "/place/work/sub");
  CAF_CHECK(has(line.all("env"), "HOME=/place/work"));
}

CAF_TEST(without walls it stays as it is) {
  auto c = server({"no-such-program"}), before = c;
  std::string opening;
  CAF_CHECK_EQUAL(confine(c, walls(sandbox_tier::off), {}, opening), "");
  CAF_CHECK(c == before);
  CAF_CHECK_EQUAL(opening, "");
}

CAF_TEST(a program that the walls hide is told with what helps) {
  conclave::test::scratch_folder folder;
  auto base = std::filesystem::canonical(folder.path).string();
  std::filesystem::create_symlink("/bin/sh", base + "/sh");
  std::ofstream{base + "/own"} << "#!/bin/sh\n";
  std::filesystem::permissions(base + "/own", std::filesystem::perms::owner_all);
  std::string opening;
  auto fault_of = [&](std::vector<std::string> command, const server_walls& w) {
    auto c = server(std::move(command));
    return confine(c, w, {{"PATH", base + ":/usr/bin"}}, opening);
  };
  for (auto& fault : {fault_of({"own"}, walls()), fault_of({base + "/own"}, walls()), fault_of({base + "/sh"}, walls())}) {
    CAF_CHECK(fault.find(base) != std::string::npos);
    CAF_CHECK(fault.find("readable") != std::string::npos);
    CAF_CHECK(fault.find("sandbox: off") != std::string::npos);
  }
  auto shown = walls();
  shown.profile.readable = {base};
  CAF_CHECK_EQUAL(fault_of({"own"}, shown), "");
  CAF_CHECK_EQUAL(fault_of({base + "/sh"}, shown), "");
  CAF_CHECK(fault_of({"no-such-program"}, walls()).find("no program 'no-such-program' on the PATH") != std::string::npos);
  CAF_CHECK(fault_of({base + "/none"}, shown).find("no program") != std::string::npos);
  auto bare = walls();
  bare.launcher.clear();
  CAF_CHECK(fault_of({"sh"}, bare).find("conclave-sandbox is missing") != std::string::npos);
}
