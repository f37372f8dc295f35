// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Which simple commands a command line of a POSIX shell holds, as far as its text tells: in pipelines, lists, loops, functions,
/// subshells, substitutions and here-documents. Nothing is expanded. A filter for what was not meant to run, no wall: what a
/// variable or a script holds is not known. Pure; linear but for nested substitutions, which are bounded.
///
///   auto line = shell::parse("cat a | grep 'x y' > out; rm b");
///   line.commands[1].words[1].text == "x y"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace conclave::shell {

inline constexpr int max_nesting = 50;            ///< of everything that holds commands
inline constexpr std::size_t max_commands = 5000; ///< of one line

struct word {
  std::string text;      ///< without quotes; expansions as they stand
  std::size_t plain = 0; ///< bytes at the beginning that were not quoted or expanded
  bool quoted = false;   ///< some of it
  bool dynamic = false;  ///< holds an expansion: what it will be is not known
  bool pattern = false;  ///< holds an unquoted wildcard or brace
};

struct redirection {
  std::string op; ///< with its descriptor: ">", "2>", "<<-"
  word target;    ///< of a here-document its delimiter
};

struct simple_command {
  std::vector<std::string> assignments; ///< "A=b"
  std::vector<word> words;              ///< none: only assignments or redirections
  std::vector<redirection> redirections;
  bool background = false; ///< it, or what it is part of, ends in '&'
  bool piped = false;      ///< it is part of a pipeline

  /// The words with a space between each two.
  std::string text() const;
  /// With its assignments in front and its redirections behind.
  std::string whole_text() const;
};

struct function {
  std::string name;
  std::size_t first = 0, last = 0; ///< of `commands`: those of its body
};

struct command_line {
  std::vector<simple_command> commands; ///< in the order they begin
  std::vector<function> functions;
  std::vector<word> documents; ///< what its here-documents and here-strings hold, whoever reads them
  std::string doubt;           ///< why what runs may be more than `commands`, or other than they say; empty = understood
  bool odd = false; ///< some of what runs is not in `commands`: it is written in a way of one shell, or not to be read at all
};

/// Takes any bytes.
command_line parse(std::string_view text);

} // namespace conclave::shell
