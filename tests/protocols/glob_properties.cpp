// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// Random patterns and paths against a matcher that follows each place of a pattern by itself, and lists against one that looks at
/// every folder of a path from its start.
///
///   glob_properties     RC_PARAMS="max_success=100000 seed=1" as usual

#include "protocols/glob.hpp"
#include "protocols/text.hpp"

#include <rapidcheck.h>

#include <algorithm>
#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace model {

using conclave::decode_utf8;

class glob {
public:
  static constexpr std::size_t max_bytes = 256;
  using style = conclave::glob::style;
  static std::optional<glob> compile(std::string_view pattern, style how, bool fold = false);
  bool matches(std::string_view path) const;
  bool plain() const;

private:
  enum class kind : std::uint8_t {
    one,  ///< the character of `code`
    any,  ///< one character
    set,  ///< one of `sets[code]`
    star, ///< any number of characters
    dirs, ///< nothing, or anything that ends in '/'
  };
  struct token {
    kind what = kind::one;
    bool crosses = true; ///< also '/'
    std::uint32_t code = 0;
  };
  struct range {
    std::uint32_t first = 0, last = 0;
  };
  struct char_set {
    bool negated = false;
    std::vector<range> ranges;
  };
  struct states {
    std::bitset<max_bytes + 2> in;
    std::size_t low = 0, high = 0; ///< those that count
  };
  void compile_shell(std::string_view pattern);
  void compile_ignore(std::string_view pattern, bool sets);
  std::size_t read_set(std::string_view pattern, std::size_t at, style how);
  bool read_class(char_set& s, std::string_view pattern, std::size_t& at);
  void enter(states& to, std::size_t at) const;
  bool takes(const token& t, std::uint32_t c) const;
  std::vector<token> tokens_;
  std::vector<char_set> sets_;
  bool fold_ = false;
  std::string no_class_; ///< the "[:...:]" that names none
};

class ignore_list {
public:
  explicit ignore_list(bool fold = false) : fold_(fold) {}
  bool add(std::string_view line, std::string_view named = {});
  std::optional<std::size_t> match(std::string_view relative_path) const;
  const std::string& literal(std::size_t index) const { return lines_[index].literal; }
  std::size_t size() const { return lines_.size(); }

private:
  struct line {
    std::optional<glob> pattern, bracketed; ///< as it is; with brackets as characters
    bool negated = false, anchored = false, all = false;
    std::string literal, named;
  };
  std::optional<std::size_t> match_one(std::string_view path, std::string_view name) const;
  std::vector<line> lines_;
  bool fold_;
};

