// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/cli_parser.hpp"

namespace conclave::cli {

void parse_diff(command_line& c, int argc, const char* const* argv) {
  CLI::App app("Shows what a task changes: of the folders with `permission: write`, else the files of its answer.",
               "conclave diff");
  prepare(app);
  app.add_option("task", c.diff.task, "task id, the beginning of one, or last")->required();
  app.add_flag("--name-only", c.diff.names, "only which files, not what differs in them");
  parse(app, c, argc, argv, "conclave diff --help");
}

void parse_apply(command_line& c, int argc, const char* const* argv) {
  CLI::App app(
      "Writes what a task changes into your folders, in one step; conclave undo takes it back. Names such as .git and .env, "
      "and protected paths, are never touched.",
      "conclave apply");
  prepare(app);
  auto& o = c.apply;
  app.add_option("task", o.task, "task id, the beginning of one, or last")->required();
  auto* to = app.add_option("--to", o.to, "another folder that takes the changes, or the files of the answer")->check(not_empty);
  auto* branch = app.add_option("--branch", o.branch,
                                "a new branch of your git repository that takes them as a commit; no file of yours is written")
                     ->check(not_empty);
  auto* on_drift =
      app.add_option(
             "--on-drift", o.on_drift,
             "where you changed a file meanwhile: fail (nothing is written), skip (yours stays), prefer_presenter; else what "
             "drift_conflict_policy of the team file said, or fail")
          ->check(CLI::IsMember({"fail", "skip", "prefer_presenter"}));
  branch->excludes(to)->excludes(on_drift);
  parse(app, c, argc, argv, "conclave apply --help");
}

void parse_undo(command_line& c, int argc, const char* const* argv) {
  CLI::App app("Takes back what conclave apply wrote for a task, unless you changed those files since.", "conclave undo");
  prepare(app);
  app.add_option("task", c.undo.task, "task id, the beginning of one, or last")->required();
  parse(app, c, argc, argv, "conclave undo --help");
}

void parse_paths(command_line& c, int argc, const char* const* argv) {
  CLI::App app("Tells what the agents of a team may do with paths, and which rule says so.", "conclave paths");
  prepare(app);
  app.add_option("path", c.paths.paths, "paths to judge; none: what each agent may use");
  app.add_option("-c,--config", c.paths.config, "team file (YAML or JSON); else ./conclave.yaml, ~/.config/conclave/config.yaml");
  parse(app, c, argc, argv, "conclave paths --help");
}

} // namespace conclave::cli
