// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.config

#include "protocols/config.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/catalogue.hpp"
#include "protocols/config_keys.hpp"
#include "protocols/config_url.hpp"
#include "protocols/config_validate.hpp"
#include "protocols/config_vetting.hpp"
#include "protocols/workspace_paths.hpp"

#include <set>

using namespace conclave;

namespace {

backend_config backend(std::string type, std::string base_url = "") {
  backend_config b;
  b.type = std::move(type);
  b.model = "m";
  b.base_url = std::move(base_url);
  return b;
}

using names = std::vector<std::string>;

run_config team(std::size_t n = 2) {
  run_config c;
  for (std::size_t i = 1; i <= n; ++i) {
    agent_config a;
    a.id = "a" + std::to_string(i);
    a.backend = backend("chatcompletion");
    c.agents.push_back(a);
  }
  return c;
}

mcp_server_config server(names command) {
  mcp_server_config s;
  s.name = "tools";
  s.type = "stdio";
  s.command = std::move(command);
  return s;
}

/// Returns the paths of problems of this severity.
std::vector<std::string> paths(const run_config& c, severity s = severity::error) {
  std::vector<std::string> out;
  for (const auto& p : validate(c))
    if (p.severity == s)
      out.push_back(p.path);
  return out;
}

} // namespace

CAF_TEST(folders that may be changed do not lie in each other) {
  auto c = team(1);
  auto& given = c.agents[0].backend.workspace.context;
  given = {{"/p/sub", true, {}}, {"/p2", true, {}}, {"/p", true, {}}};
  CAF_CHECK_EQUAL(paths(c), names{"agents[0].backend.context_paths[0]"});
  auto text = validate(c).front().text;
  CAF_CHECK(text.find("'/p/sub' lies in '/p'") != std::string::npos);
  given = {{"/p", true, {}}, {"/p/sub", false, {}}, {"/p/sub/x", true, {}}, {"/p2", true, {}}};
  CAF_CHECK_EQUAL(paths(c), names{});
  given = {{"/p", false, {}}, {"/p/sub", true, {}}};
  CAF_CHECK_EQUAL(paths(c), names{});
}

CAF_TEST(a team that writes in place is warned once) {
  using workspace_paths::written_in_place;
  auto c = team(2);
  for (auto& a : c.agents) {
    a.backend.workspace.write_mode = "legacy";
    a.backend.workspace.context = {{"/p", true, {}}};
    CAF_CHECK(!written_in_place(a.backend.workspace)); // without a workspace nobody writes
    a.backend.workspace.cwd = "w";
    CAF_CHECK(written_in_place(a.backend.workspace));
  }
  CAF_CHECK_EQUAL(paths(c), names{});
  CAF_CHECK_EQUAL(paths(c, severity::warning), names{"agents[0].backend.write_mode"});
  CAF_CHECK(validate(c).front().text.find("cannot be taken back") != std::string::npos);
  auto reuse = c; // nobody presents
  reuse.rules.strategy = ledger::strategy::winner_reuse;
  CAF_CHECK((paths(reuse, severity::warning) == names{"agents[0].backend.write_mode", "agents[0].backend.write_mode"}));
  c.agents[1].backend.workspace.write_from_start = true;
  CAF_CHECK(
      (paths(c, severity::warning) == names{"agents[0].backend.write_mode", "agents[1].backend.context_write_access_enabled"}));
  c.agents[0].backend.workspace.context.front().write = false;
  CAF_CHECK(!written_in_place(c.agents[0].backend.workspace));
  c.agents[1].backend.workspace.write_mode = "isolated";
  CAF_CHECK(!written_in_place(c.agents[1].backend.workspace));
}

CAF_TEST(a key pasted where a variable is named is an error that does not show it) {
  for (const auto* bad : {"sk-abc", "${KEY}", "$KEY", "1KEY", "MY KEY"}) {
    auto b = backend("chatcompletion");
    b.model = "m";
    b.api_key_env = bad;
    run_config c;
    c.agents.push_back({"a", "", "", b});
    auto found = validate(c);
    CAF_REQUIRE_EQUAL(found.size(), 1u);
    CAF_CHECK_EQUAL(found[0].path, "agents[0].backend.api_key_env");
    CAF_CHECK(found[0].text.find(bad) == std::string::npos || std::string{bad} == "${KEY}");
  }
}

