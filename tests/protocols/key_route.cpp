// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.key_route

#include "protocols/key_route.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/config_expand.hpp"
#include "protocols/text.hpp"

using namespace conclave;

namespace {

const std::string process = process_source, project = project_source, user = "/home/u/.config/conclave/.env";

/// A machine's variables: name -> (value, where it came from).
struct machine {
  std::map<std::string, std::pair<std::string, std::string>> variables;

  key_route route(const backend_config& b) const {
    lookup env = [this](const std::string& name) {
      auto i = variables.find(name);
      return i == variables.end() ? nullptr : &i->second.first;
    };
    source_lookup sources = [this](const std::string& name) { return variables.at(name).second; };
    return route_key(b, env, sources);
  }
};

backend_config backend(const std::string& type, const std::string& url = "") {
  backend_config b;
  b.type = type;
  b.model = "m";
  b.base_url = url;
  return b;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

const std::string gateway = "https://gw.example/v1";

} // namespace

CAF_TEST(a base URL of the environment was ignored and a gateways key went to the vendor) {
  for (auto& place : {process, project, user}) {
    auto r = machine{{{"OPENAI_BASE_URL", {gateway + "/", place}}, {"OPENAI_API_KEY", {"gw-key", place}}}}.route(
        backend("chatcompletion"));
    CAF_CHECK_EQUAL(r.error, "");
    CAF_CHECK_EQUAL(r.base_url, gateway);
    CAF_CHECK_EQUAL(r.api_key, "gw-key");
    CAF_REQUIRE_EQUAL(r.notices.size(), 1u);
    CAF_CHECK_EQUAL(r.notices[0], "OPENAI_BASE_URL (" + place
                                      + ") sends the calls to https://gw.example instead of api.openai.com, with "
                                        "OPENAI_API_KEY");
  }
}

CAF_TEST(a resource of Azure is named by the configuration or by a variable of the place of its key) {
  const std::string home = "https://x.openai.azure.com";
  auto azure = backend("azure_openai");
  machine m{{{"AZURE_OPENAI_API_KEY", {"k", process}}}};
  auto r = m.route(azure);
  CAF_CHECK(r.code == ec::bad_config && has(r.error, "azure_endpoint") && has(r.error, "AZURE_OPENAI_ENDPOINT"));
  m.variables["AZURE_OPENAI_ENDPOINT"] = {home + "/", process};
  m.variables["AZURE_OPENAI_API_VERSION"] = {" 2024-10-21\n", project};
  r = m.route(azure);
  CAF_CHECK_EQUAL(r.error + r.base_url + r.api_key + r.api_version, home + "k2024-10-21");
  CAF_CHECK(r.notices.empty());
  azure.api_version = "v1";
  CAF_CHECK_EQUAL(m.route(azure).api_version, ""); // the configuration's counts
  m.variables["AZURE_OPENAI_ENDPOINT"] = {"https://evil.openai.azure.com", project};
  r = m.route(azure);
  CAF_CHECK(r.code == ec::bad_config && has(r.error, "nothing is sent. Set both")); // anybody may have a resource there
  m.variables["AZURE_OPENAI_ENDPOINT"] = {"https://gw.example", process};
  r = m.route(azure);
  CAF_REQUIRE_EQUAL(r.notices.size(), 1u);
  CAF_CHECK_EQUAL(r.notices[0],
                  "AZURE_OPENAI_ENDPOINT (the environment) sends the calls to https://gw.example, with AZURE_OPENAI_API_KEY");
  azure.api_version.clear();
  m.variables["AZURE_OPENAI_API_VERSION"] = {"2024&x=1", process};
  CAF_CHECK(has(m.route(azure).error, "AZURE_OPENAI_API_VERSION (the environment): '2024&x=1' is no version"));
}

CAF_TEST(a token of Entra ID stands for the key of Azure and for no other) {
  auto azure = backend("azure_openai", "https://x.openai.azure.com");
  CAF_CHECK(machine{}.route(azure).code == ec::unauthorized);
  azure.extra_headers = {{"Authorization", "Bearer ${TOKEN}"}};
  auto r = machine{{{"TOKEN", {"entra", process}}}}.route(azure);
  CAF_CHECK_EQUAL(r.error + r.api_key + r.headers["Authorization"], "Bearer entra");
  auto other = backend("chatcompletion", "https://api.groq.com/openai/v1");
  other.extra_headers = azure.extra_headers;
  CAF_CHECK((machine{{{"TOKEN", {"entra", process}}}}.route(other).code == ec::unauthorized));
}

CAF_TEST(each vendors library has a variable of its own) {
  auto to = [](const std::string& type, const std::string& name, const std::string& value, const std::string& key) {
    auto r = machine{{{name, {value, process}}, {key, {"k", process}}}}.route(backend(type));
    CAF_CHECK_EQUAL(r.error, "");
    return r.base_url;
  };
  CAF_CHECK_EQUAL(to("chatcompletion", "OPENAI_API_BASE", gateway, "OPENAI_API_KEY"), gateway);
  CAF_CHECK_EQUAL(to("claude", "ANTHROPIC_BASE_URL", "https://gw.example", "ANTHROPIC_API_KEY"), "https://gw.example");
  CAF_CHECK_EQUAL(to("grok", "XAI_BASE_URL", gateway, "XAI_API_KEY"), gateway);
  CAF_CHECK_EQUAL(to("zai", "ZAI_BASE_URL", gateway, "ZAI_API_KEY"), gateway);
  CAF_CHECK_EQUAL(to("claude", "OPENAI_BASE_URL", gateway, "ANTHROPIC_API_KEY"), "https://api.anthropic.com"); // another's
  auto gemini = backend("chatcompletion", "https://generativelanguage.googleapis.com/v1beta/openai");
  machine m{{{"GOOGLE_GEMINI_BASE_URL", {"https://gw.example/", process}}, {"GEMINI_API_KEY", {"k", process}}}};
  CAF_CHECK_EQUAL(m.route(backend("gemini")).base_url, "https://gw.example"); // the dialect brings the version along
  CAF_CHECK_EQUAL(m.route(gemini).base_url, gemini.base_url);                 // written in the file: it wins
}

CAF_TEST(the host of ollama is read as its client reads it) {
  auto to = [](const std::string& host) { return machine{{{"OLLAMA_HOST", {host, process}}}}.route(backend("ollama")).base_url; };
  CAF_CHECK_EQUAL(to("gpu.local"), "http://gpu.local:11434/v1");
  CAF_CHECK_EQUAL(to("gpu.local:1234"), "http://gpu.local:1234/v1");
  CAF_CHECK_EQUAL(to(":1234"), "http://127.0.0.1:1234/v1");
  CAF_CHECK_EQUAL(to("0.0.0.0"), "http://127.0.0.1:11434/v1");
  CAF_CHECK_EQUAL(to("0.0.0.0:99"), "http://127.0.0.1:99/v1");
  CAF_CHECK_EQUAL(to("http://gpu.local"), "http://gpu.local:80/v1");
  CAF_CHECK_EQUAL(to("ollama.com"), "https://ollama.com:443/v1");
  CAF_CHECK_EQUAL(to("https://gpu.local/x/"), "https://gpu.local:443/x/v1");
  CAF_CHECK_EQUAL(to("[::1]:99"), "http://[::1]:99/v1");
  CAF_CHECK_EQUAL(to("::1"), "http://[::1]:11434/v1");
  CAF_CHECK_EQUAL(to(" \"gpu.local\" "), "http://gpu.local:11434/v1");
  CAF_CHECK_EQUAL(to(" "), "http://localhost:11434/v1");
  for (const auto* bad : {"a b", "u:p@gpu.local", "gpu:0", "ftp://gpu"})
    CAF_CHECK(machine({{{"OLLAMA_HOST", {bad, process}}}}).route(backend("ollama")).code == ec::bad_config);
}

CAF_TEST(a key from elsewhere goes neither to the gateway nor to the vendor) {
  auto refused = [](const backend_config& b, std::map<std::string, std::pair<std::string, std::string>> variables) {
    auto r = machine{std::move(variables)}.route(b);
    CAF_CHECK(r.code == ec::bad_config);
    CAF_CHECK(has(r.error, "OPENAI_BASE_URL (./.env)"));
    CAF_CHECK(has(r.error, "https://gw.example"));
    CAF_CHECK(!has(r.error, "sk-"));
    return r.error;
  };
  const std::pair<std::string, std::string> url{gateway, project};
  auto b = backend("chatcompletion");
  CAF_CHECK(has(refused(b, {{"OPENAI_BASE_URL", url}, {"OPENAI_API_KEY", {"sk-1", process}}}), "OPENAI_API_KEY (the environment)"));
  CAF_CHECK(has(refused(b, {{"OPENAI_BASE_URL", url}, {"OPENAI_API_KEY", {"sk-1", user}}}), user));
  b.api_key_env = "MINE";
  CAF_CHECK(has(refused(b, {{"OPENAI_BASE_URL", url}, {"MINE", {"sk-1", process}}}), "MINE (the environment)"));
  b.api_key = "${A}-${B}";
  CAF_CHECK(has(refused(b, {{"OPENAI_BASE_URL", url}, {"A", {"sk-1", project}}, {"B", {"x", process}}}), "B (the environment)"));
  b.api_key = "${NONE:-sk-literal}";
  CAF_CHECK(has(refused(b, {{"OPENAI_BASE_URL", url}}), "api_key (the configuration)"));
  b.api_key = "sk-literal";
  CAF_CHECK(has(refused(b, {{"OPENAI_BASE_URL", url}}), "api_key (the configuration)"));
  // What goes along with a key of the project's own.
  b = backend("chatcompletion");
  b.extra_headers = {{"X-Team", "${TEAM}"}};
  CAF_CHECK(
      has(refused(b, {{"OPENAI_BASE_URL", url}, {"OPENAI_API_KEY", {"sk-1", project}}, {"TEAM", {"sk-2", process}}}), "TEAM"));
  b.extra_headers = {{"X-Auth", "${NONE:-sk-literal}"}};
  CAF_CHECK(has(refused(b, {{"OPENAI_BASE_URL", url}, {"OPENAI_API_KEY", {"sk-1", project}}}), "X-Auth (the configuration)"));
  b.extra_headers = {{"X-Auth", "sk-literal"}};
  CAF_CHECK(has(refused(b, {{"OPENAI_BASE_URL", url}, {"OPENAI_API_KEY", {"sk-1", project}}}), "X-Auth (the configuration)"));
  b.extra_headers.clear();
  b.extra_query = {{"k", "${TEAM}"}};
  CAF_CHECK(has(refused(b, {{"OPENAI_BASE_URL", url}, {"OPENAI_API_KEY", {"sk-1", project}}, {"TEAM", {"sk-2", user}}}), "TEAM"));
  // The other way round: what the process redirects are keys of the process.
  auto r =
      machine{{{"OPENAI_BASE_URL", {gateway, process}}, {"OPENAI_API_KEY", {"sk-1", project}}}}.route(backend("chatcompletion"));
  CAF_CHECK(r.code == ec::bad_config);
}

CAF_TEST(base_url of the configuration wins and is said to) {
  auto r = machine{{{"OPENAI_BASE_URL", {gateway, project}}, {"OPENAI_API_KEY", {"sk-1", process}}}}.route(
      backend("chatcompletion", "https://api.openai.com/v1"));
  CAF_CHECK_EQUAL(r.error, "");
  CAF_CHECK_EQUAL(r.base_url, "https://api.openai.com/v1");
  CAF_REQUIRE_EQUAL(r.notices.size(), 1u);
  CAF_CHECK(has(r.notices[0], "OPENAI_BASE_URL (./.env) is not used"));
  r = machine{{{"GROQ_BASE_URL", {"https://api.groq.com", process}}, {"GROQ_API_KEY", {"k", process}}}}.route(
      backend("chatcompletion", "https://api.groq.com/openai/v1"));
  CAF_CHECK_EQUAL(r.notices, std::vector<std::string>{});
  // The same address again redirects nothing, wherever it stands.
  r = machine{{{"OPENAI_BASE_URL", {"https://api.openai.com/v1/", project}}, {"OPENAI_API_KEY", {"sk-1", process}}}}.route(
      backend("chatcompletion"));
  CAF_CHECK_EQUAL(r.api_key, "sk-1");
  CAF_CHECK_EQUAL(r.notices, std::vector<std::string>{});
}

CAF_TEST(a project that names the address of a variable in base_url gets no key from elsewhere) {
  auto b = backend("chatcompletion", gateway);
  b.base_url_source = project;
  b.api_key_env = "MINE";
  CAF_CHECK(machine({{{"MINE", {"sk-1", process}}}}).route(b).code == ec::bad_config);
  CAF_CHECK(machine({{{"MINE", {"sk-1", project}}}}).route(b).code == ec::none);
  b.base_url_source = process;
  CAF_CHECK(machine({{{"MINE", {"sk-1", user}}}}).route(b).code == ec::none);
  // A key may always go to the hosts it is bound to, though not unencrypted.
  b.base_url_source = project;
  b.api_key_env.clear();
  b.base_url = "https://eu.api.openai.com/v1";
  CAF_CHECK(machine({{{"OPENAI_API_KEY", {"sk-1", process}}}}).route(b).code == ec::none);
  b.base_url = "http://api.openai.com/v1";
  CAF_CHECK(machine({{{"OPENAI_API_KEY", {"sk-1", process}}}}).route(b).code == ec::bad_config);
}

CAF_TEST(a base URL that is no address names its variable and never what it holds) {
  for (const auto* bad : {"gw.example/v1", "ftp://gw.example", "https://user:sk-secret@gw.example/v1",
                          "https://gw.example/v1?key=sk-secret", "http://127.1/v1", "https://a b"}) {
    auto r = machine{{{"OPENAI_BASE_URL", {bad, process}}, {"OPENAI_API_KEY", {"k", process}}}}.route(backend("chatcompletion"));
    CAF_CHECK(r.code == ec::bad_config);
    CAF_CHECK(r.error.starts_with("OPENAI_BASE_URL (the environment) is no address"));
    CAF_CHECK(!has(r.error, "sk-secret"));
  }
}

CAF_TEST(keys are mended around and refused inside) {
  auto with = [](const std::string& key) { return machine{{{"OPENAI_API_KEY", {key, user}}}}.route(backend("chatcompletion")); };
  for (const auto* key :
       {"sk-1\n", " sk-1", "sk-1\r\n", "\"sk-1\"", "'sk-1'\n", "\xEF\xBB\xBFsk-1", "sk-1\xC2\xA0", " \"sk-1 \" "}) {
    auto r = with(key);
    CAF_CHECK_EQUAL(r.api_key, "sk-1");
    CAF_REQUIRE_EQUAL(r.notices.size(), 1u);
    CAF_CHECK(r.notices[0].starts_with("OPENAI_API_KEY (" + user + "): "));
  }
  CAF_CHECK_EQUAL(with("sk-1").notices.size(), 0u);
  for (const auto* key :
       {"sk-1 sk-2", "sk-1\nsk-2", "sk-1\x01", "sk-\xC3\xA4", "\xE2\x80\x9Csk-1\xE2\x80\x9D", "Bearer sk-1", "\"sk-1"}) {
    auto r = with(key);
    CAF_CHECK(r.code == ec::unauthorized);
    CAF_CHECK(r.error.starts_with("OPENAI_API_KEY (" + user + ") "));
    CAF_CHECK(!has(r.error, "sk-"));
    CAF_CHECK_EQUAL(r.api_key, "");
  }
  for (const auto* nothing : {"", " \n", "\"\"", "' '"})
    CAF_CHECK(has(with(nothing).error, "no key: set OPENAI_API_KEY"));
  auto b = backend("chatcompletion", gateway);
  b.api_key = "${K}";
  CAF_CHECK_EQUAL(machine({{{"K", {"sk-1\n", process}}}}).route(b).api_key, "sk-1");
  CAF_CHECK(machine({{{"K", {"sk-1\nx", process}}}}).route(b).error.starts_with("K (the environment) holds a line feed"));
  b.api_key.clear();
  b.extra_headers = {{"Authorization", "Bearer ${K}"}};
  auto trimmed = machine({{{"K", {"sk-1\n", process}}}}).route(b);
  CAF_CHECK_EQUAL(trimmed.headers.at("Authorization"), "Bearer sk-1");
  auto inside = machine({{{"K", {"sk-1\nX-Evil: 1", process}}}}).route(b);
  CAF_CHECK(inside.error.starts_with("K (the environment) holds a line feed"));
  CAF_CHECK(!has(inside.error, "sk-1"));
}

CAF_TEST(a host that is sent no key is named on loopback too if there was one to send) {
  CAF_CHECK(has(machine({}).route(backend("chatcompletion", gateway)).withheld, "gw.example"));
  auto local = backend("chatcompletion", "http://127.0.0.1:8080/v1");
  CAF_CHECK_EQUAL(machine({}).route(local).withheld, "");
  CAF_CHECK(has(machine({{{"OPENAI_API_KEY", {"k", process}}}}).route(local).withheld, "not even OPENAI_API_KEY"));
  CAF_CHECK_EQUAL(machine({{{"OPENAI_API_KEY", {"k", process}}}}).route(local).api_key, "");
  local.api_key_env = "OPENAI_API_KEY";
  CAF_CHECK_EQUAL(machine({{{"OPENAI_API_KEY", {"k", process}}}}).route(local).withheld, "");
}

CAF_TEST(whom to trust is said by the configuration the process or the file of the key itself) {
  auto b = backend("chatcompletion");
  auto bundle = [&](const std::string& name, const std::string& place, const std::string& key_place) {
    return machine{{{name, {"/ca.pem", place}}, {"OPENAI_API_KEY", {"k", key_place}}}}.route(b);
  };
  for (const auto* name : {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}) {
    CAF_CHECK_EQUAL(bundle(name, process, user).ca.bundle.path, "/ca.pem");
    CAF_CHECK_EQUAL(bundle(name, process, user).ca.bundle.from, std::string{name} + " (the environment)");
    CAF_CHECK_EQUAL(bundle(name, project, project).ca.bundle.path, "/ca.pem");
    auto other = bundle(name, project, process);
    CAF_CHECK_EQUAL(other.ca.bundle.path, "");
    CAF_REQUIRE_EQUAL(other.notices.size(), 1u);
    CAF_CHECK(has(other.notices[0], std::string{name} + " (./.env) is not used with OPENAI_API_KEY (the environment)"));
  }
  CAF_CHECK_EQUAL(bundle("SSL_CERT_DIR", process, process).ca.folder.path, "/ca.pem");
  CAF_CHECK_EQUAL(bundle("NODE_EXTRA_CA_CERTS", process, process).ca.extra.path, "/ca.pem");
  b.ca_bundle = "/mine.pem";
  CAF_CHECK_EQUAL(bundle("SSL_CERT_FILE", process, process).ca.bundle.path, "/mine.pem");
  b.ca_bundle = "${CA}";
  CAF_CHECK(machine({{{"CA", {"/x", project}}, {"OPENAI_API_KEY", {"k", process}}}}).route(b).code == ec::bad_config);
  CAF_CHECK(machine({{{"CA", {"/x", process}}, {"OPENAI_API_KEY", {"k", user}}}}).route(b).code == ec::none);
}

CAF_TEST(a proxy of the process is told without its password and one of a file is none) {
  auto notices = [](const std::string& name, const std::string& place) {
    return machine{{{name, {"http://u:sk-pw@proxy.example:3128/", place}}, {"OPENAI_API_KEY", {"k", process}}}}
        .route(backend("chatcompletion"))
        .notices;
  };
  for (const auto* name : {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"}) {
    CAF_REQUIRE_EQUAL(notices(name, process).size(), 1u);
    CAF_CHECK(has(notices(name, process)[0], "through the proxy proxy.example:3128"));
    CAF_CHECK(!has(notices(name, process)[0], "sk-pw"));
    CAF_CHECK_EQUAL(notices(name, project).size(), 0u);
  }
  CAF_CHECK_EQUAL(notices("http_proxy", process).size(), 0u); // the address is https
}

CAF_TEST(a providers key that the configuration sends to a stranger is said) {
  machine m{{{"OPENAI_API_KEY", {"sk-1", process}}, {"HF_TOKEN", {"hf-1", process}}, {"MINE", {"k", process}}}};
  auto notices = [&](const std::string& url, const std::string& key, const std::string& header = "") {
    auto b = backend("chatcompletion", url);
    b.api_key_env = key;
    if (!header.empty())
      b.extra_headers["X-Auth"] = header;
    auto r = m.route(b);
    CAF_CHECK_EQUAL(r.error, "");
    return r.notices;
  };
  auto said = notices(gateway, "OPENAI_API_KEY");
  CAF_REQUIRE_EQUAL(said.size(), 1u);
  CAF_CHECK_EQUAL(said[0],
                  "OPENAI_API_KEY (" + process + ") goes to https://gw.example, not to openai.com: the configuration says so");
  said = notices("https://api.openai.com.gw.example/v1", "HF_TOKEN");
  CAF_CHECK(said.size() == 1 && has(said[0], "not to huggingface.co"));
  CAF_CHECK_EQUAL(notices(gateway, "MINE", "Bearer ${OPENAI_API_KEY}").size(), 1u);
  for (auto* url : {"https://api.openai.com/v1", "https://eu.api.openai.com/v1", "HTTPS://API.openai.com./v1"})
    CAF_CHECK(notices(url, "OPENAI_API_KEY").empty());
  CAF_CHECK(notices(gateway, "MINE").empty());
}

CAF_TEST(a URL of the asking machines project does not collect a key of the nodes project) {
  auto b = backend("chatcompletion", gateway);
  b.api_key_env = "MINE";
  b.base_url_source = project + " where the task was started";
  auto r = machine{{{"MINE", {"k", project}}}}.route(b);
  CAF_CHECK(r.code != ec::none && has(r.error, "where the task was started"));
}

CAF_TEST(a scheme in capitals was no scheme and a fragment swallowed the path) {
  machine m{{{"SSL_CERT_FILE", {"/ca.pem", process}}, {"K", {"k", process}}}};
  auto b = backend("chatcompletion", "HTTPS://gw.example/v1");
  b.api_key_env = "K";
  auto r = m.route(b);
  CAF_CHECK_EQUAL(r.base_url, gateway);
  CAF_CHECK_EQUAL(r.ca.bundle.path, "/ca.pem");
  m = {{{"OPENAI_BASE_URL", {gateway + "#x", process}}, {"OPENAI_API_KEY", {"k", process}}}};
  CAF_CHECK(m.route(backend("chatcompletion")).code != ec::none);
}

CAF_TEST(a project with a key of its own gets nothing else that is secret in the configuration) {
  const machine of_project{{{"OPENAI_BASE_URL", {gateway, project}}, {"OPENAI_API_KEY", {"sk-of-project", project}}}};
  const machine of_variable{{{"MINE", {"sk-of-project", project}}}};
  auto refused = [&](auto change, const std::string& named) {
    auto b = backend("chatcompletion");
    change(b);
    auto r = of_project.route(b);
    CAF_CHECK(r.code == ec::bad_config);
    CAF_CHECK(has(r.error, "OPENAI_BASE_URL (./.env) names https://gw.example, but " + named + " (the configuration) comes from"));
    CAF_CHECK(!has(r.error, "planted"));
    b.base_url = gateway;
    b.base_url_source = project;
    b.api_key_env = "MINE";
    r = of_variable.route(b);
    CAF_CHECK(r.code == ec::bad_config);
    CAF_CHECK(has(r.error, "base_url was set by a variable of ./.env, but " + named + " (the configuration) comes from"));
    b.base_url_source.clear(); // the user's own word
    CAF_CHECK_EQUAL(of_variable.route(b).error, "");
  };
  CAF_CHECK_EQUAL(of_project.route(backend("chatcompletion")).error, "");
  refused([](auto& b) { b.extra_headers["X-Bar"] = "Bearer planted1"; }, "X-Bar");
  refused([](auto& b) { b.extra_query["hook"] = "https://h/?token=planted2"; }, "hook");
  refused([](auto& b) { b.extra_body = R"({"auth":{"token":"planted3"}})"; }, "extra_body.auth.token");
  refused([](auto& b) { b.params = R"({"webhook_secret":"planted4"})"; }, "webhook_secret");
}
