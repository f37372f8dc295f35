// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What the commands do. Each returns the exit code of the process and prints for itself; the process is prepared already
/// (host_io.hpp), signals are untouched.

#include "app/cli.hpp"
#include "protocols/config.hpp"

#include <string>
#include <vector>

namespace conclave {

class event_store;

int command_run(const run_options& o);
int command_validate(const validate_options& o);
int command_keys(const keys_options& o);
int command_backends(const backends_options& o);
int command_models(const models_options& o);
int command_show(const show_options& o);
int command_list(const list_options& o);
int command_remove(const remove_options& o);
int command_prune(const prune_options& o);
int command_resume(const resume_options& o);
int command_cancel(const cancel_options& o);
int command_replay(const replay_options& o);
int command_what_if(const replay_options& o);
int command_play(const replay_options& o); ///< a cassette

/// Plays a recorded run that has just been written, beside everything: nothing of it stays. Returns where and how a replay differs,
/// or empty. A signal ends it.
std::string fault_of_replay(const std::string& path);

/// Returns whether the argument of `replay` is a file and no task.
bool names_a_cassette(const std::string& argument);
int command_diff(const diff_options& o);
int command_apply(const apply_options& o);
int command_undo(const undo_options& o);
int command_paths(const paths_options& o);
int command_sandbox(const sandbox_options& o);
int command_node(const node_options& o);

/// Whether files of a task may be written when it has ended: then its store keeps it until they are (event_store::keep_ended).
bool may_deliver(const run_options& o);

/// What is to be done about the files of a task that has ended: as the options say, or as the person at the terminal does. `in`:
/// the store in which it ended just now. Returns `code`, or another one after a complaint.
int deliver_files(const run_options& o, const outcome& end, int code, event_store* in = nullptr);

/// Returns what `conclave validate` prints: a line per problem and a summary, or a JSON array.
std::string validation_text(const std::string& file, const std::vector<problem>& problems, bool json);

/// Returns a problem as `conclave validate` prints it: a line, and below it the place in the file where its text has one.
std::string problem_text(const problem& p);

/// Returns the configuration file used when none is named: ./conclave.yaml, $XDG_CONFIG_HOME/conclave/config.yaml,
/// ~/.config/conclave/config.yaml; empty if there is none.
std::string default_config();

/// Prints a text on standard error, cleaned for terminals, with the program's name in front and a line feed behind.
void complain(const std::string& text);

/// Prints on standard output; a terminal gets it without control characters. Returns `code`, or 2 with a complaint if it cannot be
/// written; a reader that went away is no complaint.
int print(const std::string& text, int code = 0);

} // namespace conclave
