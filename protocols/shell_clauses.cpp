// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Commands that hold others: groups, conditions, loops, functions.

#include "protocols/shell_parser.hpp"

#include <string>
#include <string_view>
#include <utility>

namespace conclave::shell {

namespace {

/// Whether a variable that is there from the start decides which program a name stands for, or what it does.
bool changes_what_runs(std::string_view name) {
  return name == "PATH" || name == "HOME" || name == "ENV" || name == "IFS" || name == "PS4" || name == "SHELLOPTS"
         || name.starts_with("LD_") || name.starts_with("BASH");
}

} // namespace

void parser::command() {
  if (!enter())
    return leave();
  blanks();
  if (at_terminator()) {
    fail("a command is missing");
  } else if (peek() == '(') {
    subshell();
  } else if (reserved() == "{") {
    skip(1);
    list();
    expect("}");
    compound_redirections();
  } else if (reserved() == "if") {
    if_clause();
  } else if (is_reserved({"while", "until"})) {
    loop();
  } else if (is_reserved({"for", "select"})) {
    for_clause();
  } else if (reserved() == "case") {
    case_clause();
  } else if (reserved() == "function") {
    doubt("'function' is no word of every shell");
    skip(reserved().size());
    blanks();
    auto name = read_word().text;
    blanks();
    if (here("(")) {
      skip(1);
      blanks();
      if (!here(")"))
        fail("')' is missing");
      skip(1);
    }
    function_body(std::move(name));
  } else if (is_reserved({"coproc", "time"})) {
    auto begin = at_;
    if (reserved() == "coproc") {
      differ("'coproc' is no word of every shell"); // a name may come first
    }
    skip(reserved().size());
    blanks();
    while (here("-") && !at_terminator() && reserved() == "-p") {
      skip(2);
      blanks();
    }
    if (here("-")) { // the program of this name
      at_ = begin;
      simple();
      return leave();
    }
    if (!at_terminator() && !here("|") && !here("&") && !here(";") && !here("\n"))
      pipeline();
  } else {
    simple();
  }
  leave();
}

void parser::subshell() {
  how_.has_sums = how_.has_sums || peek(1) == '(';
  skip(1);
  list();
  blanks();
  if (!here(")"))
    return fail("')' is missing");
  skip(1);
  compound_redirections();
}

void parser::if_clause() {
  skip(2);
  list();
  expect("then");
  list();
  for (blanks(); is_reserved({"elif", "else"}); blanks()) {
    auto otherwise = reserved() == "else";
    skip(4);
    list();
    if (otherwise)
      break;
    expect("then");
    list();
  }
  expect("fi");
  compound_redirections();
}

void parser::loop() {
  skip(5); // both words
  list();
  expect("do");
  list();
  expect("done");
  compound_redirections();
}

void parser::for_clause() {
  if (reserved() == "select")
    doubt("'select' is no word of every shell");
  skip(reserved().size());
  blanks();
  if (here("("))
    return fail("'for ((' is no form of every shell");
  if (auto name = read_word().text; changes_what_runs(name)) { // as an assignment does
    simple_command c;
    c.assignments.push_back(name + "=");
    finish(std::move(c));
  }
  newlines();
  if (reserved() == "in") {
    skip(2);
    for (blanks(); !done() && peek() != ';' && peek() != '\n'; blanks()) {
      auto before = at_;
      read_word();
      if (at_ == before)
        return fail("a sign stands where a word must");
    }
  }
  blanks();
  if (here(";"))
    skip(1);
  newlines();
  expect("do");
  list();
  expect("done");
  compound_redirections();
}

void parser::case_clause() {
  skip(4);
  blanks();
  read_word();
  newlines();
  expect("in");
  for (newlines(); !done() && reserved() != "esac"; newlines()) {
    if (here("("))
      skip(1);
    for (blanks(); !done() && !here(")"); blanks()) {
      auto before = at_;
      read_word();
      blanks();
      if (here("|"))
        skip(1);
      if (at_ == before)
        return fail("a sign stands where a pattern must");
    }
    if (!here(")"))
      return fail("')' is missing");
    skip(1);
    list();
    blanks();
    if (here(";;&"))
      skip(3);
    else if (here(";;") || here(";&"))
      skip(2);
    else if (reserved() != "esac")
      return fail("';;' is missing");
  }
  expect("esac");
  compound_redirections();
}

void parser::function_body(std::string name) {
  newlines();
  auto first = out_.commands.size();
  command();
  out_.functions.push_back({std::move(name), first, out_.commands.size()});
}

void parser::compound_redirections() {
  simple_command c;
  for (blanks(); !done() && read_redirection(c);)
    blanks();
  if (!c.redirections.empty())
    finish(std::move(c));
}

} // namespace conclave::shell
