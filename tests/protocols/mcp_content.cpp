// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What a tool gives besides text. Source: https://modelcontextprotocol.io/specification/2025-11-25/server/tools, read 2026-11-24.

#define CAF_SUITE protocols.mcp_content

#include "caf/test/unit_test.hpp"
#include "protocols/tool_result.hpp"
#include "protocols/wire/mcp.hpp"

#include <algorithm>

using namespace conclave;
using namespace conclave::wire;

CAF_TEST(every kind of content becomes a part and nothing of it is lost) {
  auto r = mcp::read_result(R"({"content":[
    {"type":"text","text":"look"},
    {"type":"image","mimeType":"image/png","data":"iVBORw0KGgo="},
    {"type":"audio","mimeType":"audio/wav","data":"UklGRg=="},
    {"type":"resource_link","uri":"file:///a","name":"a","description":"about a","mimeType":"text/plain"},
    {"type":"resource","resource":{"uri":"file:///b","mimeType":"text/x","text":"inside"}},
    {"type":"resource","resource":{"uri":"file:///c","mimeType":"x/y","blob":"AAAA"}}],
    "structuredContent":{"a":[1]}})");
  std::vector<content_part> wanted = {
      {content_kind::text, "look", "", "", ""},
      {content_kind::image, "[image image/png, 8 bytes, not shown]", "image/png", "iVBORw0KGgo=", ""},
      {content_kind::audio, "[audio audio/wav, 4 bytes, not shown]", "audio/wav", "UklGRg==", ""},
      {content_kind::resource, "[resource a: file:///a] about a", "text/plain", "", "file:///a"},
      {content_kind::resource, "inside", "text/x", "", "file:///b"},
      {content_kind::resource, "[resource file:///c, binary, 3 bytes, not shown]", "x/y", "AAAA", "file:///c"},
      {content_kind::json, R"({"a":[1]})", "", "", ""}};
  CAF_CHECK(r.parts == wanted);
  CAF_CHECK_EQUAL(r.text, "look\n[image image/png, 8 bytes, not shown]\n[audio audio/wav, 4 bytes, not shown]\n"
                          "[resource a: file:///a] about a\ninside\n[resource file:///c, binary, 3 bytes, not shown]");
  CAF_CHECK(mcp::read_result(R"({"content":[{"type":"text","text":"a"},"b",{"type":"hologram"}]})").parts.empty());
}

CAF_TEST(a structured form is told where no text stands for it) {
  auto r = mcp::read_result(R"({"content":[{"type":"image","mimeType":"image/png","data":"AAAA"}],"structuredContent":{"a":1}})");
  CAF_CHECK_EQUAL(r.text, "[image image/png, 3 bytes, not shown]\n{\"a\":1}");
  r = mcp::read_result(R"({"content":[{"type":"text","text":"one"}],"structuredContent":{"a":1}})");
  CAF_CHECK(r.text == "one" && r.parts.size() == 2 && r.parts[1].text == R"({"a":1})");
}

CAF_TEST(data that is no base64 or too large is left out and the text says so) {
  auto image = [](const std::string& data) { return R"({"type":"image","mimeType":"image/png","data":")" + data + "\"}"; };
  for (auto* bad : {"", "AAA", "AAAAA", "AA=A", "====", "A===", "AA-_", "AA\\u0000A", "\xE6\x9D\xB1"}) {
    CAF_MESSAGE(bad);
    auto r = mcp::read_result(R"({"content":[)" + image(bad) + "]}");
    CAF_REQUIRE_EQUAL(r.parts.size(), 1u);
    CAF_CHECK(r.parts[0].data.empty() && r.text == "[image image/png, not shown: it is no base64]");
  }
  for (auto* good : {"AA==", "AAA=", "AAAA", "AA\\nA=", "data:image/png;base64,AA=="})
    CAF_CHECK(!mcp::read_result(R"({"content":[)" + image(good) + "]}").parts[0].data.empty());
  auto half = std::string(max_result_data / 2, 'A');
  auto r = mcp::read_result(R"({"content":[)" + image(half) + "," + image(half) + "," + image("AAAA") + "]}");
  CAF_REQUIRE_EQUAL(r.parts.size(), 3u);
  CAF_CHECK(r.parts[0].data == half && r.parts[1].data == half && r.parts[2].data.empty());
  CAF_CHECK(r.text.ends_with("[image image/png, 3 bytes, not shown: too large]"));
  r = mcp::read_result(
      R"({"content":[{"type":"image"},{"type":"image","data":7},{"type":"resource"},{"type":"resource","resource":7}]})");
  CAF_CHECK_EQUAL(r.parts.size(), 4u);
}

CAF_TEST(a result of very many parts is told in few) {
  std::string content = R"({"type":"image","mimeType":"image/png","data":"AAAA"})";
  for (int i = 0; i < 2000; ++i)
    content += R"(,"t",{"type":"image","mimeType":"image/png","data":"AAAA"})";
  auto r = mcp::read_result(R"({"content":[)" + content + "]}");
  CAF_CHECK(r.parts.size() < 300 && r.text == joined_text(r.parts));
  CAF_CHECK_EQUAL(std::count(r.text.begin(), r.text.end(), '\n'), 4000);
}
