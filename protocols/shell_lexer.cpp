// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/shell_parser.hpp"
#include "protocols/wire/surrogates.hpp"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <utility>

namespace conclave::shell {

namespace {

constexpr int max_retries = 32;

bool ends_word(char c) {
  return std::string_view(" \t\n;&|()<>").find(c) != std::string_view::npos;
}

bool is_name_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

bool is_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_name_char);
}

int digit_of(char c, int base) {
  auto d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
  return d < base ? d : -1;
}

/// A here-document as it is read by its command, but for what is expanded.
std::string without_escapes(std::string_view body) {
  std::string out;
  for (std::size_t i = 0; i < body.size(); ++i) {
    if (body[i] == '\\' && i + 1 < body.size() && std::string_view("$`\\\n").find(body[i + 1]) != std::string_view::npos
        && body[++i] == '\n')
      continue;
    out += body[i];
  }
  return out;
}

/// The operators, longest first.
constexpr std::string_view operators[] = {"<<<", "<<-", "&>>", "<<", ">>", "<&", ">&", "<>", ">|", "&>", "<", ">"};

} // namespace

void parser::blanks() {
  while (!done()) {
    if (peek() == ' ' || peek() == '\t') {
      skip(1);
    } else if (here("\\\n")) {
      skip(2);
    } else if (peek() == '#' && (at_ == 0 || ends_word(text_[at_ - 1]))) {
      while (!done() && peek() != '\n')
        skip(1);
    } else {
      return;
    }
  }
}

bool parser::at_redirection(std::size_t& digits) {
  digits = 0;
  while (std::isdigit(static_cast<unsigned char>(peek(digits))) != 0)
    ++digits;
  auto c = peek(digits);
  if (digits == 0 && c == '&' && peek(1) == '>') {
    how_.two_ways = true;
    return !how_.begins_anew;
  }
  return (c == '<' || c == '>') && (digits > 0 || peek(1) != '(');
}

bool parser::read_redirection(simple_command& to) {
  std::size_t digits = 0;
  if (done() || !at_redirection(digits))
    return false;
  redirection r;
  r.op = text_.substr(at_, digits);
  skip(digits);
  for (auto op : operators)
    if (here(op)) {
      r.op += op;
      skip(op.size());
      break;
    }
  blanks();
  auto before = at_;
  r.target = read_word();
  if (at_ == before) {
    fail("a redirection goes nowhere");
    return false;
  }
  if (r.op.ends_with("<<<"))
    out_.documents.push_back(r.target);
  else if (r.op.ends_with("<<") || r.op.ends_with("<<-"))
    documents_.push_back({r.target.text, r.op.back() == '-', r.target.quoted});
  to.redirections.push_back(std::move(r));
  return true;
}

word parser::read_word() {
  word w;
  auto plain = true;
  int subscripts = 0; // NAME[ and what is open within
  while (!done()) {
    auto c = peek();
    if ((c == '<' || c == '>') && peek(1) == '(') {
      doubt("'<(' and '>(' are no forms of every shell");
      w.dynamic = true;
      plain = false;
      auto from = at_;
      read_substitution(2);
      w.text += text_.substr(from, at_ - from);
      continue;
    }
    if (ends_word(c))
      break;
    if (c == '\\') {
      if (at_ + 1 == text_.size()) { // the shell leaves it as it is
        w.text += c;
        skip(1);
        break;
      }
      if (peek(1) != '\n') {
        w.text += peek(1);
        w.quoted = true;
        plain = false;
      }
      skip(2);
    } else if (c == '\'') {
      auto end = text_.find('\'', at_ + 1);
      if (end == std::string_view::npos) {
        fail("a quote is not closed");
        break;
      }
      w.text += text_.substr(at_ + 1, end - at_ - 1);
      w.quoted = true;
      plain = false;
      at_ = end + 1;
    } else if (c == '"') {
      plain = false;
      read_quoted(w);
    } else if (c == '$') {
      plain = false;
      read_dollar(w, false);
    } else if (c == '`') {
      plain = false;
      read_backticks(w, false);
    } else {
      w.pattern = w.pattern || c == '*' || c == '?' || c == '[' || c == '{';
      if (c == '[' && (subscripts > 0 || (plain && is_name(w.text))))
        ++subscripts;
      else if (c == ']' && subscripts > 0)
        --subscripts;
      w.text += c;
      skip(1);
    }
    if (plain)
      w.plain = w.text.size();
  }
  if (subscripts > 0) // up to its end, blanks, line feeds and '<<' are part of it
    differ("shells differ on a '[' that is not closed");
  return w;
}

