// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/cli.hpp"

#include "app/cli_hints.hpp"
#include "app/cli_parser.hpp"
#include "app/version.hpp"
#include "protocols/catalogue.hpp"
#include "protocols/config.hpp"
#include "protocols/config_url.hpp"
#include "protocols/key_route.hpp"
#include "protocols/text.hpp"
#include "protocols/time_text.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <exception>
#include <optional>
#include <string_view>

namespace conclave {

using cli::misplaced_file;
using cli::parse;
using cli::prepare;
using cli::usage_error;

namespace {

constexpr std::int64_t year_ms = std::int64_t{366} * 24 * 3600 * 1000;

constexpr const char* footer = R"(
Commands (the first word alone selects one):
  conclave validate FILE... [--strict] [--here] [--json] [--explain]   what is wrong with a configuration
  conclave keys [WORD] [--markdown]            what a configuration may say: every key, or those that hold a word
  conclave backends [--json]                   backend types and providers: their keys, addresses, local servers
  conclave models [--backend T] [--json]       models: windows, prices, when they end
  conclave show TASK [--full] [--json]         a stored run: answers, votes, why the winner won ("last" = newest)
  conclave list [--json]                       stored tasks, newest first
  conclave resume [TASK]                       go on with a task that was cut off, where it stood
  conclave cancel TASK                         end a task that is under way in any process
  conclave replay TASK [--verify]              show a stored run again, or prove that this build still plays it so
  conclave replay TASK --rules FILE            what would have won under other rules, as far as the log can tell
  conclave replay FILE [--speed N]             play a run again that was recorded with --record, offline
  conclave rm TASK...                          delete stored tasks
  conclave prune --older-than 30d              delete stored tasks by age
  conclave diff|apply|undo TASK                what a task changes of your folders: see it, write it, take it back
  conclave paths [--config FILE] [PATH ...]    what agents may do with paths
  conclave sandbox [--json]                    how commands of agents are confined here, and whether that holds
  conclave node --listen HOST:PORT             serve agents to engines on other machines

Exit codes: 0 answered, 1 usage or configuration, 2 no answer or store failure, 3 timeout without answer, 4 interrupted.
The answer alone goes to standard output, everything else to standard error. State: $CONCLAVE_HOME.)";

/// Tells TYPE=URL from the URL of the quick mode, which may hold a key anywhere: what stands before the '=' is shown if it fits.
bool read_base_urls(const std::vector<std::string>& texts, command_line& c) {
  bool plain = false;
  auto letter = [](char ch) {
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_' || (ch >= '0' && ch <= '9');
  };
  for (const auto& text : texts) {
    auto eq = text.find('=');
    if (eq == std::string::npos || eq > 20 || !std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(eq), letter)) {
      if (std::exchange(plain, true))
        return usage_error(c, "--base-url is given twice; for several providers: --base-url TYPE=URL"), false;
      c.run.base_url = text;
      continue;
    }
    auto type = lower(text.substr(0, eq)), url = text.substr(eq + 1);
    const auto* kind = find_backend_kind(type);
    if (kind == nullptr || type == "local" || type == "scripted")
      return usage_error(c, "--base-url takes URL or TYPE=URL, and '" + type + "' is no backend type that is reached by one"
                                + (kind ? "" : "; all of them: conclave backends")),
             false;
    if (auto fault = target_fault(url); !fault.empty())
      return usage_error(c, "the URL of --base-url " + type + "= " + fault), false;
    for (const auto& [known, where] : c.run.base_urls)
      if (known == type)
        return usage_error(c, "--base-url " + type + "= is given twice"), false;
    c.run.base_urls.emplace_back(type, url);
  }
  return true;
}

/// A lone word that is a command, ours or of other programs, or nearly one, is no question; nor is a file. Where a model or a team
/// is named, slips are let pass: it is clear that something is asked.
void check_question(command_line& c) {
  const auto& o = c.run;
  auto hint = command_hint(o.question, !o.config.empty() || !o.model.empty() || !o.backend.empty());
  auto text = hint.empty() ? misplaced_file({o.question}) : "'" + o.question + "' is no question; try: " + hint;
  if (!text.empty())
    usage_error(c, text + "\nTo ask just that: conclave -- " + shell_word(o.question));
}

