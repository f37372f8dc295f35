// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/command_filter.hpp"

#include "protocols/command_forms.hpp"
#include "protocols/text.hpp"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <re2/re2.h>
#include <string_view>
#include <utility>

namespace conclave {

namespace {

using path_policy::shown;
using workspace_tools::tool_fault;

re2::RE2::Options options() {
  re2::RE2::Options o;
  o.set_log_errors(false);
  o.set_dot_nl(true); // a line feed in quotes is as good as any other character
  o.set_max_mem(1 << 20);
  return o;
}

bool matches(const re2::RE2& p, const std::string& text) {
  return !p.ok() || re2::RE2::FullMatch(text, p);
}

/// Bytes that are no character become one: not even "." matches them, and so a blocked command would not be found.
std::string matchable(const std::string& text) {
  std::string out;
  std::uint32_t c = 0;
  for (std::size_t i = 0; i < text.size();) {
    auto n = decode_utf8(text, i, c);
    out += n == 0 ? std::string_view("\xEF\xBF\xBD") : std::string_view(text).substr(i, n);
    i += n == 0 ? 1 : n;
  }
  return out;
}

constexpr std::size_t max_assignments = 32; ///< in front of one command

/// A command without what is assigned in front of it, and with each of that alone: an assignment may change what runs, too.
std::vector<std::string> parts(shell::simple_command c) {
  std::vector<std::string> out;
  auto assignments = std::exchange(c.assignments, {});
  if (!c.words.empty() || !c.redirections.empty())
    out.push_back(matchable(c.whole_text()));
  for (auto& a : assignments) {
    c.assignments = {a};
    out.push_back(matchable(c.whole_text()));
  }
  return out;
}

/// The ways to write one command that a pattern may be meant for.
std::vector<std::string> spellings(shell::simple_command c) {
  std::vector<std::string> out;
  auto add = [&out, &c] {
    for (auto& p : parts(c))
      out.push_back(std::move(p));
    if (c.assignments.size() > 1)
      out.push_back(matchable(c.whole_text()));
    if (!c.redirections.empty())
      out.push_back(matchable(c.text()));
  };
  add();
  if (auto base = shell::base_name(c); !c.words.empty() && base != c.words.front().text) {
    c.words.front().text = base;
    add();
  }
  return out;
}

constexpr std::string_view fixed[] = {"sudo", "su", "doas", "chown", "chmod", "dd"};

/// "/", "~", "$HOME", "..", and a folder directly below "/", also with "/*" behind.
bool is_large_target(std::string t) {
  while (t.size() > 1 && (t.ends_with('/') || t.ends_with("/*") || t.ends_with("/.")))
    t.resize(t.size() - (t.ends_with('/') || t == "/*" || t == "/." ? 1 : 2));
  if (t == "/" || t == "~" || t == "$HOME" || t == "${HOME}" || t == ".." || t == "*/..")
    return true;
  return t.size() > 1 && t.front() == '/' && t.find('/', 1) == std::string::npos;
}

bool removes_much(const shell::simple_command& c) {
  auto name = shell::base_name(c);
  auto any = [&c](auto holds) { return std::any_of(c.words.begin() + 1, c.words.end(), holds); };
  auto large = [](const shell::word& w) { return is_large_target(w.text); };
  if (name == "find")
    return any(large) && any([](const shell::word& w) { return w.text == "-delete"; });
  auto recursive = [](const shell::word& w) {
    auto& t = w.text;
    return t == "--recursive" || (t.size() > 1 && t[0] == '-' && t[1] != '-' && t.find_first_of("rR") != std::string::npos);
  };
  return name == "rm" && any(large) && any(recursive);
}

/// What the fixed words say of one command; empty if nothing.
std::string dangerous(const shell::simple_command& c) {
  for (auto& r : c.redirections)
    if (r.target.text.starts_with("/dev/sd") || r.target.text.starts_with("/dev/nvme"))
      return "it writes to a disk";
  if (c.words.empty())
    return {};
  auto name = shell::base_name(c);
  if (std::find(std::begin(fixed), std::end(fixed), name) != std::end(fixed))
    return shown(name) + " is not run without a sandbox";
  if (name == "mv" && c.words.back().text == "/dev/null")
    return "it moves to /dev/null";
  return removes_much(c) ? "it deletes what lies outside of the workspace" : "";
}

tool_fault denied(const shell::simple_command& c, const std::string& why) {
  return {path_policy::denial::command, "the command " + shown(c.whole_text()) + " is not run: " + why + ". Use other commands."};
}

} // namespace

std::string command_filter::check(const std::string& pattern) {
  if (pattern.empty())
    return "the pattern is empty";
  if (pattern.size() > max_pattern)
    return "the pattern is longer than " + std::to_string(max_pattern) + " bytes";
  re2::RE2 p(pattern, options());
  return p.ok() ? std::string() : p.error();
}

command_filter::command_filter(const std::vector<std::string>& allowed, const std::vector<std::string>& blocked, bool fixed_words)
    : has_allowed_(!allowed.empty()), fixed_words_(fixed_words) {
  for (auto& p : allowed)
    if (check(p).empty())
      allowed_.push_back(std::make_shared<const re2::RE2>(p, options()));
  for (auto& p : blocked)
    blocked_.push_back(std::make_shared<const re2::RE2>(p, options()));
}

std::optional<tool_fault> command_filter::judge(std::string_view command) const {
  if (!has_allowed_ && blocked_.empty() && !fixed_words_)
    return std::nullopt;
  auto line = shell::all_forms(command);
  auto refused = [command](const std::string& why) {
    return tool_fault{path_policy::denial::command, "the command " + shown(command) + " is not run: " + why};
  };
  auto judge_one = [this](const shell::simple_command& c) -> std::optional<tool_fault> {
    if (c.assignments.size() > max_assignments)
      return denied(c, "it has more than " + std::to_string(max_assignments) + " assignments");
    auto texts = spellings(c);
    for (auto& p : blocked_)
      if (std::any_of(texts.begin(), texts.end(), [&p](const std::string& t) { return matches(*p, t); }))
        return denied(c, "it matches the blocked pattern " + shown(p->pattern()));
    if (auto why = fixed_words_ ? dangerous(c) : std::string(); !why.empty())
      return denied(c, why);
    return std::nullopt;
  };
  for (auto* list : {&line.commands, &line.possible})
    for (auto& c : *list)
      if (auto fault = judge_one(c))
        return fault;
  if (fixed_words_ && line.is_fork_bomb)
    return refused("a function in it starts itself again and again. Use other commands.");
  if (line.cut && (fixed_words_ || !blocked_.empty()))
    return refused("it is too long or too deep to be looked at as a whole. Write it as several.");
  if (!has_allowed_)
    return std::nullopt;
  auto is_listed = [this](const std::string& text) {
    return std::any_of(allowed_.begin(), allowed_.end(), [&text](const pattern& p) { return matches(*p, text); });
  };
  for (auto& c : line.commands) {
    auto texts = parts(c);
    if (!std::all_of(texts.begin(), texts.end(), is_listed))
      return denied(c, c.assignments.empty() ? "it is not in the list of allowed commands, each of which is matched as a whole"
                                             : "the list of allowed commands must have it without assignments, and with each");
  }
  if (!line.doubt.empty())
    return refused("only listed commands are, and " + line.doubt + ". Write it as plain commands.");
  return std::nullopt;
}

} // namespace conclave
