// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/reply_signs.hpp"

#include "protocols/text.hpp"

#include <algorithm>

namespace conclave::wire {

namespace {

constexpr std::string_view blanks = " \t\r\n";

/// Whether a member says that something went wrong: servers also send `"error": null` with every piece.
bool says_something(const json* v) {
  return v != nullptr && !v->is_null() && !(v->is_boolean() && !v->get<bool>()) && !(v->is_number() && *v == 0)
         && !(v->is_string() && v->get_ref<const std::string&>().empty()) && !(v->is_structured() && v->empty());
}

} // namespace

bool is_end_mark(const std::string& data) {
  auto start = data.find_first_not_of(' ');
  return start != std::string::npos && data.compare(start, 6, "[DONE]") == 0;
}

bool is_idle(const sse_event& e) {
  auto first = e.data.find_first_not_of(blanks);
  if (first == std::string::npos)
    return true;
  auto data = lower(e.data.substr(first, std::min<std::size_t>(e.data.find_last_not_of(blanks) - first + 1, 16)));
  for (auto* word : {"ping", "pong", "keepalive", "keep-alive", "keep_alive", "heartbeat", "null", "ok"})
    for (auto* dress : {"", "\"", "["}) // [ping] is written like [DONE]
      if (data == dress + std::string(word) + (*dress == '[' ? "]" : dress))
        return true;
  auto known = [&](std::string_view kind) { return e.name.starts_with(kind); };
  return !e.name.empty() && e.name != "message" && !known("message_") && !known("content_block") && !known("response.");
}

const json* error_in(const json& v) {
  if (says_something(member(v, "error")))
    return string_at(v, "object") == "response" && v.contains("output") ? nullptr : &v; // of the Responses API, which says more
  if (auto* groq = member(v, "x_groq"); groq != nullptr && says_something(member(*groq, "error")))
    return groq;
  if (auto* base = member(v, "base_resp"); base != nullptr && int_at(*base, "status_code") != 0)
    return &v; // MiniMax
  auto* choices = member(v, "choices");
  if (choices != nullptr && choices->is_array() && !choices->empty())
    return nullptr;
  auto type = string_at(v, "type");
  if (type == "error" || string_at(v, "object") == "error")
    return &v;
  if (!type.empty())
    return nullptr;
  if (auto* success = member(v, "success"); says_something(member(v, "errors")) || (success != nullptr && *success == false))
    return &v;                                                                            // Cloudflare and other gateways
  for (auto* text : {"message", "detail", "msg", "error_msg", "error_message", "errmsg"}) // without any wrapping
    if (!string_at(v, text).empty())
      for (auto* code : {"code", "status", "status_code", "statusCode", "error_code", "errcode", "detail"})
        if (says_something(member(v, code)))
          return &v;
  return nullptr;
}

} // namespace conclave::wire
