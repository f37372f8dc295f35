// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Why a text is no YAML, in the words of who wrote it. The parser stops where it can go no further, which is often lines behind the
// fault and in words of its grammar. So a text it refused is read again here, by rules that are only good enough to find the slips
// people make: brackets and quotes left open, ${NAME} in flow style, colons in texts, blanks that do not line up. Nothing here
// decides whether a file is read.

#include "app/load_config_walk.hpp"

#include <algorithm>
#include <cctype>
#include <string_view>
#include <vector>

namespace conclave::loader {

namespace {

constexpr const char* no_blank = "a blank is missing behind ':'";
constexpr const char* second_colon = "': ' inside a text without quotes: put the whole text in quotes";

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

class slip_finder : text_walk {
public:
  explicit slip_finder(const std::string& text) : text_walk(text) {}

  syntax_fault run() {
    i_ = t_.starts_with("\xEF\xBB\xBF") ? 3 : 0;
    while (i_ < t_.size() && fault_.at == npos)
      line();
    return fault_;
  }

private:
  void fail(std::size_t where, std::string text) {
    if (fault_.at == npos)
      fault_ = {where, std::move(text)};
  }
  bool failed() const { return fault_.at != npos; }

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

} // namespace conclave::loader