CAF_TEST(what holds a secret by any name of the one list does not travel as a literal) {
  run_config c;
  c.cluster.nodes = {{"n", "h:1"}};
  auto b = backend("chatcompletion");
  b.model = "m";
  b.extra_headers = {{"X-Auth", "literal-1"},          {"X-Pwd", "literal-2"},        {"Authorization", "Bearer ${T}"},
                     {"X-Amz-Signature", "literal-3"}, {"HTTP-Referer", "https://x"}, {"X-Author", "Somebody"},
                     {"X-Token-Count", "12"}};
  b.extra_query = {{"sig", "literal-4"}, {"design", "plain"}, {"api_key", "${K}"}};
  b.extra_body = R"({"max_tokens":"12","metadata":{"note":"a \"token\": here","access_token":"literal-10"},"stop":["api_key"]})";
  b.base_url = "https://gw.example/v1?design=x&key=literal-11";
  mcp_server_config s;
  s.name = "s";
  s.type = "stdio";
  s.command = {"npx", "-y", "server", "--api-key", "literal-5", "--token=literal-6", "--token=${T}", "--keyring", "--verbose"};
  s.env = {
      {"GITHUB_PAT", "literal-7"}, {"DB_PASS", "literal-8"}, {"TOKENIZERS_PARALLELISM", "false"}, {"SSH_PASSPHRASE", "literal-9"}};
  b.mcp_servers.push_back(s);
  c.agents.push_back({"a", "", "n", b});
  std::vector<std::string> paths;
  for (auto& p : validate(c)) {
    CAF_CHECK(p.text.find("literal-") == std::string::npos);
    paths.push_back(p.path.substr(p.path.find(".backend.") + 9));
  }
  CAF_CHECK_EQUAL(paths,
                  (std::vector<std::string>{"base_url.key", "extra_body.metadata.access_token", "extra_headers.X-Amz-Signature",
                                            "extra_headers.X-Auth", "extra_headers.X-Pwd", "extra_query.sig",
                                            "mcp_servers[0].env.DB_PASS", "mcp_servers[0].env.GITHUB_PAT",
                                            "mcp_servers[0].env.SSH_PASSPHRASE", "mcp_servers[0].args", "mcp_servers[0].args"}));
  c.agents[0].node.clear();
  CAF_CHECK(validate(c).empty());
}

CAF_TEST(node addresses are host and port) {
  for (const auto* yes : {"a:1", "a.b-c:65535", "127.0.0.1:4242", "[::1]:4242"})
    CAF_CHECK(is_host_port(yes));
  for (const auto* no : {"", "a", "a:", ":1", "a:0", "a:65536", "::1:4242", "a:1x", "http://a:1", "a b:1"})
    CAF_CHECK(!is_host_port(no));
}

CAF_TEST(a key goes to the hosts of its provider only) {
  CAF_CHECK_EQUAL(key_names(backend("chatcompletion")), names{"OPENAI_API_KEY"});
  CAF_CHECK_EQUAL(key_names(backend("chatcompletion", "https://api.cerebras.ai/v1")), names{"CEREBRAS_API_KEY"});
  CAF_CHECK_EQUAL(key_names(backend("chatcompletion", "https://api.studio.nebius.ai/v1")), names{"NEBIUS_API_KEY"});
  CAF_CHECK_EQUAL(key_names(backend("chatcompletion", "https://api.moonshot.cn/v1")), (names{"MOONSHOT_API_KEY", "KIMI_API_KEY"}));
  CAF_CHECK_EQUAL(key_names(backend("chatcompletion", "https://API.X.AI./v1")), names{"XAI_API_KEY"});
  CAF_CHECK_EQUAL(key_names(backend("claude")), names{"ANTHROPIC_API_KEY"});
  for (const auto* evil :
       {"https://somebodys-bucket.oss-cn-hangzhou.aliyuncs.com/v1", "https://evil.com", "https://openai.com.evil.com",
        "https://notopenai.com", "https://evil.com/openai.com", "https://api.openai.com@evil.com",
        "https://evil.com\\@api.openai.com", "https://xyz.ai/v1", "nonsense"}) {
    CAF_CHECK_EQUAL(key_names(backend("chatcompletion", evil)), names{});
    CAF_CHECK_EQUAL(key_names(backend("claude", evil)), names{});
    CAF_CHECK_EQUAL(key_names(backend("grok", evil)), names{});
  }
}

CAF_TEST(a named variable serves any host and local types need none) {
  auto b = backend("chatcompletion", "https://llm.example.org");
  b.api_key_env = "MY_KEY";
  CAF_CHECK_EQUAL(key_names(b), names{"MY_KEY"});
  CAF_CHECK_EQUAL(key_names(backend("vllm")), names{"VLLM_API_KEY"});
  CAF_CHECK_EQUAL(std::string{find_backend_kind("vllm")->default_key}, "EMPTY");
  CAF_CHECK_EQUAL(std::string{find_backend_kind("lmstudio")->default_key}, "lm-studio");
  for (const auto* type : {"lmstudio", "ollama", "local", "scripted", "no-such"})
    CAF_CHECK_EQUAL(key_names(backend(type)), names{});
}

