// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/response_items.hpp"

#include <algorithm>
#include <set>

// Source: types ResponseOutputItem and ResponseInputItem of the vendor's TypeScript SDK 7.57.0 (resources/responses), read
// 2026-11-26.

namespace conclave::wire {

namespace {

/// Calls `use` with every part of a list.
template <class Use>
void each_part(const json& item, const char* key, Use use) {
  auto* parts = member(item, key);
  if (parts != nullptr && parts->is_array())
    for (auto& p : *parts)
      use(p);
}

bool is_blank_list(const json& item, const char* key) {
  auto* list = member(item, key);
  return list == nullptr || !list->is_array() || list->empty();
}

void drop_nulls(json& item) {
  for (auto i = item.begin(); i != item.end();)
    i = i->is_null() ? item.erase(i) : std::next(i);
}

} // namespace

const std::string& ref_at(const json& v, const char* key) {
  static const std::string none;
  auto* m = member(v, key);
  return m != nullptr && m->is_string() ? m->get_ref<const std::string&>() : none;
}

bool is_call(std::string_view type) {
  return type == "function_call" || type == "custom_tool_call";
}

std::string given_arguments(const json& item) {
  auto* given = member(item, ref_at(item, "type") == "custom_tool_call" ? "input" : "arguments");
  return given == nullptr || given->is_null() ? std::string{} : given->is_string() ? given->get<std::string>() : dump(*given);
}

std::string message_text(const json& item) {
  if (auto* content = member(item, "content"); content != nullptr && content->is_string())
    return content->get<std::string>();
  std::string out;
  each_part(item, "content", [&](const json& p) { out += ref_at(p, "text"); });
  return out;
}

std::string message_refusal(const json& item) {
  std::string out;
  each_part(item, "content", [&](const json& p) { out += ref_at(p, "refusal"); });
  return out;
}

void each_source(const json& item, const std::function<void(const std::string&, const std::string&)>& use) {
  each_part(item, "content", [&](const json& p) {
    each_part(p, "annotations", [&](const json& a) {
      auto& title = ref_at(a, "title");
      use(title.empty() ? ref_at(a, "filename") : title, ref_at(a, "url"));
    });
  });
}

std::string thought_text(const json& item, const char* which) {
  std::string out;
  each_part(item,
            which != nullptr                 ? which
            : is_blank_list(item, "summary") ? "content"
                                             : "summary",
            [&](const json& p) { out += (out.empty() ? "" : "\n\n") + ref_at(p, "text"); });
  return out;
}

std::string hosted_tool(const json& item) {
  std::string_view type = ref_at(item, "type");
  if (is_call(type) || !type.ends_with("_call"))
    return {};
  auto& name = ref_at(item, "name");
  auto& server = ref_at(item, "server_label");
  return type == "mcp_call" ? server + (server.empty() ? "" : ".") + name : std::string(type.substr(0, type.size() - 5));
}

std::string hosted_detail(const json& item) {
  if (auto* action = member(item, "action")) {
    for (auto* key : {"query", "url", "pattern"})
      if (auto& text = ref_at(*action, key); !text.empty())
        return text;
    if (auto* queries = member(*action, "queries"); queries != nullptr && queries->is_array() && !queries->empty())
      return queries->front().is_string() ? queries->front().get<std::string>() : std::string{};
  }
  if (auto* queries = member(item, "queries"); queries != nullptr && queries->is_array() && !queries->empty())
    return queries->front().is_string() ? queries->front().get<std::string>() : std::string{};
  for (auto* key : {"code", "error"})
    if (auto& text = ref_at(item, key); !text.empty())
      return text;
  return {};
}

json for_replay(json item, bool stored) {
  std::string type = ref_at(item, "type");
  if (type.empty())
    return nullptr;
  if (type == "message") {
    if (is_blank_list(item, "content") || (message_text(item).empty() && message_refusal(item).empty()))
      return nullptr;
    drop_nulls(item);
    if (ref_at(item, "status").empty())
      item["status"] = "completed"; // required here, and refused or ignored in the others
  } else if (type == "reasoning") {
    auto kept = !ref_at(item, "encrypted_content").empty() || !is_blank_list(item, "content") || stored;
    if (!kept || ref_at(item, "status") == "incomplete")
      return nullptr; // an id alone is looked up, and nobody finds it
    drop_nulls(item);
    item.erase("status");
    if (!item.contains("summary"))
      item["summary"] = json::array();
  } else if (is_call(type)) {
    drop_nulls(item);
    item.erase("status");
  }
  return item;
}

void drop_loose_ends(json& items) {
  std::set<std::string> answered;
  for (auto& i : items)
    if (ref_at(i, "type").ends_with("_output"))
      answered.insert(ref_at(i, "call_id"));
  std::erase_if(items.get_ref<json::array_t&>(), [&](const json& i) {
    return !hosted_tool(i).empty() && !ref_at(i, "call_id").empty() && answered.count(ref_at(i, "call_id")) == 0;
  });
  while (!items.empty() && ref_at(items.back(), "type") == "reasoning")
    items.erase(items.size() - 1);
}

} // namespace conclave::wire
