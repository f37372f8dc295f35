// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.cassette

#include "protocols/wire/cassette.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/secret_words.hpp"
#include "protocols/stand_ins.hpp"
#include "protocols/wire/attachments.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/wire/json_runs.hpp"
#include "protocols/wire/log_texts.hpp"
#include "protocols/wire/sha256.hpp"

using namespace conclave;
using wire::tape_kind;

namespace {

wire::cassette sample() {
  wire::cassette c;
  c.head = {
      "0.1.0", "20261126-050432-1f2e3d", 1'790'000'000'000, 3600, UINT64_MAX, "/home/u/logs", "/home/u", "{\"v\":1}", "a\nb", {"x"},
      {}};
  c.head.variables["KEY"] = {"CassetteKey1", "the environment"};
  wire::tape_entry asked;
  asked.kind = tape_kind::request;
  asked.id = 1;
  asked.note = "POST http://h/v1";
  asked.texts = {"content-type", "a\xFFz"};
  wire::tape_entry head;
  head.kind = tape_kind::head;
  head.at_ns = 0;
  head.id = 1;
  head.number = 200;
  head.more = -5;
  head.pairs = {{"a", "b"}, {"c", std::string("\0\x80", 2)}};
  wire::tape_entry data;
  data.kind = tape_kind::data;
  data.at_ns = 12;
  data.id = 1;
  for (int i = 0; i < 256; ++i)
    data.text += static_cast<char>(i);
  wire::tape_entry end;
  end.at_ns = 13;
  end.text = wire::sha256("log");
  end.number = 5;
  c.entries = {asked, head, data, end};
  for (std::size_t i = 0; i < c.entries.size(); ++i)
    c.entries[i].line = i + 2;
  return c;
}

std::string written(const wire::cassette& c) {
  wire::cassette_writer w;
  std::string out;
  CAF_CHECK(w.add(c.head, out));
  for (auto& e : c.entries)
    CAF_CHECK(w.add(e, out));
  return out;
}

/// One line, with the check sum that belongs to it.
std::string line(const std::string& body, std::string& chain) {
  chain = wire::sha256(chain + body).substr(0, 16);
  return body.substr(0, body.size() - 1) + ",\"sha\":\"" + chain + "\"}\n";
}

/// What is said of a file of this head and this entry.
std::string fault_of(const std::string& head, const std::string& entry) {
  std::string chain;
  auto file = line(head, chain);
  file += line(entry, chain);
  file += line("{\"at\":1,\"kind\":\"end\",\"number\":3}", chain);
  wire::cassette c;
  return wire::read_cassette(file, c);
}

const std::string good_head = R"({"conclave_cassette":1,"seed":1})", good_entry = R"({"at":0,"id":1,"kind":"data","text":"x"})";

} // namespace

CAF_TEST(what is written is read again) {
  auto c = sample();
  wire::cassette again;
  CAF_CHECK_EQUAL(wire::read_cassette(written(c), again), "");
  CAF_CHECK(again.head == c.head);
  CAF_CHECK(again.entries == c.entries);
}

CAF_TEST(a line that nobody would read is not written) {
  wire::cassette_writer w;
  std::string out;
  auto e = sample().entries[2];
  e.text.assign(wire::max_cassette_line, 'x');
  CAF_CHECK(!w.add(e, out));
  CAF_CHECK(out.empty());
  CAF_CHECK_EQUAL(w.lines(), 0u);
}

CAF_TEST(every byte counts) {
  auto good = written(sample());
  for (std::size_t i = 0; i < good.size(); ++i)
    for (auto bit : {1, 0x20, 0x80}) {
      auto bad = good;
      bad[i] = static_cast<char>(bad[i] ^ bit);
      wire::cassette c;
      auto fault = wire::read_cassette(bad, c);
      CAF_CHECK(fault.starts_with("line "));
    }
  for (std::size_t n = 0; n < good.size(); ++n) {
    wire::cassette c;
    CAF_CHECK(!wire::read_cassette(good.substr(0, n), c).empty());
  }
}

