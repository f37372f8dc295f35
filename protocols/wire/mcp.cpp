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
  if (item.is_string())
    return line(out, item.get_ref<const std::string&>());
  auto type = string_at(item, "type");
  auto* text = member(item, "text");
  if (type == "text" || (type.empty() && text != nullptr)) {
    if (text != nullptr && text->is_string())
      return line(out, text->get_ref<const std::string&>());
    return line(out, text == nullptr || text->is_null() ? std::string{} : dump(*text));
  }
  if (type.empty() && item.is_object())
    return line(out, dump(item));
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

/// Content is a list of items; some servers give the one item, or its text, without the list.
void add_content(std::string& out, const json& content) {
  if (content.is_array())
    for (auto& item : content)
      add_item(out, item);
  else if (!content.is_null())
    add_item(out, content);
}

bool is_set(const json* flag) {
  return flag != nullptr
         && ((flag->is_boolean() && flag->get<bool>()) || (flag->is_number() && *flag != 0)
             || (flag->is_string() && (*flag == "true" || *flag == "True")));
}

/// A member that may be text or not there.
std::string text_or_json(const json& v) {
  return v.is_string() ? v.get<std::string>() : dump(v);
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
    out.next = text_or_json(*next);
  for (auto& t : *tools) {
    listed_tool x;
    x.name = string_at(t, "name");
    if (x.name.empty()) {
      ++out.nameless;
      continue;
    }
    x.description = string_at(t, "description");
    if (x.description.empty())
      x.description = string_at(t, "title");
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
  if (!v || v->is_null() || (v->is_array() && v->empty()))
    return {"", "Error: the server's result is no JSON object", true};
  out.is_error = is_set(member(*v, "isError"));
  auto* content = member(*v, "content");
  if (!v->is_object())
    add_content(out.text, v->is_number() || v->is_boolean() ? json(dump(*v)) : *v);
  else if (content != nullptr)
    add_content(out.text, *content);
  if (out.text.empty())
    for (auto* other : {"structuredContent", "toolResult"}) // the second: of the first revision
      if (auto* s = member(*v, other); s != nullptr && !s->is_null() && out.text.empty())
        out.text = text_or_json(*s);
  if (out.text.empty() && content == nullptr && v->is_object()) {
    auto rest = *v;
    rest.erase("isError");
    rest.erase("_meta");
    if (!rest.empty())
      out.text = dump(rest);
  }
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
