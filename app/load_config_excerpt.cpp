// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What is shown of a fault: the parser's words put into ours, and the line of the file, which may hold anything: controls, keys, a
// megabyte.

#include "app/load_config_parts.hpp"
#include "protocols/secret_judge.hpp"
#include "protocols/secrets.hpp"
#include "protocols/text.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

namespace conclave::loader {

namespace {

constexpr std::size_t before = 60, width = 100; ///< how much of a long line is shown, in characters

bool in_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-';
}

/// Hides the bytes [from, to), but not references to variables; their defaults are hidden.
void hide(std::string& line, std::size_t from, std::size_t to) {
  for (auto i = from; i < to; ++i) {
    if (line.compare(i, 2, "${") == 0) {
      auto end = std::min(line.find('}', i), to);
      auto fallback = line.find(":-", i);
      if (fallback < end)
        hide(line, fallback + 2, end);
      i = end;
    } else if (static_cast<unsigned char>(line[i]) > ' ' && std::string_view{"\"'{}[],"}.find(line[i]) == std::string_view::npos) {
      line[i] = '*';
    }
  }
}

/// Returns whether a word looks like a key: by how keys of known services begin, or as only random letters look.
bool is_key(std::string_view word) {
  if (!key_start(word).empty())
    return true;
  auto any = [&](auto test) {
    return std::any_of(word.begin(), word.end(), [&](char c) { return test(static_cast<unsigned char>(c)); });
  };
  bool hex = !any([](unsigned char c) { return std::isxdigit(c) == 0; });
  return any([](unsigned char c) { return std::isdigit(c) != 0; })
         && ((word.size() >= 20 && any([](unsigned char c) { return std::isupper(c) != 0; })
              && any([](unsigned char c) { return std::islower(c) != 0; }))
             || (word.size() >= 32 && hex));
}

/// Hides what follows the names of keys ("api_key: ...", "?token=...", "Bearer ..."), passwords in addresses, and what looks like a
/// key anywhere.
void hide_secrets(std::string& line) {
  for (std::size_t i = 0; i < line.size();) {
    if (!in_name(line[i])) {
      ++i;
      continue;
    }
    auto end = i;
    while (end < line.size() && in_name(line[end]))
      ++end;
    auto word = line.substr(i, end - i);
    auto value = end;
    while (value < line.size() && (line[value] == '"' || line[value] == '\'' || line[value] == ' '))
      ++value;
    bool named =
        value < line.size() && (line[value] == ':' || line[value] == '=') && names_a_secret(word) && !word.ends_with("_env");
    if (named || word == "Bearer" || word == "Basic") {
      auto stop = line.find_first_of(named && line[value] == '=' ? "&\"', " : ",]}", value);
      if (line.find("${", value) < stop) // the bracket of a reference ends nothing
        stop = line.find_first_of(",]", value);
      hide(line, named ? value + 1 : value, stop = std::min(stop, line.size()));
      i = stop;
      continue;
    }
    if (line.compare(end, 3, "://") == 0)
      if (auto host = line.find_first_of("@/ \"'", end + 3); host != std::string::npos && line[host] == '@')
        hide(line, end + 3, host);
    if (is_key(word))
      hide(line, i, end);
    i = end;
  }
}

} // namespace

std::string in_plain_words(const std::string& message) {
  struct row {
    std::string_view theirs;
    const char* ours;
  };
  static constexpr std::array<row, 12> rows = {{
      {"illegal map value", "a ':' where no key can stand: put the text in quotes, or correct the indentation"},
      {"illegal flow end", "this bracket closes nothing"},
      {"illegal block entry", "a list item ('- ') cannot stand here: give it a line of its own"},
      {"end of map not found", "this belongs to nothing above it: correct its indentation, or put the text in quotes"},
      {"end of sequence not found", "this belongs to nothing above it: correct its indentation, or put the text in quotes"},
      {"end of map flow not found", "'}' or ',' is missing before this, or the text needs quotes"},
      {"end of sequence flow not found", "']' or ',' is missing before this, or the text needs quotes"},
      {"unknown token", "this character cannot stand here without quotes: put the whole text in quotes"},
      {"the referenced anchor is not defined",
       "'*' repeats what an '&' above has named, and there is no such name: put a text in quotes"},
      {"anchor not found after &", "'&' gives a name to what follows: put a text in quotes"},
      {"alias not found after *", "'*' repeats what an '&' above has named: put a text in quotes"},
      {"unknown escape character", "this means nothing inside \"...\": write '...' instead, or \\\\ for each backslash"},
  }};
  if (message.find("tab") != std::string::npos)
    return "a tab where YAML wants blanks: indent with blanks";
  for (const auto& r : rows)
    if (message.starts_with(r.theirs))
      return r.ours;
  return shown_text(message, 200);
}

std::string with_excerpt(const std::string& text, const syntax_fault& fault) {
  auto at = std::min(fault.at, text.size());
  auto start = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;
  auto end = std::min(text.find('\n', at), text.size());
  // Enough of a long line that the name of a key and the key behind it are both seen by hide_secrets.
  constexpr std::size_t around = 4096;
  auto from = at - start > around ? at - around : start;
  auto line = text.substr(from, std::min(end, at + around) - from);
  hide_secrets(line);
  // One column for each character, so that the mark stands below it.
  auto is_first = [](char c) { return !continues_character(c); };
  auto column = 1
                + static_cast<std::size_t>(std::count_if(text.begin() + static_cast<std::ptrdiff_t>(start),
                                                         text.begin() + static_cast<std::ptrdiff_t>(at), is_first));
  std::vector<std::string> characters;
  std::size_t mark = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (i == at - from)
      mark = characters.size();
    if (is_first(line[i]) || characters.empty())
      characters.emplace_back();
    characters.back() += line[i];
  }
  if (at - from >= line.size())
    mark = characters.size();
  auto first = mark > before ? mark - before : 0, last = std::min(characters.size(), first + width);
  std::string shown = first > 0 ? "..." : "";
  auto caret = std::string(mark - first + shown.size(), ' ') + "^";
  for (auto i = first; i < last; ++i) {
    auto clean = characters[i] == "\t" ? " " : for_terminal(characters[i]);
    shown += clean.empty() ? "?" : clean;
  }
  return "column " + std::to_string(column) + ": " + fault.text + "\n    " + shown + (last < characters.size() ? "..." : "")
         + "\n    " + caret;
}

} // namespace conclave::loader
