// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// MCP as texts. Source: https://modelcontextprotocol.io/specification/2025-11-25, read 2026-11-24.

#define CAF_SUITE protocols.mcp

#include "protocols/wire/mcp.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/wire/json_util.hpp"

using namespace conclave;
using namespace conclave::wire;

namespace {

/// A message we send: valid, on one line.
json sent(const std::string& line) {
  CAF_CHECK(line.find('\n') == std::string::npos);
  auto v = parse(line, true);
  CAF_REQUIRE(v);
  CAF_CHECK_EQUAL(string_at(*v, "jsonrpc"), "2.0");
  return *v;
}

std::string text_of(const char* content) {
  return mcp::read_result(std::string(R"({"content":)") + content + "}").text;
}

std::string nested(int objects) {
  std::string out = "1";
  for (int i = 0; i < objects; ++i)
    out = R"({"a":)" + out + "}";
  return out;
}

} // namespace

CAF_TEST(what we send is one line of JSON - RPC) {
  auto v = sent(mcp::initialize(1));
  CAF_CHECK_EQUAL(v["params"]["protocolVersion"], "2025-11-25");
  CAF_CHECK(v["id"] == 1 && v["params"]["capabilities"].is_object() && v["params"]["clientInfo"]["name"] == "conclave");
  v = sent(mcp::initialized());
  CAF_CHECK(v["method"] == "notifications/initialized" && !v.contains("id"));
  CAF_CHECK(!sent(mcp::list_tools(2, ""))["params"].contains("cursor"));
  CAF_CHECK(sent(mcp::list_tools(2, "a\n\"b"))["params"]["cursor"] == "a\n\"b");
  v = sent(mcp::call_tool(3, "echo", R"({"text":"a\nb"})"));
  CAF_CHECK(v["params"]["name"] == "echo" && v["params"]["arguments"]["text"] == "a\nb");
  CAF_CHECK(sent(mcp::call_tool(3, "echo", "not json"))["params"]["arguments"] == json::object());
  v = sent(mcp::cancelled(3, "timeout"));
  CAF_CHECK(v["params"]["requestId"] == 3 && v["params"]["reason"] == "timeout");
  CAF_CHECK(sent(mcp::result("\"x\""))["id"] == "x");
  CAF_CHECK(sent(mcp::method_not_found("7"))["error"]["code"] == -32601);
}

CAF_TEST(each kind of message from a server is told apart) {
  using mcp::kind;
  struct {
    const char* text;
    mcp::kind expected;
  } table[] = {
      {R"({"jsonrpc":"2.0","id":1,"result":{}})", kind::response},
      {R"({"jsonrpc":"2.0","id":1,"result":null})", kind::response},
      {R"({"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no"}})", kind::error},
      {R"({"jsonrpc":"2.0","id":1,"method":"ping"})", kind::request},
      {R"({"jsonrpc":"2.0","id":"a","method":"roots/list","params":{}})", kind::request},
      {R"({"jsonrpc":"2.0","method":"notifications/tools/list_changed"})", kind::notification},
      {R"({"jsonrpc":"2.0","id":null,"method":"ping"})", kind::invalid},
      {R"({"jsonrpc":"2.0","id":1.5,"method":"ping"})", kind::invalid},
      {R"({"jsonrpc":"2.0","id":{},"method":"ping"})", kind::invalid},
      {R"({"jsonrpc":"1.0","id":1,"result":{}})", kind::invalid},
      {R"({"id":1,"result":{}})", kind::invalid},
      {R"({"jsonrpc":"2.0","id":1})", kind::invalid},
      {R"([{"jsonrpc":"2.0","id":1,"result":{}}])", kind::invalid},
      {"Server listening on port 3000", kind::invalid}, // banners on stdout
      {"", kind::invalid},
  };
  for (auto& t : table) {
    CAF_MESSAGE(t.text);
    CAF_CHECK(mcp::read(t.text).kind == t.expected);
  }
}

