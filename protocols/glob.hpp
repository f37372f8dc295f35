// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Patterns for paths, matched in time linear in the path whatever the pattern says. Two readings: as the shell's on a whole
/// relative path, for file tools; and as in .gitignore, for protected paths. Pure.
///
///   auto g = glob::compile("*.py", glob::style::shell);     // g->matches("a/b.py")
///   ignore_list l;  l.add("/vendor/");                      // l.match("vendor/x/y") == 0

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace conclave {

/// One pattern. Characters are of UTF-8; a byte that belongs to none is one by itself.
class glob {
public:
  static constexpr std::size_t max_bytes = 256;

  enum class style : std::uint8_t {
    shell, ///< `*` and `?` also match '/', "**/" also nothing; `[...]`, `[!...]`; an unclosed '[' and '\' stand for themselves
    /// `*`, `?` and `[...]` stay within a component, "**" crosses; '\' takes the next character as it is; `[[:alpha:]]` and the
    /// like
    ignore,
    plain_brackets, ///< as `ignore`, but '[' and ']' stand for themselves
  };

  /// Returns nothing for an empty pattern, one of more than `max_bytes`, and in `ignore` one with a class of characters that is
  /// none. `fold`: letters match whatever their case.
  static std::optional<glob> compile(std::string_view pattern, style how, bool fold = false);

  /// Returns the "[:...:]" of a pattern of .gitignore that is no class of characters; empty if all are.
  static std::string unknown_class(std::string_view pattern);

  /// Returns whether the whole path matches.
  bool matches(std::string_view path) const;

  /// What a pattern makes of the text read so far: a bit for each of its places that the text may have led to.
  static constexpr std::size_t words = max_bytes / 64 + 1;
  using places = std::array<std::uint64_t, words>;
  places begin() const;
  /// Reads on. A text may be given in parts that end behind a '/'. Some operations for each character, whatever the pattern.
  void read(places& at, std::string_view text) const;
  /// Returns whether what was read matches.
  bool accepts(const places& at) const { return (at[tokens_.size() / 64] >> (tokens_.size() % 64) & 1U) != 0; }

  /// Returns whether the pattern has none but plain characters.
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
  void compile_shell(std::string_view pattern);
  void compile_ignore(std::string_view pattern, bool sets);
  std::size_t read_set(std::string_view pattern, std::size_t at, style how);
  bool read_class(char_set& s, std::string_view pattern, std::size_t& at);
  void prepare();
  std::uint16_t range_of(std::uint32_t c) const;
  std::uint64_t passed(std::uint64_t at, std::size_t word, std::uint64_t& carry) const;
  bool takes(const token& t, std::uint32_t c) const;

  std::vector<token> tokens_;
  std::vector<char_set> sets_;
  bool fold_ = false;
  std::string no_class_; ///< the "[:...:]" that names none
  places stars_{}, dirs_{};
  std::vector<std::uint32_t> ranges_;      ///< where characters begin that other tokens take than those before
  std::vector<places> takers_;             ///< the tokens that take those of a range
  std::array<std::uint16_t, 128> ascii_{}; ///< the ranges of these
};

/// At most 50 patterns of one list of a call. An empty list matches nothing.
class glob_list {
public:
  /// Returns false where a pattern is empty or too long, is absolute or leads up (".." as a component): `bad` names it.
  bool add_all(const std::vector<std::string>& patterns, std::string& bad);
  bool matches(std::string_view relative_path) const;
  bool empty() const { return globs_.empty(); }

private:
  friend class glob_walk;
  std::vector<glob> globs_;
};

/// A list and the paths of a walk, one after the other: of folders that the path before had, too, nothing is read again.
class glob_walk {
public:
  glob_walk() = default;
  explicit glob_walk(glob_list list) : list_(std::move(list)) {}

  bool matches(std::string_view relative_path);
  bool matches_name(std::string_view name) const { return list_.matches(name); }
  bool empty() const { return list_.empty(); }
  std::uint64_t bytes_read() const { return bytes_; } ///< of paths, by the whole list; for tests

private:
  glob_list list_;
  std::string folders_;              ///< of the path before, each with its '/'
  std::vector<std::size_t> ends_;    ///< where each ends
  std::vector<glob::places> places_; ///< behind each, one for each pattern
  std::uint64_t bytes_ = 0;
};

/// The patterns of a .gitignore, in order: a later one overrules, '!' takes back, but nothing below a folder that matched. What
/// matches does so with everything below it.
class ignore_list {
public:
  explicit ignore_list(bool fold = false) : fold_(fold) {}

  /// Returns false for a pattern that cannot be one (glob::compile). A blank one matches nothing; '#' is a name's character: this
  /// is no file. "/" and "." stand for everything. `named`: a path that matches the line whatever its characters mean in a pattern;
  /// with one, a line with wildcards also matches what it does where its brackets are characters of a name.
  bool add(std::string_view line, std::string_view named = {});

  /// Returns the index of the line that matches the path or a folder above it; nothing if none does. "" is the folder itself. A
  /// last component may be a folder or not: patterns that only match folders match it, too.
  std::optional<std::size_t> match(std::string_view relative_path) const;

  /// Returns the path that a line without wildcards, anchored by a '/', stands for; empty for others.
  const std::string& literal(std::size_t index) const { return lines_[index].literal; }
  std::size_t size() const { return lines_.size(); }

private:
  struct line {
    std::optional<glob> pattern, bracketed; ///< as it is; with brackets as characters
    bool negated = false, anchored = false, all = false;
    std::string literal, named;
  };
  std::optional<std::size_t> match_root() const;

  std::vector<line> lines_;
  bool fold_;
};

} // namespace conclave
