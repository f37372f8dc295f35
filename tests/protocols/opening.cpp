// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What a task is played by: every member comes back, no literal secret is in it, and each finds its way back.

#define CAF_SUITE protocols.opening

#include "protocols/opening.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/members.hpp"
#include "protocols/wire/json.hpp"

#include <algorithm>

using namespace conclave;

namespace {

// Gives every member another value than its default, also within members.
template <class T>
void fill(T& x);

void change(std::string& x) {
  x = x == "tools" ? "schema" : "x\"\n\xC3\xA9" + x;
}
void change(bool& x) {
  x = !x;
}
void change(ec& x) {
  x = ec::context_overflow;
}
void change(ledger::pacing& x) {
  x = ledger::pacing::eager;
}
void change(ledger::strategy& x) {
  x = ledger::strategy::winner_reuse;
}
void change(exceed_policy& x) {
  x = exceed_policy::terminate;
}
void change(unknown_cost_policy& x) {
  x = unknown_cost_policy::allow;
}
void change(std::vector<std::int64_t>& x) {
  x = {0, 9'000'000'000'000'000};
}
void change(std::vector<std::string>& x) {
  x = {"", "two"};
}
void change(std::map<std::string, std::string>& x) {
  x = {{"", "empty"}, {"k", ""}};
}
void change(std::vector<std::pair<std::string, std::string>>& x) {
  x = {{"mars", "h:1"}, {"", ""}};
}
template <class T>
requires std::is_integral_v<T>
void change(T& x) {
  x = std::is_same_v<T, std::int64_t> ? static_cast<T>(9'000'000'000'000'000) : std::numeric_limits<T>::max();
}
template <class T>
void change(std::vector<T>& x) {
  x.resize(2);
  fill(x[0]);
}
template <class T>
void change(T& x) {
  fill(x);
}

template <class T>
void fill(T& x) {
  members::each_member<T>([&](const char* name, auto pointer) {
    CAF_MESSAGE(name);
    change(x.*pointer);
    CAF_CHECK(!(x.*pointer == T{}.*pointer));
  });
}

opening full() {
  opening o;
  fill(o);
  o.agents[0].id = "a";
  o.agents[1].id = "b";
  for (auto& x : o.answers)
    x.agent = "b";
  return o;
}

opening one(backend_config b = {}) {
  opening o;
  o.agents.push_back({"a", "", "", std::move(b)});
  return o;
}

std::string fault(const std::string& text) {
  opening o;
  std::string error;
  CAF_CHECK(!from_json(text, o, error));
  CAF_CHECK(o == opening{});
  return error;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// A backend with `key` in every place where a secret may stand.
backend_config planted(const std::string& key) {
  backend_config b;
  b.api_key = key;
  b.base_url = "https://user:" + key + "@host/v1?page=2&api_key=" + key + "&x=1";
  b.extra_headers = {
      {"Authorization", "Bearer " + key}, {"X-Foo", "Basic " + key}, {"X-Api-Key", key}, {"X-Proxy", "http://u:" + key + "@p"}};
  b.extra_query = {{"token", key}, {"page", "2"}};
  b.params = R"({"temperature":0.5,"api_key":")" + key + R"(","pin_token":1234567890,"more":{"auth":{"value":")" + key
             + R"(","n":[")" + key + R"("]}}})";
  b.extra_body = R"({"secret_tokens" : [")" + key + R"(", {"x":")" + key + R"("}], "pass\u0077ord":")" + key
                 + R"(","seed":3,"proxy":"http://me:)" + key + R"(@h"})";
  for (auto* name : {"one", "two"}) {
    mcp_server_config s;
    s.name = name;
    s.type = "stdio";
    s.command = {"npx",
                 "server",
                 "--api-key",
                 key,
                 "--token=" + key,
                 "-e",
                 "GITHUB_TOKEN=" + key,
                 "-e",
                 "A_KEY=" + key,
                 "-e",
                 "A_KEY=" + key,
                 "--header",
                 "Authorization: Bearer " + key,
                 "--header=X-Key: " + key,
                 "postgres://me:" + key + "@host/db",
                 "https://host/mcp?page=1&api_key=" + key + "&sig=" + key,
                 "--url=https://h/?token=" + key,
                 "--db=postgres://me:" + key + "@h"};
    s.env = {{"API_KEY", key}, {"DATABASE_URL", "postgres://me:" + key + "@host/db"}, {"LANG", "C"}};
    s.env["OPENAPI_MCP_HEADERS"] = R"({"Authorization":"Bearer )" + key + R"(","Notion-Version":"2022-06-28"})";
    s.env["HOOK"] = "https://h/x?page=2&token=" + key;
    s.env["HDR"] = "Bearer " + key;
    s.env["SENTRY"] = "https://" + key + "@sentry.io/1";
    s.env["OTLP"] = "api-key=" + key + ",x=y";
    s.env["CONNECT"] = "Server=h;User Id=me;Password=" + key + ";Timeout=30";
    s.env["NESTED"] = R"({"a":{"url":"https://h/?sig=)" + key + R"("},"more":"{\"token\":\")" + key + R"(\"}"})";
    s.env["LINES"] = "X-Title: mine\nX-Api-Key: " + key;
    s.env["FALLBACK"] = "${GITHUB_TOKEN:-" + key + "}";
    s.command.insert(s.command.end(), {"git+https://" + key + "@github.com/x/y", "https://" + key + ":x-oauth-basic@github.com/x",
                                       "-c", "cd /x && API_KEY=" + key + " run --token " + key + " --port 80", "--config",
                                       R"({"headers":{"X-Foo":"Token )" + key + R"("},"port":80})", key});
    s.command.insert(s.command.end(), {"--db", "postgres://me:" + key + "@h/db", "X-Up: http://me:" + key + "@h"});
    s.headers = {{"Authorization", "token " + key}, {"X-Auth", key}};
    s.url = "https://me:" + key + "@host/mcp?key=" + key + "#x";
    b.mcp_servers.push_back(s);
  }
  return b;
}

