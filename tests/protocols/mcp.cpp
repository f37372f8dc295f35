// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// MCP as texts. Source: https://modelcontextprotocol.io/specification/2025-11-25, read 2026-11-24.

#define CAF_SUITE protocols.mcp

#include "caf/test/unit_test.hpp"
#include "protocols/wire/json_util.hpp"
#include "protocols/wire/mcp_tools.hpp"

#include <chrono>

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
  CAF_CHECK_EQUAL(v["params"]["_meta"]["progressToken"], 3);
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
      {R"({"jsonrpc":"1.0","id":1,"result":{}})", kind::response}, // what it is counts, not how it is labelled
      {R"({"id":1,"result":{}})", kind::response},
      {R"({"jsonrpc":"2.0","result":{}})", kind::response},
      {R"({"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}})", kind::error},
      {R"({"result":"done","level":"info"})", kind::invalid}, // a line of a log
      {R"({"method":"GET","id":7,"level":30})", kind::invalid},
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
  for (auto* id : {"\"3\"", "3.0", "3", "3e0", "\"3.0\"", "\" 3 \""})
    CAF_CHECK_EQUAL(mcp::read(std::string(R"({"jsonrpc":"2.0","id":)") + id + R"(,"result":{}})").id, 3u);
  for (auto* id : {"-1", "\"a1\"", "1.5", "null", "true", "[1]", "\"\"", "1e300", "\"-1\""})
    CAF_CHECK_EQUAL(mcp::read(std::string(R"({"jsonrpc":"2.0","id":)") + id + R"(,"result":{}})").id, 0u);
  for (auto* id : {"-7", "\"a\\\"b\"", "9007199254740993"})
    CAF_CHECK_EQUAL(mcp::read(std::string(R"({"jsonrpc":"2.0","id":)") + id + R"(,"method":"ping"})").id_json, id);
}

CAF_TEST(an error keeps its code and one clean line) {
  auto m = mcp::read("{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32000,\"message\":\"a\\nb\\u001b[2J"
                     + std::string(2000, 'x') + "\"}}");
  CAF_CHECK_EQUAL(m.code, -32000);
  CAF_CHECK(m.message.substr(0, 8) == "a b[2Jxx" && m.message.size() <= 503);
  m = mcp::read(R"({"jsonrpc":"2.0","id":1,"error":"text"})");
  CAF_CHECK(m.kind == mcp::kind::error && m.message == "text");
}

CAF_TEST(an empty error beside a result and an empty result beside an error say nothing) {
  using mcp::kind;
  auto kind_of = [](const char* members) { return mcp::read(std::string(R"({"jsonrpc":"2.0","id":1,)") + members + "}").kind; };
  for (auto* x : {R"("result":null,"error":{"code":1,"message":"no"})", R"("error":{"code":1},"result":null)", R"("error":"no")",
                  R"("result":{},"error":{"message":"no"})", R"("error":{})", R"("error":null)"})
    CAF_CHECK(kind_of(x) == kind::error);
  for (auto* x : {R"("result":{},"error":null)", R"("error":null,"result":null)", R"("error":false,"result":{})",
                  R"("error":{},"result":{})", R"("error":"","result":{})"})
    CAF_CHECK(kind_of(x) == kind::response);
}

CAF_TEST(a result that is nearly JSON is mended and its neighbours stay) {
  struct {
    const char* result;
    const char* payload;
  } table[] = {
      {"{\"a\":\"caf\xE9\"}", "{\"a\":\"caf\xEF\xBF\xBD\"}"},
      {"{\"a\":[NaN,-Infinity,Infinity,undefined,1]}", R"({"a":[null,null,null,null,1]})"},
      {R"({"a":"NaN \"Infinity\""})", R"({"a":"NaN \"Infinity\""})"},
      {R"({"a":"ok \ud83d tail \ude00","b":"\ud83d\ude00"})",
       "{\"a\":\"ok \xEF\xBF\xBD tail \xEF\xBF\xBD\",\"b\":\"\xF0\x9F\x98\x80\"}"},
      {"{\"a\":\"tab\there\x01\"}", R"({"a":"tab\there\u0001"})"},
      {R"({"a":"\x41 \u12 \'"})", R"({"a":"\\x41 \\u12 \\'"})"},
  };
  for (auto& t : table) {
    auto m = mcp::read_line(std::string(R"({"jsonrpc":"2.0","id":3,"result":)") + t.result + "}");
    CAF_REQUIRE_EQUAL(m.size(), 1u);
    CAF_CHECK(m[0].kind == mcp::kind::response);
    CAF_CHECK_EQUAL(m[0].id, 3u);
    CAF_CHECK_EQUAL(m[0].payload, t.payload);
  }
}

