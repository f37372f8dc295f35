// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.secrets

#include "protocols/secrets.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/secret_escapes.hpp"
#include "protocols/secret_places.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/attachments.hpp"

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

CAF_TEST(a key is hidden however a page of HTML or a program writes it) {
  for (auto* text : {"a/b+c&amp;d", "a&#47;b&plus;c&#x26;d", "a&sol;b&#0043;c&AMP;d", "a/b+c&amp;amp;d", "a%2Fb%2Bc%26amp%3Bd",
                     R"(a\/b+c\u0026amp;d)", "a%252Fb%252Bc%2526d", R"(a\x2fb\x2Bc\x26d)", "612f622b632664", "612F622B632664"})
    CAF_CHECK_EQUAL(hidden("a/b+c&d1", std::string{"<"} + text + (text[0] == '6' ? "31" : "1") + ">"), "<***>");
  for (auto* text : {"&", "&amp", "&;", "&#;", "&#x;", "&#xfffffff;", "&#99999999999999;", "R&D &amp; more", "a &lt; b"})
    CAF_CHECK_EQUAL(hidden("key-1", text), text);
}

CAF_TEST(a key is hidden where punctuation has a backslash before it) {
  for (auto* text : {R"(sk\-proj\_A1\_b2\$x)", R"(sk-proj\_A1\_b2$x)", R"(sk\-proj_A1_b2\$x)", R"(sk-proj\\_A1\\_b2$x)",
                     R"(sk\x2dproj\_A1\u005fb2\$x)"})
    CAF_CHECK_EQUAL(hidden("sk-proj_A1_b2$x", std::string{"<"} + text + ">"), "<***>");
  CAF_CHECK_EQUAL(hidden(R"(p\_w\-1)", R"(p\_w\-1 p\\_w\\-1 p_w-1)"), "*** *** ***"); // as others may read it
  CAF_CHECK_EQUAL(hidden("sk-proj_A1", R"(a\_b C:\-x)"), R"(a\_b C:\-x)");
}

CAF_TEST(a key is hidden in base64 at each offset and in each alphabet) {
  const std::string key = "k\xC3\xBF>?~Zq81xkeyQ";
  for (auto* text :
       {"a8O/Pj9+WnE4MXhrZXlR", "a8O_Pj9-WnE4MXhrZXlR", R"(a8O\/Pj9+WnE4MXhrZXlR)", "a8O%2FPj9%2bWnE4MXhrZXlR"}) // alone
    CAF_CHECK_EQUAL(hidden(key, std::string{"Basic "} + text), "Basic ***");
  for (auto* text : {"dTprw78+P35acTgxeGtleVE=", "dTprw78-P35acTgxeGtleVE"})
    CAF_CHECK_EQUAL(hidden(key, text).substr(0, 6), "dTp***");
  CAF_CHECK_EQUAL(hidden(key, "a8O/Pj9+WnE4MXhrZXlS"), "a8O/Pj9+WnE4MXhrZXlS"); // another key that begins so
  const std::string plain = "Zq81xkeyQWERTY77";
  for (auto* text :
       {"WnE4MXhrZXlRV0VSVFk3Nw==", "dTpacTgxeGtleVFXRVJUWTc3", "dXM6WnE4MXhrZXlRV0VSVFk3Nw==", "dXNlOlpxODF4a2V5UVdFUlRZNzc6",
        "dTpacTgxeGtleVFXRVJUWTc3Og"}) { // after "", "u:", "us:", "use:", and with a colon behind
    auto seen = hidden(plain, text);
    CAF_CHECK_EQUAL(seen.find("***") != std::string::npos, true);
    CAF_CHECK(seen.size() <= 12);
  }
}