run_config file_with(const backend_config& b) {
  run_config c;
  c.source = "team.yaml";
  c.agents = {{"other", "", "", planted("of-another-agent")}, {"a", "", "", b}};
  return c;
}

} // namespace

CAF_TEST(every member of an opening comes back) {
  auto o = full();
  auto text = to_json(o);
  opening back;
  std::string error;
  CAF_CHECK(from_json(text, back, error));
  CAF_CHECK_EQUAL(error, "");
  CAF_CHECK(back == o);
  CAF_CHECK_EQUAL(to_json(back), text);
  CAF_CHECK(text.find('\n') == std::string::npos);
}

CAF_TEST(a list that is stored takes the place of its default and is not added to it) {
  for (auto marks : {std::vector<std::int64_t>{}, {400}}) {
    opening o, back;
    o.agents.emplace_back().id = "a";
    o.rules.budget.tokens = 1;
    o.rules.budget.warn_at = o.agents[0].budget.warn_at = marks;
    std::string error;
    CAF_REQUIRE(from_json(to_json(o), back, error));
    CAF_CHECK(back == o);
  }
}

CAF_TEST(what is as by default is left out) {
  CAF_CHECK_EQUAL(to_json(one()), R"({"agents":[{"id":"a"}],"v":1})");
}

CAF_TEST(an opening of version 1 is read for ever) {
  opening o;
  std::string error;
  CAF_REQUIRE(
      from_json(R"({"v":1,"rules":{"pacing":"eager","max_runs":7,"patience_ms":-1},"history":[{"from_user":false,"text":"hi"}],
    "agents":[{"id":"a","system_message":"s","node":"mars","backend":{"type":"scripted","max_tokens":5,"extra_headers":{"X":"${K}"},
    "script":[{"text":"t","error":"timeout","calls":[{"id":"1","name":"vote","arguments":"{}"}]}],
    "mcp_servers":[{"name":"fs","type":"stdio","command":["npx","x"],"env":{"A":"b"}}]}}],"cluster":{"nodes":[["mars","h:1"]]},
    "nodes":["mars"],"config_path":"/t.yaml","build":"b","seed":18446744073709551615,
    "answers":[{"agent":"a","label":"agent1.1","text":"old","epoch":1}],"continues":"t0"})",
                o, error));
  auto want = one();
  want.rules.pacing = ledger::pacing::eager;
  want.rules.max_runs = 7;
  want.rules.patience_ms = -1;
  want.history = {{false, "hi"}};
  auto& a = want.agents[0];
  a.system_message = "s";
  a.node = "mars";
  a.backend.type = "scripted";
  a.backend.max_tokens = 5;
  a.backend.extra_headers = {{"X", "${K}"}};
  a.backend.script.push_back({.text = "t", .reasoning = "", .calls = {{"1", "vote", "{}"}}, .error = ec::timeout});
  a.backend.mcp_servers.push_back({.name = "fs",
                                   .type = "stdio",
                                   .command = {"npx", "x"},
                                   .env = {{"A", "b"}},
                                   .cwd = "",
                                   .url = "",
                                   .headers = {},
                                   .allowed_tools = {},
                                   .exclude_tools = {},
                                   .allowed_executables = {},
                                   .tool_policies = {}});
  want.cluster.nodes = {{"mars", "h:1"}};
  want.nodes = {"mars"};
  want.config_path = "/t.yaml";
  want.build = "b";
  want.seed = 18446744073709551615ull;
  want.answers = {{"a", "agent1.1", "old", 1}};
  want.continues = "t0";
  CAF_CHECK(o == want);
}