CAF_TEST(a model names its type) {
  CAF_CHECK_EQUAL(infer_backend_type("GPT-5-nano"), "openai");
  CAF_CHECK_EQUAL(infer_backend_type("o3-mini-high"), "openai");
  CAF_CHECK_EQUAL(infer_backend_type("gpt-oss-120b"), "chatcompletion"); // open weights, served by others
  CAF_CHECK_EQUAL(infer_backend_type("claude-opus-4-20250514"), "claude");
  CAF_CHECK_EQUAL(infer_backend_type("gemini-2.5-pro"), "gemini");
  CAF_CHECK_EQUAL(infer_backend_type("grok-4"), "grok");
  CAF_CHECK_EQUAL(infer_backend_type("glm-4.5-air"), "zai");
  CAF_CHECK_EQUAL(infer_backend_type("llama-3"), "");
  CAF_CHECK_EQUAL(infer_backend_type(""), "");
}

CAF_TEST(every row of the tables is sound) {
  std::set<std::pair<key_scope, std::string>> seen;
  for (const auto& k : config_keys().rows()) {
    CAF_CHECK(seen.emplace(k.scope, k.name).second);
    CAF_CHECK(k.low <= k.high);
    CAF_CHECK_EQUAL(k.type == key_type::choice, !words(k.choices).empty());
    for (const auto& type : words(k.only))
      CAF_CHECK(find_backend_kind(type) != nullptr);
    CAF_CHECK_EQUAL(config_keys().find(k.scope, k.name), &k);
  }
  std::set<std::string> types;
  for (const auto& k : backend_kinds())
    CAF_CHECK(types.insert(k.type).second);
  for (const auto* type : {"chatcompletion", "grok", "zai", "lmstudio", "vllm", "sglang", "ollama", "claude", "openai", "gemini",
                           "azure_openai", "local", "scripted"})
    CAF_CHECK(find_backend_kind(type) && is_available(*find_backend_kind(type)));
  for (const auto* type : {"claude_code", "ag2", "autogen"})
    CAF_CHECK(find_backend_kind(type) && !is_available(*find_backend_kind(type)));
}

CAF_TEST(a sound team has no problems and an empty one has) {
  CAF_CHECK_EQUAL(validate(team()).size(), 0u);
  CAF_CHECK_EQUAL(paths(run_config{}), names{"agents"});
  CAF_CHECK_EQUAL(paths(team(65)), names{"agents"});
}

CAF_TEST(ids are unique and fit for files) {
  auto c = team();
  c.agents[1].id = "a1";
  CAF_CHECK_EQUAL(paths(c), names{"agents[1].id"});
  for (const auto& bad : {std::string{}, std::string{" "}, std::string{"a/b"}, std::string{"a\\b"}, std::string{".."},
                          std::string{"a\nb"}, std::string{"a\0b", 3}, std::string(65, 'x'), std::string{"a "}}) {
    c.agents[1].id = bad;
    CAF_CHECK_EQUAL(paths(c), names{"agents[1].id"});
  }
}

CAF_TEST(unknown types are errors and later ones are not available) {
  auto c = team(1);
  c.agents[0].backend.type = "chatcompletoin";
  auto found = validate(c);
  CAF_REQUIRE_EQUAL(found.size(), 1u);
  CAF_CHECK(found[0].text.find("did you mean 'chatcompletion'?") != std::string::npos);
  c.agents[0].backend.type = "claude_code";
  CAF_CHECK_EQUAL(paths(c), names{});
  CAF_CHECK_EQUAL(paths(c, severity::unavailable), names{"agents[0].backend.type"});
  CAF_CHECK(validate(c)[0].text.find("backend type 'claude_code' is not available yet") != std::string::npos);
}

CAF_TEST(a version that no address of Gemini can have is an error) {
  auto c = team(1);
  auto& b = c.agents[0].backend;
  b.type = "gemini";
  b.model = "gemini-2.5-pro";
  for (const auto* good : {"", "v1", "v1beta", "v1alpha"}) {
    b.api_version = good;
    CAF_CHECK_EQUAL(paths(c), names{});
  }
  for (const auto* bad : {"beta", "1", "v", "v1/../x", "v1?key=x", "2024-02-15", "v9", "v1beta1", "V1"}) {
    b.api_version = bad;
    CAF_CHECK_EQUAL(paths(c), names{"agents[0].backend.api_version"});
  }
}

