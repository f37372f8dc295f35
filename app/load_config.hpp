// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Reads a configuration file (YAML or JSON) into a run_config. Every problem is found at once and named by file, line and path.
/// No secret is expanded and nothing is started. Nothing outside the file is read but the scripts it names and, if it names a
/// variable, the .env files.

#include "protocols/config.hpp"
#include "protocols/config_expand.hpp"

#include <string>
#include <utility>
#include <vector>

namespace conclave {

struct opening;

/// A configuration and what is wrong with it. `config` is usable only if `ok()`.
struct load_result {
  run_config config;
  std::vector<problem> problems; ///< errors, warnings and `unavailable` notes, by line; of more than 100 the worst, errors first
  bool amends = false;           ///< it says only what is another way than in load_options::amended
  /// Returns whether no problem is an error. `unavailable` notes do not count: see blocking().
  bool ok() const;
};

/// Cluster nodes from elsewhere (--node NAME=HOST:PORT): they add to those of the file, or replace them.
using node_list = std::vector<std::pair<std::string, std::string>>;

struct load_options {
  node_list nodes = {};
  lookup env = {};                  ///< variables of the texts; empty = the process environment and the .env files
  severity unset = severity::error; ///< what a variable is that is not set; a warning where the file alone is judged
  source_lookup sources = {};       ///< where those of `env` came from; empty = the process
  const opening* amended = nullptr; ///< what a file that gives no agent a backend amends; nullptr = agents need backends
};

/// Returns whether this is the name of standard input.
bool is_standard_input(const std::string& path);

/// Loads a file, or what comes through a pipe ("-" is standard input): at most 1 MiB, 64 levels, 10,000 nodes after aliases are
/// expanded.
load_result load_config(const std::string& path, const load_options& options = {});

/// Loads a text; `name` stands for the file in problems, and script paths are relative to its folder.
load_result load_config_text(const std::string& text, const std::string& name, const load_options& options = {});

/// Adds cluster nodes of the command line, or replaces those of the same name.
void add_nodes(run_config& to, const node_list& nodes);

/// Makes a configuration of one agent from --model, --backend, --base-url, --system-message and --api-key-env; empty = not given.
run_config quick_config(const std::string& model, const std::string& backend, const std::string& base_url,
                        const std::string& system_message, std::vector<problem>& problems, const std::string& api_key_env = {});

/// Returns the user's models.yaml: the nearest of the settings folders; empty if there is none.
std::string own_models_file();

/// Reads the rows of a models.yaml: at most 1 MiB, 1,000 models. After an error none is returned. `path` may be empty.
std::vector<model_row> load_models(const std::string& path, std::vector<problem>& problems);

/// Returns a warning for each agent whose model has ended at this time or ends within 30 days.
std::vector<problem> ending_models(const run_config& c, std::int64_t now_unix_ms);

/// Returns a warning for each budget in which no call fits at all: the smallest of any backend that it counts may use more.
std::vector<problem> small_budgets(const run_config& c, std::int64_t now_unix_ms);

/// Returns the problems that keep a configuration from running: errors, and keys that would change what the run does but are not
/// available yet. Cosmetic keys are warnings and never here.
std::vector<problem> blocking(const std::vector<problem>& problems);

/// Returns what the machine lacks for this configuration, as warnings: unset keys, missing files and executables. Nodes other than
/// this one are not judged. Used by `validate`.
/// What would make a run refuse (an agent) has `stops_here`.
std::vector<problem> environment_problems(const run_config& c, const lookup& env, const source_lookup& sources = {});

/// Returns what has to be said of keys and addresses before a run's first call, as warnings: what the environment redirects, keys
/// that were mended, and hosts that get none although they may want one. Equal sentences once; other nodes tell themselves.
struct key_notes {
  std::vector<std::string> redirects; ///< also said by each agent's node, as a notice in the run's events
  std::vector<problem> withheld;
};
key_notes key_notes_of(const run_config& c, const lookup& env, const source_lookup& sources);

} // namespace conclave
