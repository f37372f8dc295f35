// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/mcp.hpp"

#include "protocols/wire/http_reply.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/wire/json_util.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace conclave::wire::mcp {

namespace {

constexpr std::size_t max_result = std::size_t{256} * 1024;
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

std::size_t char_end(const std::string& text, std::size_t end) {
  end = std::min(end, text.size());
  while (end > 0 && end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
    --end;
  return end;
}

void line(std::string& out, const std::string& text) {
  if (!out.empty())
    out += '\n';
  out += text;
}

/// One content item as text.
void add_item(std::string& out, const json& item) {
  auto type = string_at(item, "type");
  if (type == "text")
    return line(out, string_at(item, "text"));
  if (type == "image" || type == "audio")
    return line(out, "[" + type + " " + string_at(item, "mimeType") + ", " + std::to_string(string_at(item, "data").size() * 3 / 4)
                         + " bytes, not shown]");
  if (type == "resource_link")
    return line(out, "[resource " + string_at(item, "name") + ": " + string_at(item, "uri") + "]");
  if (type == "resource") {
    auto* r = member(item, "resource");
    if (r != nullptr && member(*r, "text") != nullptr)
      return line(out, string_at(*r, "text"));
    return line(out, "[resource " + (r == nullptr ? std::string{} : string_at(*r, "uri")) + ", binary, not shown]");
  }
  line(out, "[content of an unknown type is left out]");
}

std::string check(const json& v, int depth) {
  if (depth > 5)
    return "they are nested deeper than 5";
  if (v.is_object() && v.size() > 100)
    return "an object has more than 100 members";
  if (v.is_array() && v.size() > 1000)
    return "an array has more than 1000 items";
  if (v.is_structured())
    for (auto& x : v)
      if (auto problem = check(x, depth + 1); !problem.empty())
        return problem;
  return {};
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
  return request(id, "tools/call", {{"name", name}, {"arguments", v && v->is_object() ? *v : json::object()}});
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

incoming read(std::string_view text, const secrets& hidden) {
  incoming out;
  auto v = parse(text);
  if (!v || !v->is_object() || string_at(*v, "jsonrpc") != "2.0")
    return out;
  auto* id = member(*v, "id");
  if (id != nullptr && id->is_number_unsigned())
    out.id = id->get<std::uint64_t>();
  out.method = string_at(*v, "method");
  if (!out.method.empty()) {
    if (auto* params = member(*v, "params"))
      out.payload = dump(*params);
    if (id == nullptr) {
      out.kind = kind::notification;
    } else if (id->is_string() || id->is_number_integer()) {
      out.kind = kind::request;
      out.id_json = dump(*id);
    }
    return out;
  }
  if (auto* r = member(*v, "result")) {
    out.kind = kind::response;
    out.payload = dump(*r);
  } else if (auto* e = member(*v, "error")) {
    out.kind = kind::error;
    out.code = int_at(*e, "code");
    out.message = brief(string_at(*e, "message"), 500, hidden);
  }
  return out;
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
  out.next = string_at(*v, "nextCursor");
  for (auto& t : *tools) {
    listed_tool x;
    x.name = string_at(t, "name");
    if (x.name.empty())
      continue;
    x.description = string_at(t, "description");
    if (x.description.empty())
      x.description = "MCP tool: " + x.name;
    x.description.resize(char_end(x.description, max_description));
    auto* schema = member(t, "inputSchema");
    x.schema = schema != nullptr && schema->is_object() ? dump(*schema) : R"({"type":"object","properties":{}})";
    if (auto* notes = member(t, "annotations"))
      if (auto* hint = member(*notes, "readOnlyHint"))
        x.read_only = hint->is_boolean() && hint->get<bool>();
    out.tools.push_back(std::move(x));
  }
  return out;
}

tool_result read_result(const std::string& payload) {
  tool_result out;
  auto v = parse(payload);
  if (!v || !v->is_object())
    return {"", "Error: the server's result is no JSON object", true};
  if (auto* e = member(*v, "isError"))
    out.is_error = e->is_boolean() && e->get<bool>();
  if (auto* content = member(*v, "content"); content != nullptr && content->is_array())
    for (auto& item : *content)
      add_item(out.text, item);
  if (out.text.empty())
    if (auto* s = member(*v, "structuredContent"))
      out.text = dump(*s);
  if (out.text.size() > max_result) {
    auto end = char_end(out.text, max_result);
    auto gone = out.text.size() - end;
    out.text.resize(end);
    out.text += "\n[cut: " + std::to_string(gone) + " bytes left out]";
  }
  return out;
}

std::string check_arguments(const std::string& arguments, bool writes_files) {
  if (arguments.size() > (writes_files ? 16u << 20 : 1u << 20))
    return "they are larger than " + std::string(writes_files ? "16 MiB" : "1 MiB");
  auto v = parse(arguments, true);
  if (!v || !v->is_object())
    return "they are no valid JSON object";
  return check(*v, 0);
}

std::string public_name(const std::string& server, const std::string& tool) {
  auto name = tool;
  if (name.rfind("mcp__", 0) == 0) {
    name = name.substr(5);
    if (auto more = name.find("__"); more != std::string::npos)
      name = name.substr(more + 2);
  }
  if (name.empty() || name.size() > 100)
    return {};
  for (auto& c : name) {
    auto u = static_cast<unsigned char>(c);
    if (u < 0x21 || u > 0x7E)
      return {}; // control characters, spaces, non-ASCII
    if (std::isalnum(u) == 0 && c != '_' && c != '-')
      c = '_';
  }
  auto full = "mcp__" + server + "__" + name;
  if (full.size() > 64)
    full = full.substr(0, 55) + "_" + hash(server + "\n" + tool).substr(0, 8);
  return full;
}

} // namespace conclave::wire::mcp
