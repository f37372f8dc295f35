// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.split_secrets

#include "protocols/split_secrets.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/secret_escapes.hpp"
#include "protocols/stand_ins.hpp"
#include "protocols/tool_result.hpp"
#include "protocols/wire/attachments.hpp"
#include "protocols/wire/json.hpp"

using namespace conclave;

namespace {

const std::string key = "sk-planted81Zq/x";

std::string event(const std::string& fields) {
  return "data: {\"id\":\"x\",\"model\":\"m\",\"choices\":[{\"index\":0," + fields + "}]}\n\n";
}

std::string delta(const std::string& name, const std::string& piece) {
  return event("\"delta\":{\"" + name + "\":" + wire::quote(piece) + "}");
}

std::string bytes_of(const std::string& text) {
  std::string out;
  for (unsigned char c : text)
    out += (out.empty() ? "" : ",") + std::to_string(c);
  return "[" + out + "]";
}

/// Calls `use(piece, which)` for the pieces of the key.
template <class F>
std::string told(std::size_t size, F use) {
  std::string out;
  for (std::size_t i = 0; i < key.size(); i += size)
    out += use(key.substr(i, size), i / size);
  return out;
}

std::string hidden(std::string text, bool is_reply = true) {
  stand_ins s;
  s.add_key("another-key-0815");
  s.add_key(key);
  s.put_in_stream({&text}, is_reply);
  return text;
}

/// What the strings of this name say together, as it is escaped there.
std::string run_of(const std::string& stream, const std::string& name) {
  std::string out;
  auto before = name + "\":\"";
  for (auto& run : wire::string_runs(wire::leaves_of(stream, true)))
    if (stream.substr(0, run.front().first).ends_with(before))
      for (auto [begin, end] : run)
        out += stream.substr(begin, end - begin);
  return out;
}

bool holds(const std::string& text, const std::string& piece) {
  return text.find(piece) != std::string::npos;
}

} // namespace

CAF_TEST(a secret whose pieces take turns under two names or more has its stand in there) {
  for (std::size_t size : {1, 2, 5})
    for (std::size_t names : {2, 3, 4}) {
      auto name = [&](std::size_t n) { return "reasoning" + std::to_string(n % names); };
      auto out = hidden(told(size, [&](auto piece, auto n) { return delta(name(n), piece); }));
      CAF_CHECK_EQUAL(out, told(size, [&](auto piece, auto n) {
                        return delta(name(n), std::string{"sk-CassetteKey2x"}.substr(n * size, piece.size()));
                      }));
    }
}

CAF_TEST(a secret that is begun in one member and ended in another has its stand in there) {
  auto out = hidden(delta("content", "my key is sk-plant") + delta("refusal", "ed81Zq/x, and") + delta("content", "more"));
  CAF_CHECK_EQUAL(out, delta("content", "my key is sk-Casse") + delta("refusal", "tteKey2x, and") + delta("content", "more"));
}

CAF_TEST(a secret whose pieces are each told twice has its stand in there) {
  auto twice = [](auto piece, auto) { return delta("content", piece) + delta("content", piece); };
  auto out = hidden(told(5, twice));
  CAF_CHECK(!holds(out, "plan") && !holds(out, "ted8"));
  CAF_CHECK_EQUAL(out.size(), told(5, twice).size());
}

CAF_TEST(a secret in the names of members has its stand in there) {
  auto out = hidden("{\"a\":{\"sk-pla\":1,\"nted81Zq\":2,\"/x\":[]}}\n{\"a\":{\"sk-pla\":1,\"nted81Zq\":2,\"/x\":[]}}\n");
  CAF_CHECK_EQUAL(out, "{\"a\":{\"sk-Cas\":1,\"setteKey\":2,\"2x\":[]}}\n{\"a\":{\"sk-Cas\":1,\"setteKey\":2,\"2x\":[]}}\n");
}

