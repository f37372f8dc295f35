// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What a tool gave, as typed parts. Source: https://modelcontextprotocol.io/specification/2025-11-25/server/tools, read 2026-11-24.

#include "protocols/tool_result.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/wire/json_util.hpp"
#include "protocols/wire/mcp.hpp"

#include <algorithm>

namespace conclave::wire::mcp {

namespace {

/// What comes after these is told as text.
constexpr std::size_t max_parts = 256;

/// A member that may be text or not there.
std::string text_or_json(const json& v) {
  return v.is_string() ? v.get<std::string>() : dump(v);
}

bool is_set(const json* flag) {
  return flag != nullptr
         && ((flag->is_boolean() && flag->get<bool>()) || (flag->is_number() && *flag != 0)
             || (flag->is_string() && (*flag == "true" || *flag == "True")));
}

/// Without the line breaks some encoders add, and without "data:image/png;base64," in front.
std::string bare_base64(std::string data) {
  if (data.starts_with("data:"))
    data.erase(0, std::min(data.find(','), data.size() - 1) + 1);
  if (data.find_first_of(" \r\n\t") != std::string::npos)
    std::erase_if(data, [](char c) { return c == ' ' || c == '\r' || c == '\n' || c == '\t'; });
  return data;
}

class content_reader {
public:
  std::vector<content_part> parts;

  /// Content is a list of items; some servers give the one item, or its text, without the list.
  void content(const json& v) {
    if (v.is_array())
      for (auto& x : v)
        item(x);
    else if (!v.is_null())
      item(v);
  }

  void add(content_kind kind, std::string text) {
    content_part p;
    p.kind = kind;
    p.text = std::move(text);
    add(std::move(p));
  }

private:
  void add(content_part p) {
    if (parts.size() < max_parts) {
      parts.push_back(std::move(p));
      return;
    }
    if (parts.size() == max_parts)
      parts.emplace_back();
    parts.back().text += (parts.back().text.empty() ? "" : "\n") + p.text;
  }

  void item(const json& v) {
    if (v.is_string())
      return add(content_kind::text, v.get<std::string>());
    auto type = string_at(v, "type");
    auto* text = member(v, "text");
    if (type == "text" || (type.empty() && text != nullptr))
      return add(content_kind::text, text == nullptr || text->is_null() ? std::string{} : text_or_json(*text));
    if (type.empty() && v.is_object())
      return add(content_kind::text, dump(v));
    if (type == "image" || type == "audio")
      return media(type == "image" ? content_kind::image : content_kind::audio, type + " " + string_at(v, "mimeType"), v, "data");
    if (type == "resource_link")
      return link(v);
    if (auto* r = member(v, "resource"); type == "resource")
      return resource(r == nullptr ? json::object() : *r);
    add(content_kind::text, "[content of an unknown type is left out]");
  }

  /// `what`: for the note, such as "image image/png".
  void media(content_kind kind, const std::string& what, const json& v, const char* key) {
    content_part p;
    p.kind = kind;
    p.media_type = string_at(v, "mimeType");
    p.uri = string_at(v, "uri");
    p.data = bare_base64(string_at(v, key));
    auto padding =
        std::count(p.data.end() - static_cast<std::ptrdiff_t>(std::min<std::size_t>(p.data.size(), 2)), p.data.end(), '=');
    auto bytes = p.data.size() * 3 / 4 - static_cast<std::size_t>(std::min<std::ptrdiff_t>(padding, 2));
    p.text = "[" + what + ", " + std::to_string(bytes) + " bytes, not shown]";
    if (!is_base64(p.data)) {
      p.text = "[" + what + ", not shown: it is no base64]";
      p.data.clear();
    } else if (p.data.size() > max_result_data - data_ || parts.size() >= max_parts) {
      p.text.insert(p.text.size() - 1, ": too large");
      p.data.clear();
    }
    data_ += p.data.size();
    add(std::move(p));
  }

  void link(const json& v) {
    content_part p;
    p.kind = content_kind::resource;
    p.media_type = string_at(v, "mimeType");
    p.uri = string_at(v, "uri");
    p.text = "[resource " + string_at(v, "name") + ": " + p.uri + "]";
    if (auto about = string_at(v, "description"); !about.empty())
      p.text += " " + about;
    add(std::move(p));
  }

  void resource(const json& v) {
    auto uri = string_at(v, "uri");
    if (member(v, "text") == nullptr)
      return media(content_kind::resource, "resource " + uri + ", binary", v, "blob");
    content_part p;
    p.kind = content_kind::resource;
    p.media_type = string_at(v, "mimeType");
    p.uri = std::move(uri);
    p.text = string_at(v, "text");
    add(std::move(p));
  }

  std::size_t data_ = 0;
};

} // namespace

tool_result read_result(const std::string& payload) {
  tool_result out;
  auto v = parse(payload);
  if (!v || v->is_null() || (v->is_array() && v->empty()))
    return {"", "Error: the server's result is no JSON object", true};
  out.is_error = is_set(member(*v, "isError"));
  content_reader in;
  auto* content = member(*v, "content");
  if (!v->is_object())
    in.content(v->is_number() || v->is_boolean() ? json(dump(*v)) : *v);
  else if (content != nullptr)
    in.content(*content);
  if (auto* form = member(*v, "structuredContent"); form != nullptr && !form->is_null())
    in.add(content_kind::json, text_or_json(*form));
  out.text = joined_text(in.parts);
  if (auto* old = member(*v, "toolResult"); old != nullptr && !old->is_null() && out.text.empty()) // of the first revision
    out.text = text_or_json(*old);
  if (out.text.empty() && content == nullptr && v->is_object()) {
    auto rest = *v;
    rest.erase("isError");
    rest.erase("_meta");
    if (!rest.empty())
      out.text = dump(rest);
  }
  if (std::any_of(in.parts.begin(), in.parts.end(), [](auto& p) { return p.kind != content_kind::text; }))
    out.parts = std::move(in.parts);
  return out;
}

} // namespace conclave::wire::mcp
