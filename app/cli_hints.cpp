// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/cli_hints.hpp"

#include "protocols/config.hpp"
#include "protocols/spelling.hpp"
#include "protocols/text.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace conclave {

namespace {

// The tables below are like that of app/text_input.cpp in shape alone: a name and what is said of it.

struct hint_row {
  std::string_view name;
  const char* instead;
};

/// Ours, and how they are typed.
constexpr std::array<hint_row, 17> commands = {{
    {"validate", "conclave validate FILE"},
    {"keys", "conclave keys"},
    {"backends", "conclave backends"},
    {"models", "conclave models"},
    {"show", "conclave show last"},
    {"list", "conclave list"},
    {"rm", "conclave rm TASK"},
    {"prune", "conclave prune --older-than 30d"},
    {"resume", "conclave resume last"},
    {"cancel", "conclave cancel TASK"},
    {"replay", "conclave replay last"},
    {"diff", "conclave diff last"},
    {"apply", "conclave apply last"},
    {"undo", "conclave undo last"},
    {"paths", "conclave paths --config FILE"},
    {"sandbox", "conclave sandbox"},
    {"node", "conclave node --listen HOST:PORT"},
}};

constexpr const char* ask = "conclave \"QUESTION\"";
constexpr const char* set_up = "scripts/quickstart, or a team file: ./conclave.yaml (configs/ holds some to start from)";

/// Words that other programs take as commands. No word a lone question is likely to be.
constexpr std::array<hint_row, 66> others = {{
    {"help", "conclave --help"},
    {"usage", "conclave --help"},
    {"version", "conclave --version"},
    {"ls", "conclave list"},
    {"tasks", "conclave list"},
    {"task", "conclave list"},
    {"runs", "conclave list"},
    {"ps", "conclave list"},
    {"history", "conclave list"},
    {"sessions", "conclave list"},
    {"session", "conclave list"},
    {"status", "conclave list"},
    {"stats", "conclave show last"},
    {"log", "conclave show last"},
    {"logs", "conclave show last"},
    {"last", "conclave show last"},
    {"latest", "conclave show last"},
    {"view", "conclave show last"},
    {"cat", "conclave show last"},
    {"info", "conclave show last"},
    {"inspect", "conclave show last"},
    {"describe", "conclave show last"},
    {"events", "conclave show last --json"},
    {"export", "conclave show last --full"},
    {"result", "conclave show last"},
    {"results", "conclave show last"},
    {"del", "conclave rm TASK"},
    {"delete", "conclave rm TASK"},
    {"remove", "conclave rm TASK"},
    {"clean", "conclave prune --older-than 30d"},
    {"cleanup", "conclave prune --older-than 30d"},
    {"clear", "conclave prune --older-than 30d"},
    {"gc", "conclave prune --older-than 30d"},
    {"purge", "conclave prune --older-than 30d"},
    {"check", "conclave validate FILE"},
    {"lint", "conclave validate FILE"},
    {"verify", "conclave validate FILE"},
    {"config", "conclave validate FILE"},
    {"doctor", "conclave validate FILE"},
    {"continue", "conclave resume last"},
    {"restore", "conclave resume last"},
    {"recover", "conclave resume last"},
    {"kill", "conclave cancel TASK"},
    {"abort", "conclave cancel TASK"},
    {"serve", "conclave node --listen HOST:PORT"},
    {"server", "conclave node --listen HOST:PORT"},
    {"worker", "conclave node --listen HOST:PORT"},
    {"start", ask},
    {"run", ask},
    {"ask", ask},
    {"chat", ask},
    {"exec", ask},
    {"query", ask},
    {"prompt", ask},
    {"init", set_up},
    {"setup", set_up},
    {"quickstart", set_up},
    {"configure", set_up},
    {"wizard", set_up},
    {"login", "keys come from the environment or from ./.env: see docs/configuration.md"},
    {"auth", "keys come from the environment or from ./.env: see docs/configuration.md"},
    {"providers", "conclave backends"},
    {"prices", "conclave models"},
    {"quit", "Ctrl-C, while something runs"},
    {"exit", "Ctrl-C, while something runs"},
    {"examples", "configs/ in the source tree holds team files to start from"},
}};

/// MassGen's, of 0.1.0 and later, and what other programs of this kind have. Ours of the same name and meaning are not here.
constexpr std::array<hint_row, 55> options = {{
    {"-V", "--version"},
    {"--init", set_up},
    {"--quickstart", set_up},
    {"--setup", set_up},
    {"--create-samples", set_up},
    {"--generate-config", set_up},
    {"--setup-keys", "keys come from the environment or from ./.env; conclave validate FILE names those that are missing"},
    {"--setup-skills", "skills are not available yet"},
    {"--setup-docker", "commands in containers are not available yet"},
    {"--list-examples", "configs/ in the source tree holds team files to start from"},
    {"--example", "configs/ in the source tree holds team files to start from"},
    {"--show-schema", "docs/configuration.md lists every key; conclave validate FILE checks a file"},
    {"--schema-backend", "docs/configuration.md lists every key; conclave validate FILE checks a file"},
    {"--with-examples", "docs/configuration.md lists every key; configs/ holds examples"},
    {"--list-backends", "conclave backends"},
    {"--no-display", "--quiet (the display is plain text anyway)"},
    {"--display", "--quiet or --verbose: the display is plain text"},
    {"--rich", "--quiet or --verbose: the display is plain text"},
    {"--textual", "--quiet or --verbose: the display is plain text"},
    {"--tui", "--quiet or --verbose: the display is plain text"},
    {"--silent", "--quiet"},
    {"--no-logs", "nothing: logs are always written; conclave rm TASK and conclave prune delete them"},
    {"--debug", "--verbose; conclave show last --full explains a run afterwards"},
    {"--orchestrator-timeout", "--timeout SECONDS"},
    {"--stream-events", "--json"},
    {"--validate", "conclave validate FILE"},
    {"--strict", "conclave validate FILE --strict"},
    {"--strict-validation", "conclave validate FILE --strict"},
    {"--skip-validation", "nothing: a file is always checked before a run"},
    {"--dry-run", "conclave validate FILE"},
    {"--session-id", "nothing yet: each run answers one question; conclave show TASK shows an old one"},
    {"--continue", "conclave resume last goes on with a run that was cut off"},
    {"--resume", "conclave resume TASK goes on with a run that was cut off"},
    {"--interactive", "nothing yet: each run answers one question"},
    {"--list-sessions", "conclave list"},
    {"--web", "nothing yet: --json gives the events as they happen"},
    {"--web-port", "nothing yet: --json gives the events as they happen"},
    {"--web-host", "nothing yet: --json gives the events as they happen"},
    {"--plan", "nothing yet: planning is not available"},
    {"--plan-and-execute", "nothing yet: planning is not available"},
    {"--execute-plan", "nothing yet: planning is not available"},
    {"--quick", "nothing yet; timeout_settings and orchestrator.max_new_answers_per_agent make a run shorter"},
    {"--fast", "nothing yet; timeout_settings and orchestrator.max_new_answers_per_agent make a run shorter"},
    {"--enable-rate-limiting", "nothing: a server's limits are waited for"},
    {"--rate-limit", "nothing: a server's limits are waited for"},
    {"--select", "--config FILE"},
    {"--all", "conclave list"},
    {"-p", "the question itself, in quotes"},
    {"--prompt", "the question itself, in quotes"},
    {"--question", "the question itself, in quotes"},
    {"--no-color", "NO_COLOR=1 in the environment"},
    {"--no-colour", "NO_COLOR=1 in the environment"},
    {"--temperature", "a team file: there it is a key of the backend"},
    {"--max-tokens", "a team file: there it is a key of the backend, max_tokens"},
    {"--api-key", "no key on a command line, where every user of the machine reads it: the environment or ./.env holds keys"},
}};

bool is_word(const std::string& text) {
  return !text.empty() && text.size() <= 20
         && std::all_of(text.begin(), text.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); });
}