CAF_TEST(base64 in lines is searched as one) {
  const std::string before(60, 'A'), key = "Zq81xkeyQWERTY77";
  for (auto* end : {"\n", "\r\n", "\\n", "\\r\\n"})
    CAF_CHECK_EQUAL(hidden(key, before + "WnE4MXhr" + end + "ZXlRV0VSVFk3N" + "w=="), before + "***w==");
  for (auto* indent : {"\n  ", "\n\t\t", "\r\n      ", "\\n    "})
    CAF_CHECK_EQUAL(hidden(key, "key: |\n  " + before + "WnE4MXhr" + indent + "ZXlRV0VSVFk3N" + "w=="),
                    "key: |\n  " + before + "***w==");
  CAF_CHECK_EQUAL(hidden(key, "short\nWnE4MXhr\nZXlRV0VSVFk3Nw=="), "short\nWnE4MXhr\nZXlRV0VSVFk3Nw==");
}

CAF_TEST(a key is hidden in the dump of its bytes) {
  const std::string key = "Zq81xkey";
  const std::vector<std::pair<std::string, std::string>> dumps{{"5a 71 38 31 78 6b 65 79", "***"},
                                                               {"5A:71:38:31:78:6B:65:79", "***"},
                                                               {"5a-71-38-31-78-6b-65-79", "***"},
                                                               {"5a71 3831 786b 6579", "***"},
                                                               {"0000 5a 71 38 31  78 6b 65 79 2e", "0000 *** 2e"},
                                                               {"5a, 71, 38, 31,\n  78, 6b, 65, 79", "***"},
                                                               {"{0x5a, 0x71, 0x38,0x31,\n 0X78, 0x6b, 0x65, 0x79}", "{***}"},
                                                               {"0x5a 0x71 0x38 0x31 0x78 0x6b 0x65 0x79 0x2e", "*** 0x2e"},
                                                               {R"(["5a","71","38","31","78","6b","65","79"])", R"(["***"])"},
                                                               {"[90, 113, 56, 49, 120, 107, 101, 121, 7]", "[***, 7]"},
                                                               {"(90,113,56,049,120,107,101,121)", "(***)"},
                                                               {"90 113 56 49 120 107 101 1210", "90 113 56 49 120 107 101 1210"},
                                                               {"0x5a 0x71 0x38 0x3", "0x5a 0x71 0x38 0x3"},
                                                               {R"({"x":"5a 71 38 31 78 6b\n65 79"})", R"({"x":"***"})"},
                                                               {"5a 71 38 31 78 6b 65 7", "5a 71 38 31 78 6b 65 7"},
                                                               {"5a 71 38 31 g 78 6b 65 79", "5a 71 38 31 g 78 6b 65 79"}};
  for (std::size_t before = 0; before < 40; ++before) // wherever it stands
    for (auto& [text, clean] : dumps)
      CAF_CHECK_EQUAL(hidden(key, std::string(before, 'z') + text + " z"), std::string(before, 'z') + clean + " z");
  CAF_CHECK_EQUAL(hidden("20261127", "2026-11-27 12:00"), "2026-11-27 12:00"); // digits of itself are no dump of it
}

