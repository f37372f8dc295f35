// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/cli_parser.hpp"
#include "protocols/config_keys.hpp"

#include <charconv>
#include <cmath>

namespace conclave::cli {

void parse_show(command_line& c, int argc, const char* const* argv) {
  CLI::App app("Shows a stored run: who saw what, answers, votes, why the winner won, partial texts, calls and tokens.",
               "conclave show");
  prepare(app);
  app.add_option("task", c.show.task, "task id, the beginning of one, or last")->required();
  app.add_flag("--full", c.show.full, "do not shorten answers; each call, that of a tool with its arguments");
  auto* json = app.add_flag("--json", c.show.json, "the stored events, one JSON object per line");
  app.add_flag("--files", c.show.files, "the files that go with each answer")->excludes(json);
  parse(app, c, argc, argv, "conclave show --help");
}

void parse_list(command_line& c, int argc, const char* const* argv) {
  CLI::App app("Lists the stored tasks, newest first.", "conclave list");
  prepare(app);
  app.add_flag("--json", c.list.json, "one JSON object per line");
  parse(app, c, argc, argv, "conclave list --help");
}

void parse_remove(command_line& c, int argc, const char* const* argv) {
  CLI::App app("Deletes stored tasks and their logs.", "conclave rm");
  prepare(app);
  app.add_option("task", c.remove.tasks, "task ids, beginnings of ids, or last")->required();
  parse(app, c, argc, argv, "conclave rm --help");
}

void parse_prune(command_line& c, int argc, const char* const* argv) {
  CLI::App app("Deletes the stored tasks that started longer ago than this, and their logs.", "conclave prune");
  prepare(app);
  std::string age;
  app.add_option("--older-than", age, "TIME since they started: 30d, 1.5h, 90s, or seconds")->required();
  if (!parse(app, c, argc, argv, "conclave prune --help"))
    return;
  c.prune.older_than_ms = parse_age(age);
  if (c.prune.older_than_ms < 0)
    usage_error(c, "--older-than takes a time (30d, 1.5h, 90 or 90s), not '" + age + "'", "conclave prune --help");
}

namespace {

/// How fast a replay is: "max" = 0, "2" = twice as fast as it was. Returns -1 if it is neither.
double read_speed(const std::string& text) {
  if (text == "max")
    return 0;
  double n = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n, std::chars_format::fixed);
  return error == std::errc{} && end == text.data() + text.size() && std::isfinite(n) && n > 0 && n <= 1e6 ? n : -1;
}

} // namespace

void parse_resume(command_line& c, int argc, const char* const* argv) {
  CLI::App app(
      "Goes on with a task that was cut off (a crash, a power cut, kill -9) where it stood: what the agents had done is kept, and "
      "no model call whose reply is stored is made again. Of a task that was answered it prints the answer.",
      "conclave resume");
  prepare(app);
  auto& o = c.resume;
  o.task = "last";
  app.add_option("task", o.task, "task id, the beginning of one, or last (the default): the newest without an answer");
  app.add_option(
         "--on-unknown", o.on_unknown,
         "a tool call that may have happened: tell (the model is told so), ask (you are asked), fail (its run fails), repeat")
      ->check(CLI::IsMember(words(config_keys().find(key_scope::orchestrator, "on_unknown_outcome")->choices)));
  app.add_option("-c,--config", o.output.config, "where its team file is now; needed for keys that stand in it literally");
  app.add_option("-o,--output-file", o.output.output_file, "write the answer to this file, too");
  app.add_option("--apply", o.output.apply, "what the agents changed: ask (on a terminal, the default), yes (write it), no")
      ->check(CLI::IsMember({"ask", "yes", "no"}));
  app.add_option("--output-dir", o.output.output_dir, "write the files of the answer into this new folder")->check(cli::not_empty);
  app.add_flag("--json", o.output.json, "one durable event per line on standard output, no plain answer");
  app.add_flag("-q,--quiet", o.output.quiet, "no display, only errors");
  app.add_flag("--automation", o.output.automation, "quiet, with a few KEY: value lines (log folder, status file, result)");
  app.add_flag("-v,--verbose", o.output.verbose, "show calls, reasoning and contexts, too");
  auto* record = app.add_option("--record", o.output.record)->group(""); // not shown: it is refused
  if (!parse(app, c, argc, argv, "conclave resume --help"))
    return;
  if (record->count() > 0)
    usage_error(c, "--record and resume exclude each other: what happened before was not recorded", "conclave resume --help");
  else if (o.output.verbose && (o.output.quiet || o.output.automation))
    usage_error(c, "--verbose and --quiet exclude each other", "conclave resume --help");
}

void parse_cancel(command_line& c, int argc, const char* const* argv) {
  CLI::App app("Ends a task that is under way, in whatever process on this store; its answers are kept. Waits for its end.",
               "conclave cancel");
  prepare(app);
  app.add_option("task", c.cancel.task, "task id, the beginning of one, or last")->required();
  parse(app, c, argc, argv, "conclave cancel --help");
}

void parse_replay(command_line& c, int argc, const char* const* argv) {
  CLI::App app("Shows a stored run again, or plays a recorded one, offline: no model and no tool is called.", "conclave replay");
  prepare(app);
  std::string speed = "max";
  app.add_option("task", c.replay.tasks,
                 "task id, the beginning of one, or last; to verify also several of them, or all; or a file that "
                 "--record wrote")
      ->required();
  auto* given = app.add_option("--speed", speed, "1 = as it went, 10 = ten times as fast, max = at once (the default)");
  app.add_flag("--verify", c.replay.verify,
               "make every decision and every prompt of the log again and name the first difference (exit code 1)");
  auto& rules = c.replay.rules;
  auto* other = app.add_option("--rules", rules,
                               "tell what would have won under the rules of this file, as far as the log can tell; a team file, or "
                               "one without agents that says what is another way than in the task");
  app.add_flag("--json", c.replay.json, "with --rules: one JSON object");
  if (!parse(app, c, argc, argv, "conclave replay --help"))
    return;
  c.replay.speed = read_speed(speed);
  if (c.replay.speed < 0)
    usage_error(c, "--speed takes a positive number or max, not '" + speed + "'", "conclave replay --help");
  else if (other->count() > 0 && (c.replay.verify || given->count() > 0))
    usage_error(c, "--rules tells what would have won: --verify and --speed have no meaning with it", "conclave replay --help");
  else if (other->count() > 0 && rules.empty())
    usage_error(c, "--rules takes a file", "conclave replay --help");
  else if (c.replay.json && rules.empty())
    usage_error(c, "--json goes with --rules; the stored events as JSON: conclave show --json TASK", "conclave replay --help");
  else if (c.replay.verify && given->count() > 0)
    usage_error(c, "--verify shows nothing, so that --speed has no meaning", "conclave replay --help");
  else if (!c.replay.verify && (c.replay.tasks.size() > 1 || c.replay.tasks.front() == "all"))
    usage_error(c,
                rules.empty() ? "one task is shown at a time; several, and all, only with --verify"
                              : "--rules is told of one task at a time",
                "conclave replay --help");
}

} // namespace conclave::cli
