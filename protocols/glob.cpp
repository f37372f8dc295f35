// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/glob.hpp"

#include "protocols/text.hpp"

#include <algorithm>

namespace conclave {

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

constexpr void add(glob::places& to, std::size_t at) {
  to[at / 64] |= std::uint64_t{1} << (at % 64);
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
  g.prepare();
  return g;
}

std::string glob::unknown_class(std::string_view pattern) {
  glob g;
  g.compile_ignore(pattern, true);
  return g.no_class_;
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

bool glob::plain() const {
  return std::all_of(tokens_.begin(), tokens_.end(), [](const token& t) { return t.what == kind::one; });
}

/// Sorts all characters into ranges of such that the same tokens take, so that one look tells which do.
void glob::prepare() {
  std::vector<std::uint32_t> begins = {0, '/', '/' + 1};
  auto apart = [&begins](std::uint32_t first, std::uint32_t last) {
    begins.push_back(first);
    begins.push_back(last + 1);
  };
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    auto& t = tokens_[i];
    if (t.what == kind::one)
      apart(t.code, t.code);
    else if (t.what == kind::star)
      add(stars_, i);
    else if (t.what == kind::dirs)
      add(dirs_, i);
  }
  for (auto& s : sets_)
    for (auto& r : s.ranges)
      apart(r.first, r.last);
  for (std::uint32_t c = 'A'; fold_ && c <= 'Z'; ++c) {
    apart(c, c);
    apart(folded(c), folded(c));
  }
  std::sort(begins.begin(), begins.end());
  begins.erase(std::unique(begins.begin(), begins.end()), begins.end());
  for (auto first : begins) {
    places takers{};
    for (std::size_t i = 0; i < tokens_.size(); ++i)
      if (takes(tokens_[i], first))
        add(takers, i);
    takers_.push_back(takers);
  }
  ranges_ = std::move(begins);
  for (std::uint32_t c = 0; c < ascii_.size(); ++c)
    ascii_[c] = range_of(c);
}

std::uint16_t glob::range_of(std::uint32_t c) const {
  return static_cast<std::uint16_t>(std::upper_bound(ranges_.begin(), ranges_.end(), c) - ranges_.begin() - 1);
}

/// Adds the places behind tokens that may take nothing. An addition carries a bit to the end of a row of such tokens.
std::uint64_t glob::passed(std::uint64_t at, std::size_t word, std::uint64_t& carry) const {
  auto free = stars_[word] | dirs_[word];
  auto sum = free + (at & free);
  auto over = sum < free;
  sum += carry;
  carry = over || (carry != 0 && sum == 0);
  return at | (sum ^ free);
}

glob::places glob::begin() const {
  places out{};
  std::uint64_t carry = 0;
  for (std::size_t w = 0; w <= tokens_.size() / 64; ++w)
    out[w] = passed(w == 0 ? 1 : 0, w, carry);
  return out;
}

void glob::read(places& at, std::string_view text) const {
  const auto used = tokens_.size() / 64 + 1;
  for (std::size_t i = 0; i < text.size();) {
    auto byte = static_cast<unsigned char>(text[i]);
    std::uint32_t c = byte;
    if (byte < ascii_.size())
      ++i;
    else
      c = next(text, i);
    auto& takers = takers_[c < ascii_.size() ? ascii_[c] : range_of(c)];
    std::uint64_t any = 0, shifted = 0, carry = 0;
    for (std::size_t w = 0; w < used; ++w) {
      auto taken = at[w] & takers[w];
      auto within = taken & dirs_[w]; // goes on only behind a '/'
      auto moved = c == '/' ? taken & ~stars_[w] : taken & ~(stars_[w] | dirs_[w]);
      auto reached = (taken & stars_[w]) | (moved << 1) | shifted;
      shifted = moved >> 63;
      any |= at[w] = passed(reached, w, carry) | within;
    }
    if (any == 0)
      return;
  }
}

bool glob::matches(std::string_view path) const {
  auto at = begin();
  read(at, path);
  return accepts(at);
}

} // namespace conclave
