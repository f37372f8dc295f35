// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.load_config_files

#include "actors/node_parts.hpp"
#include "app/load_config.hpp"
#include "caf/test/unit_test.hpp"
#include "protocols/catalogue.hpp"
#include "protocols/config_expand.hpp"
#include "protocols/config_keys.hpp"
#include "protocols/config_validate.hpp"
#include "support/places.hpp"
#include "tests/app/load_config_support.hpp"

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <unistd.h>

using namespace conclave;

namespace {

/// A folder of its own, removed at the end.
struct folder {
  std::string path;
  folder() {
    char name[] = "/tmp/conclave-config-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~folder() {
    std::error_code code;
    std::filesystem::remove_all(path, code);
  }
  std::string file(const std::string& name, const std::string& text) const {
    std::ofstream{path + "/" + name, std::ios::binary} << text;
    return path + "/" + name;
  }
};

std::string read(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

} // namespace

CAF_TEST(scripts are files beside the configuration with lines of their own) {
  folder f;
  f.file("good.json", R"([{"answer":"x"},{"vote":"agent1","reason":"y"}])");
  f.file("map.yaml", "steps:\n  - answer: x\n");
  f.file("bad.yaml", "- answer: x\n- wait: 3\n");
  f.file("a.yaml", "agents:\n  - {id: a, backend: {type: scripted, script: good.json}}\n  - {id: b, backend: {type: scripted, "
                   "script: map.yaml}}\n");
  auto r = load_config(f.path + "/a.yaml");
  CAF_CHECK_EQUAL(all(r), "");
  CAF_CHECK_EQUAL(r.config.agents.at(0).backend.script.size(), 2u);
  CAF_CHECK_EQUAL(r.config.agents.at(0).backend.script_path, "good.json");
  CAF_CHECK_EQUAL(r.config.agents.at(1).backend.script.size(), 1u);
  auto bad = load_config(f.file("b.yaml", "agent: {backend: {type: scripted, script: bad.yaml}}\n"));
  CAF_CHECK(says(bad, f.path + "/bad.yaml:2: steps[1].wait: unknown key"));
  auto none = load_config(f.file("c.yaml", "agent: {backend: {type: scripted, script: none.yaml}}\n"));
  CAF_CHECK(says(none, "cannot be opened"));
  CAF_CHECK(says(load_config(f.file("d.yaml", "agent: {backend: {type: scripted, script: .}}\n")), "is a folder"));
}

CAF_TEST(only regular files of bounded size are opened) {
  folder f;
  CAF_CHECK(says(load_config(f.path), "is a folder"));
  CAF_CHECK(says(load_config(f.path + "/none"), "cannot be opened"));
  CAF_CHECK(says(load_config("/dev/zero"), "no regular file"));
  CAF_CHECK(says(load_config(std::string{"a\0b", 3}), "is no path"));
  CAF_CHECK(says(load_config(f.file("big", std::string(1'048'577, '#'))), "more than 1048576 bytes"));
}

CAF_TEST(a quick team is made from options) {
  std::vector<problem> problems;
  auto c = quick_config("gpt-4o-mini", "", "", "Be kind.", problems);
  CAF_CHECK(problems.empty());
  CAF_REQUIRE_EQUAL(c.agents.size(), 1u);
  CAF_CHECK_EQUAL(c.agents[0].id, "agent1");
  CAF_CHECK_EQUAL(c.agents[0].system_message, "Be kind.");
  CAF_CHECK_EQUAL(c.agents[0].backend.type, "openai");
  c = quick_config("", "Claude", "", "", problems);
  CAF_CHECK(problems.empty());
  CAF_CHECK_EQUAL(c.agents[0].backend.model, find_backend_kind("claude")->default_model);
  c = quick_config("mystery", "", "http://localhost:8080/v1", "", problems);
  CAF_CHECK(problems.empty());
  CAF_CHECK_EQUAL(c.agents[0].backend.type, "chatcompletion");
}

CAF_TEST(options that name no model are refused by their names) {
  auto paths = [](const std::string& model, const std::string& backend, const std::string& url) {
    std::vector<problem> problems;
    quick_config(model, backend, url, "", problems);
    strings out;
    for (const auto& p : problems)
      out.push_back(p.path);
    return out;
  };
  CAF_CHECK_EQUAL(paths("mystery", "", ""), strings{"--model"});
  CAF_CHECK_EQUAL(paths("", "vllm", ""), strings{"--model"});
  CAF_CHECK_EQUAL(paths("m", "nope", ""), strings{"--backend"});
  CAF_CHECK_EQUAL(paths("m", "scripted", ""), strings{"--backend"});
  CAF_CHECK_EQUAL(paths("m", "claude_code", ""), strings{"--backend"});
  CAF_CHECK_EQUAL(paths("m", "vllm", "localhost:1"), strings{"--base-url"});
}

CAF_TEST(what a machine lacks are warnings and other nodes are not judged) {
  auto r = load(R"(agents:
  - {id: a, backend: {type: claude}}
  - {id: b, backend: {type: chatcompletion, model: m, api_key: "${MINE}"}}
  - {id: c, backend: {type: local, model_path: /no/such/model.gguf, server: /no/such/server}}
  - {id: d, backend: {type: vllm, model: m, mcp_servers: {s: {command: npx, args: ["${T}"], env: {K: "${K}"}}}}}
  - {id: e, node: n, backend: {type: claude}}
cluster: {nodes: {n: "h:1"}, tls: {ca: /no/such/ca.pem}}
)");
  CAF_CHECK_EQUAL(all(r), "");
  std::map<std::string, std::string> vars{{"PATH", "/no/such/folder"}};
  lookup env = [&](const std::string& name) {
    auto it = vars.find(name);
    return it == vars.end() ? nullptr : &it->second;
  };
  strings found;
  for (const auto& p : environment_problems(r.config, env)) {
    CAF_CHECK(p.severity == severity::warning);
    found.push_back(p.path);
  }
  CAF_CHECK_EQUAL(found,
                  (strings{"agents[0].backend", "agents[1].backend.api_key", "agents[2].backend.model_path",
                           "agents[2].backend.server", "agents[3].backend.mcp_servers.s.command",
                           "agents[3].backend.mcp_servers.s.args", "agents[3].backend.mcp_servers.s.env.K", "cluster.tls.ca"}));
  vars = {{"ANTHROPIC_API_KEY", "x"}, {"MINE", "x"}, {"T", "x"}, {"K", "x"}};
  CAF_CHECK_EQUAL(environment_problems(r.config, env).size(), 4u);
}

namespace {

/// What `validate` prints of a machine with nothing but an empty folder as home and these variables.
strings lacking(const folder& f, const std::string& text, std::map<std::string, std::string> vars = {}) {
  auto file = f.file("t.yaml", text);
  auto r = load_config(file);
  CAF_CHECK_EQUAL(all(r), "");
  const auto* before = std::getenv("CONCLAVE_HOME");
  std::string home = before ? before : "";
  ::setenv("CONCLAVE_HOME", (f.path + "/home").c_str(), 1);
  strings out;
  for (const auto& p : environment_problems(r.config, [&](const std::string& name) {
         auto it = vars.find(name);
         return it == vars.end() ? nullptr : &it->second;
       })) {
    CAF_CHECK_EQUAL(p.file, file);
    out.push_back(to_string(p).substr(file.size() + 1));
  }
  home.empty() ? ::unsetenv("CONCLAVE_HOME") : ::setenv("CONCLAVE_HOME", home.c_str(), 1);
  return out;
}

const std::string key_places = " in the environment, in ./.env or in ~/.config/conclave/.env";

} // namespace

CAF_TEST(a machine without the installed model or its server is told so) {
  folder f;
  auto model = f.file("m.gguf", "GGUF.");
  CAF_CHECK_EQUAL(lacking(f, "agents:\n  - id: a\n    backend: {type: local}\n"),
                  (strings{"3: agents[0].backend.model_path: there is no GGUF model in '" + f.path
                           + "/home/local/model.gguf': run ./scripts/quickstart, or set model_path"}));
  auto server = [&](const std::string& name, const std::string& path = "/nowhere") {
    return lacking(f, "agent:\n  backend:\n    type: local\n    model_path: " + model + "\n    server: " + name + "\n",
                   {{"PATH", path}});
  };
  CAF_CHECK_EQUAL(server("llama-server"),
                  strings{"5: agent.backend.server: there is no llama-server on the PATH: install llama.cpp, or set server"});
  CAF_CHECK_EQUAL(server("auto"),
                  strings{"5: agent.backend.server: there is no local model server: run ./scripts/quickstart, install "
                          "llama.cpp, or set server"});
  CAF_CHECK_EQUAL(server("xllamacpp"),
                  strings{"5: agent.backend.server: xllamacpp is not installed: run ./scripts/quickstart, or set server"});
  CAF_CHECK_EQUAL(server("/no/server"), strings{"5: agent.backend.server: '/no/server' is no program: correct server"});
  CAF_CHECK_EQUAL(server("ollama"),
                  strings{"5: agent.backend.server: 'ollama' is none of auto, llama-server, xllamacpp, a path with a slash"});
  std::filesystem::permissions(f.file("llama-server", ""), std::filesystem::perms::owner_all);
  CAF_CHECK_EQUAL(server("llama-server", f.path), strings{});
  CAF_CHECK_EQUAL(server("auto", f.path), strings{});
  f.file("n.gguf", "no model");
  CAF_CHECK_EQUAL(lacking(f, "agent:\n  backend: {type: local, model_path: \"" + f.path + "/n.gguf\", server: /bin/sh}\n"),
                  strings{"2: agent.backend.model_path: there is no GGUF model in '" + f.path + "/n.gguf': correct model_path"});
}

CAF_TEST(what a machine lacks has the lines and the paths of the file) {
  folder f;
  CAF_CHECK_EQUAL(lacking(f, R"(agents:
  - id: a
    backend:
      type: claude
      extra_headers:
        X-A: "${HERE}"
        x.b: "${T}"
  - id: b
    backend:
      type: vllm
      model: m
      mcp_servers:
        files:
          command: npx
          args:
            - "${T}"
        b:
          command: npm
  - id: d
    backend:
      type: vllm
      model: m
      mcp_servers:
        command: npx
  - id: c
    backend: {type: chatcompletion, model: m, base_url: "https://api.moonshot.ai/v1"}
cluster:
  tls:
    cert: /no/cert.pem
    key: /no/key.pem
)",
                          {{"HERE", "x"}}),
                  (strings{
                      "3: agents[0].backend: no key: set ANTHROPIC_API_KEY" + key_places,
                      "7: agents[0].backend.extra_headers.x.b: the variable T is not set",
                      "14: agents[1].backend.mcp_servers.files.command: 'npx' is not installed",
                      "15: agents[1].backend.mcp_servers.files.args: the variable T is not set",
                      "18: agents[1].backend.mcp_servers.b.command: 'npm' is not installed",
                      "24: agents[2].backend.mcp_servers.command: 'npx' is not installed",
                      "26: agents[3].backend: no key: set MOONSHOT_API_KEY or KIMI_API_KEY" + key_places,
                      "29: cluster.tls.cert: '/no/cert.pem' does not exist",
                      "30: cluster.tls.key: '/no/key.pem' does not exist",
                  }));
}

