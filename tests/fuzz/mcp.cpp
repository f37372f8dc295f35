// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// A tool server may send anything, and a model may ask for anything.

#include "fuzz/fuzz.hpp"
#include "protocols/tool_result.hpp"
#include "protocols/wire/json_util.hpp"
#include "protocols/wire/mcp_tools.hpp"

using namespace conclave;
namespace mcp = conclave::wire::mcp;

namespace {

/// One JSON-RPC message on one line.
void check_sent(const std::string& line) {
  auto v = wire::json::parse(line, nullptr, false); // arguments may be as deep as is allowed, the call around them is deeper
  FUZZ_REQUIRE(v.is_object() && wire::string_at(v, "jsonrpc") == "2.0" && line.find('\n') == std::string::npos);
}

void check_name(const std::string& name) {
  FUZZ_REQUIRE(name.size() <= 64);
  for (char c : name)
    FUZZ_REQUIRE((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-');
  FUZZ_REQUIRE(name.empty() || name.rfind("mcp__", 0) == 0);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto text = fuzz::text_of(data, size);
  std::vector<std::string> payloads{text};
  auto all = mcp::read_line(text);
  FUZZ_REQUIRE(all.size() <= 1000);
  for (auto& m : all) {
    if (m.kind == mcp::kind::request) {
      check_sent(mcp::result(m.id_json));
      check_sent(mcp::method_not_found(m.id_json));
    }
    FUZZ_REQUIRE(fuzz::is_clean_line(m.message));
    FUZZ_REQUIRE(m.kind != mcp::kind::invalid || !m.message.empty());
    if (payloads.size() < 8)
      payloads.push_back(m.payload);
  }
  if (auto one = mcp::read(text); one.kind != mcp::kind::invalid)
    FUZZ_REQUIRE(!all.empty() && all[0].kind == one.kind && all[0].id == one.id && all[0].payload == one.payload);
  for (auto& payload : payloads) {
    std::string version;
    FUZZ_REQUIRE(!mcp::read_initialized(payload, version) || version.size() == 10);
    for (auto& [t, notes] : mcp::read_tools(payload).tools) {
      FUZZ_REQUIRE(!t.name.empty() && t.description.size() <= 4096 && wire::parse(t.parameters)->is_object());
      check_name(mcp::public_name("server", t.name));
    }
    mcp::tool_catalogue tools;
    tools.add(mcp::read_tools(payload));
    auto offered = tools.offer("server", {});
    FUZZ_REQUIRE(offered.list.tools.size() == offered.original.size());
    for (auto& [shown, own] : offered.original) {
      check_name(shown);
      FUZZ_REQUIRE(!own.empty());
    }
    auto r = mcp::read_result(payload);
    FUZZ_REQUIRE(r.parts.empty() || r.text == joined_text(r.parts));
    admit(r);
    FUZZ_REQUIRE(r.text.size() < 257 * 1024
                 && size_of(r.parts) < max_result_data + 2 * max_result_text + r.parts.size() * 16 * 1024);
    for (auto& p : r.parts)
      FUZZ_REQUIRE(p.data.empty() || is_base64(p.data));
  }
  check_name(mcp::public_name("server", text));
  check_sent(mcp::call_tool(7, text, text));
  check_sent(mcp::cancelled(7, text));
  check_sent(mcp::list_tools(7, text));
  if (mcp::check_arguments(text, false).empty())
    FUZZ_REQUIRE(wire::is_object(text));
  return 0;
}
