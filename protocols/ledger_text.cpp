// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/ledger_draft.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"

#include <algorithm>

namespace conclave::ledger {

std::string anonymous(const member& m) {
  return "agent" + std::to_string(m.number);
}

std::string cut_utf8(const std::string& text, std::size_t most) {
  return text.substr(0, whole_characters(text, most));
}

std::string cut_chars(const std::string& text, std::size_t most) {
  std::size_t chars = 0;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (!continues_character(text[i]) && chars++ == most)
      return text.substr(0, i);
  // Bytes that are no UTF-8 must not slip through uncounted: a character has at most 4.
  return cut_utf8(text, most > SIZE_MAX / 4 ? SIZE_MAX : most * 4);
}

std::string kept_partial(const state& s, const std::string& agent, const std::string& text) {
  constexpr std::size_t room_for_mark = 48, least = std::size_t{32} * 1024;
  std::size_t limit = s.rules.max_answer_bytes > 0 ? s.rules.max_answer_bytes : rules{}.max_answer_bytes;
  auto* m = find(s, agent);
  auto all = std::max(limit / 4, least);
  auto most = std::min(limit, (all - std::min<std::size_t>(m == nullptr ? 0 : m->partial_bytes, all)) / 2);
  // Also what was cut before: of a stored text the same is kept again.
  if (text.size() <= most || (text.size() <= room_for_mark && text.starts_with("[cut: ")))
    return text;
  auto out = cut_utf8(text, most > room_for_mark ? most - room_for_mark : 0);
  auto mark = "[cut: " + std::to_string(text.size() - out.size()) + " bytes left out]";
  return out.empty() ? mark : out + "\n" + mark;
}

bool blank(const std::string& text) {
  return is_blank(text);
}

std::string folded(const std::string& text) {
  std::string out;
  out.reserve(text.size());
  auto gap = false;
  for (auto c : text) {
    if (white_space.find(c) != std::string_view::npos) {
      gap = !out.empty();
      continue;
    }
    if (gap)
      out += ' ';
    gap = false;
    out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return out;
}

std::string key_of(const std::string& folded_text) {
  return wire::hash(folded_text);
}

} // namespace conclave::ledger
