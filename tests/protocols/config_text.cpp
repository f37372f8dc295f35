// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// References, names, shown texts and hosts: what a configuration says in words.

#define CAF_SUITE protocols.config_text

#include "caf/test/unit_test.hpp"
#include "protocols/config.hpp"
#include "protocols/config_expand.hpp"
#include "protocols/config_url.hpp"
#include "protocols/spelling.hpp"
#include "protocols/text.hpp"

#include <map>
#include <string>
#include <vector>

using namespace conclave;

namespace {

using names = std::vector<std::string>;
using variables = std::map<std::string, std::string>;

lookup from(const variables& vars) {
  return [&vars](const std::string& name) {
    auto it = vars.find(name);
    return it == vars.end() ? nullptr : &it->second;
  };
}

std::string expanded(std::string text, const variables& vars) {
  std::string missing;
  return expand(text, from(vars), missing) ? text : "missing " + missing;
}

} // namespace

CAF_TEST(references are expanded once and only by upper case names) {
  variables vars{{"A", "one"}, {"B", "${A}"}, {"BLANK", "  "}};
  CAF_CHECK_EQUAL(expanded("x${A}y${A}", vars), "xoneyone");
  CAF_CHECK_EQUAL(expanded("${B}", vars), "${A}");
  CAF_CHECK_EQUAL(expanded("${cwd}/$A ${a:-b} ${", vars), "${cwd}/$A ${a:-b} ${");
  CAF_CHECK_EQUAL(expanded("${1A} ${}", vars), "${1A} ${}");
  CAF_CHECK_EQUAL(expanded("${NONE:-d}|${NONE:-}|${A:-d}", vars), "d||one");
  CAF_CHECK_EQUAL(expanded("${BLANK:-d}", vars), "d");
  CAF_CHECK_EQUAL(expanded("${A", vars), "${A");
  CAF_CHECK_EQUAL(expanded("${A:-", vars), "${A:-");
  CAF_CHECK_EQUAL(expanded("${A:x} ${A-x}", vars), "${A:x} ${A-x}");
}

CAF_TEST(two dollar signs before a brace are one and no reference) {
  variables vars{{"A", "one"}};
  CAF_CHECK_EQUAL(expanded("$${A} costs $$5, ${A}$${", vars), "${A} costs $$5, one${");
  CAF_CHECK_EQUAL(expanded("$$${A}", vars), "$${A}");
  CAF_CHECK(is_literal_secret("$${A}"));
}