CAF_TEST(a newer opening is refused and says what to do) {
  auto text = fault(R"({"v":2,"agents":[{"id":"a"}],"of_the_future":1})");
  CAF_CHECK(has(text, "newer version") && has(text, "2"));
}

CAF_TEST(what is no opening is refused with the place of the fault) {
  for (auto* text : {"", "[]", "{}", R"({"v":"1"})", R"({"v":-1})", R"({"v":1.5})", "{\"v\":1"})
    CAF_CHECK(has(fault(text), "version"));
  auto with = [](const std::string& backend) { return R"({"v":1,"agents":[{"id":"a","backend":)" + backend + "}]}"; };
  CAF_CHECK(has(fault(with("7")), "agents[0].backend"));
  CAF_CHECK(has(fault(with(R"({"model":7})")), "agents[0].backend.model is no text"));
  CAF_CHECK(has(fault(with(R"({"max_tokens":1e300})")), "max_tokens is no whole number"));
  CAF_CHECK(has(fault(with(R"({"max_tokens":9000000000000001})")), "max_tokens is out of range"));
  CAF_CHECK(has(fault(with(R"({"context_tokens":2147483648})")), "context_tokens is out of range"));
  CAF_CHECK(has(fault(with(R"({"context_tokens":-2147483648})")), "context_tokens is out of range"));
  CAF_CHECK(has(fault(with(R"({"http2":1})")), "http2"));
  CAF_CHECK(has(fault(with(R"({"extra_headers":{"X":1}})")), "extra_headers.X"));
  CAF_CHECK(has(fault(with(R"({"mcp_servers":[{},{"env":[]}]})")), "mcp_servers[1].env"));
  CAF_CHECK(has(fault(with(R"({"of_the_future":1})")), "agents[0].backend.of_the_future is not known"));
  CAF_CHECK(has(fault(R"({"v":1,"agents":[{"id":"a"}],"rules":{"pacing":"lazy"}})"), "rules.pacing"));
  CAF_CHECK(has(fault(R"({"v":1,"agents":[{"id":"a"}],"rules":{"max_runs":-1}})"), "rules.max_runs is out of range"));
  CAF_CHECK(has(fault(R"({"v":1,"agents":[{"id":"a"}],"cluster":{"nodes":[["x"]]}})"), "cluster.nodes[0]"));
  CAF_CHECK(has(fault(R"({"v":1,"agents":[{"id":"a"},{"id":"a"}]})"), "twice"));
  CAF_CHECK(has(fault(R"({"v":1,"agents":[]})"), "agents"));
  CAF_CHECK(has(fault(R"({"v":1,"agents":[{"id":"a"}],"answers":[{"agent":"z"}]})"), "'z' is no agent"));
  std::string many = R"({"v":1,"agents":[)";
  for (int i = 0; i < 100'000; ++i)
    many += (i > 0 ? ",{\"id\":\"" : "{\"id\":\"") + std::to_string(i) + "\"}";
  CAF_CHECK(has(fault(many + "]}"), "at most 64"));
}

CAF_TEST(a key planted in every place is nowhere in the opening) {
  const std::string key = "sk-PLANTED-1234567";
  auto o = one(planted(key));
  auto places = to_json(o);
  auto count = 0;
  for (auto at = places.find(key); at != std::string::npos; at = places.find(key, at + 1))
    ++count;
  CAF_CHECK(count > 40);
  mask_secrets(o);
  auto text = to_json(o);
  if (auto at = text.find(key); at != std::string::npos)
    CAF_ERROR("there: " << text.substr(at - 60, 120));
  CAF_CHECK(!has(text, "1234567890")); // a number may be one, too
  auto twice = o;
  mask_secrets(twice);
  CAF_CHECK(twice == o);
  // What is none stays readable.
  CAF_CHECK(has(o.agents[0].backend.base_url, "@host/v1?page=2&api_key=") && has(o.agents[0].backend.base_url, "&x=1"));
  CAF_CHECK(has(o.agents[0].backend.params, "\"temperature\":0.5") && wire::is_object(o.agents[0].backend.params));
  CAF_CHECK(wire::is_object(o.agents[0].backend.extra_body));
  CAF_CHECK_EQUAL(o.agents[0].backend.mcp_servers[0].env["LANG"], "C");
  CAF_CHECK_EQUAL(o.agents[0].backend.extra_headers["Authorization"], "Bearer " + std::string{secret_mark});
}

CAF_TEST(parameters that are too deep to be judged are not stored) {
  const std::string key = "sk-PLANTED-1234567";
  std::string deep = "\"" + key + "\"";
  for (int i = 0; i < 100; ++i)
    deep = "{\"a\":" + deep + "}";
  backend_config b;
  b.params = R"({"api_key":"x1234567","b":)" + deep + "}";
  auto o = one(b);
  mask_secrets(o);
  CAF_CHECK(!has(to_json(o), key));
  std::string error;
  CAF_CHECK(restore_secrets(o, file_with(b), error));
  CAF_CHECK(o == one(b));
}

CAF_TEST(references and what only looks like a secret stay) {
  backend_config b;
  b.api_key = "${KEY}";
  b.extra_headers = {{"Authorization", "Bearer ${KEY}"}, {"X-Title", "my: app"}, {"X-Max-Tokens", "4096"}};
  b.extra_query = {{"api-version", "2024-01-01"}};
  b.params = R"({"max_tokens":4096,"stop":["key"],"author":"me"})";
  mcp_server_config s;
  s.name = "s";
  s.command = {"npx",  "-e",    "GITHUB_TOKEN", "-e", "A=1", "--api-key", "${KEY}", "--token=${KEY}", "postgres://me:${KEY}@h/db",
               "C:/x", "a@b:c", "--port",       "80"};
  s.env = {{"API_KEY", "${KEY:-}"}, {"TOKENIZERS_PARALLELISM", "false"}};
  s.url = "https://h/?key=${KEY}";
  b.mcp_servers = {s};
  b.script.emplace_back().text = "the api_key is sk-1234567"; // what a model says is no setting
  auto o = one(b);
  auto before = o;
  mask_secrets(o);
  CAF_CHECK(o == before);
}

CAF_TEST(ordinary words under any name stay) {
  auto o = one();
  auto& b = o.agents[0].backend;
  b.base_url = "https://api.example.com/v1?api-version=2024-01-01&limit=10";
  b.extra_headers = {{"X-Title", "my app: for tests"}, {"HTTP-Referer", "https://example.com/a?b=c"}, {"X-Trace", "on"}};
  b.params =
      R"({"temperature":1,"stop":["key: value"],"instructions":"Use Bearer tokens. The key: be brief. Basic usage, token economics",
    "service_tier":"production","response_format":{"type":"json_object"},"user":"alice@example.com","headers":{"X-Title":"x y"}})";
  b.extra_body = R"({"provider":{"order":["a/b","gpt-4o-mini"]},"url":"https://h:8080/p?q=1#part"})";
  mcp_server_config s;
  s.name = "s";
  s.command = {"npx",
               "-y",
               "@scope/server@1.2.3",
               "--model",
               "gpt-4o-mini-2024-07-18",
               "--root",
               "/home/me/data1234",
               "https://github.com/me/repo/blob/0a7a79d8c3f24be1a0dd1c2b3a4d5e6f70819293/x.txt",
               "ssh://git@github.com/x",
               "--mode=production",
               "https://contoso@dev.azure.com/contoso/x",
               "host:8080",
               "--verbose",
               "sort=asc",
               "ghcr.io/x@sha256:0a7a79d8c3f24be1a0dd",
               "https://medium.com/@me12345678/x",
               "Note: Basic usage"};
  s.env = {{"MODE", "production"},
           {"DEBUG", "true"},
           {"LANG", "en_US.UTF-8"},
           {"ROOT", "/srv/data"},
           {"MODEL", "gpt-4o-mini"},
           {"URL", "https://host.example/path/?page=2"},
           {"DB", "postgres://me@h/db"},
           {"PLAN", "Basic plan"},
           {"JSON", R"({"level":"info","sizes":[1,2],"nested":{"on":true,"path":"/x"}})"},
           {"PATH2", "/usr/bin:/bin"},
           {"TEXT", "Token limits are explained at https://h/tokens, the key: none"},
           {"OPTS", "--max-old-space-size=4096 --enable-source-maps"}};
  s.headers = {{"Accept", "application/json, text/event-stream"}};
  s.url = "https://host.example/mcp?profile=dev";
  b.mcp_servers = {s};
  auto before = o;
  mask_secrets(o);
  for (std::size_t i = 0; i < s.command.size(); ++i)
    CAF_CHECK_EQUAL(b.mcp_servers[0].command[i], s.command[i]);
  for (auto& [name, value] : s.env)
    CAF_CHECK_EQUAL(b.mcp_servers[0].env[name], value);
  CAF_CHECK_EQUAL(b.params, before.agents[0].backend.params);
  CAF_CHECK(o == before);
}