CAF_TEST(ids of ours are numbers and ids of theirs go back as they came) {
  CAF_CHECK_EQUAL(mcp::read(R"({"jsonrpc":"2.0","id":18446744073709551615,"result":{}})").id, 18446744073709551615ull);
  for (auto* id : {"-1", "\"1\"", "1.0", "null"})
    CAF_CHECK_EQUAL(mcp::read(std::string(R"({"jsonrpc":"2.0","id":)") + id + R"(,"result":{}})").id, 0u);
  for (auto* id : {"-7", "\"a\\\"b\"", "9007199254740993"})
    CAF_CHECK_EQUAL(mcp::read(std::string(R"({"jsonrpc":"2.0","id":)") + id + R"(,"method":"ping"})").id_json, id);
}

CAF_TEST(an error keeps its code and one clean line) {
  auto m = mcp::read("{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32000,\"message\":\"a\\nb\\u001b[2J"
                     + std::string(2000, 'x') + "\"}}");
  CAF_CHECK_EQUAL(m.code, -32000);
  CAF_CHECK(m.message.substr(0, 8) == "a b[2Jxx" && m.message.size() <= 503);
  CAF_CHECK(mcp::read(R"({"jsonrpc":"2.0","id":1,"error":"text"})").kind == mcp::kind::error);
}

CAF_TEST(versions that we speak are accepted and others named) {
  std::string version;
  for (auto* known : {"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05", "2024-10-07"})
    CAF_CHECK(mcp::read_initialized(std::string(R"({"protocolVersion":")") + known + "\"}", version) && version == known);
  CAF_CHECK(!mcp::read_initialized(R"({"protocolVersion":"2026-07-28"})", version) && version == "2026-07-28");
  for (auto* bad : {"{}", "[]", "{", R"({"protocolVersion":20251125})"})
    CAF_CHECK(!mcp::read_initialized(bad, version) && version.empty());
}

CAF_TEST(tools are listed with what is missing filled in) {
  auto page = mcp::read_tools(R"({"nextCursor":"more","tools":[
    {"name":"echo","description":"Says it again","inputSchema":{"type":"object","$defs":{"x":{}}},"annotations":{"readOnlyHint":true}},
    {"name":"bare"},{"name":"odd","description":7,"inputSchema":"text","annotations":{"readOnlyHint":"yes"}},
    {"description":"nameless"},"text",null]})");
  CAF_REQUIRE(page.valid && page.tools.size() == 3);
  CAF_CHECK_EQUAL(page.next, "more");
  CAF_CHECK(page.tools[0].read_only && page.tools[0].schema == R"({"$defs":{"x":{}},"type":"object"})");
  CAF_CHECK_EQUAL(page.tools[1].description, "MCP tool: bare");
  CAF_CHECK_EQUAL(page.tools[2].schema, R"({"type":"object","properties":{}})");
  CAF_CHECK(!page.tools[2].read_only);
  CAF_CHECK(mcp::read_tools(R"({"tools":[]})").valid);
  for (auto* bad : {"{}", R"({"tools":{}})", "[]", "{", ""})
    CAF_CHECK(!mcp::read_tools(bad).valid);
  std::string longer;
  for (int i = 0; i < 3000; ++i)
    longer += "\xE6\x9D\xB1";
  page = mcp::read_tools(R"({"tools":[{"name":"t","description":")" + longer + "\"}]}");
  CAF_CHECK_EQUAL(page.tools[0].description.size(), 4095u); // cut at a character
}