namespace {

/// A byte that belongs to no character: apart from all characters.
constexpr std::uint32_t stray = 0x80000000;

std::uint32_t next(std::string_view text, std::size_t& at) {
  std::uint32_t c = 0;
  auto n = decode_utf8(text, at, c);
  if (n == 0) {
    c = stray + static_cast<unsigned char>(text[at]);
    n = 1;
  }
  at += n;
  return c;
}

/// The classes of POSIX, of ASCII alone, as git has them.
struct class_range {
  std::string_view name;
  std::uint32_t first, last;
};
constexpr class_range class_ranges[] = {
    {"alnum", '0', '9'}, {"alnum", 'A', 'Z'}, {"alnum", 'a', 'z'},  {"alpha", 'A', 'Z'},  {"alpha", 'a', 'z'},  {"blank", ' ', ' '},
    {"blank", 9, 9},     {"cntrl", 0, 31},    {"cntrl", 127, 127},  {"digit", '0', '9'},  {"graph", '!', '~'},  {"lower", 'a', 'z'},
    {"print", ' ', '~'}, {"punct", '!', '/'}, {"punct", ':', '@'},  {"punct", '[', '`'},  {"punct", '{', '~'},  {"space", 9, 13},
    {"space", ' ', ' '}, {"upper", 'A', 'Z'}, {"xdigit", '0', '9'}, {"xdigit", 'A', 'F'}, {"xdigit", 'a', 'f'},
};

std::uint32_t folded(std::uint32_t c) {
  return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

} // namespace

std::optional<glob> glob::compile(std::string_view pattern, style how, bool fold) {
  if (pattern.empty() || pattern.size() > max_bytes)
    return std::nullopt;
  glob g;
  g.fold_ = fold;
  if (how == style::shell)
    g.compile_shell(pattern);
  else
    g.compile_ignore(pattern, how == style::ignore);
  if (!g.no_class_.empty())
    return std::nullopt;
  return g;
}

void glob::compile_shell(std::string_view p) {
  for (std::size_t i = 0; i < p.size();) {
    if (p[i] == '*') {
      auto stars = p.find_first_not_of('*', i);
      auto end = stars == std::string_view::npos ? p.size() : stars;
      auto deep = end - i >= 2 && end < p.size() && p[end] == '/' && (i == 0 || p[i - 1] == '/');
      tokens_.push_back({deep ? kind::dirs : kind::star, true, 0});
      i = deep ? end + 1 : end;
    } else if (p[i] == '?') {
      tokens_.push_back({kind::any, true, 0});
      ++i;
    } else if (auto end = p[i] == '[' ? read_set(p, i, style::shell) : 0; end != 0) {
      i = end;
    } else {
      auto c = next(p, i);
      tokens_.push_back({kind::one, true, fold_ ? folded(c) : c});
    }
  }
}

void glob::compile_ignore(std::string_view p, bool sets) {
  for (std::size_t i = 0; i < p.size();) {
    if (p[i] == '*') {
      auto stars = p.find_first_not_of('*', i);
      auto end = stars == std::string_view::npos ? p.size() : stars;
      auto apart = end - i == 2 && (i == 0 || p[i - 1] == '/');
      auto deep = apart && end < p.size() && p[end] == '/';
      auto below = apart && end == p.size();
      if (below) // "a/**": something below, not the folder itself
        tokens_.push_back({kind::any, true, 0});
      tokens_.push_back({deep ? kind::dirs : kind::star, deep || below, 0});
      i = deep ? end + 1 : end;
    } else if (p[i] == '?') {
      tokens_.push_back({kind::any, false, 0});
      ++i;
    } else if (auto end = sets && p[i] == '[' ? read_set(p, i, style::ignore) : 0; end != 0) {
      i = end;
    } else {
      if (p[i] == '\\' && i + 1 < p.size())
        ++i;
      auto c = next(p, i);
      tokens_.push_back({kind::one, true, fold_ ? folded(c) : c});
    }
  }
}

/// Reads "[:name:]" at `at`, within a set. Returns false if there is none.
bool glob::read_class(char_set& s, std::string_view p, std::size_t& at) {
  if (!p.substr(at).starts_with("[:"))
    return false;
  auto end = p.find(":]", at + 2);
  if (end == std::string_view::npos || p.substr(at, end - at).find('/') != std::string_view::npos)
    return false;
  auto name = p.substr(at + 2, end - at - 2);
  auto known = false;
  for (auto& r : class_ranges)
    if (r.name == name) {
      s.ranges.push_back({r.first, r.last});
      known = true;
    }
  if (!known)
    no_class_ = p.substr(at, end + 2 - at);
  at = end + 2;
  return true;
}

/// Reads "[...]" at `at`. Returns where it ends; 0 if it is not closed, and then is no set.
std::size_t glob::read_set(std::string_view p, std::size_t at, style how) {
  auto escapes = how == style::ignore;
  char_set s;
  auto i = at + 1;
  if (i < p.size() && (p[i] == '!' || p[i] == '^')) {
    s.negated = true;
    ++i;
  }
  for (auto first = i; i < p.size() && (p[i] != ']' || i == first);) {
    if (how == style::ignore && read_class(s, p, i))
      continue;
    auto one = [&]() -> std::uint32_t {
      if (escapes && p[i] == '\\' && i + 1 < p.size())
        ++i;
      return next(p, i);
    };
    auto from = one();
    auto to = from;
    if (i + 1 < p.size() && p[i] == '-' && p[i + 1] != ']') {
      ++i;
      to = one();
    }
    if (from <= to)
      s.ranges.push_back({from, to});
  }
  if (i >= p.size())
    return 0;
  tokens_.push_back({kind::set, how == style::shell, static_cast<std::uint32_t>(sets_.size())});
  sets_.push_back(std::move(s));
  return i + 1;
}

// Adds the state in front of token `at`, and what follows without taking a character.
void glob::enter(states& to, std::size_t at) const {
  for (;; ++at) {
    to.in.set(at);
    to.high = std::max(to.high, at);
    if (at == tokens_.size() || (tokens_[at].what != kind::star && tokens_[at].what != kind::dirs))
      return;
    if (tokens_[at].what == kind::star && tokens_[at].crosses)
      to.low = std::max(to.low, at); // it takes whatever those before it would, and all of them lead through it
  }
}

bool glob::takes(const token& t, std::uint32_t c) const {
  if (c == '/' && !t.crosses)
    return false;
  if (t.what == kind::one)
    return (fold_ ? folded(c) : c) == t.code;
  if (t.what != kind::set)
    return true;
  auto& s = sets_[t.code];
  auto within = [&s](std::uint32_t x) {
    return std::any_of(s.ranges.begin(), s.ranges.end(), [x](const range& r) { return r.first <= x && x <= r.last; });
  };
  auto upper = c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c;
  auto found = within(c) || (fold_ && (within(folded(c)) || within(upper)));
  return found != s.negated;
}

bool glob::matches(std::string_view path) const {
  states now;
  enter(now, 0);
  for (std::size_t i = 0; i < path.size();) {
    auto c = next(path, i);
    states then;
    for (auto at = now.low; at <= now.high && at < tokens_.size(); ++at) {
      if (!now.in[at] || !takes(tokens_[at], c))
        continue;
      if (tokens_[at].what == kind::star) {
        enter(then, at);
      } else if (tokens_[at].what == kind::dirs) {
        then.in.set(at); // goes on only behind a '/'
        then.high = std::max(then.high, at);
        if (c == '/')
          enter(then, at + 1);
      } else {
        enter(then, at + 1);
      }
    }
    if (then.in.none())
      return false;
    now = then;
  }
  return now.in[tokens_.size()];
}

bool glob::plain() const {
  return std::all_of(tokens_.begin(), tokens_.end(), [](const token& t) { return t.what == kind::one; });
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

/// The last line that speaks of this very path decides; nothing = none does, or it takes back.
std::optional<std::size_t> ignore_list::match_one(std::string_view path, std::string_view name) const {
  for (auto i = lines_.size(); i-- > 0;) {
    auto& l = lines_[i];
    if (!path.empty() && l.named == path)
      return i;
    auto matches = [&, of = l.anchored ? path : name](const std::optional<glob>& g) { return g && g->matches(of); };
    if (l.all ? path.empty() : !path.empty() && (matches(l.pattern) || matches(l.bracketed)))
      return l.negated ? std::nullopt : std::optional(i);
  }
  return std::nullopt;
}

std::optional<std::size_t> ignore_list::match(std::string_view path) const {
  if (auto all = match_one({}, {}))
    return all;
  for (std::size_t begin = 0; begin < path.size();) {
    auto end = std::min(path.find('/', begin), path.size());
    if (auto found = match_one(path.substr(0, end), path.substr(begin, end - begin)))
      return found;
    begin = end + 1;
  }
  return std::nullopt;
}

} // namespace model

namespace {

using conclave::glob;
using conclave::glob_list;
using conclave::glob_walk;
using conclave::ignore_list;

struct dice {
  std::uint64_t word;
  std::uint32_t roll(std::uint32_t sides) {
    word = word * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::uint32_t>(word >> 33) % sides;
  }
};

std::string joined(dice& d, const std::vector<std::string>& parts, std::uint32_t most) {
  std::string out;
  for (auto n = d.roll(most + 1); n > 0; --n)
    out += parts[d.roll(static_cast<std::uint32_t>(parts.size()))];
  return out;
}

const std::vector<std::string> in_patterns = {"a",
                                              "b",
                                              "B",
                                              "*",
                                              "*",
                                              "**/",
                                              "/",
                                              "/**",
                                              "?",
                                              "[ab]",
                                              "[!a]",
                                              "[a-c]",
                                              "[^B-b/]",
                                              "[",
                                              "]",
                                              "-",
                                              "!",
                                              "\\",
                                              "\u00FC",
                                              "[\u00E0-\u00FF]",
                                              "\xFF",
                                              "[[:alpha:]]",
                                              "[![:upper:]]",
                                              "[]]",
                                              "/**/",
                                              "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                              "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a",
                                              "**/**/**/**/**/**/**/**/**/**/"};
const std::vector<std::string> in_paths = {
    "a", "a", "b", "B", "c", "/", "-", "[", "]", "\\", "\u00FC", "\u00FD", "\xFF", "\xC3", "aaaaaaaaaaaaaaaa"};

std::string path(dice& d) {
  return joined(d, in_paths, d.roll(4) == 0 ? 30 : 8);
}

void patterns(std::uint64_t seed) {
  dice d{seed};
  for (int i = 0; i < 300; ++i) {
    auto pattern = joined(d, in_patterns, d.roll(4) == 0 ? 40 : 6);
    auto how = static_cast<glob::style>(d.roll(3));
    auto fold = d.roll(2) == 0;
    auto now = glob::compile(pattern, how, fold);
    auto before = model::glob::compile(pattern, how, fold);
    RC_ASSERT(now.has_value() == before.has_value());
    for (int k = 0; now && k < 8; ++k) {
      auto text = path(d);
      if (now->matches(text) != before->matches(text))
        RC_FAIL("'" + pattern + "' and '" + text + "'");
    }
  }
}

void walks(std::uint64_t seed) {
  dice d{seed};
  std::vector<std::string> list;
  std::vector<model::glob> each;
  while (list.size() < 4) {
    auto p = joined(d, in_patterns, 6);
    if (p.empty() || p[0] == '/' || p.size() > glob::max_bytes)
      continue;
    list.push_back(p);
    each.push_back(*model::glob::compile(p, glob::style::shell));
  }
  glob_list compiled;
  std::string bad;
  RC_ASSERT(compiled.add_all(list, bad));
  glob_walk walk(compiled);
  std::string at;
  for (int i = 0; i < 100; ++i) {
    for (auto up = d.roll(3); up > 0 && !at.empty(); --up) // most paths share folders with the one before
      at.resize(std::min(at.rfind('/', at.size() - 1), at.size() - 1));
    auto text = at + path(d);
    auto want = std::any_of(each.begin(), each.end(), [&](auto& g) { return g.matches(text); });
    if (walk.matches(text) != want || compiled.matches(text) != want)
      RC_FAIL("'" + text + "'");
    at = text;
  }
}

void lists(std::uint64_t seed) {
  dice d{seed};
  auto fold = d.roll(2) == 0;
  ignore_list now(fold);
  model::ignore_list before(fold);
  for (auto n = d.roll(6); n > 0; --n) {
    auto line = (d.roll(4) == 0 ? "!" : "") + joined(d, in_patterns, 5);
    auto named = d.roll(3) == 0 ? line : std::string();
    RC_ASSERT(now.add(line, named) == before.add(line, named));
  }
  for (int i = 0; i < 200; ++i) {
    auto text = path(d);
    if (now.match(text) != before.match(text))
      RC_FAIL("'" + text + "'");
  }
}

} // namespace

int main() {
  auto ok = rc::check("a pattern matches as when each place is followed", patterns);
  ok = rc::check("so does a list on a walk", walks) && ok;
  ok = rc::check("a line of a list speaks as when each folder is looked at", lists) && ok;
  return ok ? 0 : 1;
}
