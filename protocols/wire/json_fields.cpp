// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/json_fields.hpp"

#include "protocols/wire/json.hpp"

#include <algorithm>
#include <string_view>

namespace conclave::wire {

namespace {

constexpr std::size_t least_piece = 1024;
/// A body holds `run::max_body` bytes at most; a longer text takes several.
constexpr std::size_t most_of_a_piece = run::max_body / 2;

/// The end of the line at `at`, with its line break.
std::size_t line_end(std::string_view text, std::size_t at) {
  auto end = text.find('\n', at);
  return end == std::string_view::npos ? text.size() : end + 1;
}

/// Calls take(begin, end) for each part: runs of quoted lines that are worth a piece, and what is between them.
template <class F>
void for_parts(std::string_view text, F take) {
  std::size_t from = 0; // of the part that is not quoted
  for (std::size_t at = 0; at < text.size();) {
    auto end = at;
    while (end < text.size() && text.substr(end, 2) == "| ")
      end = line_end(text, end);
    if (end - at >= least_piece) {
      take(from, at);
      take(at, end);
      from = end;
    }
    at = end > at ? end : line_end(text, at);
  }
  take(from, text.size());
}

} // namespace

json text_in_pieces(const std::string& text, const run::keeper& keep) {
  auto inline_ok = [](std::string_view x) { return x.size() < least_piece && valid_utf8(x) == x; };
  if (inline_ok(text))
    return text;
  auto list = json::array();
  for_parts(text, [&](std::size_t begin, std::size_t end) {
    auto part = std::string_view(text).substr(begin, end - begin);
    if (inline_ok(part)) {
      if (!part.empty())
        list.push_back(std::string(part));
      return;
    }
    for (; !part.empty(); part.remove_prefix(std::min(part.size(), most_of_a_piece)))
      list.push_back({{"sha", keep(std::string(part.substr(0, most_of_a_piece)))}});
  });
  return list;
}

std::string read_pieces(const json& v, const run::finder& find, std::size_t& left, std::string& to) {
  if (!v.is_array())
    return "no text";
  to.clear();
  for (auto& m : v) {
    auto part = m.is_string() ? m.get<std::string>() : std::string{};
    const std::string* bytes = &part;
    if (m.is_object()) {
      auto sha = string_at(m, "sha");
      if (bytes = find(sha); bytes == nullptr)
        return "the piece " + sha.substr(0, 64) + " is not in the store";
    } else if (!m.is_string()) {
      return "no text";
    }
    if (bytes->size() > left)
      return "more text than a body may hold";
    left -= bytes->size();
    to += *bytes;
  }
  return {};
}

std::string changes_object(const std::vector<folder_change>& changes) {
  kept_files only;
  only.changes = changes;
  return changes.empty() ? std::string{} : dump(field_writer{}.value(only));
}

std::vector<folder_change> changes_at(std::string_view object) {
  kept_files out;
  auto v = parse(object);
  if (!v)
    return {};
  field_reader r;
  r.members(*v, out, "");
  return r.error.empty() ? std::move(out.changes) : std::vector<folder_change>{};
}

} // namespace conclave::wire