void check_run(command_line& c, const std::vector<std::string>& nodes, const std::string& timeout,
               const CLI::Option& given_timeout) {
  auto& o = c.run;
  bool quick = !o.model.empty() || !o.backend.empty();
  if (!o.config.empty() && (quick || !o.base_url.empty() || !o.system_message.empty()))
    return usage_error(
        c, "--config stands alone: --model, --backend, --base-url and --system-message describe a single agent without a file");
  if (!o.api_key_env.empty() && !quick)
    return usage_error(c, "--api-key-env needs --model; in a file it is api_key_env");
  if (!quick && (!o.base_url.empty() || !o.system_message.empty()))
    return usage_error(c, "--base-url and --system-message need --model");
  if (given_timeout.count() > 0 && (o.timeout_ms = parse_seconds(timeout)) < 0)
    return usage_error(c, "--timeout takes a time (90 or 90s, 10m, 1.5h), not '" + timeout + "'");
  if (o.verbose && (o.quiet || o.automation))
    return usage_error(c, "--verbose and --quiet exclude each other");
  if (!o.record.empty() && !nodes.empty())
    return usage_error(c, "--record and --node exclude each other: what happens on another machine is not seen here");
  auto from_stdin = std::count(o.files.begin(), o.files.end(), "-") + (!o.has_question || o.question == "-");
  if (o.no_stdin && from_stdin > 0)
    return usage_error(c, o.has_question ? "--no-stdin and '-' exclude each other" : "--no-stdin needs a question");
  if (from_stdin > 1)
    return usage_error(c, "standard input can be read once: '-' is given twice, or there is no question beside it");
  cli::read_nodes(nodes, c);
}

void parse_run(command_line& c, int argc, const char* const* argv) {
  CLI::App app("Several language-model agents answer one question, see each other's answers, and vote.", "conclave");
  prepare(app);
  auto& o = c.run;
  bool show_version = false;
  std::vector<std::string> nodes, base_urls;
  std::string timeout;
  auto* question =
      app.add_option("question", o.question, "the question; - or nothing reads standard input, which is added to a question, too");
  app.add_option("-c,--config", o.config, "team file (YAML or JSON); else ./conclave.yaml, ~/.config/conclave/config.yaml");
  app.add_option("-m,--model", o.model, "ask one model instead of a team");
  app.add_option("-b,--backend", o.backend, "its backend type, if the model's name does not tell");
  app.add_option("--base-url", base_urls, "its endpoint; TYPE=URL: send a team's calls of this backend type there; repeatable")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
  app.add_flag("--send-keys", o.send_keys, "send real keys, too, where --base-url TYPE=URL points, not a placeholder");
  app.add_option("--api-key-env", o.api_key_env, "the variable that holds its key, for a host no key is bound to");
  app.add_option("--system-message", o.system_message, "its system message");
  app.add_option("--node", nodes, "[NAME=]HOST:PORT: a node agents may run on; repeatable")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
  app.add_flag("--insecure-loopback", o.insecure_loopback, "no TLS towards nodes on this machine, for tests");
  auto* given_timeout =
      app.add_option("-t,--timeout", timeout, "TIME until the agents must have decided: seconds, or 90s, 10m, 1.5h");
  app.add_option("-o,--output-file", o.output_file, "write the answer to this file, too");
  auto* record = app.add_option("--record", o.record, "record the run in this new file, with every byte from outside but no key");
  app.add_option("-f,--file", o.files,
                 "file to add to the question: text, an image (PNG, JPEG, GIF, WebP) or a PDF; a path, an https:// "
                 "or data: URL, or - for standard input; repeatable")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
  app.add_flag("--loopback-files", o.loopback_files, "let --file and upload_files fetch from this machine, for tests");
  app.add_option(
         "--path", o.paths,
         "DIR: a folder every agent may read; DIR:w: change a copy of; repeatable. @DIR and @DIR:w in the question do the same")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
  app.add_option("--apply", o.apply, "what the agents changed: ask (on a terminal, the default), yes (write it), no")
      ->check(CLI::IsMember({"ask", "yes", "no"}));
  app.add_option("--output-dir", o.output_dir, "write the files of the answer into this new folder")->check(cli::not_empty);
  app.add_flag("--no-stdin", o.no_stdin, "leave standard input alone: for questions in loops that read it");
  app.add_flag("--json", o.json, "one durable event per line on standard output, no plain answer");
  app.add_flag("-q,--quiet", o.quiet, "no display, only errors");
  app.add_flag("--automation", o.automation, "quiet, with a few KEY: value lines (log folder, status file, result)");
  app.add_flag("-v,--verbose", o.verbose, "show calls, reasoning and contexts, too");
  app.add_flag("--version", show_version, "print the version and exit");
  app.footer(footer);
  if (!parse(app, c, argc, argv, "conclave --help"))
    return;
  if (show_version) {
    c.done = true;
    c.out = std::string("conclave ") + version + "\n";
    return;
  }
  o.has_question = question->count() > 0;
  if (record->count() > 0 && o.record.empty())
    return usage_error(c, "--record takes a file");
  if (read_base_urls(base_urls, c))
    check_run(c, nodes, timeout, *given_timeout);
  auto dashes = std::find_if(argv + 1, argv + argc, [](const char* a) { return std::string_view{a} == "--"; });
  if (!c.done && o.has_question && dashes == argv + argc)
    check_question(c);
}