CAF_TEST(a line that is not what it should be is named) {
  CAF_CHECK_EQUAL(fault_of(good_head, good_entry), "");
  for (auto* entry : {R"({"at":-1,"id":1,"kind":"data"})",
                      R"({"id":1,"kind":"data"})",
                      R"({"at":0,"kind":"request"})",
                      R"({"at":0,"kind":"magic"})",
                      R"({"at":0,"kind":"data","text":7})",
                      R"({"at":0,"kind":"data","text":{"base64":"A"}})",
                      R"({"at":0,"kind":"data","text":{"base64":"A=AA"}})",
                      R"({"at":0,"kind":"data","text":{"base64":"====","x":1}})",
                      R"({"at":0,"kind":"data","id":-1})",
                      R"({"at":0,"kind":"data","id":1.5})",
                      R"({"at":99999999999999999999,"kind":"data"})",
                      R"({"at":9000000000000000000,"kind":"data"})",
                      R"({"at":0,"kind":"data","more_":1})",
                      R"({"at":0,"kind":"head","pairs":[["a"]]})",
                      R"({"at":0,"kind":"head","pairs":{}})",
                      R"({"at":0,"kind":"lines","texts":"x"})",
                      R"({"at":0,"kind":"done","ok":1})",
                      R"({"at":0,"kind":"data","kind":"data"})",
                      R"({"at":0})",
                      R"([])",
                      R"({})"})
    CAF_CHECK(fault_of(good_head, entry).starts_with("line 2: "));
  for (auto* head :
       {R"({"conclave_cassette":2,"seed":1})", R"({"conclave_cassette":"1","seed":1})", R"({"conclave_cassette":1})",
        R"({"seed":1})", R"({"conclave_cassette":1,"seed":-1})", R"({"conclave_cassette":1,"seed":1,"utc_offset_s":90000})",
        R"({"conclave_cassette":1,"seed":1,"variables":{"A":"b"}})", R"({"conclave_cassette":1,"seed":1,"variables":[]})",
        R"({"conclave_cassette":1,"seed":1,"known":"x"})", R"({"conclave_cassette":1,"seed":1,"new":0})"})
    CAF_CHECK(fault_of(head, good_entry).starts_with("line 1: "));
  CAF_CHECK(fault_of(R"({"conclave_cassette":2})", good_entry).find("version 2") != std::string::npos);
}

CAF_TEST(a secret that is cut by the network does not survive) {
  stand_ins s;
  s.add_key("sk-0123456789/abc");
  std::string all = "<sk-0123456789/abc> <sk-0123456789\\/abc> <sk-0123456789%2Fabc>";
  for (std::size_t a = 0; a <= all.size(); ++a)
    for (std::size_t b = a; b <= all.size(); ++b) {
      auto x = all.substr(0, a), y = all.substr(a, b - a), z = all.substr(b);
      s.put_in({&x, &y, &z});
      CAF_CHECK_EQUAL(x + y + z, "<sk-CassetteKey1xx> <sk-CassetteKey1xx> <sk-CassetteKey1xx>");
      if (b <= 18) {
        CAF_CHECK_EQUAL(x.size(), a);
        CAF_CHECK_EQUAL(y.size(), b - a);
      }
    }
}

CAF_TEST(a stand in is as long as the secret and hides where it would be hidden) {
  stand_ins s;
  s.add_named("MY_KEY", " abcdefgh\n");
  s.add_named("AUTHORIZATION", "Bearer qwertzuiop");
  s.add_named("DATABASE_URL", "postgres://u:geheim12@h/db");
  s.add_named("TOKEN", "EMPTY");
  s.add_named("HOME", "/home/somebody");
  std::string text = " abcdefgh\n Bearer qwertzuiop postgres://u:geheim12@h/db EMPTY /home/somebody";
  auto size = text.size();
  s.put_in(text);
  CAF_CHECK_EQUAL(text.size(), size);
  CAF_CHECK_EQUAL(text, " keybxxxx\n Bearer cassettecx postgres://u:Key3xxxx@h/db EMPTY /home/somebody");
}

