// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What the readers of the command line share. Private to app/cli*.

#include "app/cli.hpp"

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace conclave::cli {

void usage_error(command_line& c, const std::string& text, const std::string& help = "conclave --help");

/// CLI11 without its surprises: one value per option, no abbreviations, help on -h and --help.
void prepare(CLI::App& app);

/// For names and folders: an empty one, of a variable that is not set perhaps, is not the same as none.
inline const CLI::Validator not_empty{[](const std::string& x) { return x.empty() ? std::string{"is empty"} : std::string{}; }, ""};

/// Runs CLI11's parser. Its codes (100..) are mapped to 1; a request for help becomes text on `out`, code 0.
bool parse(CLI::App& app, command_line& c, int argc, const char* const* argv, const std::string& help);

/// Says that a file stands where the question is expected; empty if none of the words is one.
std::string misplaced_file(const std::vector<std::string>& words);

/// Says which argument is too many. An unknown option is named rather than the value that follows it.
std::string unexpected(const CLI::App& app, const command_line& c, const std::vector<std::string>& args);

/// Reads the values of --node. Returns false after a usage error.
bool read_nodes(const std::vector<std::string>& texts, command_line& c);

void parse_node(command_line& c, int argc, const char* const* argv);

// What is known of backends and models.
void parse_backends(command_line& c, int argc, const char* const* argv);
void parse_models(command_line& c, int argc, const char* const* argv);

// Commands on stored tasks.
void parse_show(command_line& c, int argc, const char* const* argv);
void parse_list(command_line& c, int argc, const char* const* argv);
void parse_remove(command_line& c, int argc, const char* const* argv);
void parse_prune(command_line& c, int argc, const char* const* argv);
void parse_resume(command_line& c, int argc, const char* const* argv);
void parse_cancel(command_line& c, int argc, const char* const* argv);
void parse_replay(command_line& c, int argc, const char* const* argv);
void parse_sandbox(command_line& c, int argc, const char* const* argv);

// What tasks make of files.
void parse_diff(command_line& c, int argc, const char* const* argv);
void parse_apply(command_line& c, int argc, const char* const* argv);
void parse_undo(command_line& c, int argc, const char* const* argv);
void parse_paths(command_line& c, int argc, const char* const* argv);

} // namespace conclave::cli
