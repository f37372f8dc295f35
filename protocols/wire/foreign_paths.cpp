// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/foreign_paths.hpp"

#include "protocols/text.hpp"
#include "protocols/wire/json_util.hpp"

#include <algorithm>
#include <iterator>

namespace conclave::wire {

namespace {

constexpr std::size_t max_found = 1000, max_text = 4097; // one more than a path may have: it is refused as too long
constexpr int max_texts = 3;                             ///< JSON in a text in a text

/// Words of a name that say that it holds a path.
constexpr std::string_view path_words[] = {"path",   "paths",       "file",   "files",   "filename",  "filepath",
                                           "dir",    "dirs",        "folder", "folders", "directory", "directories",
                                           "source", "destination", "dest",   "target",  "cwd",       "workdir",
                                           "root",   "src",         "dst",    "output",  "location"};

/// "notebook_path", "outputDir", "file-name": split at signs and capitals.
bool sounds_like_path(std::string_view key) {
  std::string word;
  auto is_path = [&word] { return std::find(std::begin(path_words), std::end(path_words), word) != std::end(path_words); };
  for (std::size_t i = 0; i < key.size(); ++i) {
    auto c = key[i];
    auto capital = c >= 'A' && c <= 'Z' && i > 0 && !(key[i - 1] >= 'A' && key[i - 1] <= 'Z');
    auto sign = c == '_' || c == '-' || c == '.' || c == ' ' || c == ':' || (c >= '0' && c <= '9');
    if (capital || sign) {
      if (is_path())
        return true;
      word.clear();
    }
    if (!sign)
      word += lower(c);
  }
  return is_path();
}

bool looks_like_path(std::string_view text) {
  return text.starts_with('/') || text.starts_with('~') || text.starts_with("file:") || text == ".." || text.starts_with("../")
         || text.find("/../") != std::string_view::npos || text.ends_with("/..");
}

class finder {
public:
  finder(const foreign_policy& said, std::vector<foreign_path>& out) : said_(said), out_(out) {}

  void visit(const json& v, const std::string& where, bool by_name, int texts) {
    if (out_.size() >= max_found)
      return;
    if (v.is_object()) {
      for (auto& [key, x] : v.items()) {
        if (holds(said_.not_paths, key))
          continue;
        auto named = by_name || holds(said_.paths, key) || sounds_like_path(key);
        visit(x, where.empty() ? key : where + "." + key, named, texts);
        if (looks_like_path(key)) // {"/etc/passwd": "text"}
          add(key, where, true);
      }
    } else if (v.is_array()) {
      for (std::size_t i = 0; i < v.size(); ++i)
        visit(v[i], where + "[" + std::to_string(i) + "]", by_name, texts);
    } else if (v.is_string()) {
      visit_text(v.get_ref<const std::string&>(), where, by_name, texts);
    }
  }

private:
  static bool holds(const std::vector<std::string>& list, const std::string& name) {
    return std::find(list.begin(), list.end(), name) != list.end();
  }

  void visit_text(const std::string& text, const std::string& where, bool by_name, int texts) {
    auto inner = trimmed(text);
    if (texts < max_texts && (inner.starts_with('{') || inner.starts_with('['))) {
      if (auto v = parse(inner); v && v->is_structured())
        return visit(*v, where, by_name, texts + 1);
    }
    if (by_name ? !text.empty() : looks_like_path(text))
      add(text, where, by_name);
  }

  void add(const std::string& text, const std::string& where, bool by_name) {
    if (out_.size() < max_found)
      out_.push_back({where, text.substr(0, max_text), by_name});
  }

  const foreign_policy& said_;
  std::vector<foreign_path>& out_;
};

} // namespace

std::vector<foreign_path> foreign_paths(std::string_view arguments, const foreign_policy& said) {
  std::vector<foreign_path> out;
  if (auto v = parse(arguments, true); v && v->is_object())
    finder(said, out).visit(*v, {}, false, 0);
  return out;
}

} // namespace conclave::wire