CAF_TEST(a stand in takes the place of a secret in base64 so that both can be told again) {
  const std::string key = "Zq81xkeyQWERTY77";
  for (auto* before : {"", "u:", "me:", "user:"}) {
    stand_ins s;
    s.add_key(key);
    auto name = key;
    s.put_in(name);
    auto form = static_cast<secret_form>(static_cast<int>(secret_form::base64) + static_cast<int>(std::string{before}.size() % 3));
    auto text = "AAAA" + in_form(form, key) + "AAAA " + in_form(secret_form::hex, key);
    auto size = text.size();
    s.put_in(text);
    CAF_CHECK_EQUAL(text, "AAAA" + in_form(form, name) + "AAAA " + in_form(secret_form::hex, name));
    CAF_CHECK_EQUAL(text.size(), size);
    secrets again; // as when it is played
    again.add_key(name);
    CAF_CHECK_EQUAL(again.find_in(text).size(), 2u);
  }
}

CAF_TEST(a number stays a number and what is escaped in a URL is known as it is meant) {
  backend_config b;
  b.extra_body = "{\"token\": 1234567890, \"more\": {\"secret\": \"ab\\\\cdefgh\"}}";
  b.base_url = "https://h/v1?key=abc%2Fdef%2Bghi";
  stand_ins s;
  s.add_config(b, {});
  auto body = b.extra_body + " abc/def+ghi abc%2Fdef%2Bghi ab\\cdefgh";
  s.put_in(body);
  for (auto* gone : {"1234567890", "cdefgh", "abc/", "abc%"})
    CAF_CHECK(body.find(gone) == std::string::npos);
  CAF_CHECK_EQUAL(body.find_first_of("0123456789"), body.find("99999999"));
}

CAF_TEST(a key that is a word is taken out only where it is asked for) {
  for (auto [least, expected] : {std::pair{4, "a keyb of that"}, {8, "a test of that"}}) {
    stand_ins s{static_cast<std::size_t>(least)};
    s.add_key("test");
    std::string text = "a test of that";
    s.put_in(text);
    CAF_CHECK_EQUAL(text, expected);
  }
}

CAF_TEST(a stand in is judged as what it stands for) {
  for (std::string key : {"plainwordsonly", "ALLLARGEWORDS", "mixedCaseAndLonger", "with1digit", "1234567890123",
                          "sk-lowercasekeyofsomebody", "ghp_0123456789", "sk-ant-api03-aB3", "abcdefgh"}) {
    stand_ins s;
    s.add_key("first-of-them-1");
    s.add_key(key);
    auto name = key;
    s.put_in(name);
    CAF_MESSAGE(key << " -> " << name);
    CAF_CHECK(name != key);
    CAF_CHECK_EQUAL(name.size(), key.size());
    CAF_CHECK_EQUAL(secret_words::is_key_like(name), secret_words::is_key_like(key));
    CAF_CHECK_EQUAL(key_start(name), key_start(key));
  }
}