CAF_TEST(a text full of open references is read in one go) {
  std::string text;
  for (int i = 0; i < 300'000; ++i)
    text += "${A:-";
  CAF_CHECK_EQUAL(expanded(text, {}).size(), text.size());
  CAF_CHECK_EQUAL(expanded(text + "}", {}).size(), text.size() - 5);
  CAF_CHECK(is_literal_secret(text));
}

CAF_TEST(the workspace stands for its reference and is not expanded itself) {
  variables vars{{"A", "x"}};
  CAF_CHECK_EQUAL(with_cwd("${cwd}/a:${cwd}", "/w"), "/w/a:/w");
  CAF_CHECK_EQUAL(expanded(with_cwd("${cwd}/${A}/$${cwd}/${CWD:-d}", "/w/${A}"), vars), "/w/${A}/x/${cwd}/d");
  CAF_CHECK_EQUAL(with_cwd("$cwd ${cwd", "/w"), "$cwd ${cwd");
}

CAF_TEST(an unset or blank variable is named and the text is left alone) {
  variables vars{{"BLANK", " \t"}};
  CAF_CHECK_EQUAL(expanded("${NONE}", vars), "missing NONE");
  CAF_CHECK_EQUAL(expanded("${BLANK}", vars), "missing BLANK");
  std::string text = "keep ${NONE}", missing;
  CAF_CHECK(!expand(text, lookup{}, missing));
  CAF_CHECK_EQUAL(text, "keep ${NONE}");
}

CAF_TEST(a secret is literal unless it is made of references alone) {
  CAF_CHECK(is_literal_secret("sk-123"));
  CAF_CHECK(is_literal_secret("${A}x"));
  CAF_CHECK(is_literal_secret("${A:-sk-123}"));
  CAF_CHECK(is_literal_secret("${lower}"));
  CAF_CHECK(!is_literal_secret(""));
  CAF_CHECK(!is_literal_secret("${A}${B:-}"));
}

CAF_TEST(the nearest name is found by typing errors and not by chance) {
  names all{"temperature", "top_p", "max_tokens", "timeout"};
  CAF_CHECK_EQUAL(nearest("temprature", all), "temperature");
  CAF_CHECK_EQUAL(nearest("max_tokesn", all), "max_tokens");
  CAF_CHECK_EQUAL(nearest("Timeout", all), "timeout");
  CAF_CHECK_EQUAL(nearest("zebra", all), "");
  CAF_CHECK_EQUAL(nearest(std::string(100'000, 't'), all), "");
  CAF_CHECK_EQUAL(nearest("x", {}), "");
}

CAF_TEST(a name that is a part of another or the other way round is near) {
  std::vector<std::string> all{"orchestrator_timeout_seconds", "idle_timeout_seconds", "model", "max_tokens", "claude"};
  CAF_CHECK_EQUAL(nearest("orchestrator_timeout", all), "orchestrator_timeout_seconds");
  CAF_CHECK_EQUAL(nearest("orchestrator_timeout_seconds_max", all), "orchestrator_timeout_seconds");
  CAF_CHECK_EQUAL(nearest("ORCH", all), "orchestrator_timeout_seconds");
  CAF_CHECK_EQUAL(nearest("timeout", all), "idle_timeout_seconds"); // of several the one that differs least
  CAF_CHECK_EQUAL(nearest("model_name", all), "model");
  CAF_CHECK_EQUAL(nearest("tokens", all), "max_tokens");
  CAF_CHECK_EQUAL(nearest("claude-opus", all), "claude");
  CAF_CHECK_EQUAL(nearest("--time", {"--system-message", "--timeout"}), "--timeout");
  CAF_CHECK_EQUAL(nearest("max", all), "");  // too short to mean one
  CAF_CHECK_EQUAL(nearest("time", all), ""); // not a word of one
  CAF_CHECK_EQUAL(nearest("----", all), "");
}

CAF_TEST(shown text holds no control characters and is cut between characters) {
  CAF_CHECK_EQUAL(shown_text("a\x1b[31mb\nc"), "a?[31mb?c");
  CAF_CHECK_EQUAL(shown_text("\xC3\xA4\xC3\xA4", 3), "\xC3\xA4...");
  CAF_CHECK_EQUAL(shown_text("abc", 3), "abc");
}

CAF_TEST(a host is read strictly) {
  CAF_CHECK_EQUAL(url_host("https://API.OpenAI.com/v1"), "api.openai.com");
  CAF_CHECK_EQUAL(url_host("https://api.openai.com.:443?x=1"), "api.openai.com");
  CAF_CHECK_EQUAL(url_host("HTTP://[::1]:80/"), "::1");
  for (const auto* bad : {"", "api.openai.com", "ftp://x", "https://", "https://u@evil.com", "https://api.openai.com@evil.com",
                          "https://a b", "https://a:0", "https://a:99999", "https://a:x", "https://a\\b", "https://.a",
                          "https://a..b", "https://[::1", "https://[zz]", "https://a\nb", "https://\xC3\xA4.de"})
    CAF_CHECK_EQUAL(url_host(bad), "");
}

CAF_TEST(only the written loopback forms count) {
  for (const auto* yes : {"localhost", "LocalHost", "localhost.", "127.0.0.1", "127.1.2.3", "::1", "[::1]", "0:0:0:0:0:0:0:1",
                          "a.localhost", "::ffff:127.0.0.1", "::FFFF:7f00:1"})
    CAF_CHECK(is_loopback_host(yes));
  for (const auto* no : {"127.1",
                         "2130706433",
                         "0x7f.1",
                         "0x7f000001",
                         "0177.0.0.1",
                         "127.0.0.256",
                         "127.0.0.1.",
                         "127.0.0.1.evil.com",
                         "127.evil.example",
                         "127.0.0.1.nip.io",
                         "localhost.evil.com",
                         "localhost..",
                         "notlocalhost",
                         "10.0.0.1",
                         "::ffff:10.0.0.1",
                         "::2",
                         "::",
                         "0.0.0.0",
                         "[::1",
                         ".localhost.evil",
                         ""})
    CAF_CHECK(!is_loopback_host(no));
}

CAF_TEST(an address in a spelling that programs read differently is no host) {
  for (const auto* bad : {"http://127.1/v1", "http://0x7f.1", "http://2130706433/", "http://0177.0.0.1", "http://1.2.3",
                          "http://127.0.0.1.:80/", "http://a.0x7f"})
    CAF_CHECK_EQUAL(url_host(bad), "");
  for (const auto* good : {"127.0.0.1", "10.0.0.1", "a1", "1a.example", "gpu-7"})
    CAF_CHECK_EQUAL(url_host("http://" + std::string{good}), good);
}
