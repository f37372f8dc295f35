// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Why a text is no YAML, in the words of who wrote it. The parser stops where it can go no further, which is often lines behind the
// fault and in words of its grammar. So a text it refused is read again here, by rules that are only good enough to find the slips
// people make: brackets and quotes left open, ${NAME} in flow style, colons in texts, blanks that do not line up. Nothing here
// decides whether a file is read.

#include "app/load_config_parts.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

namespace conclave::loader {

namespace {

constexpr auto npos = syntax_fault::nowhere;
constexpr const char* no_blank = "a blank is missing behind ':'";
constexpr const char* second_colon = "': ' inside a text without quotes: put the whole text in quotes";

/// Spaces of other kinds, and U+FEFF. Source: the Unicode charts U0080, U2000, U3000 and UFE70 (https://www.unicode.org/charts/).
constexpr std::array<std::string_view, 8> odd_blanks = {"\xC2\xA0",     "\xE3\x80\x80", "\xE2\x80\x8B", "\xE2\x80\x83",
                                                        "\xE2\x80\x82", "\xE2\x80\xAF", "\xE2\x80\x89", "\xEF\xBB\xBF"};

constexpr std::array<std::string_view, 7> fine_quotes = {"\xE2\x80\x9C", "\xE2\x80\x9D", "\xE2\x80\x9E", "\xE2\x80\x98",
                                                         "\xE2\x80\x99", "\xC2\xAB",     "\xC2\xBB"};

/// An open block collection.
struct level {
  std::size_t indent = 0;
  bool list = false;
  int line = 1;
};

/// A bracket of flow style that is not closed yet.
struct open_bracket {
  std::size_t at;
  bool colon; ///< a ':' stood in the entry that is read
};

class slip_finder {
public:
  explicit slip_finder(const std::string& text) : t_(text) {}

  syntax_fault run() {
    i_ = t_.starts_with("\xEF\xBB\xBF") ? 3 : 0;
    while (i_ < t_.size() && fault_.at == npos)
      line();
    return fault_;
  }

private:
  char at(std::size_t k) const { return k < t_.size() ? t_[k] : '\0'; }
  bool is(std::size_t k, std::string_view what) const { return t_.compare(k, what.size(), what) == 0; }
  bool starts_any(std::size_t k, const auto& words) const {
    return std::any_of(words.begin(), words.end(), [&](std::string_view word) { return is(k, word); });
  }
  bool ends_line(std::size_t k) const { return k >= t_.size() || t_[k] == '\n' || t_[k] == '\r'; }
  bool is_blank(std::size_t k) const { return at(k) == ' ' || at(k) == '\t'; }
  bool ends_word(std::size_t k) const { return ends_line(k) || is_blank(k); }
  std::size_t skip_blanks(std::size_t k) const {
    while (is_blank(k))
      ++k;
    return k;
  }
  std::size_t end_of_line(std::size_t k) const { return std::min(t_.find('\n', k), t_.size()); }
  std::size_t next_line(std::size_t k) const { return std::min(end_of_line(k) + 1, t_.size()); }
  std::size_t column(std::size_t k) const { return k - (k == 0 ? 0 : t_.rfind('\n', k - 1) + 1); }
  std::size_t indent_at(std::size_t k) const { return t_.find_first_not_of(' ', k) == npos ? 0 : t_.find_first_not_of(' ', k) - k; }
  bool is_comment(std::size_t k) const { return at(k) == '#' && (k == 0 || is_blank(k - 1) || at(k - 1) == '\n'); }

  void fail(std::size_t where, std::string text) {
    if (fault_.at == npos)
      fault_ = {where, std::move(text)};
  }
  bool failed() const { return fault_.at != npos; }

  /// Returns where the ':' of "key: ..." stands in this line, or npos. Quotes and comments are left out.
  std::size_t key_colon(std::size_t k) const {
    if (at(k) == '"' || at(k) == '\'') {
      auto close = t_.find(at(k), k + 1);
      auto after = close == npos || close > end_of_line(k) ? npos : skip_blanks(close + 1);
      return after != npos && at(after) == ':' && ends_word(after + 1) ? after : npos;
    }
    for (; !ends_line(k) && !is_comment(k); ++k)
      if (at(k) == ':' && ends_word(k + 1))
        return k;
    return npos;
  }