CAF_TEST(limits hold for configurations made by hand) {
  auto c = team(1);
  auto& b = c.agents[0].backend;
  b.timeout_ms = -1;
  b.idle_timeout_ms = 1'000'000'000'000;
  b.max_tokens = -5;
  b.max_tool_iterations = 0;
  b.decision = "maybe";
  c.rules.presentation_ms = -1;
  c.rules.max_failed_runs = 0;
  auto found = paths(c);
  CAF_CHECK_EQUAL(
      std::set<std::string>(found.begin(), found.end()),
      (std::set<std::string>{"agents[0].backend.timeout", "agents[0].backend.idle_timeout_seconds", "agents[0].backend.max_tokens",
                             "agents[0].backend.max_tool_iterations", "agents[0].backend.decision",
                             "timeout_settings.presentation_timeout_seconds", "orchestrator.max_failed_runs"}));
}

CAF_TEST(a literal secret may not travel to a node) {
  auto c = team(1);
  c.cluster.nodes = {{"far", "far.example.org:4242"}};
  auto& a = c.agents[0];
  a.node = "far";
  a.backend.api_key = "${MY_KEY}";
  a.backend.extra_headers = {{"Authorization", "Bearer ${T}"}, {"X-Trace", "plain"}};
  auto s = server({"npx", "x"});
  s.env = {{"API_TOKEN", "${T}"}, {"MODE", "plain"}};
  a.backend.mcp_servers = {s};
  CAF_CHECK_EQUAL(paths(c), names{});
  a.backend.api_key = "sk-secret-1";
  a.backend.extra_headers["Authorization"] = "Bearer sk-secret-2";
  a.backend.mcp_servers[0].env["API_TOKEN"] = "sk-secret-3";
  CAF_CHECK_EQUAL(paths(c), (names{"agents[0].backend.api_key", "agents[0].backend.extra_headers.Authorization",
                                   "agents[0].backend.mcp_servers[0].env.API_TOKEN"}));
  for (const auto& p : validate(c))
    CAF_CHECK(to_string(p).find("sk-secret") == std::string::npos);
  a.node.clear();
  CAF_CHECK_EQUAL(paths(c), names{});
}

CAF_TEST(nodes must exist and have addresses) {
  auto c = team(1);
  c.agents[0].node = "gpu1";
  c.cluster.nodes = {{"gpu-1", "h:1"}};
  auto found = validate(c);
  CAF_REQUIRE_EQUAL(found.size(), 1u);
  CAF_CHECK(found[0].text.find("did you mean 'gpu-1'?") != std::string::npos);
  c.agents[0].node.clear();
  c.cluster.nodes = {{"a", "h"}, {"b/c", "h:1"}, {"d", "h:1"}, {"d", "h:2"}};
  c.cluster.tls.cert = "c.pem";
  CAF_CHECK_EQUAL(paths(c), (names{"cluster.nodes.a", "cluster.nodes", "cluster.nodes.d", "cluster.tls"}));
}

CAF_TEST(commands of tool servers are vetted) {
  CAF_CHECK_EQUAL(vet_command(server({"npx", "-y", "some; $(thing)"})), "");
  CAF_CHECK_EQUAL(vet_command(server({"/usr/bin/python3", "x.py"})), "");
  CAF_CHECK_EQUAL(vet_command(server({"/opt/Python3.EXE"})), "");
  for (const auto& bad : std::vector<names>{{},
                                            {""},
                                            {" "},
                                            {"bash", "-c", "x"},
                                            {"sh"},
                                            {"curl"},
                                            {"git"},
                                            {"rm"},
                                            {"npx;rm"},
                                            {"npx\nrm"},
                                            {"$(npx)"},
                                            {"../npx"},
                                            {"/usr/../bin/npx"},
                                            {"./npx"},
                                            {"bin/npx"},
                                            {std::string{"npx\0x", 5}},
                                            {"npx", std::string{"\0", 1}},
                                            {"npx", std::string(501, 'x')},
                                            names(52, "npx")})
    CAF_CHECK(!vet_command(server(bad)).empty());
  auto parts = names(4, std::string(400, 'x'));
  parts[0] = "npx";
  CAF_CHECK(!vet_command(server(parts)).empty());
  CAF_CHECK(vet_command(server({"bash"})).starts_with("server 'tools': "));
}

