// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Paths that a question names by `@path` and `@path:w`. Looks at the disk.

#include "protocols/config.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace conclave {

/// A path for agents as the command line says it: PATH, or PATH:w for one that they may change a copy of; `~` is the home of the
/// user. Returns it canonical; `error` says why it cannot be had: it is not there, is the whole file system, or holds our own home.
context_path read_path(const std::string& given, std::string& error);

struct named_paths {
  std::string text;                ///< the question, with each such word as the path that agents see
  std::vector<context_path> paths; ///< in the order of the text, each once; one `:w` is enough
  std::vector<std::string>
      missing;       ///< words that look meant as paths (`@x:w`, `@./x`, `@/x`, `@.`) and name nothing: they stay text
  std::string error; ///< of a path that is there and may not be given
};

/// A word is one if it begins with `@`, at the beginning or behind a blank, a quote or a bracket, and what follows is there, once
/// `:w` and punctuation behind it are left out; in quotes (`@"a b":w`) it may hold blanks. All else stays text: e-mail addresses,
/// dots alone (`@./` is the current folder), names of nothing, and `\@path`, which loses its backslash. For what a user typed,
/// never for text from elsewhere.
named_paths paths_in(std::string_view question);

/// Adds a path to an agent's. Of one that is there already the stricter permission counts, and what either protects is protected.
void add_context(std::vector<context_path>& to, const context_path& x);

} // namespace conclave