void parser::read_quoted(word& w) {
  w.quoted = true;
  for (++at_; !done() && peek() != '"';) {
    auto c = peek();
    if (c == '$') {
      read_dollar(w, true);
    } else if (c == '`') {
      read_backticks(w, true);
    } else if (c == '\\' && at_ + 1 < text_.size() && std::string_view("$`\"\\\n").find(peek(1)) != std::string_view::npos) {
      if (peek(1) != '\n')
        w.text += peek(1);
      skip(2);
    } else {
      w.text += c;
      skip(1);
    }
  }
  if (!here("\""))
    return fail("a quote is not closed");
  skip(1);
}

void parser::read_dollar(word& w, bool in_quotes) {
  auto from = at_;
  auto c = peek(1);
  if (c == '\'' && !in_quotes)
    return read_ansi(w);
  if (c == '"' && !in_quotes) {
    doubt("'$\"' is no form of every shell");
    skip(1);
    return;
  }
  if (c == '(') {
    if (peek(2) != '(' || !read_arithmetic())
      read_substitution(2);
  } else if (c == '{') {
    read_brace(in_quotes);
  } else if (is_name_char(c)) {
    skip(2);
    while (std::isdigit(static_cast<unsigned char>(c)) == 0 && is_name_char(peek()))
      skip(1);
  } else if (c != '\0' && std::string_view("@*#?-$!").find(c) != std::string_view::npos) {
    skip(2);
  } else {
    if (c == '[') {
      doubt("'$[' is no form of every shell");
      how_.has_sums = true;
    }
    if (c == '\\' && peek(2) == '\n')
      differ("a line goes on within an expansion");
    w.text += '$';
    skip(1);
    return;
  }
  w.dynamic = true;
  w.text += text_.substr(from, at_ - from);
}

/// $'...': as bash reads it; others take '$' as it is.
void parser::read_ansi(word& w) {
  doubt("\"$'\" is no form of every shell");
  w.quoted = true;
  for (skip(2); !done() && peek() != '\''; skip(1)) {
    if (peek() != '\\' || at_ + 1 == text_.size()) {
      w.text += peek();
      continue;
    }
    skip(1);
    auto c = peek();
    if (c == '\'')
      differ("shells differ on \"\\'\" within \"$'\"");
    auto number = [&](int base, int most) {
      std::uint32_t n = 0;
      int d = 0;
      for (int i = 0; i < most && (d = digit_of(peek(), base)) >= 0; ++i, skip(1))
        n = n * static_cast<std::uint32_t>(base) + static_cast<std::uint32_t>(d);
      --at_; // the loop goes on behind it
      return n;
    };
    static constexpr std::string_view names = "abefnrtv", values = "\a\b\x1B\f\n\r\t\v";
    if (auto i = names.find(c); i != std::string_view::npos) {
      w.text += values[i];
    } else if (c == 'x' || c == 'u' || c == 'U') {
      skip(1);
      auto n = number(16, c == 'x' ? 2 : c == 'u' ? 4 : 8);
      if (c == 'x')
        w.text += static_cast<char>(n);
      else
        wire::append_utf8(w.text, n);
    } else if (c >= '0' && c <= '7') {
      w.text += static_cast<char>(number(8, 3));
    } else {
      w.text += c;
    }
  }
  if (!here("'"))
    return fail("a quote is not closed");
  skip(1);
}

/// ${...}: what is within may hold substitutions.
void parser::read_brace(bool in_quotes) {
  if (!enter())
    return leave();
  word ignored;
  for (skip(2); !done() && peek() != '}';) {
    auto c = peek();
    if (c == '\\') {
      skip(2);
    } else if (c == '\'') {
      if (in_quotes)
        differ("shells differ on a quote within \"${...}\"");
      auto end = text_.find('\'', at_ + 1);
      at_ = in_quotes ? at_ + 1 : end == std::string_view::npos ? text_.size() : end + 1;
    } else if (c == '"') {
      read_quoted(ignored);
    } else if (c == '$') {
      read_dollar(ignored, in_quotes);
    } else if (c == '`') {
      read_backticks(ignored, in_quotes);
    } else {
      if (c == '<' || c == '>')
        differ("shells differ on '<' and '>' within ${...}");
      skip(1);
    }
  }
  if (!here("}"))
    fail("'${' is not closed");
  skip(1);
  leave();
}

