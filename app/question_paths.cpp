// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/question_paths.hpp"

#include "app/user_folders.hpp"
#include "protocols/text.hpp"
#include "transports/home.hpp"

#include <algorithm>
#include <filesystem>

namespace conclave {

namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool opens_word(char c) {
  return is_blank(c) || std::string_view{"\"'`([{<"}.find(c) != std::string_view::npos;
}

/// What a word behind its `@` names, and how much of it.
struct candidate {
  std::string path; ///< with :w; empty = nothing that is there
  std::size_t length = 0;
};

bool is_there(std::string_view given) {
  if (given.ends_with(":w"))
    given.remove_suffix(2);
  std::string path{given};
  std::error_code e;
  return !path.empty() && path.find('\0') == std::string::npos && expand_home(path).empty() && std::filesystem::exists(path, e)
         && !e;
}

/// Whether somebody who writes it behind an `@` means a path: `@src/main`, `@notes:w`, not `@anna` or `@types/node` of a package.
bool is_meant(std::string_view word) {
  auto dots = word.find_first_not_of('.');
  if (auto rest = word.substr(std::min(dots, word.size())); rest.find_first_not_of(",;!?)]}>\"'`") == std::string_view::npos)
    word = word.substr(0, dots); // dots alone
  else
    while (!word.empty() && std::string_view{".,;!?)]}>\"'`"}.find(word.back()) != std::string_view::npos)
      word.remove_suffix(1);
  return word == "." || word == ".." || word.ends_with(":w") || word.ends_with(":r") || word.ends_with(":rw")
         || word.starts_with("./") || word.starts_with("../") || word.starts_with("/") || word.starts_with("~/");
}

std::string_view first_word(std::string_view rest) {
  return rest.substr(0, static_cast<std::size_t>(std::find_if(rest.begin(), rest.end(), is_blank) - rest.begin()));
}

candidate look(std::string_view rest) {
  if (rest.starts_with('"') || rest.starts_with('\'')) {
    auto end = rest.find(rest.front(), 1);
    if (end == std::string_view::npos)
      return {};
    std::string path{rest.substr(1, end - 1)};
    auto write = rest.substr(end + 1).starts_with(":w");
    if (!is_there(path))
      return {};
    return {path + (write ? ":w" : ""), end + 1 + (write ? 2 : 0)};
  }
  auto word = first_word(rest);
  for (; !word.empty(); word.remove_suffix(1)) {
    auto dots = word.find_first_not_of('.') == std::string_view::npos; // the end of a sentence, rather than the current folder
    if (!dots && is_there(word))
      return {std::string{word}, word.size()};
    if (std::string_view{".,;:!?)]}>\"'`"}.find(word.back()) == std::string_view::npos)
      break;
  }
  return {};
}

} // namespace

context_path read_path(const std::string& given, std::string& error) {
  context_path out;
  out.write = given.ends_with(":w");
  auto path = out.write ? given.substr(0, given.size() - 2) : given;
  if (error = expand_home(path); !error.empty())
    return out;
  std::error_code e;
  auto found = std::filesystem::canonical(path, e);
  if (e)
    error =
        e.message()
        + (path.ends_with(":rw")  ? "; ':w' is the suffix for writing: " + shown_text(path.substr(0, path.size() - 3), 300) + ":w"
           : path.ends_with(":r") ? "; what has no suffix is read: " + shown_text(path.substr(0, path.size() - 2), 300)
                                  : "");
  else
    error = folder_fault(out.path = found.string(), out.write ? folder_use::writing : folder_use::reading);
  return out;
}

named_paths paths_in(std::string_view question) {
  named_paths out;
  for (std::size_t i = 0; i < question.size();) {
    auto begins = i == 0 || opens_word(question[i - 1]);
    auto escaped = begins && question.substr(i).starts_with("\\@");
    auto at = i + (escaped ? 1 : 0);
    auto found = begins && question[at] == '@' ? look(question.substr(at + 1)) : candidate{};
    if (found.path.empty()) {
      if (auto word = first_word(question.substr(at)); begins && !escaped && question[at] == '@' && is_meant(word.substr(1)))
        out.missing.emplace_back(word);
      out.text += question[i++];
      continue;
    }
    auto end = at + 1 + found.length;
    if (escaped) {
      out.text += question.substr(at, end - at);
      i = end;
      continue;
    }
    std::string error;
    auto x = read_path(found.path, error);
    if (!error.empty()) {
      out.error = "@" + shown_text(found.path, 300) + " in the question: " + error + "; \\@ leaves it as text";
      return out;
    }
    auto same = std::find_if(out.paths.begin(), out.paths.end(), [&](auto& y) { return y.path == x.path; });
    if (same == out.paths.end())
      out.paths.push_back(x);
    else
      same->write = same->write || x.write;
    out.text += x.path;
    i = end;
  }
  return out;
}

void add_context(std::vector<context_path>& to, const context_path& x) {
  auto same = std::find_if(to.begin(), to.end(), [&](auto& y) { return y.path == x.path; });
  if (same == to.end()) {
    to.push_back(x);
    return;
  }
  same->write = same->write && x.write;
  for (const auto& p : x.protected_paths)
    if (std::find(same->protected_paths.begin(), same->protected_paths.end(), p) == same->protected_paths.end())
      same->protected_paths.push_back(p);
}

} // namespace conclave