CAF_TEST(a secret in numbers has its stand in there) {
  auto expected = bytes_of("sk-CassetteKey2x");
  CAF_CHECK_EQUAL(hidden("{\"data\":" + bytes_of(key) + "}"), "{\"data\":" + expected + "}");
  CAF_CHECK_EQUAL(hidden("{\"data\": [ 7, 300, 1.5, -4 ]}"), "{\"data\": [ 7, 300, 1.5, -4 ]}");
  auto text = bytes_of(key);
  CAF_CHECK_EQUAL(hidden("{\"text\":\"it is " + text + " so\"}"), "{\"text\":\"it is " + expected + " so\"}");
  std::string dump, other;
  for (unsigned char c : key)
    dump += std::string{"0123456789abcdef"[c >> 4], "0123456789abcdef"[c & 15]} + " ";
  for (unsigned char c : std::string{"sk-CassetteKey2x"})
    other += std::string{"0123456789abcdef"[c >> 4], "0123456789abcdef"[c & 15]} + " ";
  for (std::string before : {"0000: ", "400, ", "12, [", "0x", ""})
    CAF_CHECK_EQUAL(hidden("{\"text\":\"" + before + dump + "\"}"), "{\"text\":\"" + before + other + "\"}");
}

CAF_TEST(a secret in numbers over several deltas has its stand in there) {
  std::string decimal, hex, expected, other;
  auto name = std::string{"sk-CassetteKey2x"};
  for (std::size_t i = 0; i < key.size(); ++i) {
    decimal += std::to_string(static_cast<unsigned char>(key[i])) + ", ";
    expected += std::to_string(static_cast<unsigned char>(name[i])) + ", ";
    hex += "0x" + in_form(secret_form::hex, key.substr(i, 1)) + ", ";
    other += "0x" + in_form(secret_form::hex, name.substr(i, 1)) + ", ";
  }
  for (auto& [said, want] : {std::pair{decimal, expected}, {hex, other}})
    for (std::size_t size : {1, 3, 7}) {
      std::string text;
      for (std::size_t i = 0; i < said.size(); i += size)
        text += delta("content", said.substr(i, size));
      auto out = hidden(text);
      auto all = run_of(out, "content");
      CAF_CHECK(holds(all, want));
      CAF_CHECK(!holds(all, said.substr(0, said.size() - 2)));
    }
  auto alone = [](auto piece, auto) { return "{\"byte\":\"" + std::to_string(static_cast<unsigned char>(piece[0])) + "\"}\n"; };
  auto out = hidden(told(1, alone));
  CAF_CHECK(!holds(out, "\"112\"}\n{\"byte\":\"108\"")); // "pl"
  CAF_CHECK(holds(out, "\"67\"}\n{\"byte\":\"97\""));    // "Ca"
}

CAF_TEST(a secret in the values of headers has its stand in there) {
  std::string numbers = bytes_of(key), rest = "none";
  std::vector<std::string> one, pieces;
  for (std::size_t i = 0; i < key.size(); ++i)
    one.push_back(std::to_string(static_cast<unsigned char>(key[i])));
  for (std::size_t i = 0; i < key.size(); i += 5)
    pieces.push_back(key.substr(i, 5));
  stand_ins s;
  s.add_key(key);
  CAF_CHECK(!s.put_in_list({&numbers, &rest})); // one holds all of it
  CAF_CHECK_EQUAL(numbers, bytes_of("sk-CassetteKey1x"));
  for (auto* values : {&one, &pieces}) {
    std::vector<std::string*> all;
    for (auto& x : *values)
      all.push_back(&x);
    CAF_CHECK(s.put_in_list(all));
  }
  CAF_CHECK_EQUAL(one[3] + " " + one[4] + " " + pieces[1], "67 97 ssett");
}