CAF_TEST(validate and the run name a missing key in the same words) {
  folder f;
  for (const auto* more :
       {"api_key_env: NONE", "api_key: \"${A}-${B}\"", "base_url: \"https://api.moonshot.ai/v1\"", "max_tokens: 9"}) {
    auto text = "agent: {backend: {type: chatcompletion, model: m, " + std::string{more} + "}}\n";
    auto said = lacking(f, text);
    CAF_REQUIRE_EQUAL(said.size(), 1u);
    node_resources with;
    with.env = [](const std::string&) -> const std::string* { return nullptr; };
    auto run = resolve_backend(first(load(text)), with).error;
    CAF_CHECK_EQUAL(run.substr(run.find(": ")), said[0].substr(said[0].find(": no key")));
  }
}

CAF_TEST(a host that is sent no key is named) {
  folder f;
  auto at = [&](const std::string& more) {
    return lacking(f, "agent:\n  backend:\n    type: chatcompletion\n    model: m\n" + more, {{"SET", "x"}});
  };
  CAF_CHECK_EQUAL(at("    base_url: https://llm.example/v1\n"),
                  strings{"5: agent.backend.base_url: no key is bound to llm.example, so none is sent; name one by api_key or "
                          "api_key_env"});
  CAF_CHECK_EQUAL(at("    base_url: http://127.0.0.1:8080/v1\n"), strings{});
  CAF_CHECK_EQUAL(at("    base_url: https://llm.example/v1\n    api_key: ${SET}\n"), strings{});
  CAF_CHECK_EQUAL(at("    base_url: https://llm.example/v1\n    api_key_env: SET\n"), strings{});
  CAF_CHECK_EQUAL(at("    base_url: https://llm.example/v1\n    extra_headers: {Authorization: \"Basic ${SET}\"}\n"), strings{});
  CAF_CHECK_EQUAL(at("    base_url: https://llm.example/v1\n    api_key_env: NONE\n"),
                  strings{"6: agent.backend.api_key_env: no key: set NONE" + key_places});
  CAF_CHECK_EQUAL(lacking(f, "agent:\n  backend: {type: vllm, model: m, base_url: \"https://gpu.example/v1\"}\n"), strings{});
  CAF_CHECK_EQUAL(
      lacking(f, "agent:\n  backend: {type: vllm, model: m, api_key_env: NONE}\n"),
      strings{"2: agent.backend.api_key_env: the variable NONE is not set: the server is sent the usual key of its type"});
}

