// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Which command lines an agent may run, by the user's lists of regular expressions. A pattern is matched in full against each
/// simple command of the line, and against what is run by another (env, xargs, sh -c, ...). It keeps agents from what was not
/// meant; what they can reach is bounded by the sandbox alone. Pure; linear in the line (RE2).
///
///   command_filter f{{"git .*"}, {}, false};
///   if (auto fault = f.judge("git log; rm x")) ...  // command, "rm x"

#include "protocols/workspace_tools.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace re2 {
class RE2;
} // namespace re2

namespace conclave {

class command_filter {
public:
  static constexpr std::size_t max_patterns = 200, max_pattern = 1000; ///< of one list; bytes

  /// Returns what is wrong with a pattern; empty if it can be used.
  static std::string check(const std::string& pattern);

  /// Patterns that `check` refuses match everything in `blocked` and nothing in `allowed`. An empty list is no list. `fixed_words`:
  /// also deny what is dangerous without a sandbox: sudo, su, chmod, chown, dd, rm -r of a home or a top folder, fork bombs.
  command_filter(const std::vector<std::string>& allowed, const std::vector<std::string>& blocked, bool fixed_words);

  /// Returns why the line is not run, with the simple command that is the reason; nothing if it may be.
  std::optional<workspace_tools::tool_fault> judge(std::string_view command) const;

private:
  using pattern = std::shared_ptr<const re2::RE2>;

  std::vector<pattern> allowed_, blocked_;
  bool has_allowed_, fixed_words_;
};

} // namespace conclave