CAF_TEST(a text whose marks would not be found again is masked whole and comes back) {
  const std::string key = "sk-PLANTED-1234567";
  for (auto* form :
       {"{\"a\":\"Bearer K\",\"a b\":\"x K\"}", "token=K token=K;token=K,x=K", "https://K:K@K/K?K=K&token=K#K", "K K,K;K=K:K",
        "'Authorization': 'Bearer K' \"K", "[\"K\",{\"key\":12345678,\"k\":\"--token K\"}]", "${K:-K}${TOKEN:-K} Bearer K",
        "Basic K Bearer K Token: K", "a=b=c=d=e=f=g=h=i=j=token=K", "a://b://c://K@d://K:K@e", "key: 'K", "{\"key\":\"K\\n\"} K"}) {
    std::string text;
    for (const char* c = form; *c != '\0'; ++c)
      text += *c == 'K' ? key : std::string{*c};
    backend_config b;
    b.base_url = b.extra_body = b.api_key = text;
    b.extra_headers = {{"Authorization", text}, {"X", text}};
    b.mcp_servers.emplace_back().command = {"x", "--token", text, text, "-e", text, text};
    b.mcp_servers[0].env = {{"A", text}, {"HEADERS", text}, {"KEY", text}};
    auto o = one(b);
    mask_secrets(o);
    auto twice = o;
    mask_secrets(twice);
    CAF_CHECK(twice == o);
    std::string error;
    CAF_CHECK(restore_secrets(o, file_with(b), error));
    CAF_CHECK_EQUAL(error, "");
    CAF_CHECK(o == one(b));
  }
}

