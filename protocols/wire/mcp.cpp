// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/mcp.hpp"

#include "protocols/text.hpp"
#include "protocols/wire/http_reply.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/wire/json_util.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace conclave::wire::mcp {

namespace {

constexpr std::size_t max_description = std::size_t{4} * 1024;

std::string request(std::uint64_t id, const char* method, json params) {
  return dump({{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", std::move(params)}});
}

std::string notification(const char* method, json params) {
  json v = {{"jsonrpc", "2.0"}, {"method", method}};
  if (!params.empty())
    v["params"] = std::move(params);
  return dump(v);
}

bool is_deep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size() && depth <= max_depth; ++i) {
    auto c = text[i];
    if (c == '"')
      in_string = !in_string;
    else if (in_string && c == '\\')
      ++i;
    else if (!in_string)
      depth += (c == '{' || c == '[') - (c == '}' || c == ']');
  }
  return depth > max_depth;
}

std::string check(const json& v) {
  if (v.is_object() && v.size() > 100)
    return "an object has more than 100 members";
  if (v.is_array() && v.size() > 1000)
    return "an array has more than 1000 items";
  if (v.is_structured())
    for (auto& x : v)
      if (auto problem = check(x); !problem.empty())
        return problem;
  return {};
}

/// Only a plain true or false counts; else the default of the specification stays.
void read_hints(const json& from, tool_annotations& to) {
  for (auto [name, value] : {std::pair{"readOnlyHint", &to.read_only},
                             {"idempotentHint", &to.idempotent},
                             {"destructiveHint", &to.destructive},
                             {"openWorldHint", &to.open_world}})
    if (auto* hint = member(from, name); hint != nullptr && hint->is_boolean())
      *value = hint->get<bool>();
}

} // namespace

std::string initialize(std::uint64_t id) {
  return request(id, "initialize",
                 {{"protocolVersion", latest},
                  {"capabilities", json::object()},
                  {"clientInfo", {{"name", "conclave"}, {"version", "0.1.0"}}}});
}

std::string initialized() {
  return notification("notifications/initialized", json::object());
}

std::string list_tools(std::uint64_t id, const std::string& cursor) {
  json params = json::object();
  if (!cursor.empty())
    params["cursor"] = cursor;
  return request(id, "tools/list", std::move(params));
}

std::string call_tool(std::uint64_t id, const std::string& name, const std::string& arguments) {
  auto v = parse(arguments);
  return request(id, "tools/call",
                 {{"name", name}, {"arguments", v && v->is_object() ? *v : json::object()}, {"_meta", {{"progressToken", id}}}});
}

std::string cancelled(std::uint64_t id, const std::string& reason) {
  return notification("notifications/cancelled", {{"requestId", id}, {"reason", reason}});
}

std::string result(const std::string& id_json) {
  return R"({"jsonrpc":"2.0","id":)" + id_json + R"(,"result":{}})";
}

std::string method_not_found(const std::string& id_json) {
  return R"({"jsonrpc":"2.0","id":)" + id_json + R"(,"error":{"code":-32601,"message":"Method not found"}})";
}

bool read_initialized(const std::string& payload, std::string& version) {
  auto v = parse(payload);
  version = v ? string_at(*v, "protocolVersion") : std::string{};
  static constexpr std::array known{"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05", "2024-10-07"};
  return std::find(known.begin(), known.end(), version) != known.end();
}

tool_page read_tools(const std::string& payload) {
  tool_page out;
  auto v = parse(payload);
  auto* tools = v ? member(*v, "tools") : nullptr;
  if (tools == nullptr || !tools->is_array())
    return out;
  out.valid = true;
  if (auto* next = member(*v, "nextCursor"); next != nullptr && (next->is_string() || next->is_number()))
    out.next = next->is_string() ? next->get<std::string>() : dump(*next);
  for (auto& t : *tools) {
    listed_tool x;
    auto& [name, description, schema] = x.spec;
    name = string_at(t, "name");
    if (name.empty()) {
      ++out.nameless;
      continue;
    }
    description = string_at(t, "description");
    if (description.empty())
      description = string_at(t, "title");
    if (description.empty())
      description = "MCP tool: " + name;
    description.resize(whole_characters(description, max_description));
    auto* input = member(t, "inputSchema");
    schema = input != nullptr && input->is_object() ? dump(*input) : R"({"type":"object","properties":{}})";
    if (auto* hints = member(t, "annotations"))
      read_hints(*hints, x.notes);
    out.tools.push_back(std::move(x));
  }
  return out;
}

std::string check_arguments(const std::string& arguments, bool writes_files) {
  if (arguments.size() > (writes_files ? 16u << 20 : 1u << 20))
    return "they are larger than " + std::string(writes_files ? "16 MiB" : "1 MiB");
  auto v = parse(arguments, true);
  if (!v || !v->is_object())
    return is_deep(arguments) ? "they are nested deeper than 64" : "they are no valid JSON object";
  return check(*v);
}

std::string public_name(const std::string& server, const std::string& tool, bool marked) {
  auto name = tool;
  if (name.rfind("mcp__", 0) == 0) {
    name = name.substr(5);
    if (auto more = name.find("__"); more != std::string::npos)
      name = name.substr(more + 2);
  }
  if (tool.empty())
    return {};
  std::string shown;
  for (auto c : name) {
    auto u = static_cast<unsigned char>(c);
    auto plain = std::isalnum(u) != 0 || c == '_' || c == '-';
    marked = marked || u < 0x20 || u > 0x7E; // nothing readable is left of these
    if (plain || u < 0x80 || shown.empty() || shown.back() != '_')
      shown += plain ? c : '_';
  }
  auto full = "mcp__" + server + "__" + shown;
  if (full.size() > 64 || marked || shown.empty())
    full = full.substr(0, 55) + (full.size() < 56 && full.back() == '_' ? "" : "_") + hash(server + "\n" + tool).substr(0, 8);
  return full;
}

} // namespace conclave::wire::mcp
