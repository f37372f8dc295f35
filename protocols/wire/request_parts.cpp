// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/request_parts.hpp"

#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"

#include <algorithm>
#include <cctype>
#include <string_view>

namespace conclave::wire {

std::string safe_id(const std::string& id, std::size_t limit) {
  std::string out;
  bool clean = !id.empty();
  for (unsigned char c : id) {
    auto ok = std::isalnum(c) != 0 || c == '_' || c == '-';
    clean = clean && ok;
    out += ok ? static_cast<char>(c) : '_';
  }
  if (clean && (limit == 0 || out.size() <= limit))
    return out;
  constexpr std::size_t mark = 12; // "id_", "_" and 8 digits
  if (limit > mark && out.size() > limit - mark)
    out.resize(limit - mark);
  return "id_" + out + "_" + hash(id).substr(0, 8);
}

std::string cache_key(const model_request& req) {
  return req.task.empty() ? std::string{} : hash(req.task + '\n' + req.agent);
}

// Source: https://docs.anthropic.com/en/docs/build-with-claude/vision and https://platform.openai.com/docs/guides/images-vision,
// "image input requirements", read 2026-11-26: the same four.
const char* image_type(const content_part& p) {
  struct kind {
    std::string_view first; ///< in base64
    const char* type;
  };
  static constexpr kind kinds[] = {{"iVBORw0KGgo", "image/png"},
                                   {"/9j/", "image/jpeg"},
                                   {"R0lGODdh", "image/gif"},
                                   {"R0lGODlh", "image/gif"},
                                   {"UklGR", "image/webp"}};
  if (p.kind == content_kind::image || p.kind == content_kind::resource)
    for (auto& k : kinds)
      if (p.data.starts_with(k.first))
        return k.type;
  return nullptr;
}

std::vector<const content_part*> parts_to_send(const message& m, bool images) {
  auto shown = images && !m.is_error ? shown_parts(m.parts) : std::vector<const content_part*>{};
  if (std::none_of(shown.begin(), shown.end(), [](auto* p) { return image_type(*p) != nullptr; }))
    return {};
  std::erase_if(shown, [](auto* p) { return image_type(*p) == nullptr && is_blank(p->text); });
  return shown;
}

} // namespace conclave::wire
