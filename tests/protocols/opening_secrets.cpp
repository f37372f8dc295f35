// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.opening_secrets

#include "caf/test/unit_test.hpp"
#include "protocols/opening.hpp"
#include "protocols/wire/json.hpp"

#include <utility>

using namespace conclave;

namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

opening one(const backend_config& b) {
  opening o;
  o.agents.emplace_back().id = "a";
  o.agents[0].backend = b;
  return o;
}

run_config file_with(const backend_config& b) {
  run_config c;
  c.agents = one(b).agents;
  return c;
}

} // namespace

CAF_TEST(a secret that belongs to somebody else now is refused by name) {
  auto team = [](const std::string& p, const std::string& q, const std::string& key_p, const std::string& key_q) {
    agent_config a;
    a.id = "a";
    a.backend.type = "chatcompletion";
    a.backend.base_url = p;
    a.backend.api_key = key_p;
    a.failover.emplace_back(a.backend);
    a.failover[0].base_url = q;
    a.failover[0].api_key = key_q;
    a.backend.workspace.command_env["MY_TOKEN"] = "token-of-commands";
    auto& s = a.backend.mcp_servers.emplace_back();
    s.name = "s";
    s.type = "stdio";
    s.command = {"npx", "one", "--token", "token-of-one"};
    s.env["A_KEY"] = "key-of-one";
    a.backend.mcp_servers.push_back(s);
    a.backend.mcp_servers[1] = {};
    a.backend.mcp_servers[1].name = "web";
    a.backend.mcp_servers[1].type = "streamable-http";
    a.backend.mcp_servers[1].url = "https://web/mcp";
    a.backend.mcp_servers[1].headers["Authorization"] = "Bearer token-of-web";
    return std::vector<agent_config>{a};
  };
  const std::string p = "https://me:password1@p/v1", q = "http://q:81/v1";
  opening masked;
  masked.agents = team(p, q, "key-for-p", "key-for-q");
  mask_secrets(masked);
  auto tried = [&](auto change) {
    run_config file;
    file.agents = team(p, q, "key-for-p", "key-for-q");
    change(file.agents[0]);
    auto o = masked;
    std::string error;
    CAF_CHECK(restore_secrets(o, file, error) == error.empty());
    CAF_CHECK(error.empty() || o == masked);
    CAF_CHECK(!has(error, "key-") && !has(error, "token-of") && !has(error, "password1"));
    return error;
  };
  auto refused = [&](auto change, const char* key, const char* why) {
    auto error = tried(change);
    CAF_CHECK(has(error, std::string{key} + " ('a') " + why));
    if (!has(error, why))
      CAF_ERROR(error);
  };
  refused([&](auto& a) { a.backend.base_url = "https://other/v1"; }, "agents[0].backend.api_key",
          "for type chatcompletion, https://p, there it is for type chatcompletion, https://other now");
  refused([&](auto& a) { a.backend.base_url = "http://p/v1"; }, "agents[0].backend.api_key", "for type chatcompletion, https://p");
  refused([&](auto& a) { a.backend.type = "claude"; }, "agents[0].backend.api_key", "for type chatcompletion, https://p");
  refused([&](auto& a) { a.backend.base_url.clear(); }, "agents[0].backend.api_key", "for type chatcompletion, https://p");
  refused([&](auto& a) { a.failover[0].base_url = "http://q:82/v1"; }, "agents[0].failover[0].api_key",
          "for type chatcompletion, http://q:81, there it is for type chatcompletion, http://q:82 now");
  refused([&](auto& a) { std::swap(a.failover[0].base_url, a.backend.base_url); }, "agents[0].failover[0].api_key", "for type");
  refused([](auto& a) { a.backend.mcp_servers[0].command[1] = "two"; }, "agents[0].backend.mcp_servers[0].env.A_KEY",
          "of a server");
  refused([](auto& a) { a.backend.mcp_servers[1].url = "https://other/mcp"; },
          "agents[0].backend.mcp_servers[1].headers.Authorization",
          "for type streamable-http, https://web, there it is for type streamable-http, https://other now");
  // The same place in another spelling, or another path of it, and other keys.
  CAF_CHECK_EQUAL(tried([](auto&) {}), "");
  CAF_CHECK_EQUAL(tried([](auto& a) {
                    a.backend.base_url = "HTTPS://me:password2@P:443/v2";
                    a.backend.api_key = "key-of-today";
                    a.backend.mcp_servers[0].command[3] = "${A_TOKEN}";
                  }),
                  "");
  // Commands have theirs on this machine.
  masked.agents[0].backend.api_key = "${K}";
  masked.agents[0].backend.base_url = "https://p/v1";
  CAF_CHECK_EQUAL(tried([](auto& a) { a.backend.base_url = "https://other/v1"; }), "");
}