  bool is_word(std::size_t from, std::size_t to) const {
    return std::all_of(t_.begin() + static_cast<std::ptrdiff_t>(from), t_.begin() + static_cast<std::ptrdiff_t>(to),
                       [](unsigned char c) { return std::isalnum(c) || c == '_'; });
  }

  /// Returns whether a line in the middle of something else looks as if it began an entry of its own.
  bool looks_like_entry(std::size_t k) const {
    k = skip_blanks(k);
    if (at(k) == '-' && at(k + 1) == ' ')
      return true;
    auto colon = key_colon(k);
    return colon != npos
           && std::all_of(t_.begin() + static_cast<std::ptrdiff_t>(k), t_.begin() + static_cast<std::ptrdiff_t>(colon),
                          [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-' || c == '"' || c == '\''; });
  }

  void line() {
    ++number_;
    auto start = i_;
    auto n = start;
    while (at(n) == ' ')
      ++n;
    auto content = skip_blanks(n);
    i_ = next_line(start);
    if (ends_line(content) || at(content) == '#' || (n == start && (is(n, "---") || is(n, "..."))))
      return;
    if (at(n) == '\t')
      return fail(n, "a tab where YAML wants blanks: indent with blanks");
    if (starts_any(n, odd_blanks))
      return fail(n, odd_blank);
    if (is(n, "```"))
      return fail(n, "a fence of Markdown: delete the lines with ```");
    if (n == start && (is(n, "<<<<<<<") || is(n, "=======") || is(n, ">>>>>>>")))
      return fail(n, "a mark of a merge that was left half done: decide for one side");
    if (is(n, "//") || is(n, "/*"))
      return fail(n, "comments begin with '#'");
    if (at(n) == '?' && ends_word(n + 1)) { // a key of the long form: nobody slips into it
      i_ = t_.size();
      return;
    }
    bool list = at(n) == '-' && ends_word(n + 1);
    if (fits(n, n - start, list) && !failed())
      entry(n, n - start);
  }

  /// Judges the indentation of a line. Returns false if the line goes on with the text of the line above.
  bool fits(std::size_t n, std::size_t indent, bool list) {
    if (after_block_ && !list && key_colon(n) == npos) {
      no_key(n);
      return true;
    }
    if (levels_.empty()) {
      levels_.push_back({indent, list, number_});
      return true;
    }
    if (pending_ && (indent > levels_.back().indent || (indent == levels_.back().indent && list && !levels_.back().list))) {
      levels_.push_back({indent, list, number_});
      return true;
    }
    if (indent > levels_.back().indent) {
      if (plain_ && !list && key_colon(n) == npos)
        return false;
      if (glued_ != npos)
        fail(glued_, no_blank);
      fail(n, "indented deeper than the line above it, which is complete: give it the same blanks as that one ("
                  + std::to_string(levels_.back().indent) + ")");
      return true;
    }
    auto above = levels_;
    while (!levels_.empty() && levels_.back().indent > indent)
      levels_.pop_back();
    if (levels_.size() > 1 && levels_.back().list && !list && levels_[levels_.size() - 2].indent == indent)
      levels_.pop_back(); // a list may stand below its key without being indented
    if (levels_.empty() || levels_.back().indent != indent) {
      std::string known;
      for (const auto* l = above.data(); l != above.data() + above.size(); ++l)
        if (l == above.data() || l->indent != l[-1].indent) // a list may stand at its key's own column
          known += (known.empty() ? "" : ", ") + std::to_string(l->indent);
      fail(n, "indented by " + std::to_string(indent) + (indent == 1 ? " blank" : " blanks") + ", which fits no line above it ("
                  + known + " would)");
    } else if (levels_.back().list != list) {
      fail(n, list ? "a list item ('- ') among keys: indent it below the key it belongs to"
                   : "a key among list items: begin it with '- ', or indent it below the item it belongs to");
    }
    return true;
  }

  /// Reads what stands in a line of block style.
  void entry(std::size_t n, std::size_t indent) {
    bool in_list = false;
    glued_ = npos;
    while (at(n) == '-' && ends_word(n + 1)) {
      if (in_list)
        levels_.push_back({indent, true, number_});
      in_list = true;
      auto next = skip_blanks(n + 1);
      pending_ = ends_line(next) || is_comment(next);
      plain_ = false;
      if (pending_)
        return;
      indent += next - n;
      n = next;
    }
    auto colon = at(n) == '{' || at(n) == '[' ? npos : key_colon(n);
    if (!in_list && at(n) == '-' && colon != npos && std::isalpha(static_cast<unsigned char>(at(n + 1))))
      return fail(n + 1, "a blank is missing behind '-'");
    if (colon == npos) {
      if (!in_list && levels_.size() == 1 && levels_.back().line == number_ && (at(n) == '{' || at(n) == '['))
        return value(n, indent); // JSON
      auto word = n;
      while (std::isalnum(static_cast<unsigned char>(at(word))) || at(word) == '_')
        ++word;
      glued_ = in_list && word > n && at(word) == ':' && at(word + 1) != '/' ? word : npos; // "- id:a"
      return in_list ? value(n, indent) : no_key(n);
    }
    if (in_list)
      levels_.push_back({indent, false, number_});
    if (at(n) == '"' || at(n) == '\'')
      quoted(n, indent);
    else if (starts_any(n, fine_quotes))
      fail(n, typographic);
    auto v = skip_blanks(colon + 1);
    plain_ = false;
    pending_ = ends_line(v) || is_comment(v);
    if (!pending_ && !failed())
      value(v, indent);
  }

  /// A line that is neither an entry nor goes on with one.
  void no_key(std::size_t n) {
    auto end = end_of_line(n);
    auto colon = t_.find(':', n), equals = t_.find('=', n);
    for (auto k = n; k < end; ++k)
      if (starts_any(k, odd_blanks))
        return fail(k, odd_blank);
    if (at(n) == '@' || at(n) == '`' || at(n) == '%')
      return value(n, 0);
    if (colon < end && !is(colon, "://"))
      return fail(colon, no_blank);
    if (equals < end)
      return fail(equals, "YAML has 'key: value', not 'key = value'");
    fail(n, after_block_ ? "this line is no 'key: value'; if it belongs to the text above, indent it deeper than its key"
                         : "this line is no 'key: value'; a text that goes on is indented deeper than its key");
  }

  /// Reads the value of a key or list item. `indent` is that of the entry it belongs to.
  void value(std::size_t v, std::size_t indent) {
    after_block_ = false;
    while (at(v) == '&' || at(v) == '!') { // anchors and tags
      auto end = v;
      while (!ends_word(end))
        ++end;
      if (end == v + 1 || (at(v) == '&' && !ends_line(skip_blanks(end)) && at(end - 1) == '&'))
        return fail(v, begins(v));
      v = skip_blanks(end);
      if (ends_line(v) || is_comment(v)) {
        pending_ = true;
        return;
      }
    }
    switch (at(v)) {
    case '"':
    case '\'':
      return trailing(quoted(v, indent), at(v));
    case '[':
    case '{':
      return trailing(flow(v, indent), '\0');
    case '|':
    case '>':
      return block(v, indent);
    case '*':
      if (auto end = t_.find_first_of(" \t\r\n", v); end != npos && !ends_line(skip_blanks(end)) && !is_comment(skip_blanks(end)))
        fail(v, begins(v));
      return;
    case '@':
    case '`':
    case '%':
    case ',':
    case ']':
    case '}':
      return fail(v, begins(v));
    default:
      return plain(v);
    }
  }

  std::string begins(std::size_t v) const { return std::string{"'"} + at(v) + "' cannot begin a text: put the text in quotes"; }

  void plain(std::size_t v) {
    plain_ = true;
    if (at(v) == '-' && ends_word(v + 1))
      return fail(v, "a list begins on a line of its own, below its key");
    for (auto k = v; !ends_line(k) && !is_comment(k); ++k)
      if (at(k) == ':' && ends_word(k + 1))
        return fail(k, at(v) == '('                 ? "a map is written {...}, not (...)"
                       : starts_any(v, fine_quotes) ? typographic
                       : is_word(v, k)              ? std::string{second_colon} + "; keys of a map begin in the line below"
                                                    : second_colon);
  }

  /// Reads "..." or '...' from its opening quote. Returns what follows the closing one, or npos.
  std::size_t quoted(std::size_t n, std::size_t indent) {
    auto quote = at(n);
    bool spills = false;
    for (auto k = n + 1; k < t_.size(); ++k) {
      if (at(k) == '\n') {
        ++number_;
        spills = spills || (indent_at(k + 1) <= indent && looks_like_entry(k + 1));
      } else if (quote == '"' && at(k) == '\\') {
        if (auto bad = bad_escape(k); !bad.empty()) {
          fail(k, bad);
          return npos;
        }
        ++k;
      } else if (at(k) == quote) {
        if (quote == '\'' && at(k + 1) == '\'') {
          ++k;
          continue;
        }
        if (spills) // it was closed by the next quote of the file
          break;
        i_ = next_line(k);
        return k + 1;
      }
    }
    fail(n, std::string{"the quote ("} + quote + ") that opens here is not closed");
    return npos;
  }

  std::string bad_escape(std::size_t k) const {
    auto c = at(k + 1);
    auto digits = c == 'x' ? 2u : c == 'u' ? 4u : c == 'U' ? 8u : 0u;
    bool good = std::string_view{"0abtnvfre \"/\\N_LP\t\n\r"}.find(c) != npos || digits > 0;
    for (std::size_t d = 0; good && d < digits; ++d)
      good = std::isxdigit(static_cast<unsigned char>(at(k + 2 + d))) != 0;
    return good ? "" : std::string{"'\\"} + c + "' means nothing inside \"...\": write '...' instead, or \\\\ for each backslash";
  }

  /// Reads [...] or {...} from its opening bracket. Returns what follows the closing one, or npos.
  std::size_t flow(std::size_t n, std::size_t indent) {
    std::vector<open_bracket> open;
    bool root = t_.find_first_not_of(" \t\r\n") == n;
    bool complete = false; // a value stands here: next is ',' or a bracket
    for (auto k = n; k < t_.size() && !failed();) {
      auto c = at(k);
      if (c == '\n') {
        ++number_;
        ++k;
        if (!root && indent_at(k) <= indent && looks_like_entry(k))
          break;
      } else if (is_blank(k) || c == '\r') {
        ++k;
      } else if (is_comment(k)) {
        k = end_of_line(k);
      } else if (is(k, "//") || is(k, "/*")) {
        fail(k, "comments begin with '#', also in JSON");
      } else if (c == '[' || c == '{') {
        if (complete)
          fail(k, "a comma is missing before this");
        if (c == '{' && !open.empty() && at(open.back().at) == '{' && !open.back().colon)
          fail(k, "braces in the place of a key: put a text in quotes");
        open.push_back({k, false});
        complete = false;
        ++k;
      } else if (c == ']' || c == '}') {
        if ((c == ']') != (at(open.back().at) == '['))
          fail(k, std::string{"'"} + c + "' where '" + (c == ']' ? '}' : ']') + "' has to close the bracket of line "
                      + std::to_string(line_of(open.back().at)));
        open.pop_back();
        complete = true;
        if (++k; open.empty()) {
          i_ = next_line(k);
          return failed() ? npos : k;
        }
      } else if (c == ',') {
        open.back().colon = complete = false;
        ++k;
      } else if (c == ':' && (complete || ends_word(k + 1) || at(k + 1) == '"')) {
        if (open.back().colon && at(open.back().at) == '{')
          fail(k, std::string{second_colon} + "; between two entries a comma is missing");
        open.back().colon = true;
        complete = false;
        ++k;
      } else if (c == '"' || c == '\'') {
        if (complete)
          fail(k, "a comma is missing before this");
        k = quoted(k, root ? 0 : indent);
        complete = true;
      } else {
        k = flow_plain(k);
        complete = true;
      }
    }
    if (!open.empty())
      fail(open.back().at, std::string{"the bracket '"} + at(open.back().at) + "' that opens here is not closed");
    return npos;
  }

  /// Reads a text without quotes between brackets. Returns what follows it.
  std::size_t flow_plain(std::size_t k) {
    if (at(k) == '@' || at(k) == '`' || at(k) == '%') {
      fail(k, begins(k));
      return npos;
    }
    auto start = k;
    for (; !ends_line(k) && !is_comment(k); ++k) {
      if (is(k, "${")) {
        auto end = t_.find('}', k);
        auto name = end == npos || end > end_of_line(k) || end - k > 60 ? std::string{"${NAME}"} : t_.substr(k, end + 1 - k);
        fail(k, "between brackets a reference needs quotes: \"" + name + "\"");
        return npos;
      }
      if (std::string_view{",[]{}"}.find(at(k)) != npos || (at(k) == ':' && (ends_word(k + 1) || at(k + 1) == ',')))
        break;
    }
    return std::max(k, start + 1);
  }

  /// Skips a text below '|' or '>'.
  void block(std::size_t v, std::size_t indent) {
    auto k = v + 1;
    while (at(k) == '-' || at(k) == '+' || std::isdigit(static_cast<unsigned char>(at(k))))
      ++k;
    if (k = skip_blanks(k); !ends_line(k) && !is_comment(k))
      return fail(k, std::string{"the text of '"} + at(v) + "' begins in the next line, indented deeper");
    // A list item's text is indented deeper than the item; its keys' than the keys.
    while (i_ < t_.size()) {
      auto content = skip_blanks(i_);
      if (!ends_line(content) && indent_at(i_) <= (levels_.empty() ? indent : levels_.back().indent))
        break;
      i_ = next_line(i_);
      ++number_;
    }
    after_block_ = true;
  }

  /// Judges what follows a quoted text or a bracket in its line.
  void trailing(std::size_t k, char quote) {
    if (k == npos || failed())
      return;
    auto next = skip_blanks(k);
    if (ends_line(next) || is_comment(next))
      return;
    if (at(next) == ']' || at(next) == '}')
      return fail(next, std::string{"'"} + at(next) + "' closes nothing");
    if (quote == '\'')
      return fail(next,
                  "text behind the closing quote: inside '...' an apostrophe is written twice (''), or put the text in \"...\"");
    if (quote == '"')
      return fail(next, "text behind the closing quote: put the whole text in quotes, and \\\" for a quote inside");
    fail(next, "text behind the closing bracket");
  }

  int line_of(std::size_t k) const {
    return 1 + static_cast<int>(std::count(t_.begin(), t_.begin() + static_cast<std::ptrdiff_t>(k), '\n'));
  }

  const std::string& t_;
  std::size_t i_ = 0;
  int number_ = 0;
  std::vector<level> levels_;
  bool pending_ = false;     ///< the line above ended in ':' or '-': its value comes deeper
  bool plain_ = false;       ///< the line above ended in a text without quotes, which may go on
  bool after_block_ = false; ///< the line above belonged to '|' or '>'
  std::size_t glued_ = npos; ///< where a blank may be missing in the line above
  syntax_fault fault_;
};

} // namespace

syntax_fault find_slip(const std::string& text) {
  return slip_finder{text}.run();
}

bool holds_odd_blank(std::string_view text) {
  return std::any_of(odd_blanks.begin(), odd_blanks.end(), [&](std::string_view blank) { return text.find(blank) != npos; });
}

bool has_typographic_quotes(std::string_view text) {
  auto any = [&](auto test) { return std::any_of(fine_quotes.begin(), fine_quotes.end(), test); };
  return any([&](std::string_view q) { return text.starts_with(q); }) && any([&](std::string_view q) { return text.ends_with(q); });
}

} // namespace conclave::loader
