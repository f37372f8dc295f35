// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// A tool's result on its way to the model: its parts, its bounds, and what must not be in it.

#define CAF_SUITE protocols.tool_result

#include "protocols/tool_result.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/stand_ins.hpp"
#include "protocols/wire/attachments.hpp"

using namespace conclave;

namespace {

const std::string key = "sk-Planted/0123456789";

secrets known(std::vector<std::string> keys = {key}) {
  secrets s;
  for (auto& k : keys)
    s.add_key(k);
  return s;
}

constexpr std::size_t most = 262'144; ///< less than usual: what is cut is the same, and sooner done

std::string admitted(std::string text, const secrets& hidden = known()) {
  tool_result r{"c1", std::move(text), false};
  admit(r, hidden, most);
  auto once = r;
  admit(r, hidden, most);
  CAF_CHECK(r == once); // nothing is cut twice
  return r.text;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

content_part part(content_kind kind, std::string text, std::string data = "", std::string uri = "") {
  return {kind, std::move(text), "image/png", std::move(data), std::move(uri)};
}

} // namespace

CAF_TEST(a secret in a result is hidden in each form that it may take) {
  CAF_CHECK_EQUAL(admitted("a " + key + " b"), "a *** b");
  CAF_CHECK_EQUAL(admitted(R"({"k":"sk-Planted\/0123456789"})"), R"({"k":"***"})");
  CAF_CHECK_EQUAL(admitted(R"({"j":"{\"k\":\"sk-Planted\\/0123456789\"}"})"), R"({"j":"{\"k\":\"***\"}"})");
  CAF_CHECK_EQUAL(admitted(R"(\u0073k-Planted/0123456789)"), "***");
  CAF_CHECK_EQUAL(admitted("?k=sk-Planted%2F0123456789&x=1"), "?k=***&x=1");
  CAF_CHECK_EQUAL(admitted("nothing of it"), "nothing of it");
}

CAF_TEST(secrets are hidden in every part and only pictures stay as they are) {
  tool_result r{"c1", "it is " + key, false};
  r.parts = {part(content_kind::text, "it is " + key),
             part(content_kind::json, "{\"k\":\"" + key + "\"}"),
             part(content_kind::image, "[image]", "c2stUGxhbnRlZC8wMTIzNDU2Nzg5"),
             part(content_kind::resource, "[resource]", "c2stUGxhbnRlZC8wMTIzNDU2Nzg5", "https://u:" + key + "@h/"),
             part(content_kind::resource, "[resource]", "eHggc2stUGxhbnRlZC8wMTIzNDU2Nzg5IHh4"),
             part(content_kind::resource, "[resource]", "AAECAwQF")};
  admit(r, known());
  CAF_CHECK(r.text == "it is ***" && r.parts[0].text == r.text && r.parts[1].text == R"({"k":"***"})");
  CAF_CHECK(!r.parts[2].data.empty() && r.parts[3].data.empty() && r.parts[4].data.empty());
  CAF_CHECK_EQUAL(r.parts[3].uri, "https://u:***@h/");
  CAF_CHECK_EQUAL(r.parts[5].data, "AAECAwQF");
}

CAF_TEST(a cut leaves no half of a secret at its end) {
  for (std::size_t before = most - 40; before < most + 300; before += 7) {
    auto text = admitted(std::string(before, 'x') + key + std::string(100'000, 'y'));
    CAF_CHECK(!has(text, "sk-P") && !has(text, "6789"));
  }
  // So many that the text shrinks below the cut: what was not searched must not move in.
  std::string many;
  while (many.size() < 4 * most)
    many += key;
  for (std::size_t shift = 0; shift < key.size(); ++shift) {
    auto text = admitted(std::string(shift, 'x') + many);
    CAF_CHECK(!has(text, "sk-P") && !has(text, "Plant") && !has(text, "6789"));
  }
}

CAF_TEST(a long result is cut once at a character with a mark) {
  std::string text;
  for (int i = 0; i < 100'000; ++i)
    text += "\xE6\x9D\xB1";
  auto cut = admitted(text, {});
  CAF_CHECK(cut.size() < 256 * 1024 + 64);
  CAF_CHECK(cut.find("\n[cut: 37857 bytes left out]") == 262143u);
  CAF_CHECK_EQUAL(admitted(std::string(most, 'x'), {}).size(), most);
}

CAF_TEST(parts are bounded together) {
  tool_result r;
  for (int i = 0; i < 8; ++i) {
    r.parts.push_back(part(content_kind::text, std::string(100'000, 't'), "", std::string(100'000, 'u')));
    r.parts.push_back(part(content_kind::image, "[image]", std::string(1u << 20, 'A')));
  }
  admit(r);
  std::size_t text = 0, data = 0;
  for (auto& p : r.parts) {
    text += p.text.size();
    data += p.data.size();
    CAF_CHECK(p.uri.size() < 5000);
  }
  CAF_CHECK(text < max_result_text + 8 * 64 && data == max_result_data);
  auto once = r;
  admit(r);
  CAF_CHECK(r == once);
  CAF_CHECK(size_of(r.parts) > text + data && drop_parts(r.parts) == size_of(once.parts) && r.parts.empty());
}

CAF_TEST(a reader of text gets the texts and a structured form where there is no other) {
  CAF_CHECK_EQUAL(joined_text({}), "");
  CAF_CHECK_EQUAL(joined_text({part(content_kind::json, "{}")}), "{}");
  CAF_CHECK_EQUAL(joined_text({part(content_kind::image, "[i]"), part(content_kind::json, "{}")}), "[i]\n{}");
  CAF_CHECK_EQUAL(joined_text({part(content_kind::text, ""), part(content_kind::json, "{}")}), "{}");
  CAF_CHECK_EQUAL(joined_text({part(content_kind::text, "a"), part(content_kind::image, "[i]"), part(content_kind::json, "{}")}),
                  "a\n[i]");
}

CAF_TEST(base64 is told from what is none) {
  for (auto* good : {"AA==", "AAA=", "AAAA", "+/az", "AAAAAA=="})
    CAF_CHECK(is_base64(good));
  for (auto* bad :
       {"", "A", "AA", "AAA", "A===", "====", "==", "=AAA", "AA=A", "A=A=", "AA-_", "AA A", "AAAAA===", "\xFF\xFF\xFF\xFF"})
    CAF_CHECK(!is_base64(bad));
}

CAF_TEST(data that holds a stand in as base64 has it is left out as that of the secret is) {
  for (std::size_t before = 0; before < 6; ++before) {
    tool_result r;
    content_part blob;
    blob.kind = content_kind::resource;
    auto bytes = std::string{"\xff\x01\xfe\x02\xfd\x03"}.substr(0, before) + "sk-planted-key-1xy and more";
    blob.data = wire::encode_base64(bytes);
    stand_ins s;
    s.add_key("sk-planted-key-1xy");
    auto other = blob;
    s.put_in(other.data);
    CAF_CHECK(other.data != blob.data);
    r.parts = {blob};
    secrets known, later;
    known.add_key("sk-planted-key-1xy");
    later.add_key("sk-CassetteKey1xxx");
    admit(r, known);
    CAF_CHECK(r.parts[0].data.empty());
    r.parts = {other};
    admit(r, later);
    CAF_CHECK(r.parts[0].data.empty());
  }
}