CAF_TEST(a secret that is begun in a text and ended in the arguments of a call has its stand in there) {
  auto call = [](const std::string& arguments, std::size_t size) {
    std::string out;
    for (std::size_t i = 0; i < arguments.size(); i += size)
      out += "data: {\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":"
             + wire::quote(arguments.substr(i, size)) + "}}\n\n";
    return out;
  };
  auto text = [](const std::string& said) { return "data: {\"index\":0,\"delta\":{\"text\":" + wire::quote(said) + "}}\n\n"; };
  for (std::size_t size : {1, 3, 8, 100})
    for (std::string before : {R"({"content": ")", R"({"n":1,"more":{"a":"bc"},"content":")"}) {
      if (size == 1 && before.size() > 20)
        continue; // a value that is a piece of its own stands between

      auto out = hidden(text("it is sk-plant") + call(before + R"(ed81Zq\/x so","b":"c"})", size));
      CAF_CHECK_EQUAL(out.substr(0, 50), text("it is sk-Casse").substr(0, 50));
      auto said = run_of(out, "partial_json");
      CAF_CHECK(holds(said, "tteKey2x so") && !holds(said, "81Zq"));
    }
  auto none = text("it is sk-plant") + call(R"({"a":"ed81Zr/x","ed81Zq/":"x"})", 4);
  CAF_CHECK_EQUAL(hidden(none), none);
}

CAF_TEST(binary data that tells a secret in another way has a stand in of the same length) {
  for (std::string said : {"https://x/?key=sk-planted81Zq%2Fx&more", "{\"k\":\"sk-planted81Zq\\/x\"}", "sk-planted81Zq/x"}) {
    auto bytes = std::string{"\x00\xff\x01\xfe", 4} + said + "\xff\xff";
    auto out = hidden("{\"blob\":\"" + wire::encode_base64(bytes) + "\"}");
    auto now = decode_base64(out.substr(9, out.find('"', 9) - 9));
    CAF_CHECK(!holds(now, "planted") && holds(now, "CassetteKey2"));
    CAF_CHECK_EQUAL(now.size(), bytes.size());
  }
}

CAF_TEST(nothing of a secret is in what is said of the tokens of a reply that has it) {
  auto token = [](auto piece, auto) {
    auto said = "{\"token\":" + wire::quote(piece) + ",\"logprob\":-0.5,\"bytes\":" + bytes_of(piece);
    auto other = "{\"token\":\"qq\",\"logprob\":-2.5,\"bytes\":[113,113]}";
    return event("\"delta\":{\"content\":" + wire::quote(piece) + "},\"logprobs\":{\"content\":[" + said + ",\"top_logprobs\":["
                 + other + "," + said + "}]}]}");
  };
  for (std::size_t size : {1, 4}) {
    auto out = hidden(told(size, token));
    CAF_CHECK(!holds(out, "\"token\":\"" + key.substr(0, size) + "\""));
    CAF_CHECK(!holds(out, "[115") && holds(out, "[111"));
    CAF_CHECK(!holds(out, "qq"));
  }
  // By numbers alone, over the tokens.
  auto numbers = [](auto piece, auto) {
    return event("\"delta\":{},\"logprobs\":{\"content\":[{\"bytes\":" + bytes_of(piece) + "}]}");
  };
  auto out = hidden(told(3, numbers));
  CAF_CHECK(!holds(out, "115") && !holds(out, "107"));
  auto none =
      event("\"delta\":{\"content\":\"a\"},\"logprobs\":{\"content\":[{\"token\":\"a\",\"bytes\":[97]}]},\"obfuscation\":\"xy\"");
  CAF_CHECK_EQUAL(hidden(none), none);
  CAF_CHECK(!holds(hidden(none + delta("content", key)), "xy"));
  CAF_CHECK_EQUAL(hidden(none + delta("content", key)).find("\"token\":\"a\""), std::string::npos);
  CAF_CHECK(hidden(none + delta("content", key), false).find("\"token\":\"a\"") != std::string::npos); // a tool's own
}

CAF_TEST(a secret that is escaped within base64 has a stand in that is found and hidden as it was) {
  for (std::string meant :
       {"https://x/?key=sk-planted81Zq%2Fx&more=x", "{\"key\":\"sk-planted81Zq\\/x\"}", "<a b='sk-planted81Zq&#x2F;x'> and",
        "{\"key\":\"sk-planted81Zq\\u002fx\", \"other\":\"sk-planted81Zq%2fx\"}", "k=sk-planted81Zq%252Fx; sk-planted81Zq/x"})
    for (std::string before : {"", "a", "ab", "abc"}) {
      auto text = "see " + wire::encode_base64(before + meant) + " there", real = text;
      auto inexact = false;
      stand_ins s;
      s.add_key(key);
      s.put_in({&text}, &inexact);
      CAF_CHECK(!inexact);
      CAF_CHECK_EQUAL(text.size(), real.size());
      secrets then, now;
      then.add_key(key);
      now.add_key("sk-CassetteKey1x");
      then.hide(real);
      now.hide(text);
      CAF_CHECK_EQUAL(text, real);
      CAF_CHECK(text.find("***") != std::string::npos);
    }
  const std::string odd = "sk-planted\\\"81Zq\\x"; // looks escaped itself, and stands there as it is
  auto plain = wire::encode_base64("u:" + odd), other = wire::encode_base64("u:sk-CassetteKey1xxx");
  secrets then, now;
  then.add_key(odd);
  now.add_key("sk-CassetteKey1xxx");
  then.hide(plain);
  now.hide(other);
  CAF_CHECK_EQUAL(odd.size(), 18u);
  CAF_CHECK_EQUAL(plain.substr(plain.find("***")).size(), other.substr(other.find("***")).size());
  stand_ins s;
  s.add_key("planted/81Zqx0"); // one byte more, and nothing in its stand-in can take one
  auto text = wire::encode_base64("{\"key\":\"planted\\/81Zqx0\"}");
  auto inexact = false;
  s.put_in({&text}, &inexact);
  CAF_CHECK(inexact && decoded_base64(text).find("planted") == std::string::npos);
}

CAF_TEST(of a text that grows no part of the secret stays) {
  std::string growing;
  for (std::size_t n = 1; n <= key.size(); ++n)
    growing += "data: {\"snapshot\":" + wire::quote("it is " + key.substr(0, n)) + "}\n\n";
  auto out = hidden(growing);
  CAF_CHECK(!holds(out, "planted8"));
  std::string behind;
  for (std::size_t n = 1; n <= key.size(); ++n)
    behind += "data: {\"snapshot\":" + wire::quote("it is " + key.substr(0, n) + "... and more") + "}\n\n";
  CAF_CHECK(!holds(hidden(behind), "planted8"));
  CAF_CHECK_EQUAL(hidden("{\"a\":\"sk-planted8\"}"), "{\"a\":\"sk-planted8\"}"); // where nothing else tells it, it is a word
}

CAF_TEST(of a text that grows beside its deltas no part of the secret stays) {
  std::string text = delta("content", "it is ");
  for (std::size_t n = 0; n < key.size(); n += 4)
    text += delta("content", key.substr(n, 4));
  for (std::size_t n = 1; n < key.size(); ++n) // the last is never told
    text += "data: {\"snapshot\":" + wire::quote("it is " + key.substr(0, n) + "... and more") + "}\n\n";
  CAF_CHECK(!holds(hidden(text), "planted8"));
}

CAF_TEST(a text that begins as a secret does stays) {
  // A model was shown it as it is, and nothing hides it: another would be another request.
  auto text = [](const std::string& secret) {
    return "{\"text\":\"it is " + secret + ", once it was sk-planted81Zr/y and sk-planted8, as sk-planted81Z told\"}";
  };
  CAF_CHECK_EQUAL(hidden(text(key)), text("sk-CassetteKey2x"));
}

CAF_TEST(a long text by the letter does not make a secret up) {
  std::string text;
  for (int i = 0; i < 3000; ++i)
    text += delta("content", std::string(1, static_cast<char>('a' + i * 7 % 26)));
  stand_ins s;
  s.add_key("plainwords");
  auto out = text;
  CAF_CHECK(!s.put_in_stream({&out}, true));
  CAF_CHECK_EQUAL(out, text);
}
