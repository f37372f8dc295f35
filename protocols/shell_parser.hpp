// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to shell_words.cpp, shell_clauses.cpp and shell_lexer.cpp: one text of shell commands, read once from its beginning.

#include "protocols/shell_words.hpp"

#include <cstdint>
#include <initializer_list>

namespace conclave::shell {

/// How one line is read, the texts within it, too.
struct reading {
  int retries = 0;          ///< texts that were read twice
  bool two_ways = false;    ///< it holds "&>": a redirection of some shells, in others '&' and a redirection behind it
  bool begins_anew = false; ///< read as those others do
  bool has_sums = false;    ///< it holds "((" or "$[": sums of some shells, in which '<<' and '#' are other signs than in commands
};

class parser {
public:
  parser(std::string_view text, command_line& out, int depth, reading& how) : text_(text), out_(out), depth_(depth), how_(how) {}

  /// All of the text as commands.
  void run();
  /// All of the text as the inside of a here-document: only substitutions run. Tells `found` whether it is expanded.
  void run_expansions(word& found);

private:
  struct here_document {
    std::string delimiter;
    bool strips_tabs = false, literal = false;
  };

  // grammar (shell_words.cpp)
  void list();
  void and_or();
  void pipeline();
  void simple();
  bool begins_function();
  void judge_name(const simple_command& c);
  void separators();
  void newlines();
  void expect(std::string_view reserved);
  void finish(simple_command c);

  // commands that hold others (shell_clauses.cpp)
  void command();
  void compound_redirections();
  void if_clause();
  void loop();
  void for_clause();
  void case_clause();
  void subshell();
  void function_body(std::string name);

  // words (shell_lexer.cpp)
  word read_word();
  bool at_redirection(std::size_t& digits);
  bool read_redirection(simple_command& to);
  void read_quoted(word& w);
  void read_dollar(word& w, bool in_quotes);
  void read_ansi(word& w);
  void read_brace(bool in_quotes);
  bool read_arithmetic();
  void read_substitution(std::size_t open);
  void read_backticks(word& w, bool in_quotes);
  void read_documents();
  void blanks();

  bool done() const { return failed_ || at_ >= text_.size(); }
  void skip(std::size_t bytes) { at_ = at_ + bytes < text_.size() ? at_ + bytes : text_.size(); }
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool here(std::string_view what) const { return !failed_ && text_.substr(at_, what.size()) == what; }
  /// The plain word that stands here; empty if there is none.
  std::string_view reserved() const;
  bool is_reserved(std::initializer_list<std::string_view> words) const;
  bool at_terminator() const;
  void doubt(std::string_view why);
  void differ(std::string_view why); ///< what one shell runs is data for another
  void fail(std::string_view why);
  bool enter();
  void leave() { --depth_; }

  std::string_view text_;
  std::size_t at_ = 0;
  command_line& out_;
  int depth_;
  reading& how_;
  bool failed_ = false;
  std::vector<here_document> documents_; ///< begun on this line
  std::size_t outer_documents_ = 0;      ///< begun by what a substitution stands in
};

} // namespace conclave::shell
