// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/chat_turn.hpp"

#include <algorithm>

namespace conclave::wire {

namespace {

constexpr const char* reasoning_fields[] = {"reasoning_content", "reasoning", "reasoning_text", "thinking"};

bool is_text(std::string_view name) {
  return name == "text" || name == "thinking" || name == "summary";
}

bool has(const json& v, const char* key) {
  auto* m = member(v, key);
  return m != nullptr && !m->is_null();
}

/// Whether two pieces belong to the same part. Source: reasoning_details as https://openrouter.ai/docs/use-cases/reasoning-tokens
/// describes them and the vendor's AI SDK provider joins them, read 2026-11-26.
bool same_part(const json& a, const json& b, bool last) {
  if (!a.is_object() || !b.is_object() || string_at(a, "type") != string_at(b, "type"))
    return false;
  if (has(a, "id") && has(b, "id") && a["id"] != b["id"])
    return false;
  if (has(a, "data") && has(b, "data"))
    return false; // two encrypted blocks
  if (has(a, "index") || has(b, "index"))
    return has(a, "index") && has(b, "index") && a["index"] == b["index"];
  return last && !has(a, "signature") && !has(a, "data");
}

bool join_part(json& list, const json& piece) {
  for (auto i = list.rbegin(); i != list.rend(); ++i)
    if (same_part(*i, piece, i == list.rbegin()))
      return join(*i, piece);
  list.push_back(piece);
  return list.size() <= max_reply_parts;
}

} // namespace

const char* reasoning_field(std::string_view name) {
  auto i = std::find(std::begin(reasoning_fields), std::end(reasoning_fields), name);
  return i == std::end(reasoning_fields) ? nullptr : *i;
}

bool join(json& to, const json& piece, std::string_view name) {
  if (piece.is_null())
    return true;
  if (to.is_object() && piece.is_object()) {
    for (auto& [key, value] : piece.items())
      if (!join(to[key], value, key))
        return false;
  } else if (to.is_array() && piece.is_array()) {
    for (auto& part : piece)
      if (!join_part(to, part))
        return false;
  } else if (to.is_string() && piece.is_string() && (is_text(name) || (name == "signature" && to != piece))) {
    to.get_ref<std::string&>() += piece.get_ref<const std::string&>();
  } else {
    to = piece;
  }
  return !to.is_array() || to.size() <= max_reply_parts;
}

} // namespace conclave::wire