CAF_TEST(secrets come back from the file by agent and place) {
  const std::string key = "sk-PLANTED-1234567";
  auto o = one(planted(key));
  auto before = o;
  mask_secrets(o);
  std::string text = to_json(o), error;
  opening stored;
  CAF_REQUIRE(from_json(text, stored, error));
  CAF_CHECK(restore_secrets(stored, file_with(planted(key)), error));
  CAF_CHECK_EQUAL(error, "");
  CAF_CHECK(stored == before);
  // Of its own agent, and the key that stands there now.
  auto masked = o;
  CAF_CHECK(restore_secrets(masked, file_with(planted("sk-NEW-1234567")), error));
  CAF_CHECK(masked == one(planted("sk-NEW-1234567")));
  // Where a variable stands now, the variable is used.
  auto moved = planted(key);
  moved.api_key = "${NEW_KEY}";
  moved.extra_headers["Authorization"] = "Bearer ${NEW_KEY}";
  moved.mcp_servers[0].env["DATABASE_URL"] = "postgres://me:${NEW_KEY}@host/db";
  masked = o;
  CAF_CHECK(restore_secrets(masked, file_with(moved), error));
  CAF_CHECK(masked == one(moved));
  // Servers are found by name, in whatever order they stand now.
  auto swapped = planted(key);
  std::swap(swapped.mcp_servers[0], swapped.mcp_servers[1]);
  masked = o;
  CAF_CHECK(restore_secrets(masked, file_with(swapped), error));
  CAF_CHECK(masked == before);
}

