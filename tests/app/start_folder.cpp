// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.start_folder

#include "app/start_folder.hpp"

#include "caf/test/unit_test.hpp"
#include "support/scratch_folder.hpp"

#include <filesystem>
#include <map>

using namespace conclave;

namespace {

opening with_server(mcp_server_config s) {
  opening o;
  s.name = "s";
  s.type = "stdio";
  s.command.insert(s.command.begin(), "python3");
  o.agents.resize(1);
  o.agents[0].id = "a";
  o.agents[0].backend.mcp_servers = {std::move(s)};
  o.nodes = {"local"};
  return o;
}

const mcp_server_config& server_of(const std::vector<agent_config>& agents) {
  return agents.at(0).backend.mcp_servers.at(0);
}

} // namespace

CAF_TEST(a folder is stored where something depends on it) {
  auto here = std::filesystem::current_path().string();
  CAF_CHECK_EQUAL(folder_of_start(with_server({})), here);
  auto o = with_server({});
  o.nodes = {"mars"};
  CAF_CHECK_EQUAL(folder_of_start(o), "");
  o = with_server({});
  o.agents[0].backend.mcp_servers[0].cwd = "/srv";
  CAF_CHECK_EQUAL(folder_of_start(o), "");
  o.agents[0].backend.ca_bundle = "c.pem";
  CAF_CHECK_EQUAL(folder_of_start(o), here);
  o.agents[0].backend.ca_bundle = "~/c.pem";
  CAF_CHECK_EQUAL(folder_of_start(o), "");
  o.agents[0].failover.resize(1);
  o.agents[0].failover[0].ca_bundle = "certs/c.pem";
  CAF_CHECK_EQUAL(folder_of_start(o), here);
  o = with_server({});
  o.agents[0].backend.workspace.cwd = "work"; // confined: it begins in the workspace
  CAF_CHECK_EQUAL(folder_of_start(o), "");
}

CAF_TEST(relative paths count from the folder of the start) {
  auto o = with_server({});
  o.agents[0].backend.ca_bundle = "c.pem";
  o.agents[0].backend.server = "bin/llama-server";
  CAF_CHECK(agents_at_start(o) == o.agents); // a log without a folder
  o.folder = "/srv/${odd}";
  auto found = agents_at_start(o);
  CAF_CHECK_EQUAL(server_of(found).cwd, "/srv/$${odd}");
  auto cwd = server_of(found).cwd;
  std::string missing;
  CAF_CHECK(expand(
      cwd, [](const std::string&) -> const std::string* { return nullptr; }, missing));
  CAF_CHECK_EQUAL(cwd, o.folder);
  o.folder = "/srv";
  o.agents[0].backend.mcp_servers[0].cwd = "tools";
  found = agents_at_start(o);
  CAF_CHECK_EQUAL(server_of(found).cwd, "/srv/tools");
  CAF_CHECK_EQUAL(found[0].backend.ca_bundle, "/srv/c.pem");
  CAF_CHECK_EQUAL(found[0].backend.server, "/srv/bin/llama-server");
  o.agents[0].backend.server = "llama-server"; // on the PATH
  o.agents[0].backend.ca_bundle = "${BUNDLE}";
  found = agents_at_start(o);
  CAF_CHECK_EQUAL(found[0].backend.server, "llama-server");
  CAF_CHECK_EQUAL(found[0].backend.ca_bundle, "${BUNDLE}");
  o.nodes = {"mars"};
  CAF_CHECK(agents_at_start(o) == o.agents);
}

CAF_TEST(what a tool server lacks is named) {
  test::scratch_folder there;
  std::map<std::string, std::string> set{{"A", "1"}};
  auto env = [&](const std::string& name) {
    auto i = set.find(name);
    return i == set.end() ? nullptr : &i->second;
  };
  mcp_server_config s;
  s.command = {"${A}", "${cwd}/x", "${D:-d}"};
  s.env = {{"T", "${A}"}};
  auto o = with_server(s);
  o.folder = there.path;
  CAF_CHECK_EQUAL(lack_of_tools(o, 0, env), "");
  o.agents[0].backend.mcp_servers[0].env["T"] = "${B}";
  CAF_CHECK_EQUAL(lack_of_tools(o, 0, env), "MCP server 's': variable B is not set");
  o.agents[0].backend.mcp_servers[0].env.clear();
  o.agents[0].backend.mcp_servers[0].command[1] = "${C}";
  CAF_CHECK_EQUAL(lack_of_tools(o, 0, env), "MCP server 's': variable C is not set");
  o.agents[0].backend.mcp_servers[0].command[1] = "x";
  o.folder = there.path + "/gone";
  CAF_CHECK_EQUAL(lack_of_tools(o, 0, env),
                  "MCP server 's': it begins in the folder the task was started in, " + there.path + "/gone, which is not there");
  o.agents[0].backend.mcp_servers[0].cwd = "/";
  CAF_CHECK_EQUAL(lack_of_tools(o, 0, env), "");
}