CAF_TEST(messages are found in whatever a line holds besides) {
  const std::string one = R"({"jsonrpc":"2.0","id":1,"result":{}})", two = R"({"result":{"x":"}{"},"id":2,"jsonrpc":"2.0"})";
  struct {
    std::string line;
    std::vector<std::uint64_t> ids;
  } table[] = {
      {"Server running on stdio" + one, {1}},
      {"[info] {port: 3000} it's \"up\" {0 {" + one + "bye", {1}},
      {"\x1b[32mready\x1b[0m " + one + "\x1b[0m\r", {1}},
      {"\xEF\xBB\xBF" + one + "\r", {1}},
      {one + two, {1, 2}},
      {R"({"level":30,"msg":"start"})" + one, {1}},
      {"[" + one + "," + two + ",7,[],{\"level\":1}]", {1, 2}},
      {"banner [" + one + "]", {1}},
      {"", {}},
      {" \t\r", {}},
  };
  for (auto& t : table) {
    CAF_MESSAGE(t.line);
    std::vector<std::uint64_t> ids;
    for (auto& m : mcp::read_line(t.line)) {
      CAF_CHECK(m.kind == mcp::kind::response);
      ids.push_back(m.id);
    }
    CAF_CHECK_EQUAL(ids, t.ids);
  }
}