CAF_TEST(a secret that is gone is named and nothing is changed) {
  const std::string key = "sk-PLANTED-1234567";
  auto masked = one(planted(key));
  mask_secrets(masked);
  auto refused = [&](auto change) {
    auto b = planted(key);
    change(b);
    auto o = masked;
    std::string error;
    CAF_CHECK(!restore_secrets(o, file_with(b), error));
    CAF_CHECK(o == masked);
    CAF_CHECK(has(error, "agents[0].backend.") && has(error, "('a')") && !has(error, key));
    return error;
  };
  CAF_CHECK(has(refused([](auto& b) { b.api_key.clear(); }), "backend.api_key"));
  CAF_CHECK(has(refused([](auto& b) { b.extra_headers.erase("X-Api-Key"); }), "backend.extra_headers.X-Api-Key"));
  CAF_CHECK(has(refused([](auto& b) { b.params = "{}"; }), "agents[0].backend.api_key ('a')"));
  CAF_CHECK(has(refused([](auto& b) { b.base_url = "https://host/v1"; }), "backend.base_url"));
  CAF_CHECK(has(refused([](auto& b) { b.mcp_servers[1].env.erase("API_KEY"); }), "backend.mcp_servers[1].env.API_KEY"));
  CAF_CHECK(has(refused([](auto& b) { b.mcp_servers.resize(1); }), "backend.mcp_servers[1]"));
  CAF_CHECK(has(refused([](auto& b) { b.mcp_servers[0].command.resize(4); }), "mcp_servers[0].args.--token"));
  CAF_CHECK(has(refused([](auto& b) { b.mcp_servers[0].env.erase("OPENAPI_MCP_HEADERS"); }),
                "backend.mcp_servers[0].env.OPENAPI_MCP_HEADERS.Authorization"));
  CAF_CHECK(has(refused([](auto& b) { b.params = R"({"api_key":"x1234567"})"; }), "agents[0].backend.more.auth.value ('a')"));
  CAF_CHECK(has(refused([](auto& b) { b.extra_body = "{}"; }), "agents[0].backend.extra_body.secret_tokens ('a')"));
  auto o = masked;
  std::string error;
  CAF_CHECK(!restore_secrets(o, run_config{}, error) && has(error, "agents[0].backend.api_key ('a'), ") && has(error, " more"));
  // Without marks nothing is needed.
  auto plain = one();
  CAF_CHECK(restore_secrets(plain, run_config{}, error));
}
