// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Lists of patterns: of a call, of a walk, and of a .gitignore.

#include "protocols/glob.hpp"

#include <algorithm>

namespace conclave {

bool glob_list::add_all(const std::vector<std::string>& patterns, std::string& bad) {
  for (auto& p : patterns) {
    auto g = glob::compile(p, glob::style::shell);
    auto up = p == ".." || p.starts_with("../") || p.ends_with("/..") || p.find("/../") != std::string::npos;
    if (!g || up || p.front() == '/') {
      bad = p;
      return false;
    }
    globs_.push_back(std::move(*g));
  }
  return true;
}

bool glob_list::matches(std::string_view relative_path) const {
  return std::any_of(globs_.begin(), globs_.end(), [&](const glob& g) { return g.matches(relative_path); });
}

bool glob_walk::matches(std::string_view path) {
  auto same =
      static_cast<std::size_t>(std::mismatch(folders_.begin(), folders_.end(), path.begin(), path.end()).first - folders_.begin());
  while (!ends_.empty() && ends_.back() > same)
    ends_.pop_back();
  const auto count = list_.globs_.size();
  folders_.resize(ends_.empty() ? 0 : ends_.back());
  places_.resize(ends_.size() * count);
  auto behind = [&](std::size_t i) { return ends_.empty() ? list_.globs_[i].begin() : places_[(ends_.size() - 1) * count + i]; };
  auto read = [&](std::size_t i, std::string_view part) {
    auto at = behind(i);
    list_.globs_[i].read(at, part);
    return at;
  };
  for (auto end = path.find('/', folders_.size()); end != std::string_view::npos; end = path.find('/', folders_.size())) {
    auto part = path.substr(folders_.size(), end + 1 - folders_.size());
    for (std::size_t i = 0; i < count; ++i)
      places_.push_back(read(i, part));
    folders_ += part;
    ends_.push_back(folders_.size());
    bytes_ += part.size();
  }
  auto name = path.substr(folders_.size());
  bytes_ += name.size();
  for (std::size_t i = 0; i < count; ++i)
    if (list_.globs_[i].accepts(read(i, name)))
      return true;
  return false;
}

bool ignore_list::add(std::string_view text, std::string_view named) {
  line l;
  l.named = named;
  while (text.ends_with(' ') && !text.ends_with("\\ "))
    text.remove_suffix(1);
  if (text.starts_with('!')) {
    l.negated = true;
    text.remove_prefix(1);
  }
  while (text.starts_with("./")) {
    l.anchored = true;
    text.remove_prefix(2);
  }
  l.all = text == "." || (!text.empty() && text.find_first_not_of('/') == std::string_view::npos);
  while (text.ends_with('/')) // whether a path is a folder is not known here
    text.remove_suffix(1);
  l.anchored = l.anchored || text.find('/') != std::string_view::npos;
  while (text.starts_with('/'))
    text.remove_prefix(1);
  if (!l.all && !text.empty()) {
    l.pattern = glob::compile(text, glob::style::ignore, fold_);
    if (!l.pattern)
      return false;
    auto wild = text.find_first_of("*?") != std::string_view::npos; // without, `named` is the name
    if (!named.empty() && !l.negated && wild && text.find('[') != std::string_view::npos)
      l.bracketed = glob::compile(text, glob::style::plain_brackets, fold_);
    if (l.anchored && !l.negated && l.pattern->plain() && text.find('\\') == std::string_view::npos)
      l.literal = text;
  }
  lines_.push_back(std::move(l));
  return true;
}

/// Of the folder itself.
std::optional<std::size_t> ignore_list::match_root() const {
  for (auto i = lines_.size(); i-- > 0;)
    if (lines_[i].all)
      return lines_[i].negated ? std::nullopt : std::optional(i);
  return std::nullopt;
}

std::optional<std::size_t> ignore_list::match(std::string_view path) const {
  if (auto all = match_root())
    return all;
  struct reading { ///< of an anchored line: what it makes of the path so far
    glob::places pattern{}, bracketed{};
  };
  std::vector<reading> now(lines_.size());
  auto read = [&](std::string_view part) {
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      auto& l = lines_[i];
      if (l.anchored && l.pattern)
        l.pattern->read(now[i].pattern, part);
      if (l.anchored && l.bracketed)
        l.bracketed->read(now[i].bracketed, part);
    }
  };
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    if (lines_[i].pattern)
      now[i].pattern = lines_[i].pattern->begin();
    if (lines_[i].bracketed)
      now[i].bracketed = lines_[i].bracketed->begin();
  }
  for (std::size_t begin = 0; begin < path.size();) {
    auto end = std::min(path.find('/', begin), path.size());
    auto name = path.substr(begin, end - begin);
    read(name);
    for (auto i = lines_.size(); end > 0 && i-- > 0;) { // the last line that speaks of this very path decides
      auto& l = lines_[i];
      auto matches = [&](const std::optional<glob>& g, const glob::places& at) {
        return g && (l.anchored ? g->accepts(at) : g->matches(name));
      };
      if (l.named != path.substr(0, end)
          && (l.all || (!matches(l.pattern, now[i].pattern) && !matches(l.bracketed, now[i].bracketed))))
        continue;
      if (!l.negated || l.named == path.substr(0, end))
        return i;
      break; // it takes back
    }
    read("/");
    begin = end + 1;
  }
  return std::nullopt;
}

} // namespace conclave