CAF_TEST(a log is compared without hashes and nothing else is left out) {
  std::string body(64, 'a'), request = "0123456789abcdef";
  CAF_CHECK_EQUAL(wire::without_hashes("{\"said\":[\"" + body + "\"],\"reason\":\"" + request + "\"}"),
                  R"({"said":[""],"reason":""})");
  for (auto kept : {"{\"a\":\"0123456789abcdeF\"}", "{\"a\":\"0123456789abcde\"}", "{\"a\":\" 0123456789abcdef\"}", "\"",
                    "\"0123456789abcdef", "", "{\"a\":\"\",\"b\":1}"})
    CAF_CHECK_EQUAL(wire::without_hashes(kept), kept);
  CAF_CHECK_EQUAL(wire::without_hashes(std::string(100'000, '"')).size(), 100'000u);
}

CAF_TEST(places of a text in JSON are named by their path) {
  auto holds = [](const std::string& text) { return text.find("secret") != text.npos; };
  auto all = wire::places_of(R"({"a":[{"b":"a secret"},{"secret name":1}],"c":"none","d":{"e":["secret"]}})", holds, 10);
  CAF_REQUIRE_EQUAL(all.size(), 3u);
  CAF_CHECK_EQUAL(all[0] + " " + all[1] + " " + all[2], "a[0].b a[1].secret name d.e[0]");
  CAF_CHECK_EQUAL(wire::places_of(R"(["secret","secret","secret"])", holds, 2).size(), 2u);
  CAF_CHECK(wire::places_of("[\"secret\"", holds, 2).empty());
}

CAF_TEST(a key that is refused has a stand in that is refused) {
  stand_ins s;
  s.add_key("two words", true);
  s.add_key("two words");
  s.add_key("not a key");
  std::string text = "two words not a key";
  s.put_in(text);
  CAF_CHECK(text.substr(9).find(' ', 1) == std::string::npos);
  CAF_CHECK(text != "two words");
  CAF_CHECK_EQUAL(text[3], ' ');
}

CAF_TEST(what stands in a configuration under the name of a secret is replaced) {
  backend_config b;
  b.api_key = "${MY_OWN}";
  b.extra_headers["X-Api-Key"] = "literal-of-header";
  b.extra_query["q"] = "harmless-value";
  mcp_server_config server;
  server.command = {"server", "--token", "literal-of-argument", "${SOMETHING}", "${SHORT}", "${FOLDER}"};
  b.mcp_servers = {server};
  stand_ins s;
  s.add_config(b, {{"MY_OWN", "value-of-my-own"}, {"SOMETHING", "anything at all"}, {"SHORT", "word"}, {"FOLDER", "/a/long/path"}});
  std::string text = "value-of-my-own literal-of-header harmless-value literal-of-argument anything at all word /a/long/path";
  s.put_in(text);
  for (auto* gone : {"my-own", "header", "argument", "anything"})
    CAF_CHECK(text.find(gone) == std::string::npos);
  for (auto* kept : {"harmless-value", "word", "/a/long/path"})
    CAF_CHECK(text.find(kept) != std::string::npos);
}

CAF_TEST(the stand in of what holds a secret holds the stand in of that) {
  backend_config b;
  auto basic = wire::encode_base64("joe:hunterOfMine77x");
  b.extra_headers["Authorization"] = "Basic " + basic;
  b.extra_headers["Cookie"] = "a=1; sid=tokenOfMine42xyz; more words";
  b.extra_headers["X-Token"] = "${COOKIE}";
  stand_ins s;
  s.add_config(b, {{"COOKIE", "id=anotherToken99; b"}});
  auto in = [&](std::string text) {
    s.put_in(text);
    return text;
  };
  for (auto* part : {"hunterOfMine77x", "tokenOfMine42xyz", "anotherToken99"})
    CAF_CHECK_EQUAL(in(part).size(), std::string{part}.size());
  CAF_CHECK_EQUAL(in("Basic " + basic), "Basic " + wire::encode_base64("joe:" + in("hunterOfMine77x")));
  CAF_CHECK_EQUAL(in("a=1; sid=tokenOfMine42xyz; more words"), "a=9; sid=" + in("tokenOfMine42xyz") + "; xxxx xxxxx");
  CAF_CHECK_EQUAL(in("id=anotherToken99; b"), "id=" + in("anotherToken99") + "; x");
  CAF_CHECK_EQUAL(in("id%3DanotherToken99%3B%20b"), "id%3D" + in("anotherToken99") + "%3B%20x");
}

namespace {

/// A stream in whose deltas a text is told in pieces of `size` bytes, as the JSON of each dialect has them.
std::vector<std::string> deltas(const std::string& text, std::size_t size) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < text.size(); i += size) {
    auto piece = wire::quote(text.substr(i, size));
    out.push_back(R"(data: {"id":"x","choices":[{"index":0,"delta":{"content":)" + piece + R"(},"finish_reason":null}]})" + "\n\n");
    out.push_back(R"(data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":)" + piece + "}}\n\n");
    // Side by side with another one, which says what it is of before or behind.
    out.push_back(R"(data: {"type":"response.output_text.delta","output_index":0,"delta":)" + piece + "}\n\n");
    out.push_back(R"(data: {"type":"response.output_text.delta","delta":"...","output_index":1})"
                  "\n\n");
    out.push_back(R"(data: {"candidates":[{"content":{"parts":[{"text" : )" + piece + "}]}}]}\r\n\r\n");
  }
  return out;
}