CAF_TEST(a key is hidden in the rows of a dump and in the text beside them) {
  const std::string key = "Zq81xkeyQWERTY77"; // behind "KEY=", so that it is in two rows
  for (auto [text, clean] : std::vector<std::pair<std::string, std::string>>{
           // xxd
           {"00000000: 4b45 593d 5a71 3831 786b 6579 5157 4552  KEY=Zq81xkeyQWER\n"
            "00000010: 5459 3737 0a41 4141 4141 4141 4141 4141  TY77.AAAAAAAAAAA\n00000020: 4141  AA\n",
            "00000000: 4b45 593d ***\n00000020: 4141  AA\n"},
           // xxd -c 6, and letters that are digits beside them
           {"00000000: 4b45 593d 5a71  KEY=Zq\n00000006: 3831 786b 6579  81xkey\n0000000c: 5157 4552 5459  QWERTY\n"
            "00000012: 3737 6162 6364  77abcd\n00000018: 0a  .\n",
            "00000000: 4b45 593d ***\n00000018: 0a  .\n"},
           // hexdump -C
           {"00000000  4b 45 59 3d 5a 71 38 31  78 6b 65 79 51 57 45 52  |KEY=Zq81xkeyQWER|\n"
            "00000010  54 59 37 37 0a                                    |TY77.|\n00000015\n",
            "00000000  4b 45 59 3d ***\n00000015\n"},
           // hexdump, whose words have the lower byte in front, and od -x
           {"0000000 454b 3d59 715a 3138 6b78 7965 5751 5245\n0000010 5954 3737 000a\n0000015\n",
            "0000000 454b 3d59 ***\n0000015\n"},
           // od -A o -t x1z
           {"0000000 4b 45 59 3d 5a 71 38 31 78 6b 65 79 51 57 45 52  >KEY=Zq81xkeyQWER<\r\n"
            "0000020 54 59 37 37 0a                                   >TY77.<\r\n0000025\r\n",
            "0000000 4b 45 59 3d ***\r\n0000025\r\n"},
           // the same in a JSON text, and indented
           {R"({"text":"00000000: 4b45 593d 5a71 3831 786b 6579 5157 4552  KEY=Zq\n00000010: 5459 3737 0a  TY77.\n","x":1})",
            R"({"text":"00000000: 4b45 593d ***\n","x":1})"},
           {"  0000   4b 45 59 3d 5a 71 38 31   KEY=Zq81\n  0008   78 6b 65 79 51 57 45 52   xkeyQWER\n"
            "  0010   54 59 37 37 0a 41 41 41   TY77.AAA\n",
            "  0000   4b 45 59 3d ***\n"}})
    CAF_CHECK_EQUAL(hidden(key, text), clean);
  for (std::string other :
       {"00000000: 4b45 593d 5a71 3831\n00000008: 786b 6579 5157 4553  xkeyQWES\n", "00000000: \n00000010:\n", "0000\n0001\n0002\n",
        "00000000: 5a71 3831\n00000003: 786b 6579", ": 5a\n", "ffffffffffffffff 5a 5a\n0000 5a"})
    CAF_CHECK_EQUAL(hidden(key, other), other);
}

CAF_TEST(a key is hidden in base32 at each offset) {
  const std::string key = "Zq81xkeyQWERTY77";
  for (auto* text :
       {"LJYTQMLYNNSXSUKXIVJFIWJXG4======", "JNCVSPK2OE4DC6DLMV4VCV2FKJKFSNZX", "MFRGGZC2OE4DC6DLMV4VCV2FKJKFSNZXPB4Q===="}) {
    auto seen = hidden(key, text), small = hidden(key, lower(text));
    CAF_CHECK(seen.find("***") != std::string::npos && seen.size() < 19);
    CAF_CHECK_EQUAL(lower(seen), small);
  }
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  for (std::size_t before = 0; before < 10; ++before) {
    std::string said = std::string(before, 'a') + key + "b", text;
    for (std::size_t bit = 0; bit < 8 * said.size(); bit += 5) {
      unsigned two = static_cast<unsigned char>(said[bit / 8]) << 8
                     | (bit / 8 + 1 < said.size() ? static_cast<unsigned char>(said[bit / 8 + 1]) : 0u);
      text += digits[two >> (11 - bit % 8) & 31];
    }
    auto seen = hidden(key, "<" + text + ">");
    CAF_CHECK(seen.find("***") != std::string::npos);
    CAF_CHECK(seen.size() <= 2 + 3 + (8 * before + 4) / 5 + 3);
  }
  std::string line(64, 'A');
  CAF_CHECK_EQUAL(hidden(key, line + "LJYTQMLYNNS\nXSUKXIVJFIWJXG4======"), line + "***4======");
}

CAF_TEST(a key is hidden in quoted printable) {
  const std::string key = "sk-a1=Zq81/xkey+QWERTY=";
  for (auto* text :
       {"sk-a1=3DZq81/xkey+QWERTY=3D", "sk-a1=3dZq81/xkey+QWE=\r\nRTY=3D", "sk=2Da1=3DZq81/x=\nkey+QWERTY=3D",
        "sk-a1=3DZq=\n=\n81/xkey+QWERTY=3D", R"(sk-a1=3DZq81/xkey+QWE=\r\nRTY=3D)", "=73k-a1=3DZq81/xkey= \t\n+QWERTY=3D"})
    CAF_CHECK_EQUAL(hidden(key, std::string{"<"} + text + ">"), "<***>");
  // What only looks so does not hide the key from other forms.
  CAF_CHECK_EQUAL(hidden("ab12/xkeyQ", "?key=ab12%2FxkeyQ&x=ab12/xkeyQ"), "?key=***&x=***");
  for (auto* other : {"=", "a=b", "a==", "=3", "=\r", "x=3D=3D\n=", "a = \n b"})
    CAF_CHECK_EQUAL(hidden(key, other), other);
}