/// $((...)) if that is what it is: the two brackets at its end stand together. Else nothing was read.
bool parser::read_arithmetic() {
  auto from = at_;
  auto before = out_.commands.size();
  auto functions = out_.functions.size();
  auto documents = out_.documents.size();
  auto doubted = out_.doubt;
  if (!enter()) {
    leave();
    return true;
  }
  word ignored;
  int depth = 2;
  for (skip(3); !done();) {
    auto c = peek();
    if (c == '\\') {
      skip(2);
    } else if (c == '"') {
      read_quoted(ignored);
    } else if (c == '$') {
      read_dollar(ignored, true);
    } else if (c == '`') {
      read_backticks(ignored, true);
    } else if (c == ')' && depth == 2) {
      break;
    } else {
      depth += c == '(' ? 1 : c == ')' ? -1 : 0;
      skip(1);
    }
  }
  leave();
  if (here("))")) {
    skip(2);
    return true;
  }
  if (++how_.retries > max_retries) {
    fail("it has too many brackets");
    return true;
  }
  at_ = from;
  failed_ = false;
  out_.commands.resize(before);
  out_.functions.resize(functions);
  out_.documents.resize(documents);
  out_.doubt = doubted;
  differ("shells differ on '$((' that is no sum");
  return false;
}

/// $(...) and <(...): `open` bytes, then commands up to the bracket.
void parser::read_substitution(std::size_t open) {
  if (!enter())
    return leave();
  skip(open);
  auto outer = std::exchange(documents_, {});
  outer_documents_ += outer.size();
  list();
  blanks();
  if (!here(")"))
    fail("'$(' is not closed");
  else
    skip(1);
  if (!documents_.empty())
    differ("a here-document begins in a substitution and ends outside of it");
  outer_documents_ -= outer.size();
  outer.insert(outer.end(), documents_.begin(), documents_.end());
  documents_ = std::move(outer);
  leave();
}

void parser::read_backticks(word& w, bool in_quotes) {
  auto from = at_;
  std::string inner;
  for (++at_; !done() && peek() != '`'; skip(1)) {
    auto c = peek(1);
    if (peek() == '\\' && (c == '`' || c == '\\' || c == '$' || (in_quotes && c == '"')))
      skip(1);
    inner += peek();
  }
  if (!here("`"))
    return fail("a quote is not closed");
  skip(1);
  w.dynamic = true;
  w.text += text_.substr(from, at_ - from);
  parser(inner, out_, depth_, how_).run();
}

/// The here-documents that begin behind this line feed.
void parser::read_documents() {
  if (outer_documents_ > 0)
    differ("a here-document begins around a substitution of several lines");
  for (auto& d : std::exchange(documents_, {})) {
    std::string body;
    auto closed = false, joined = false;
    while (at_ < text_.size() && !closed) {
      auto end = std::min(text_.find('\n', at_), text_.size());
      auto whole = text_.substr(at_, end - at_);
      at_ = std::min(end + 1, text_.size());
      while (d.strips_tabs && whole.starts_with('\t'))
        whole.remove_prefix(1);
      closed = whole == d.delimiter;
      if (closed && joined)
        doubt("the end of a here-document is part of a longer line");
      auto last = whole.find_last_not_of('\\');
      auto slashes = whole.size() - (last == std::string_view::npos ? 0 : last + 1);
      joined = !d.literal && slashes % 2 == 1;
      if (!closed)
        (body += whole) += '\n';
    }
    if (!closed)
      doubt("a here-document has no end");
    word given;
    if (!d.literal) {
      parser(body, out_, depth_, how_).run_expansions(given);
      body = without_escapes(body);
    }
    given.text = std::move(body);
    out_.documents.push_back(std::move(given));
  }
}

void parser::run_expansions(word& found) {
  if (enter()) {
    while (!done()) {
      if (peek() == '$')
        read_dollar(found, true);
      else if (peek() == '`')
        read_backticks(found, true);
      else
        skip(peek() == '\\' ? 2 : 1);
    }
  }
  leave();
}

} // namespace conclave::shell