CAF_TEST(levels and lists widen what may be started) {
  auto git = server({"git"});
  git.security_level = "moderate";
  CAF_CHECK_EQUAL(vet_command(git), "");
  auto curl = server({"curl"});
  curl.security_level = "moderate";
  CAF_CHECK(!vet_command(curl).empty());
  curl.security_level = "permissive";
  CAF_CHECK_EQUAL(vet_command(curl), "");
  auto own = server({"./run", "x"});
  own.allowed_executables = {"run"};
  CAF_CHECK(!vet_command(own).empty());
  own.allowed_executables = {"./run"};
  CAF_CHECK_EQUAL(vet_command(own), "");
  own.command = {"npx"};
  CAF_CHECK(!vet_command(own).empty()); // the list replaces the level's
}

CAF_TEST(variables that load code are refused) {
  for (const auto* bad :
       {"LD_PRELOAD", "ld_library_path", "LD_ANYTHING", "DYLD_X", "PYTHONPATH", "NODE_OPTIONS", "BASH_ENV", "", "A=B"})
    CAF_CHECK(!vet_variable(bad, "x", false).empty());
  CAF_CHECK(!vet_variable("Path", "x", true).empty());
  CAF_CHECK_EQUAL(vet_variable("PATH", "x", false), "");
  CAF_CHECK_EQUAL(vet_variable("API_KEY", "a;b|c", true), "");
  CAF_CHECK(!vet_variable("A", std::string{"\0", 1}, false).empty());
  CAF_CHECK(!vet_variable("A", std::string(1001, 'x'), false).empty());
}

CAF_TEST(tool servers are named once and typed) {
  auto c = team(1);
  auto& servers = c.agents[0].backend.mcp_servers;
  servers = {server({"npx"}), server({"npx"})};
  CAF_CHECK_EQUAL(paths(c), names{"agents[0].backend.mcp_servers[1].name"});
  servers = {server({"npx"})};
  servers[0].type = "sse";
  CAF_CHECK_EQUAL(paths(c), names{"agents[0].backend.mcp_servers[0].type"});
  servers[0].type = "streamable-http";
  servers[0].url = "https://mcp.example.org/mcp";
  CAF_CHECK_EQUAL(paths(c), names{});
  CAF_CHECK_EQUAL(paths(c, severity::unavailable), names{"agents[0].backend.mcp_servers[0].type"});
  servers[0].url = "https://user@mcp.example.org/mcp";
  CAF_CHECK_EQUAL(paths(c), names{"agents[0].backend.mcp_servers[0].url"});
  servers[0].url = "https://mcp.example.org/mcp";
  servers[0].headers = {{"X", "a\r\nEvil: 1"}};
  CAF_CHECK_EQUAL(paths(c), names{"agents[0].backend.mcp_servers[0].headers.X"});
}

CAF_TEST(problems are shown with file line and path) {
  problem p{severity::error, "a.yaml", 3, "agents[0].id", "is wrong"};
  CAF_CHECK_EQUAL(to_string(p), "a.yaml:3: agents[0].id: is wrong");
  p.line = 0;
  p.path.clear();
  CAF_CHECK_EQUAL(to_string(p), "a.yaml: is wrong");
}

CAF_TEST(an id holds nothing that nobody sees) {
  auto said = [](const std::string& id) {
    run_config c;
    c.agents.resize(1);
    c.agents[0].id = id;
    c.agents[0].backend.type = "scripted";
    for (auto& p : validate(c))
      if (p.path == "agents[0].id")
        return p.text;
    return std::string{};
  };
  for (auto* id : {"a\u200Bb",
                   "a\u200Cb",
                   "a\u200Db",
                   "\u200Da",
                   "a\u00ADb",
                   "a\u2060",
                   "\uFEFFa",
                   "a\uFE0F",
                   "\u2764\uFE0F",
                   "a\u034Fb",
                   "\u3164",
                   "\uFFA0",
                   "a\u180E",
                   "a\u115Fb",
                   "a\U000E0041",
                   "a\U000E0100",
                   "\U0001F468\u200D\U0001F469",
                   "a\u00A0b",
                   "\u3000",
                   "\u2800",
                   "a\u2009b",
                   "a\u2028b"})
    CAF_CHECK(said(id).find("may not hold characters that nobody sees (U+") != std::string::npos);
  CAF_CHECK(said("a\u200Bb").find("(U+200B)") != std::string::npos);
  CAF_CHECK(said("a\u202Eb").find("control characters") != std::string::npos);
  for (auto* id : {"agent one", "Gr\u00FC\u00DFe", "\u6771\u4EAC", "\u0645\u06CC", "\U0001F600", "e\u0301"})
    CAF_CHECK_EQUAL(said(id), "");
}