CAF_TEST(a key is hidden where C writes its bytes in octal) {
  CAF_CHECK_EQUAL(hidden("Zq81xkey", R"("\132\161\070\061\170\153\145\171")"), R"("***")");
  CAF_CHECK_EQUAL(hidden("Zq81xkey", R"(\400\13 \1 \)"), R"(\400\13 \1 \)");
}

CAF_TEST(the base64 of a short key is hidden at the end of a word alone) {
  CAF_CHECK_EQUAL(hidden("abcd", "YWJjZA== dTphYmNk eHg6YWJjZA=="), "***== dTp*** eHg6***==");
  CAF_CHECK_EQUAL(hidden("abcd", "iVBORYWJjZA8 61626364"), "iVBORYWJjZA8 61626364"); // it may be a picture, and a number
}

CAF_TEST(a key is hidden where it is escaped within base64 or encoded twice) {
  const std::string key = "sk-Zq81/xkey+QWERTY77=";
  secrets s;
  s.add_key(key);
  for (std::string meant : {"https://x/?key=sk-Zq81%2Fxkey%2BQWERTY77%3D", "ab https://x/?key=sk-Zq81%2fxkey%2bQWERTY77%3d&more=x",
                            "{\"key\":\"sk-Zq81\\/xkey+QWERTY77=\"}", "<a b=\"sk-Zq81&#x2F;xkey&#43;QWERTY77=\">"})
    for (std::string before : {"", "a", "ab", "abc"}) {
      auto text = "see " + wire::encode_base64(before + meant) + " there";
      CAF_CHECK(s.find_in(text).size() == 1);
      s.hide(text);
      CAF_CHECK(text.starts_with("see ") && text.ends_with(" there"));
      auto word = text.substr(4, text.find("***") - 4);
      CAF_CHECK_EQUAL(decoded_base64(word), (before + meant).substr(0, decoded_base64(word).size()));
      CAF_CHECK(decoded_base64(word).find("Zq") == std::string::npos);
    }
  auto twice = wire::encode_base64("{\"auth\": \"" + wire::encode_base64("u:" + key) + "\"}");
  CAF_CHECK_EQUAL(s.find_in(twice).size(), 1u);
  auto path = "https://x/v1/" + wire::encode_base64("key=sk-Zq81%2Fxkey%2BQWERTY77%3D ");
  CAF_CHECK_EQUAL(s.find_in("GET " + path).size(), 1u);
  std::string plain(100'000, 'A');
  CAF_CHECK(s.find_in(plain).empty());
}

CAF_TEST(many keys are found at once and each where it stands) {
  secrets s;
  std::string text, clean;
  for (int i = 0; i < 300; ++i) {
    auto key = std::to_string(1000 + i) + "-is-a-key"; // the last digit of one in base64 may be that of others, too
    s.add_key(key);
    text += "<" + key + "> " + in_form(secret_form::base64_1, key) + " " + in_form(secret_form::hex, key) + "\n";
    clean += "<***> *** ***\n";
  }
  auto found = s.find_in(text);
  CAF_REQUIRE_EQUAL(found.size(), 900u);
  for (std::size_t i = 0; i < found.size(); ++i)
    CAF_CHECK_EQUAL(found[i].which, i / 3);
  s.hide(text);
  CAF_CHECK_EQUAL(text, clean);
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

CAF_TEST(variables of tool servers are hidden by their name or by the shape of what they hold) {
  secrets s;
  for (auto* value : {"b7Q2x9Lm4Zp8Rt1Vw6", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "0f9e8d7c6b5a49382716a5b4c3d2e1f0",
                      "6f1c2a3b-4d5e-4f60-8a7b-9c0d1e2f3a4b", "prod_x8k2m4n6p9q1r3s5t7", "user:x1k2m4n6p9q1r3s5t7@h"})
    s.add_server_variable("PLACE", value);
  s.add_server_variable("PIN_CODE_TOKEN", "four words"); // by its name
  std::string text = "b7Q2x9Lm4Zp8Rt1Vw6 wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY 0f9e8d7c6b5a49382716a5b4c3d2e1f0 "
                     "6f1c2a3b-4d5e-4f60-8a7b-9c0d1e2f3a4b prod_x8k2m4n6p9q1r3s5t7 user:x1k2m4n6p9q1r3s5t7@h four words";
  s.hide(text);
  CAF_CHECK_EQUAL(text, "*** *** *** *** *** user:***@h ***");
  secrets none;
  for (auto* value :
       {"gpt-4o-mini-2024-07-18", "claude-3-5-sonnet-20241022", "eu-central-1", "production2024release1", "2024-01-01T00:00:00Z",
        "postgres15-alpine3.19", "https://api.example.com/v1/chat/completions", "/home/ann/0c5a2kz8v7jqhd3b9fnx1w4r6y8p",
        "12345678901234567890", "@modelcontextprotocol/server-everything@2025.11.25", "internationalization",
        "MyVeryLongClassNameForTests", "x86_64-unknown-linux-gnu"})
    none.add_server_variable("PLACE", value);
  for (auto& value : none.values())
    CAF_ERROR(value);
}

CAF_TEST(a key that begins as a path does is none) {
  secrets all, s;
  for (auto* value : {"/bPxRfiCYEXAMPLEKEYwJalrXUtnFEMIK7MDENG0", "/x+7bPxRfiCYEXAMPLEKEY/Jal/Xc4tnFEMI=", "/run/secrets/Key2",
                      "/bPx/RfiC8Yw/AM4lEkEyJa/lrXUtn7EMI/K7MDeNG", "/home/Ann/MyProjects/Report2024/Draft",
                      "/icons/Adwaita/5c6cd98b3f3ebcb1f9c7f1c204630408", "/usr/include/c++/12/x86/Foo", "~/Work3",
                      "/nix/store/0c5a2kz8v7jqhd3b9fnx1w4r6y8p-Key", "/opt/Service4My-Application7"})
    all.add_named("MY_SECRET_KEY", value);
  s.add_for_results(all);
  std::string text;
  for (auto& value : all.values())
    text += value + ' ';
  s.hide(text);
  CAF_CHECK_EQUAL(
      text, "*** *** /run/secrets/Key2 *** /home/Ann/MyProjects/Report2024/Draft /icons/Adwaita/5c6cd98b3f3ebcb1f9c7f1c204630408 "
            "/usr/include/c++/12/x86/Foo ~/Work3 /nix/store/0c5a2kz8v7jqhd3b9fnx1w4r6y8p-Key /opt/Service4My-Application7 ");
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

namespace {

std::string told(const std::string& name, const std::string& value, std::string text) {
  secrets s;
  s.add_named(name, value);
  s.hide(text);
  return text;
}

} // namespace

CAF_TEST(a key is known without what stands around it in a variable) {
  const std::string key = "Zq81xkeyQWERTY77";
  for (const std::string& value : std::vector<std::string>{"Bearer " + key,
                                                           "https://h/x?token=" + key,
                                                           "https://" + key + "@h/x",
                                                           "https://u:" + key + "@h/x",
                                                           "api-key=" + key + ",x=y",
                                                           R"({"Authorization":"Bearer )" + key + R"(","v":1})",
                                                           R"({"a":[{"url":"https://h/?sig=)" + key + R"("}]})",
                                                           R"({"inner":"{\"token\":\")" + key + R"(\"}"})",
                                                           "Server=h;Password=" + key + ";x=1",
                                                           "X-Api-Key: " + key,
                                                           "{'Authorization': 'Token " + key + "'}",
                                                           "run --token " + key + " -v",
                                                           "-H 'Authorization: Bearer " + key + "' -v",
                                                           "['--token', '" + key + "']",
                                                           "Bearer\t" + key,
                                                           R"("{\"Authorization\":\"Bearer )" + key + R"(\"}")",
                                                           "X-A: b\nX-Foo: Token " + key,
                                                           R"({"headers":[{"name":"X-Api-Key","value":")" + key + R"("}]})",
                                                           R"({"args":["x","--token",")" + key + R"(","-v"]})",
                                                           "sk-" + key,
                                                           "https://h/?next=https%3A%2F%2Fu%3A" + key + "%40h"})
    for (auto* name : {"HOOK", "OPENAPI_MCP_HEADERS", "AUTH"}) {
      auto seen = told(name, value, "it is <" + key + ">");
      auto whole = told(name, value, "it is <" + value + ">");
      CAF_MESSAGE(name << ": " << value);
      CAF_CHECK(seen.find(key) == std::string::npos || value == "sk-" + key);
      CAF_CHECK(whole.find(key) == std::string::npos);
    }
}

CAF_TEST(a password with a slash is one) {
  CAF_CHECK_EQUAL(told("DB", "postgres://me:pass/word@h/db", "pass/word me"), "*** me");
  CAF_CHECK_EQUAL(told("DB", "https://[::1]:80/@somebody https://h:80/@somebody", "80/ somebody"), "80/ somebody");
}

CAF_TEST(of a basic authorization the password is known in clear) {
  // alice:Zq81xkeyQWERTY77, and Zq81xkeyQWERTY77: where the key is the user
  CAF_CHECK_EQUAL(told("X", "Basic YWxpY2U6WnE4MXhrZXlRV0VSVFk3Nw==", "Zq81xkeyQWERTY77 YWxpY2U6WnE4MXhrZXlRV0VSVFk3Nw== alice"),
                  "*** *** alice");
  CAF_CHECK_EQUAL(told("Authorization", "Basic WnE4MXhrZXlRV0VSVFk3Nzo=", "Zq81xkeyQWERTY77"), "***");
  CAF_CHECK_EQUAL(told("Authorization", "Basic c2VjcmV0bHk6", "secretly"), "***");
}

CAF_TEST(a key in the headers of a request body is known without its scheme) {
  const std::string key = "Zq81xkeyQWERTY77";
  for (const std::string scheme : {"Bearer ", "Token ", "ApiKey ", "bearer  ", "Key "})
    for (auto* place : {"headers", "default_headers"}) {
      backend_config b;
      b.extra_body =
          std::string{"{\""} + place + R"(":{"Authorization":")" + scheme + key + R"(","X-Foo":")" + scheme + key + R"("}})";
      secrets s;
      add_secrets(b, s);
      auto text = "it is " + key;
      s.hide(text);
      CAF_CHECK_EQUAL(text, "it is ***");
    }
}

CAF_TEST(ordinary values of variables are not taken for secrets) {
  for (auto* value : {"production", "true", "/usr/local/lib", "gpt-4o-mini-2024", "https://host.example/path?page=2", "Basic usage",
                      "postgres://postgres@localhost:5432/db", "Token limits are explained", R"({"level":"info","retry":3})",
                      "a=b;c=d", "rs=0:di=01;34:ln=01;36", "ssh://git@github.com/x/y"})
    CAF_CHECK_EQUAL(told("SETTING", value, std::string{"<"} + value + ">"), std::string{"<"} + value + ">");
}

CAF_TEST(a text made to be slow is judged in time) {
  for (auto* part :
       {"a=",    "a:",        "token:", "token=1 ", "\"a\":", "a://", "a://b@", "${",  "${A:-",        "key=';",   "a=[", "a={",
        "?a=b&", "--token -", "Basic ", "key: ",    "x;y;",   "sk-",  "'a'='",  "%41", "a://b?c=%41;", "token:x,", "a:b|"}) {
    std::string text;
    while (text.size() < 200'000)
      text += part;
    CAF_CHECK(find_secrets({"X"}, text).size() < text.size());
    CAF_CHECK(find_argument_secrets("--x", text).size() < text.size());
  }
}
