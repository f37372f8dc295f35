// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/shell_words.hpp"

#include "protocols/shell_parser.hpp"

#include <algorithm>
#include <cctype>
#include <utility>

namespace conclave::shell {

namespace {

constexpr std::string_view closers[] = {"then", "else", "elif", "fi", "do", "done", "esac", "}"};

/// The length of NAME in a word "NAME=..." or "NAME+=..."; 0 if it is no assignment.
std::size_t assigned_name(const word& w) {
  std::size_t n = 0;
  while (n < w.plain && (std::isalnum(static_cast<unsigned char>(w.text[n])) != 0 || w.text[n] == '_'))
    ++n;
  if (n == 0 || std::isdigit(static_cast<unsigned char>(w.text[0])) != 0)
    return 0;
  auto rest = std::string_view(w.text).substr(n, w.plain - n);
  return rest.starts_with('=') || rest.starts_with("+=") ? n : 0;
}

/// Whether it has a sign that makes data of what follows, unless it stands in a sum.
bool hides_commands(std::string_view text) {
  if (text.find("<<") != std::string_view::npos)
    return true;
  auto comment = text.find('#');
  while (comment != std::string_view::npos && comment > 0
         && std::string_view(" \t\n;&|()<>").find(text[comment - 1]) == std::string_view::npos)
    comment = text.find('#', comment + 1);
  return comment != std::string_view::npos;
}

} // namespace

std::string simple_command::text() const {
  std::string out;
  for (auto& w : words)
    (out += out.empty() ? "" : " ") += w.text;
  return out;
}

std::string simple_command::whole_text() const {
  std::string out;
  auto add = [&out](std::string_view piece) { (out += out.empty() ? "" : " ") += piece; };
  for (auto& a : assignments)
    add(a);
  if (!words.empty())
    add(text());
  for (auto& r : redirections)
    add(r.op + (r.op.back() == '&' ? "" : " ") + r.target.text);
  return out;
}

void parser::doubt(std::string_view why) {
  if (out_.doubt.empty())
    out_.doubt = why;
}

void parser::differ(std::string_view why) {
  doubt(why);
  out_.odd = true;
}

void parser::fail(std::string_view why) {
  if (!failed_)
    doubt(why);
  failed_ = out_.odd = true;
}

bool parser::enter() {
  if (++depth_ > max_nesting)
    fail("it is nested too deeply");
  return !failed_;
}

void parser::run() {
  if (enter()) {
    list();
    if (!done())
      fail("a word or sign stands where no command can begin");
    if (!failed_ && !documents_.empty())
      doubt("a here-document has no end");
  }
  leave();
}

void parser::separators() {
  blanks();
  while (!done() && peek() == '\n') {
    skip(1);
    read_documents();
    blanks();
  }
}

void parser::newlines() {
  separators();
}

std::string_view parser::reserved() const {
  auto end = at_;
  while (end < text_.size() && std::string_view(" \t\n;&|()<>\"'`$\\").find(text_[end]) == std::string_view::npos)
    ++end;
  auto plain = end == text_.size() || std::string_view(" \t\n;&|()<>").find(text_[end]) != std::string_view::npos;
  return plain && !failed_ ? text_.substr(at_, end - at_) : std::string_view();
}

bool parser::is_reserved(std::initializer_list<std::string_view> words) const {
  return std::find(words.begin(), words.end(), reserved()) != words.end();
}

bool parser::at_terminator() const {
  return done() || peek() == ')' || here(";;") || here(";&")
         || std::find(std::begin(closers), std::end(closers), reserved()) != std::end(closers);
}

void parser::expect(std::string_view what) {
  blanks();
  if (reserved() == what)
    skip(what.size());
  else
    fail("'" + std::string(what) + "' is missing");
}

void parser::list() {
  for (separators(); !at_terminator(); separators()) {
    auto first = out_.commands.size();
    and_or();
    blanks();
    if (done())
      return;
    if (peek() == '&') {
      for (auto i = first; i < out_.commands.size(); ++i)
        out_.commands[i].background = true;
      skip(1);
    } else if (peek() == ';' && peek(1) != ';' && peek(1) != '&') {
      skip(1);
    } else if (peek() != '\n') {
      return;
    }
  }
}

void parser::and_or() {
  pipeline();
  for (blanks(); here("&&") || here("||"); blanks()) {
    skip(2);
    newlines();
    pipeline();
  }
}

void parser::pipeline() {
  blanks();
  while (reserved() == "!") {
    skip(1);
    blanks();
  }
  auto first = out_.commands.size();
  auto piped = false;
  command();
  for (blanks(); here("|") && !here("||"); blanks()) {
    piped = true;
    skip(here("|&") ? 2 : 1);
    newlines();
    command();
  }
  for (auto i = first; piped && i < out_.commands.size(); ++i)
    out_.commands[i].piped = true;
}

void parser::simple() {
  simple_command c;
  auto index = out_.commands.size(); // what its words hold is behind it
  out_.commands.emplace_back();
  auto is_function = false;
  for (blanks(); !done() && !is_function; blanks()) {
    if (read_redirection(c))
      continue;
    if (peek() == '(') {
      is_function = c.words.size() == 1 && c.assignments.empty() && c.redirections.empty() && begins_function();
      if (!is_function)
        fail(c.words.empty() && !c.assignments.empty() ? "lists are no values in every shell" : "'(' stands where it cannot");
      continue;
    }
    auto before = at_;
    auto w = read_word();
    if (at_ == before)
      break;
    if (c.words.empty() && assigned_name(w) > 0)
      c.assignments.push_back(std::move(w.text));
    else
      c.words.push_back(std::move(w));
  }
  auto is_empty = c.words.empty() && c.assignments.empty() && c.redirections.empty();
  if (is_empty || is_function)
    out_.commands.erase(out_.commands.begin() + static_cast<std::ptrdiff_t>(index));
  if (is_empty)
    fail("a command is missing");
  else if (is_function)
    function_body(std::move(c.words.front().text));
  else
    judge_name(out_.commands[index] = std::move(c));
  if (out_.commands.size() > max_commands)
    fail("it has too many commands");
}

/// Reads "()" behind a name.
bool parser::begins_function() {
  skip(1);
  blanks();
  if (!here(")"))
    return false;
  skip(1);
  return true;
}

/// Whether what runs is told by the name.
void parser::judge_name(const simple_command& c) {
  if (c.words.empty())
    return;
  auto& name = c.words.front();
  if (!name.quoted
      && (name.text.find('{') != std::string::npos || name.text.find("]=") != std::string::npos
          || name.text.find("]+=") != std::string::npos)) {
    differ("the name of a command is written as only some shells read it");
  } else if (name.dynamic)
    doubt("the name of a command comes from an expansion");
  else if (name.text == "[[" && !name.quoted)
    doubt("'[[' is no word of every shell");
  else if (name.pattern && name.text != "[")
    doubt("the name of a command comes from a pattern");
  else if (!name.quoted && std::find(std::begin(closers), std::end(closers), name.text) != std::end(closers))
    doubt("a word of the shell's own is the name of a command");
}

void parser::finish(simple_command c) {
  out_.commands.push_back(std::move(c));
  if (out_.commands.size() > max_commands)
    fail("it has too many commands");
}

command_line parse(std::string_view text) {
  command_line out;
  reading how;
  if (text.find('\0') != std::string_view::npos)
    out.doubt = "it holds a NUL character";
  parser(text, out, 0, how).run();
  if (how.two_ways) { // what runs is among the commands of both
    how = {.begins_anew = true};
    parser(text, out, 0, how).run();
  }
  if (how.has_sums && hides_commands(text)) {
    if (out.doubt.empty())
      out.doubt = "shells differ on where a sum ends";
    out.odd = true;
  }
  return out;
}

} // namespace conclave::shell
