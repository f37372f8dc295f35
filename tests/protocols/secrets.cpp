// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.secrets

#include "protocols/secrets.hpp"

#include "caf/test/unit_test.hpp"

using namespace conclave;

namespace {

std::string hidden(const std::string& key, std::string text) {
  secrets s;
  s.add_key(key);
  s.hide(text);
  return text;
}

} // namespace

CAF_TEST(a key is hidden however it is escaped) {
  for (auto* text : {"a/b+c\"d", R"(a\/b+c\"d)", R"(a\u002fb\u002Bc\u0022d)", R"(\u0061/b+c\u0022\u0064)", "a%2Fb%2bc%22d",
                     R"(a\\\/b+c\\\"d)", R"(a\\u002fb+c\\u0022d)", R"(a\u0025\u0032Fb%2Bc%22d)"})
    CAF_CHECK_EQUAL(hidden("a/b+c\"d", std::string{"<"} + text + ">" + text + "!"), "<***>***!");
}

CAF_TEST(what only looks like an escape stays as it is) {
  for (auto* text : {"\\", "%", "%2", "%zz", "\\u12", "\\u", "\\x", "100 % of C:\\u\\new", ""})
    CAF_CHECK_EQUAL(hidden("key-1", text), text);
  CAF_CHECK_EQUAL(hidden("key\\1%41", R"(key\1%41 key\\1%41 key\1%2541)"), "*** *** ***");
  CAF_CHECK_EQUAL(hidden("k\xC3\xA9y1", R"(k\u00e9y1 k%C3%A9y1)"), "*** ***");
}

CAF_TEST(secrets that overlap are hidden as one) {
  secrets s;
  s.add_named("Authorization", "Bearer abcdef");
  s.add_key("defghi");
  std::string text = "Bearer abcdefghi, abcdef, Bearer";
  s.hide(text);
  CAF_CHECK_EQUAL(text, "***, ***, Bearer");
}

CAF_TEST(short keys are hidden and placeholders are not ) {
  CAF_CHECK_EQUAL(hidden("s3cr3t7", "key s3cr3t7"), "key ***");
  CAF_CHECK_EQUAL(hidden("abcd", "abcd"), "***");
  for (auto* word : {"abc", "EMPTY", "empty", "none", "lm-studio", ""})
    CAF_CHECK_EQUAL(hidden(word, "abc EMPTY empty none lm-studio"), "abc EMPTY empty none lm-studio");
}

CAF_TEST(names say what is a secret) {
  for (auto* name : {"key", "X-Api-Key", "GITHUB_TOKEN", "client_secret", "sig", "x-amz-signature", "Authorization", "PASSWORD",
                     "my-sig", "Cookie"})
    CAF_CHECK(names_a_secret(name));
  for (auto* name : {"api-version", "design", "X-Title", "sigma", "region", ""})
    CAF_CHECK(!names_a_secret(name));
}

CAF_TEST(numbers and switches under such a name are no secrets) {
  secrets s;
  s.add_named("MAX_TOKENS", "4096");
  s.add_named("TOKENIZERS_PARALLELISM", "false");
  s.add_named("PIN_TOKEN", "12345678");
  std::string text = "4096 false 12345678";
  s.hide(text);
  CAF_CHECK_EQUAL(text, "4096 false ***");
}

CAF_TEST(values of variables are hidden unless they are short or a path) {
  secrets s;
  s.add_variable("PLACE", "postgres://u:p@h");
  s.add_variable("ROOT", "/home/somebody");
  s.add_variable("PORT", "8080");
  s.add_variable("DB_PASSWORD", "/pw1");
  std::string text = "postgres://u:p@h /home/somebody 8080 /pw1";
  s.hide(text);
  CAF_CHECK_EQUAL(text, "*** /home/somebody 8080 ***");
}

CAF_TEST(keys in the query of an address are hidden) {
  for (auto* url : {"https://h/?key=k-12%2F3", "https://h/?a=1&key=k-12%2F3&b", "https://h/?&&=&key=k-12/3"}) {
    secrets s;
    s.add_query(url);
    std::string text = "k-12/3 and k-12%2F3";
    s.hide(text);
    CAF_CHECK_EQUAL(text, "*** and ***");
  }
  for (auto* url : {"", "?", "https://h", "?key", "?key="}) {
    secrets s;
    s.add_query(url);
    CAF_CHECK(s.empty());
  }
}