std::string put_in_stream(const stand_ins& s, std::vector<std::string> pieces) {
  std::vector<std::string*> all;
  for (auto& x : pieces)
    all.push_back(&x);
  s.put_in_stream(all);
  std::string out;
  for (auto& x : pieces)
    out += x;
  return out;
}

std::string together(const std::vector<std::string>& pieces) {
  std::string out;
  for (auto& x : pieces)
    out += x;
  return out;
}

} // namespace

CAF_TEST(a secret that comes in deltas has its stand in there) {
  stand_ins s;
  s.add_key("sk-ab\"d/fgh+1");
  for (std::size_t size : {1, 2, 3, 7, 13}) {
    auto real = deltas("{\"a\":\"is sk-ab\\\"d/fgh+1 ok\"}", size); // arguments of a call
    auto out = put_in_stream(s, real);
    CAF_CHECK(out.find("fgh") == std::string::npos);
    for (auto by_index : {true, false})
      for (auto& run : wire::string_runs(wire::leaves_of(out, by_index))) {
        std::string text;
        for (auto [begin, end] : run)
          text += out.substr(begin, end - begin);
        CAF_CHECK(!s.is_needed(text));
      }
    std::string content;
    for (auto& run : wire::string_runs(wire::leaves_of(out, true)))
      if (out.compare(run.front().first - 10, 10, "content\":\"") == 0)
        for (auto [begin, end] : run)
          content += out.substr(begin, end - begin);
    CAF_MESSAGE(content);
    CAF_CHECK(content.starts_with("{\\\"a\\\":\\\"is sk-") && content.ends_with(" ok\\\"}"));
  }
}

CAF_TEST(a stream without a secret stays and one that is damaged hides what it can) {
  stand_ins s;
  s.add_key("sk-0123456789abc");
  auto whole = together(deltas("nothing of the kind in here", 3));
  CAF_CHECK_EQUAL(put_in_stream(s, {whole}), whole);
  for (std::string broken : {"data: {\"a\":[{\"content\":\"cut off\n", "data: {\"a\n", "<html \"\n\n", "\"\\", "]}]}{[", "\"",
                             "{\"index\":", "{\"index\":99999999999999999999999}", "{\"\":{\"_index\":1,\"x_index\":x"}) {
    put_in_stream(s, {broken});
    std::vector<std::string> all{broken, "\n"};
    for (auto& x : deltas("sk-0123456789abc", 4))
      all.push_back(x);
    auto out = put_in_stream(s, all);
    CAF_CHECK(out.find("\"6789\"") == std::string::npos);
  }
  auto deep = std::string(100'000, '[') + "\"x\"" + std::string(100'000, '{') + "\"index\":1}";
  CAF_CHECK_EQUAL(put_in_stream(s, {deep}), deep);
}

CAF_TEST(where the network cuts a stream with a secret in deltas its events still end in the same piece) {
  stand_ins s;
  s.add_key("sk-0123456789abc");
  auto all = together(deltas("sk-0123456789abc", 5));
  for (std::size_t cut = 0; cut <= all.size(); cut += 3) {
    auto x = all.substr(0, cut), y = all.substr(cut);
    CAF_CHECK(s.put_in_stream({&x, &y}));
    CAF_CHECK_EQUAL(x.size(), cut);
    CAF_CHECK_EQUAL((x + y).size(), all.size());
    CAF_CHECK((x + y).find("6789") == std::string::npos);
  }
}