CAF_TEST(a line of millions of values is not built up and says whose reply it was) {
  auto line = [](const std::string& unit, std::size_t n) {
    std::string out = R"({"jsonrpc":"2.0","id":3,"result":{"content":[)";
    for (std::size_t i = 0; i < n; ++i)
      out += unit + ",";
    return out + R"("x"]}})";
  };
  for (auto* unit : {"{}", "[]", "1", R"({"a":[]})", R"("")"}) {
    auto m = mcp::read_line(line(unit, 1'000'000));
    CAF_REQUIRE_EQUAL(m.size(), 1u);
    CAF_CHECK(m[0].kind == mcp::kind::invalid && m[0].lost == mcp::lost_reply::certain && m[0].id == 3);
    CAF_CHECK(m[0].message.find("it holds more than 300000 values: ") == 0);
  }
  auto much = line("\"" + std::string(100, ',') + "\"", 100'000); // text, however many commas it has
  auto m = mcp::read_line(much);
  CAF_CHECK(m.size() == 1 && m[0].kind == mcp::kind::response && m[0].payload.size() == much.size() - 34);
  // Mending takes several copies, so that a long line has to be right.
  for (auto n : {std::size_t{1'000}, std::size_t{5'000'000}}) {
    m = mcp::read_line(R"({"jsonrpc":"2.0","id":3,"result":{"x":NaN,"content":")" + std::string(n, 'x') + R"("}})");
    CAF_REQUIRE_EQUAL(m.size(), 1u);
    CAF_CHECK_EQUAL(m[0].id, 3u);
    CAF_CHECK(m[0].kind == (n < 5'000'000 ? mcp::kind::response : mcp::kind::invalid));
  }
}

CAF_TEST(a request of the server is not answered on an id of any length) {
  for (auto n : {std::size_t{1'000}, std::size_t{2'000}}) {
    auto m = mcp::read_line(R"({"jsonrpc":"2.0","method":"ping","id":")" + std::string(n, 'x') + R"("})");
    CAF_CHECK(m.size() == 1 && m[0].kind == (n < 1'500 ? mcp::kind::request : mcp::kind::invalid));
  }
}

CAF_TEST(a server that writes UTF - 16 is understood) {
  const std::string one = "\xFF\xFE{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"a\":\"x\"}}\r";
  std::string wide;
  for (auto c : one)
    wide += static_cast<unsigned char>(c) < 0x80 ? std::string{c, '\0'} : std::string{c};
  for (auto& line : {wide, std::string(1, '\0') + wide.substr(2)}) {
    auto m = mcp::read_line(line);
    CAF_REQUIRE_EQUAL(m.size(), 1u);
    CAF_CHECK(m[0].kind == mcp::kind::response && m[0].id == 3 && m[0].payload == R"({"a":"x"})");
  }
}

CAF_TEST(what cannot be read says whether a reply is lost in it and to which request) {
  using mcp::lost_reply;
  struct {
    const char* line;
    lost_reply lost;
    std::uint64_t id;
  } table[] = {
      {R"({"jsonrpc":"2.0","id":3,"result":{"content":[{"type":"te)", lost_reply::certain, 3},
      {R"({"jsonrpc":"2.0","id":3,"resu)", lost_reply::perhaps, 3},
      {R"({"result":{"content":[{"id":9,"text":"{\"id\":8)", lost_reply::certain, 0},
      {R"({"result":{"id":9,,},"jsonrpc":"2.0","id":"4"})", lost_reply::certain, 4},
      {R"({"jsonrpc":"2.0","id":5})", lost_reply::certain, 5},
      {R"(banner {"jsonrpc":"2.0","id":6,"error":{)", lost_reply::certain, 6},
      {R"([{"jsonrpc":"2.0","id":6,"result":)", lost_reply::certain, 0},
      {R"({"jsonrpc": )", lost_reply::perhaps, 0},
      {R"("jsonrpc": "2.0",)", lost_reply::perhaps, 0},
      {R"({'jsonrpc': '2.0', 'id': 3, 'result': {}})", lost_reply::perhaps, 0}, // as Python prints it
      {R"("{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}}")", lost_reply::perhaps, 0},
      {R"({"response":{"jsonrpc":"2.0","id":3,"error":{}}})", lost_reply::perhaps, 0},
      {R"(got {'jsonrpc': '2.0', 'method': 'tools/call', 'params': {'result': 1}})", lost_reply::no, 0},
      {R"({"jsonrpc":"2.0","method":"notifications/message","params":{"result)", lost_reply::no, 0},
      {"{ name: 'x', result: 1 }", lost_reply::no, 0},
      {R"({"level":30,"msg":"id 3"})", lost_reply::no, 0},
      {"Server listening on port 3000", lost_reply::no, 0},
      {"[]", lost_reply::no, 0},
      {"\"x\"", lost_reply::no, 0},
  };
  for (auto& t : table) {
    CAF_MESSAGE(t.line);
    auto all = mcp::read_line(t.line);
    CAF_REQUIRE_EQUAL(all.size(), 1u);
    CAF_CHECK(all[0].kind == mcp::kind::invalid);
    CAF_CHECK(!all[0].message.empty());
    CAF_CHECK(all[0].lost == t.lost);
    if (t.lost != lost_reply::no)
      CAF_CHECK_EQUAL(all[0].id, t.id);
  }
  auto deep = mcp::read_line(R"({"jsonrpc":"2.0","id":3,"result":)" + std::string(100, '[') + std::string(100, ']') + "}");
  CAF_CHECK(deep.size() == 1 && deep[0].id == 3 && deep[0].message.find("nested deeper than 64") != std::string::npos);
  secrets hidden;
  hidden.add_key("t0ken-of-many-letters");
  CAF_CHECK(mcp::read_line("{\"jsonrpc\": t0ken-of-many-letters", hidden)[0].message.find("t0ken") == std::string::npos);
}

CAF_TEST(a line of brackets is read in one go) {
  auto begin = std::chrono::steady_clock::now();
  for (auto* piece : {"{", "[", "{\"", "[{", "}{", "{\"a\":"}) {
    std::string line;
    while (line.size() < 500'000)
      line += piece;
    mcp::read_line(line);
  }
  CAF_CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(10));
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
    {"name":"titled","description":null,"title":"A title","inputSchema":null},
    {"description":"nameless"},"text",null]})");
  CAF_REQUIRE(page.valid && page.tools.size() == 4);
  CAF_CHECK_EQUAL(page.nameless, 3u);
  CAF_CHECK_EQUAL(page.tools[3].spec.description, "A title");
  CAF_CHECK_EQUAL(page.tools[3].spec.parameters, R"({"type":"object","properties":{}})");
  CAF_CHECK_EQUAL(mcp::read_tools(R"({"tools":[],"nextCursor":5})").next, "5");
  CAF_CHECK_EQUAL(mcp::read_tools(R"({"tools":[],"nextCursor":null})").next, "");
  CAF_CHECK_EQUAL(page.next, "more");
  CAF_CHECK(page.tools[0].notes.read_only && page.tools[0].spec.parameters == R"({"$defs":{"x":{}},"type":"object"})");
  CAF_CHECK_EQUAL(page.tools[1].spec.description, "MCP tool: bare");
  CAF_CHECK_EQUAL(page.tools[2].spec.parameters, R"({"type":"object","properties":{}})");
  CAF_CHECK(!page.tools[2].notes.read_only);
  CAF_CHECK(mcp::read_tools(R"({"tools":[]})").valid);
  for (auto* bad : {"{}", R"({"tools":{}})", "[]", "{", ""})
    CAF_CHECK(!mcp::read_tools(bad).valid);
  std::string longer;
  for (int i = 0; i < 3000; ++i)
    longer += "\xE6\x9D\xB1";
  page = mcp::read_tools(R"({"tools":[{"name":"t","description":")" + longer + "\"}]}");
  CAF_CHECK_EQUAL(page.tools[0].spec.description.size(), 4095u); // cut at a character
}

CAF_TEST(a result becomes text and what is no text becomes a note) {
  CAF_CHECK_EQUAL(text_of(R"([{"type":"text","text":"a"},{"type":"text","text":"b"}])"), "a\nb");
  CAF_CHECK_EQUAL(text_of(R"([{"type":"image","mimeType":"image/png","data":"AAAAAAAA"}])"),
                  "[image image/png, 6 bytes, not shown]");
  CAF_CHECK_EQUAL(text_of(R"([{"type":"resource","resource":{"uri":"file:///x","text":"inside"}}])"), "inside");
  CAF_CHECK_EQUAL(text_of(R"([{"type":"resource","resource":{"uri":"file:///x","blob":"AAA="}}])"),
                  "[resource file:///x, binary, 2 bytes, not shown]");
  CAF_CHECK_EQUAL(text_of(R"([{"type":"resource_link","name":"n","uri":"u"}])"), "[resource n: u]");
  CAF_CHECK_EQUAL(text_of(R"([{"type":"hologram"},7])"),
                  "[content of an unknown type is left out]\n[content of an unknown type is left out]");
  CAF_CHECK_EQUAL(mcp::read_result(R"({"content":[],"structuredContent":{"a":1}})").text, R"({"a":1})");
  CAF_CHECK_EQUAL(mcp::read_result(R"({"content":[{"type":"text","text":"x"}],"structuredContent":{"a":1}})").text, "x");
}

CAF_TEST(a result is understood in the shapes that servers give it) {
  CAF_CHECK_EQUAL(text_of(R"("plain")"), "plain");
  CAF_CHECK_EQUAL(text_of(R"({"type":"text","text":"one"})"), "one");
  CAF_CHECK_EQUAL(text_of(R"(["a",{"text":"b"},{"type":"text","text":null}])"), "a\nb\n");
  CAF_CHECK_EQUAL(text_of(R"([{"value":42}])"), R"({"value":42})");
  CAF_CHECK_EQUAL(text_of("null"), "");
  for (auto [result, text] : {std::pair{R"("42")", "42"},
                              {"42", "42"},
                              {R"([{"type":"text","text":"x"}])", "x"},
                              {R"({"toolResult":"old"})", "old"},
                              {R"({"content":null,"structuredContent":{"a":1}})", R"({"a":1})"},
                              {R"({"structuredContent":{"a":1}})", R"({"a":1})"},
                              {R"({"output":"y","isError":false})", R"({"output":"y"})"},
                              {"{}", ""}}) {
    auto r = mcp::read_result(result);
    CAF_CHECK(!r.is_error);
    CAF_CHECK_EQUAL(r.text, text);
  }
}

CAF_TEST(a failed call is an error result and so is nonsense) {
  CAF_CHECK(mcp::read_result(R"({"content":[{"type":"text","text":"no"}],"isError":true})").is_error);
  for (auto* flag : {"\"true\"", "1", "true"})
    CAF_CHECK(mcp::read_result(std::string(R"({"content":[],"isError":)") + flag + "}").is_error);
  for (auto* flag : {"\"false\"", "0", "false", "null", "[]"})
    CAF_CHECK(!mcp::read_result(std::string(R"({"content":[],"isError":)") + flag + "}").is_error);
  for (auto* bad : {"[]", "{", "", "null"})
    CAF_CHECK(mcp::read_result(bad).is_error);
}

CAF_TEST(hints of a tool have the defaults of the specification) {
  auto notes = [](const std::string& x) {
    return mcp::read_tools(R"({"tools":[{"name":"t","annotations":)" + x + "}]}").tools.at(0).notes;
  };
  for (auto* none :
       {"{}", "null", "[]", "7", R"({"readOnlyHint":"true","destructiveHint":0,"openWorldHint":null,"idempotentHint":1})"})
    CAF_CHECK(notes(none) == (tool_annotations{false, false, true, true, 0}));
  CAF_CHECK(notes(R"({"readOnlyHint":true})") == (tool_annotations{true, false, true, true, 0}));
  CAF_CHECK(notes(R"({"idempotentHint":true,"destructiveHint":false})") == (tool_annotations{false, true, false, true, 0}));
  CAF_CHECK(notes(R"({"openWorldHint":false,"destructiveHint":true})") == (tool_annotations{false, false, true, false, 0}));
}

CAF_TEST(arguments are checked against each limit) {
  CAF_CHECK_EQUAL(mcp::check_arguments("{}", false), "");
  for (auto* bad : {"", "[]", "4", "{", R"({"a":1,"a":2})", "{\"a\":\"\xFF\"}", R"({"a":"\ud800"})", R"({"a":NaN})"})
    CAF_CHECK_EQUAL(mcp::check_arguments(bad, false), "they are no valid JSON object");
  CAF_CHECK_EQUAL(mcp::check_arguments(nested(6), false), ""); // a block of Notion
  CAF_CHECK_EQUAL(mcp::check_arguments(nested(64), false), "");
  CAF_CHECK_EQUAL(mcp::check_arguments(nested(65), false), "they are nested deeper than 64");
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
  CAF_CHECK_EQUAL(mcp::public_name("s", "search the web"), "mcp__s__search_the_web");
  CAF_CHECK_EQUAL(mcp::public_name("s", ""), "");
  std::set<std::string> all;
  for (auto& odd : {std::string("gr\xC3\xB6\xC3\x9F"
                                "e"),
                    std::string("gr\xC3\xA4\xC3\x9F"
                                "e"),
                    std::string("\xE6\xA4\x9C"), std::string("\xE7\xB4\xA2"), std::string("a\n"), std::string("a\0b", 3),
                    std::string("mcp__"), std::string("\xFF"), std::string(5000, 'x'), std::string(100, 'x')}) {
    auto shown = mcp::public_name("s", odd);
    CAF_CHECK(shown.size() <= 64 && shown.rfind("mcp__s__", 0) == 0 && shown == mcp::public_name("s", odd));
    for (unsigned char c : shown)
      CAF_CHECK(std::isalnum(c) != 0 || c == '_' || c == '-');
    CAF_CHECK(all.insert(shown).second);
  }
}

namespace {

mcp::tool_page page_of(const std::vector<std::string>& names, const std::string& next = "") {
  mcp::tool_page p;
  p.valid = true;
  p.next = next;
  for (auto& n : names)
    p.tools.push_back({{n, "d", "{}"}, {}});
  return p;
}

std::map<std::string, std::string> offered(const std::vector<std::string>& names) {
  mcp::tool_catalogue c;
  c.add(page_of(names));
  return c.offer("s", {}).original;
}

bool mentions(const tool_list& l, const std::string& what) {
  return std::count_if(l.notes.begin(), l.notes.end(), [&](auto& n) { return n.find(what) != std::string::npos; }) == 1;
}

} // namespace

CAF_TEST(names that become equal are told apart whatever the order of the list) {
  auto a = offered({"a b", "a.b", "a_b", "c d"}), b = offered({"c d", "a_b", "a.b", "a b"});
  CAF_CHECK_EQUAL(a.size(), 4u);
  CAF_CHECK(a == b);
  CAF_CHECK_EQUAL(a["mcp__s__a_b"], "a_b");
  CAF_CHECK_EQUAL(a["mcp__s__c_d"], "c d");
  auto both = offered({"echo", "mcp__x__echo"});
  CAF_CHECK_EQUAL(both["mcp__s__echo"], "echo");
}

CAF_TEST(a list that never ends is stopped once said and its tools are used) {
  mcp::tool_catalogue c;
  CAF_CHECK_EQUAL(c.add(page_of({"a"}, "1")), "1");
  CAF_CHECK_EQUAL(c.add(page_of({"b"}, "2")), "2");
  CAF_CHECK_EQUAL(c.add(page_of({"a"}, "1")), "");
  auto o = c.offer("s", {});
  CAF_CHECK_EQUAL(o.original.size(), 2u);
  CAF_CHECK(o.list.notes.size() == 1 && mentions(o.list, "the same cursor came twice"));
  mcp::tool_catalogue pages, tools;
  int n = 0;
  while (!pages.add(page_of({"a"}, std::to_string(++n))).empty() && n < 1000) {
  }
  CAF_CHECK_EQUAL(n, 100);
  CAF_CHECK(mentions(pages.offer("s", {}).list, "longer than 100 pages"));
  std::vector<std::string> many;
  for (int i = 0; i < 1001; ++i)
    many.push_back("t" + std::to_string(i));
  CAF_CHECK_EQUAL(tools.add(page_of(many, "next")), "");
  auto full = tools.offer("s", {});
  CAF_CHECK(full.original.size() == 1000 && mentions(full.list, "longer than 1000 tools"));
}

CAF_TEST(a tool that is listed twice or without a name is said) {
  mcp::tool_catalogue c;
  auto p = page_of({"a", "a", "b"});
  p.tools[1].spec.parameters = R"({"type":"object"})";
  p.nameless = 2;
  c.add(p);
  mcp::tool_filter f;
  f.excluded = {"b"};
  f.expected = {"b", "nope"};
  auto o = c.offer("s", f);
  CAF_CHECK(o.original.size() == 1 && o.list.notes.size() == 3);
  CAF_CHECK(mentions(o.list, "'a' is listed twice") && mentions(o.list, "2 tools have no name")
            && mentions(o.list, "'nope' matches no"));
}

CAF_TEST(pages that are large together end the list with a note) {
  mcp::tool_catalogue tools, again;
  auto large = page_of({"a"}, "x");
  large.tools[0].spec.description = std::string(std::size_t{3} << 20, 'd');
  auto n = 0;
  for (std::string next = "0"; !next.empty() && n < 50; ++n) {
    large.tools[0].spec.name = large.next = "t" + std::to_string(n);
    next = tools.add(large);
  }
  CAF_CHECK_EQUAL(n, 3);
  CAF_CHECK(mentions(tools.offer("s", {}).list, "longer than 8 MiB; the 2 so far are used"));
  n = 0; // the same tool again and again, and cursors of any length, take room too
  while (!again.add(page_of({"a"}, std::to_string(n) + std::string(std::size_t{1} << 20, 'c'))).empty() && n < 50)
    ++n;
  CAF_CHECK_EQUAL(n, 7);
}
