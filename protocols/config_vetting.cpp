// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What a tool server may be started with: docs/protocol.md 11.4. Programs are executed directly, never by a shell, so
// arguments need no vetting beyond their size; shells are not in the strict list, since `bash -c` runs anything.

#include "protocols/config_vetting.hpp"

#include "protocols/config.hpp"
#include "protocols/config_keys.hpp"
#include "protocols/text.hpp"

#include <algorithm>
#include <string_view>

namespace conclave {

namespace {

constexpr const char* strict_programs =
    "python python3 python3.8 python3.9 python3.10 python3.11 python3.12 python3.13 python3.14 py "
    "uv uvx pipx pip pip3 node npm npx yarn pnpm bun deno java ruby go rust cargo fastmcp";
constexpr const char* moderate_programs = "git nodejs sh bash zsh fish powershell pwsh cmd";
constexpr const char* permissive_programs = "curl wget";

constexpr const char* always_denied = "LD_PRELOAD LD_AUDIT DYLD_INSERT_LIBRARIES PYTHONPATH PYTHONSTARTUP PYTHONHOME PWD OLDPWD "
                                      "NODE_OPTIONS PERL5OPT RUBYOPT BASH_ENV ENV IFS GCONV_PATH GIT_SSH_COMMAND JAVA_TOOL_OPTIONS";
constexpr const char* strict_denied = "PATH HOME USER USERNAME SHELL";

bool contains(const std::vector<std::string>& list, const std::string& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

std::string base_name(const std::string& path) {
  auto name = lower(path.substr(path.find_last_of('/') + 1));
  for (const auto* suffix : {".exe", ".bat", ".cmd", ".ps1"})
    if (name.size() > 4 && name.ends_with(suffix))
      return name.substr(0, name.size() - 4);
  return name;
}

std::vector<std::string> allowed_programs(const mcp_server_config& s) {
  if (!s.allowed_executables.empty())
    return s.allowed_executables;
  auto result = words(strict_programs);
  auto add = [&](const char* more) {
    for (auto& word : words(more))
      result.push_back(std::move(word));
  };
  if (s.security_level == "moderate" || s.security_level == "permissive")
    add(moderate_programs);
  if (s.security_level == "permissive")
    add(permissive_programs);
  return result;
}

bool has_parent_step(const std::string& path) {
  return ("/" + path + "/").find("/../") != std::string::npos;
}

std::string vet_program(const mcp_server_config& s) {
  const auto& program = s.command.front();
  auto who = "server '" + shown_text(s.name) + "': ";
  auto odd = [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) == 0x7F
           || std::string_view{"&|;`$()<>"}.find(c) != std::string_view::npos;
  };
  if (program.find_first_not_of(" \t") == std::string::npos)
    return who + "the program is blank";
  if (std::any_of(program.begin(), program.end(), odd))
    return who + "the program's name holds a character with a meaning to shells; name one program";
  if (has_parent_step(program))
    return who + "the program's path holds '..'; use an absolute path";
  auto allowed = allowed_programs(s);
  if (contains(allowed, program))
    return "";
  if (program.find('/') != std::string::npos && program.front() != '/' && !program.starts_with("~/"))
    return who
           + "a relative path depends on where Conclave is started; use a name, an absolute path, or list this very path in "
             "security.allowed_executables";
  auto name = base_name(program);
  auto listed = [&](const std::string& item) { return item.find('/') == std::string::npos && base_name(item) == name; };
  if (std::any_of(allowed.begin(), allowed.end(), listed))
    return "";
  if (!s.allowed_executables.empty())
    return who + "'" + shown_text(program) + "' is not in security.allowed_executables";
  return who + "'" + shown_text(program) + "' is not allowed at security level '" + s.security_level
         + "'; name it in security.allowed_executables if you trust it";
}

} // namespace

std::string vet_command(const mcp_server_config& s) {
  auto who = "server '" + shown_text(s.name) + "': ";
  if (s.command.empty())
    return who + "needs a command";
  if (s.command.size() > 51)
    return who + "more than 50 arguments";
  std::size_t total = 0;
  for (const auto& part : s.command) {
    if (part.size() > 500)
      return who + "an argument is longer than 500 bytes";
    if (part.find('\0') != std::string::npos)
      return who + "an argument holds a NUL byte";
    total += part.size() + 1;
  }
  if (total > 1001)
    return who + "the command line is longer than 1000 bytes";
  if (s.cwd.size() > 500)
    return who + "cwd is longer than 500 bytes";
  if (has_parent_step(s.cwd) || s.cwd.find('\0') != std::string::npos)
    return who + "cwd holds '..'";
  return vet_program(s);
}

std::string vet_variable(const std::string& name, const std::string& value, bool strict) {
  if (name.empty() || name.size() > 100)
    return "a variable's name needs 1 to 100 bytes";
  if (value.size() > 1000)
    return "the value of '" + shown_text(name) + "' is longer than 1000 bytes";
  if (name.find('=') != std::string::npos || name.find('\0') != std::string::npos || value.find('\0') != std::string::npos)
    return "'" + shown_text(name) + "' holds '=' or a NUL byte";
  auto upper = name;
  for (auto& c : upper)
    if (c >= 'a' && c <= 'z')
      c = static_cast<char>(c - 'a' + 'A');
  if (upper.starts_with("LD_") || upper.starts_with("DYLD_") || contains(words(always_denied), upper))
    return "'" + shown_text(name) + "' may not be set: it makes programs load other code";
  if (strict && contains(words(strict_denied), upper))
    return "'" + shown_text(name) + "' may not be set at security level 'strict'";
  return "";
}

} // namespace conclave