CAF_TEST(forms of secrets without a telling name are not stored) {
  const std::string key = "hunter03PlantedZq", pem = "-----BEGIN EC PRIVATE KEY-----\n" + key + "\n-----END EC PRIVATE KEY-----";
  backend_config b;
  b.extra_headers = {{"X-Session", key}};
  b.extra_body = R"({"tls":{"client":")" + wire::quote(pem).substr(1);
  b.extra_body += "}}";
  mcp_server_config s;
  s.name = "s";
  s.command = {"curl", "-u", "me:" + key, "--user",    "me:" + key, "--user=me:" + key,
               "-p",   key,  "-x",        "http://h/", "-c",        "cat <<E\n" + pem + "\nE"};
  s.env = {{"PEM", pem},
           {"CUT", pem.substr(0, 60)},
           {"MORE", "a\n" + pem + "\nb"},
           {"DB_CRED", key},
           {"SESSION", key},
           {"SESSION_ID", key},
           {"ACCESS_CODE", key},
           {"PIN", key},
           {"NETRC", "machine h login me password " + key + "\n"}};
  b.mcp_servers = {s};
  auto o = one(b);
  mask_secrets(o);
  auto text = to_json(o);
  if (auto at = text.find(key.substr(0, 10)); at != std::string::npos)
    CAF_ERROR("there: " << text.substr(at - 60, 120));
  CAF_CHECK(has(text, "a\\n<secret-") && has(text, "me:<secret-") && has(text, "machine h login me password <secret-"));
  std::string error;
  CAF_CHECK(restore_secrets(o, file_with(b), error));
  CAF_CHECK(o == one(b));
  // What only looks like it.
  b = {};
  s.command = {"docker", "-u", "1000:1000",  "-u", "${ME}:${MY_PASSWORD}", "--user", "node:node", "-p", "8080:80/tcp", "-p",
               "8080",   "-p", "my-project", "-p", "127.0.0.1:80:80",      "--user", "somebody"};
  s.env = {{"SESSION_TIMEOUT", "30 minutes"},
           {"DESKTOP_SESSION", "ubuntu-wayland"},
           {"CERT", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"},
           {"TEXT", "the password is not here"},
           {"PINNED", "packages"}};
  b.mcp_servers = {s};
  o = one(b);
  mask_secrets(o);
  CAF_CHECK(o == one(b));
}

CAF_TEST(secrets of variables are not stored under whatever name they stand) {
  auto with = [](const std::string& key) {
    backend_config b;
    b.type = "chatcompletion";
    b.base_url = "https://h/v1?foo=" + key + "&page=2";
    b.extra_body = R"({"x":")" + key + R"(","list":["a )" + key + R"( b",")" + key + R"("],"api_key":")" + key + R"(","y":1})";
    b.params = R"({"user":")" + key + R"("})";
    b.workspace.command_env = {{"FOO", key}, {"BAR", "x " + key}, {"LANG", "C"}};
    return b;
  };
  auto values = [](const std::string& key) {
    secrets out;
    out.add_key(key);
    return out;
  };
  const std::string key = "planted of a variable";
  auto known = values(key), now = values("of-the-next-day");
  auto o = one(with(key));
  mask_secrets(o, &known);
  auto text = to_json(o);
  CAF_CHECK(!has(text, "planted"));
  CAF_CHECK(wire::is_object(o.agents[0].backend.extra_body) && has(o.agents[0].backend.extra_body, "\"y\":1"));
  CAF_CHECK(has(o.agents[0].backend.base_url, "&page=2"));
  opening stored;
  std::string error;
  CAF_REQUIRE(from_json(text, stored, error));
  auto back = stored;
  CAF_CHECK(restore_secrets(back, file_with(with(key)), error, &known));
  CAF_CHECK_EQUAL(error, "");
  CAF_CHECK(back == one(with(key)));
  back = stored;
  CAF_CHECK(restore_secrets(back, file_with(with("of-the-next-day")), error, &now));
  CAF_CHECK(back == one(with("of-the-next-day")));
  back = stored;
  CAF_CHECK(!restore_secrets(back, file_with(with("plain text")), error, &now) && has(error, "agents[0].backend."));
}