CAF_TEST(a result becomes text and what is no text becomes a note) {
  CAF_CHECK_EQUAL(text_of(R"([{"type":"text","text":"a"},{"type":"text","text":"b"}])"), "a\nb");
  CAF_CHECK_EQUAL(text_of(R"([{"type":"image","mimeType":"image/png","data":"AAAAAAAA"}])"),
                  "[image image/png, 6 bytes, not shown]");
  CAF_CHECK_EQUAL(text_of(R"([{"type":"resource","resource":{"uri":"file:///x","text":"inside"}}])"), "inside");
  CAF_CHECK_EQUAL(text_of(R"([{"type":"resource","resource":{"uri":"file:///x","blob":"AA"}}])"),
                  "[resource file:///x, binary, not shown]");
  CAF_CHECK_EQUAL(text_of(R"([{"type":"resource_link","name":"n","uri":"u"}])"), "[resource n: u]");
  CAF_CHECK_EQUAL(text_of(R"([{"type":"hologram"},7])"),
                  "[content of an unknown type is left out]\n[content of an unknown type is left out]");
  CAF_CHECK_EQUAL(mcp::read_result(R"({"content":[],"structuredContent":{"a":1}})").text, R"({"a":1})");
  CAF_CHECK_EQUAL(mcp::read_result(R"({"content":[{"type":"text","text":"x"}],"structuredContent":{"a":1}})").text, "x");
}

CAF_TEST(a failed call is an error result and so is nonsense) {
  CAF_CHECK(mcp::read_result(R"({"content":[{"type":"text","text":"no"}],"isError":true})").is_error);
  CAF_CHECK(!mcp::read_result(R"({"content":[],"isError":"true"})").is_error);
  for (auto* bad : {"[]", "{", "", "null"})
    CAF_CHECK(mcp::read_result(bad).is_error);
}

CAF_TEST(a long result is cut at a character with a mark) {
  std::string content;
  for (int i = 0; i < 100'000; ++i)
    content += "\xE6\x9D\xB1";
  auto r = mcp::read_result(R"({"content":[{"type":"text","text":")" + content + "\"}]}");
  CAF_CHECK(r.text.size() < 256 * 1024 + 64);
  CAF_CHECK(r.text.find("\n[cut: 37857 bytes left out]") == 262143u);
}

CAF_TEST(arguments are checked against each limit) {
  CAF_CHECK_EQUAL(mcp::check_arguments("{}", false), "");
  for (auto* bad : {"", "[]", "4", "{", R"({"a":1,"a":2})", "{\"a\":\"\xFF\"}", R"({"a":"\ud800"})", R"({"a":NaN})"})
    CAF_CHECK_EQUAL(mcp::check_arguments(bad, false), "they are no valid JSON object");
  CAF_CHECK_EQUAL(mcp::check_arguments(nested(5), false), "");
  CAF_CHECK(!mcp::check_arguments(nested(6), false).empty());
  std::string items = "[0", members = "{\"0\":0";
  for (int i = 1; i < 1000; ++i)
    items += ",0";
  for (int i = 1; i < 100; ++i)
    members += ",\"" + std::to_string(i) + "\":0";
  CAF_CHECK_EQUAL(mcp::check_arguments("{\"a\":" + items + "]}", false), "");
  CAF_CHECK(!mcp::check_arguments("{\"a\":" + items + ",0]}", false).empty());
  CAF_CHECK_EQUAL(mcp::check_arguments(members + "}", false), "");
  CAF_CHECK(!mcp::check_arguments(members + ",\"x\":0}", false).empty());
  auto big = "{\"a\":\"" + std::string(1u << 20, 'x') + "\"}";
  CAF_CHECK(!mcp::check_arguments(big, false).empty());
  CAF_CHECK_EQUAL(mcp::check_arguments(big, true), "");
  CAF_CHECK(!mcp::check_arguments("{\"a\":\"" + std::string(16u << 20, 'x') + "\"}", true).empty());
}

CAF_TEST(public names are what every provider accepts and never those of our own tools) {
  CAF_CHECK_EQUAL(mcp::public_name("s", "echo"), "mcp__s__echo");
  CAF_CHECK_EQUAL(mcp::public_name("s", "a.b/c"), "mcp__s__a_b_c");
  CAF_CHECK_EQUAL(mcp::public_name("s", "mcp__other__echo"), "mcp__s__echo");
  CAF_CHECK_EQUAL(mcp::public_name("s", "vote"), "mcp__s__vote");
  auto full = mcp::public_name("s", std::string(100, 'x'));
  CAF_CHECK_EQUAL(full.size(), 64u);
  CAF_CHECK(full != mcp::public_name("s", std::string(99, 'x')));
  for (auto& bad : {std::string(), std::string(101, 'x'), std::string("a b"), std::string("a\n"), std::string("\xC3\xA9"),
                    std::string("a\0b", 3), std::string("mcp__")})
    CAF_CHECK_EQUAL(mcp::public_name("s", bad), "");
}
