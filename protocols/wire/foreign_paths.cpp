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
  auto scheme = std::string{text.substr(0, 5)};
  std::transform(scheme.begin(), scheme.end(), scheme.begin(), [](char c) { return lower(c); });
  auto first = text.substr(0, std::min(text.find('/'), text.find(' ')));
  auto of_home = text == "~" || (text.starts_with('~') && first.size() < text.size() && text[first.size()] == '/');
  return text.starts_with('/') || of_home || scheme == "file:" || text == ".." || text.starts_with("../")
         || text.find("/../") != std::string_view::npos || text.ends_with("/..");
}

path_use use_of(const std::string& word) {
  return word == "read"     ? path_use::read
         : word == "create" ? path_use::create
         : word == "modify" ? path_use::modify
         : word == "delete" ? path_use::remove
         : word == "none"   ? path_use::none
                            : path_use::write;
}

class finder {
public:
  finder(const foreign_policy& said, std::vector<foreign_path>& out, bool& more) : said_(said), out_(out), more_(more) {}

  /// `use`: what the name of an argument says, here or above; none = nothing does.
  void visit(const json& v, const std::string& where, path_use use, int texts) {
    if (v.is_object()) {
      for (auto& [key, x] : v.items()) {
        auto named = said_.named.find(key);
        if (named != said_.named.end() && named->second == path_use::none)
          continue;
        auto below = named != said_.named.end()                       ? named->second
                     : use == path_use::none && sounds_like_path(key) ? said_.otherwise
                                                                      : use;
        visit(x, where.empty() ? key : where + "." + key, below, texts);
        if (looks_like_path(key)) // {"/etc/passwd": "text"}
          add(key, where, true, use == path_use::none ? said_.otherwise : use);
      }
    } else if (v.is_array()) {
      for (std::size_t i = 0; i < v.size() && !more_; ++i)
        visit(v[i], where + "[" + std::to_string(i) + "]", use, texts);
    } else if (v.is_string()) {
      visit_text(v.get_ref<const std::string&>(), where, use, texts);
    }
  }

private:
  void visit_text(const std::string& text, const std::string& where, path_use use, int texts) {
    auto inner = trimmed(text);
    if (texts < max_texts && (inner.starts_with('{') || inner.starts_with('['))) {
      if (auto v = parse(inner); v && v->is_structured())
        return visit(*v, where, use, texts + 1);
    }
    if (use != path_use::none ? !text.empty() : looks_like_path(inner))
      add(use != path_use::none ? text : std::string{inner}, where, use != path_use::none,
          use != path_use::none ? use : said_.otherwise);
  }

  void add(const std::string& text, const std::string& where, bool by_name, path_use use) {
    if (use == path_use::none)
      return;
    more_ = more_ || out_.size() >= max_found;
    if (!more_)
      out_.push_back({where, text.substr(0, max_text), by_name, use});
  }

  const foreign_policy& said_;
  std::vector<foreign_path>& out_;
  bool& more_;
};

} // namespace

foreign_policy foreign_policy_of(const tool_policy* said, bool reads) {
  foreign_policy out;
  out.otherwise = said && !said->access.empty() ? use_of(said->access) : reads ? path_use::read : path_use::write;
  if (said)
    for (auto& [name, word] : said->paths)
      out.named[name] = use_of(word);
  return out;
}

std::vector<foreign_path> foreign_paths(std::string_view arguments, const foreign_policy& said, bool& more) {
  std::vector<foreign_path> out;
  more = false;
  if (auto v = parse(arguments, true); v && v->is_object())
    finder(said, out, more).visit(*v, {}, path_use::none, 0);
  return out;
}

} // namespace conclave::wire