/// A slip of a word of four letters or more. Of three letters only where the first one is kept: "shw", but not "how". Of two
/// letters
/// ("rm", "ls") only where they are swapped or one is doubled: "sl", "rmm", but not "am".
bool is_slip(std::string_view command, std::string_view word) {
  if (command.size() == 2)
    return word.size() == 2 ? word[0] == command[1] && word[1] == command[0]
                            : word.size() == 3 && is_one_slip(command, word) && (word[0] == word[1] || word[1] == word[2]);
  return command.size() >= 4 && word.size() >= 3 && (word.size() >= 4 || word[0] == command[0]) && is_one_slip(command, word);
}

} // namespace

std::string near_command(const std::string& word) {
  if (!is_word(word))
    return {};
  auto name = lower(word);
  for (const auto& row : commands)
    if (row.name == name)
      return std::string{row.name};
  for (const auto& row : commands)
    if (is_slip(row.name, name))
      return std::string{row.name};
  return {};
}

std::string command_hint(const std::string& word, bool exact) {
  if (!is_word(word))
    return {};
  auto name = lower(word);
  for (const auto& row : others)
    if (row.name == name)
      return row.instead;
  auto command = near_command(word);
  for (const auto& row : commands)
    if (row.name == command && (!exact || row.name == name))
      return row.instead;
  if (!exact)
    for (const auto& row : others)
      if ((row.name.size() >= 5 || row.name == "help" || row.name == "ls")
          && is_slip(row.name, name)) // others are too near to words
        return row.instead;
  return {};
}

std::string option_hint(const std::string& option) {
  auto name = option.substr(0, option.find('='));
  if (name.starts_with("--"))
    name = lower(name);
  for (const auto& row : options)
    if (row.name == name)
      return row.instead;
  return {};
}

std::string file_option(const std::string& argument) {
  auto slash = argument.rfind('/');
  auto name = slash == std::string::npos ? argument : argument.substr(slash + 1);
  auto dot = name.rfind('.');
  if (dot == std::string::npos || dot == 0 || argument.find_first_of(" \t\n?!") != std::string::npos)
    return {};
  auto end = lower(name.substr(dot + 1));
  if (end == "yaml" || end == "yml" || end == "json")
    return "--config";
  for (const char* text : {"txt", "text", "md", "rst", "log", "csv", "tsv", "html", "xml", "tex"})
    if (end == text)
      return "--file";
  return {};
}

std::string shell_word(const std::string& argument) {
  auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
           || std::string_view{"-_./:=@%+,"}.find(c) != std::string_view::npos;
  };
  auto text = shown_text(argument, 200);
  if (!text.empty() && std::all_of(text.begin(), text.end(), plain))
    return text;
  std::string out = "'";
  for (auto c : text)
    out += c == '\'' ? std::string{"'\\''"} : std::string(1, c);
  return out + "'";
}

} // namespace conclave