void parse_validate(command_line& c, int argc, const char* const* argv) {
  CLI::App app("Reads a configuration and prints every problem as file:line: path: text.", "conclave validate");
  prepare(app);
  app.add_option("file", c.validate.files, "team files (YAML or JSON)")->required();
  app.add_flag("--strict", c.validate.strict, "warnings fail, too");
  app.add_flag("--here", c.validate.here, "what would not run on this machine (a missing key, program or file) fails, too");
  app.add_flag("--json", c.validate.json, "print a JSON array");
  app.add_flag("--explain", c.validate.explain, "print what holds, too: every key with its value and where that is from");
  if (parse(app, c, argc, argv, "conclave validate --help") && c.validate.json && c.validate.explain)
    usage_error(c, "--json and --explain exclude each other", "conclave validate --help");
}

void parse_keys(command_line& c, int argc, const char* const* argv) {
  CLI::App app("Lists the keys of a configuration: what they take, their defaults, what they mean.", "conclave keys");
  prepare(app);
  app.add_option("word", c.keys.word, "only keys whose path or meaning holds this");
  app.add_flag("--markdown", c.keys.markdown, "as the tables of docs/configuration.md");
  if (parse(app, c, argc, argv, "conclave keys --help") && c.keys.markdown && !c.keys.word.empty())
    usage_error(c, "--markdown lists every key: leave out the word", "conclave keys --help");
}

struct entry {
  std::string_view word;
  command_name name;
  void (*parse)(command_line&, int, const char* const*);
};

constexpr std::array<entry, 17> subcommands{{
    {"validate", command_name::validate, parse_validate},
    {"keys", command_name::keys, parse_keys},
    {"backends", command_name::backends, cli::parse_backends},
    {"models", command_name::models, cli::parse_models},
    {"show", command_name::show, cli::parse_show},
    {"list", command_name::list, cli::parse_list},
    {"rm", command_name::remove, cli::parse_remove},
    {"prune", command_name::prune, cli::parse_prune},
    {"resume", command_name::resume, cli::parse_resume},
    {"cancel", command_name::cancel, cli::parse_cancel},
    {"replay", command_name::replay, cli::parse_replay},
    {"diff", command_name::diff, cli::parse_diff},
    {"apply", command_name::apply, cli::parse_apply},
    {"undo", command_name::undo, cli::parse_undo},
    {"paths", command_name::paths, cli::parse_paths},
    {"sandbox", command_name::sandbox, cli::parse_sandbox},
    {"node", command_name::node, cli::parse_node},
}};

} // namespace

void cli::usage_error(command_line& c, const std::string& text, const std::string& help) {
  c.done = true;
  c.code = static_cast<int>(exit_code::usage);
  c.err = "conclave: " + text + "\nSee: " + help + "\n";
}

void cli::prepare(CLI::App& app) {
  app.set_help_flag("-h,--help", "print this and exit");
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::Throw);
  app.get_formatter()->column_width(34);
}

bool cli::parse(CLI::App& app, command_line& c, int argc, const char* const* argv, const std::string& help) {
  // Reversed: CLI11 takes the arguments from the back of the vector, and this overload does not split or unquote anything.
  std::vector<std::string> args;
  for (int i = argc - 1; i >= 1; --i)
    args.emplace_back(argv[i]);
  auto typed_in = std::vector<std::string>(args.rbegin(), args.rend());
  for (const auto& x : typed_in) { // CLI11 takes the next argument for the value of "--name="
    if (x == "--")
      break;
    auto name = x.substr(0, x.size() - (x.ends_with('=') ? 1 : 0));
    if (name != x && name.starts_with("--") && name.find('=') == std::string::npos && app.get_option_no_throw(name) != nullptr) {
      usage_error(c, name + ": is empty", help);
      return false;
    }
  }
  try {
    app.parse(std::move(args));
    return true;
  } catch (const CLI::CallForHelp&) {
    c.done = true;
    c.out = app.help();
  } catch (const CLI::ExtrasError&) {
    usage_error(c, unexpected(app, c, typed_in), help);
  } catch (const CLI::Error& e) {
    usage_error(c, e.what(), help);
  } catch (const std::exception& e) {
    usage_error(c, e.what(), help);
  }
  return false;
}

command_line parse_command_line(int argc, const char* const* argv) {
  command_line c;
  try {
    if (argc > 1)
      for (const auto& s : subcommands)
        if (s.word == argv[1]) {
          c.command = s.name;
          s.parse(c, argc - 1, argv + 1);
          return c;
        }
    parse_run(c, argc, argv);
  } catch (const std::exception& e) { // CLI11 also throws while options are declared
    usage_error(c, e.what());
  }
  return c;
}

std::int64_t parse_age(const std::string& text) {
  auto ms = read_time(text, 1000);
  return ms && *ms <= 100 * static_cast<double>(year_ms) ? std::llround(*ms) : -1;
}

std::int64_t parse_seconds(const std::string& text) {
  auto ms = read_time(text, 1000);
  return ms && *ms > 0 && *ms <= static_cast<double>(year_ms) ? std::max<std::int64_t>(1, std::llround(*ms)) : -1;
}

} // namespace conclave
