// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What to say of arguments that fit nowhere: words that are no command, files in the place of the question, options of other
// programs.

#include "app/cli_hints.hpp"
#include "app/cli_parser.hpp"
#include "protocols/spelling.hpp"
#include "protocols/text.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace conclave::cli {

namespace {

/// The arguments from `from` on as they can be typed, each with a blank in front.
std::string typed(const std::vector<std::string>& args, std::size_t from) {
  std::string out;
  for (auto i = from; i < args.size(); ++i)
    out += " " + shell_word(args[i]);
  return shown_text(out, 200);
}

/// The command in which the files among these words are given as such; empty if none of the words is a file.
std::string with_files(const std::vector<std::string>& words) {
  std::string options, rest;
  for (const auto& word : words)
    if (auto option = file_option(word); option.empty())
      rest += " " + shell_word(word);
    else
      options += " " + option + " " + shell_word(word);
  return options.empty() ? "" : "conclave" + shown_text(options, 200) + (rest.empty() ? " \"QUESTION\"" : shown_text(rest, 200));
}

/// What to type instead of a word that asks elsewhere ("run team.yaml") and what stands behind it; empty if that is several words.
std::string asked(const std::vector<std::string>& rest) {
  auto option = [](const std::string& a) { return a.size() > 1 && a.front() == '-'; };
  if (std::any_of(rest.begin(), rest.end(), option))
    return "conclave" + typed(rest, 0);
  auto files = with_files(rest);
  return files.empty() && rest.size() == 1 ? "conclave" + typed(rest, 0) : files;
}

/// Says what to type instead of a word that is no command, or a slip of one, in front of other words; empty if it is neither.
std::string no_command(const std::vector<std::string>& args) {
  const auto& word = args.front();
  auto hint = command_hint(word);
  if (hint.empty())
    return {};
  auto name = near_command(word);
  auto question = hint == "conclave \"QUESTION\"" ? asked({args.begin() + 1, args.end()}) : std::string{};
  if (!name.empty() && args.size() > 1)
    hint = "conclave " + name + typed(args, 1);
  else if (!question.empty())
    hint = question;
  else if (hint == "conclave --help" && args.size() > 1 && near_command(args[1]) == args[1])
    hint = "conclave " + args[1] + " --help";
  return "there is no command '" + shown_text(word) + "'; try: " + hint;
}

} // namespace

std::string misplaced_file(const std::vector<std::string>& words) {
  auto first = std::find_if(words.begin(), words.end(), [](const std::string& w) { return !file_option(w).empty(); });
  return first == words.end() ? "" : "'" + shown_text(*first) + "' looks like a file; try: " + with_files(words);
}

std::string unexpected(const CLI::App& app, const command_line& c, const std::vector<std::string>& args) {
  bool asks = c.command == command_name::run;
  auto extra = app.remaining();
  if (extra.empty())
    return "unexpected argument";
  if (asks)
    if (auto text = no_command(args); !text.empty())
      return text;
  auto option = std::find_if(extra.begin(), extra.end(), [](const std::string& t) { return t.size() > 1 && t.front() == '-'; });
  if (option == extra.end()) {
    auto words = extra;
    words.insert(words.begin(), c.run.question);
    auto file = asks ? misplaced_file(words) : std::string{};
    return !file.empty() ? file
                         : "unexpected argument '" + extra.back() + "'; "
                               + (asks ? "a question of several words needs quotes" : "if this is a question, put it in quotes");
  }
  if (auto hint = option_hint(*option); !hint.empty())
    return "there is no option '" + option->substr(0, option->find('=')) + "'; instead: " + hint;
  // Of "-version" the parser has taken "-v" away.
  auto whole = std::find_if(args.begin(), args.end(), [&](const std::string& a) {
    return a.size() > option->size() && a[0] == '-' && a[1] != '-' && a.ends_with(option->substr(1));
  });
  auto shown = whole == args.end() ? *option : *whole;
  std::vector<std::string> names;
  for (const auto* o : app.get_options())
    for (const auto& name : o->get_lnames())
      names.push_back("--" + name);
  auto near = nearest(shown.substr(0, shown.find('=')), names);
  return "unknown option '" + shown + "'" + (near.empty() ? "" : "; did you mean '" + near + "'?");
}

} // namespace conclave::cli