CAF_TEST(every file of the project loads and says how it is run) {
  std::set<std::string> seen;
  for (const auto& entry : std::filesystem::directory_iterator{test::source_dir() + "/configs"}) {
    if (entry.path().extension() != ".yaml")
      continue;
    auto name = entry.path().filename().string();
    seen.insert(name);
    auto r = load_config(entry.path().string());
    CAF_CHECK_EQUAL(all(r), "");
    CAF_CHECK(read(entry.path().string()).starts_with("# conclave --config configs/" + name));
  }
  for (const auto* name : {"offline.yaml", "single.yaml", "team.yaml", "tools.yaml", "cluster.yaml"})
    CAF_CHECK(seen.contains(name));
}

CAF_TEST(the documentation holds the reference of the key table) {
  auto text = read(test::source_dir() + "/docs/configuration.md");
  auto begin = text.find("<!-- keys: begin -->\n");
  auto end = text.find("<!-- keys: end -->");
  CAF_REQUIRE(begin != std::string::npos && end != std::string::npos);
  begin = text.find('\n', begin) + 1;
  auto same = text.substr(begin, end - begin) == "\n" + config_keys().reference() + "\n";
  if (!same) {
    std::ofstream{test::binary_dir() + "/key_reference.md"} << config_keys().reference();
    CAF_MESSAGE("docs/configuration.md is stale: the right text is in key_reference.md of the build folder");
  }
  CAF_CHECK(same);
}
