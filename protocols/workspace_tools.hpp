// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The tools of a workspace as values: what each takes, what it gives, which paths it touches. Decoded from and written as JSON by
/// protocols/wire/workspace_calls.hpp. Pure.
///
///   for (auto& t : workspace_tools::table())  ...t.server, t.name, t.description, t.parameters
///   for (auto& u : workspace_tools::uses(call)) path_policy::judge(rules, canonical(u.path), u.what)

#include "protocols/chat.hpp"
#include "protocols/path_policy.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace conclave::workspace_tools {

using path_policy::denial;

/// What arguments may hold at most. More is `denial::size`.
inline constexpr std::size_t max_arguments = std::size_t{1} << 20; ///< bytes of the JSON text
inline constexpr int max_nesting = 5;                              ///< of values; the object itself is 0
inline constexpr std::size_t max_items = 1000;                     ///< of one list
inline constexpr std::size_t max_keys = 100;                       ///< of one object
inline constexpr std::size_t max_paths = 50;                       ///< of read_multiple_files
inline constexpr std::size_t max_patterns = 50;                    ///< of one list of patterns
inline constexpr std::size_t max_pattern = 256;                    ///< bytes of one pattern
inline constexpr std::int64_t max_lines = 1'000'000;               ///< head, tail
inline constexpr std::int64_t max_context_lines = 100;
inline constexpr std::int64_t default_timeout = 60, max_timeout = 3600; ///< seconds of a command
inline constexpr std::size_t max_command = std::size_t{64} << 10;       ///< bytes of a command line

/// Why a call is not carried out, or has failed: `text` is for the model. `none` = no denial, the work itself failed.
struct tool_fault {
  denial code = denial::none;
  std::string text;
  bool operator==(const tool_fault&) const = default;
};

// -- the calls. Paths are as the model gave them: not empty, no NUL, UTF-8, at most 4,096 bytes and 256 components (checked). --

struct read_text_file { // also `read_file`
  std::string path;
  std::optional<std::int64_t> head, tail; ///< lines from 1 on; not both
  std::int64_t offset = 0;                ///< bytes to skip, as an earlier result said; with `tail` always 0
  bool operator==(const read_text_file&) const = default;
};
struct read_multiple_files {
  std::vector<std::string> paths; ///< 1 to max_paths
  bool operator==(const read_multiple_files&) const = default;
};
struct write_file {
  std::string path, content;
  bool operator==(const write_file&) const = default;
};
struct text_edit {
  std::string old_text, new_text; ///< old_text is not empty
  bool operator==(const text_edit&) const = default;
};
struct edit_file {
  std::string path;
  std::vector<text_edit> edits; ///< at least one
  bool dry_run = false;
  bool operator==(const edit_file&) const = default;
};
struct create_directory {
  std::string path;
  bool operator==(const create_directory&) const = default;
};
enum class sort_order : std::uint8_t { name, size };
struct list_directory { // also `list_directory_with_sizes`
  std::string path;
  bool with_sizes = false;
  sort_order sort_by = sort_order::name;
  bool operator==(const list_directory&) const = default;
};
struct directory_tree {
  std::string path;
  std::vector<std::string> exclude;
  bool operator==(const directory_tree&) const = default;
};
struct move_file {
  std::string source, destination;
  bool operator==(const move_file&) const = default;
};
struct search_files {
  std::string path, pattern;
  std::vector<std::string> exclude;
  bool operator==(const search_files&) const = default;
};
struct get_file_info {
  std::string path;
  bool operator==(const get_file_info&) const = default;
};
struct list_allowed_directories {
  bool operator==(const list_allowed_directories&) const = default;
};
struct copy_file {
  std::string source, destination;
  bool overwrite = false;
  bool operator==(const copy_file&) const = default;
};
struct copy_files_batch {
  std::string source_base;
  std::string destination_base; ///< "." where none or an empty one was given: the workspace
  std::vector<std::string> include = {"*"};
  std::vector<std::string> exclude;
  bool overwrite = false;
  bool operator==(const copy_files_batch&) const = default;
};
struct delete_file {
  std::string path;
  bool recursive = false;
  bool operator==(const delete_file&) const = default;
};
struct delete_files_batch {
  std::string base;
  std::vector<std::string> include = {"*"};
  std::vector<std::string> exclude;
  bool operator==(const delete_files_batch&) const = default;
};
struct compare_directories {
  std::string dir1, dir2;
  bool show_content_diff = false;
  bool operator==(const compare_directories&) const = default;
};
struct compare_files {
  std::string file1, file2;
  std::int64_t context_lines = 3; ///< 0 to max_context_lines
  bool operator==(const compare_files&) const = default;
};
/// Files of the workspace into a folder that may be written: a context folder, or the copy of one.
struct deliver_files {
  std::string source = "."; ///< a file or folder
  std::string destination;
  std::vector<std::string> include = {"*"};
  std::vector<std::string> exclude;
  bool overwrite = true;
  bool dry_run = false;
  bool operator==(const deliver_files&) const = default;
};
struct execute_command {
  std::string command;
  std::int64_t timeout = default_timeout; ///< seconds, 1 to max_timeout
  std::string work_dir = ".";
  bool operator==(const execute_command&) const = default;
};
struct execute_command_background {
  std::string command;
  std::string work_dir = ".";
  bool operator==(const execute_command_background&) const = default;
};
struct read_output {
  std::string job;               ///< as execute_command_background named it: [A-Za-z0-9_-]{1,64}
  std::int64_t offset = 0;       ///< bytes of stdout to skip, as an earlier result said
  std::int64_t error_offset = 0; ///< the same of stderr
  bool operator==(const read_output&) const = default;
};
struct kill_job { // `kill`
  std::string job;
  bool operator==(const kill_job&) const = default;
};

using call = std::variant<read_text_file, read_multiple_files, write_file, edit_file, create_directory, list_directory,
                          directory_tree, move_file, search_files, get_file_info, list_allowed_directories, copy_file,
                          copy_files_batch, delete_file, delete_files_batch, compare_directories, compare_files, deliver_files,
                          execute_command, execute_command_background, read_output, kill_job>;

// -- what is offered
// ----------------------------------------------------------------------------------------------------------------

/// One name that can be called. The public name is "mcp__<server>__<name>".
struct tool_row {
  std::string_view server; ///< filesystem, workspace_tools, command_line
  std::string_view name;
  std::string_view description;
  std::string_view parameters; ///< JSON schema
  tool_annotations notes;
  bool executes = false; ///< runs a command
};
const std::vector<tool_row>& table();

/// Returns the row of a tool by its own name, exactly; nullptr if there is none.
const tool_row* find(std::string_view name);

std::string public_name(const tool_row& row);

/// Whether a list of tools (`exclude_tools`, `allowed_tools`) names this one, by its own name or the public one.
bool is_named(const tool_row& row, const std::vector<std::string>& list);

// -- what a call touches
// ----------------------------------------------------------------------------------------------------------------

/// One path of a call and what happens to it. A move is a removal of the source and a creation of the destination.
struct path_use {
  std::string argument; ///< as in the schema: "source_path"
  std::string path;     ///< as the model gave it
  path_policy::access what = path_policy::access::read;
  bool tree = false; ///< with everything below it
  bool operator==(const path_use&) const = default;
};
std::vector<path_use> uses(const call& c);

/// What the model reads of a denial: tool, code, and the fault's text, which names the path as given and what it may do instead.
std::string error_text(std::string_view tool, const tool_fault& fault);

/// Returns the code of a denial from what the model reads of it, also that of a command that was refused; empty if it is none.
std::string denial_in(std::string_view result);

// -- what they give; written as JSON by protocols/wire/workspace_calls.hpp
// ---------------------------------------------------------------

/// A path that was left out, and why.
struct path_note {
  std::string path, reason;
  bool operator==(const path_note&) const = default;
};
struct moved_file { ///< one file that was copied, deleted or delivered
  std::string source, destination, relative_path;
  std::uint64_t size = 0;
  std::string change; ///< deliver_files: "added", "modified", "identical"
  std::string diff;   ///< deliver_files: unified, cut; empty = binary or none
};
struct copy_result { // copy_file
  bool directory = false;
  std::string source, destination;
  std::uint64_t size = 0;       ///< of a file
  std::uint64_t file_count = 0; ///< of a directory
  std::vector<path_note> dropped;
};
struct delete_result { // delete_file
  bool directory = false;
  bool link = false;
  std::string path;
  std::uint64_t size = 0;
  std::uint64_t file_count = 0;
};
struct batch_result { // copy_files_batch, delete_files_batch, deliver_files
  std::vector<moved_file> done;
  std::vector<path_note> skipped, errors;
  bool dry_run = false; ///< deliver_files
  std::string note;     ///< where a bound was reached
};
struct compare_directories_result {
  std::vector<std::string> only_in_dir1, only_in_dir2, different, identical;
  std::vector<std::pair<std::string, std::string>> content_diffs; ///< name, at most 100 lines; in the result where asked for
  std::vector<path_note> skipped;
  std::string note; ///< where a bound was reached
};
struct compare_files_result {
  bool identical = false;
  std::string diff; ///< at most 500 lines
  std::uint64_t added = 0, removed = 0;
  bool truncated = false;
};
struct tree_node {
  std::string name;
  std::string type; ///< "file", "directory", "symlink", "other"
  std::vector<tree_node> children;
};
struct command_result { // execute_command
  int exit_code = -1;
  std::string out, err; ///< valid UTF-8
  std::int64_t time_ms = 0;
  std::string command, work_dir;
  bool timed_out = false, truncated = false;
  std::string note; ///< where the rest of the output is, what ended it
};
struct job_started { // execute_command_background
  std::string job, command, work_dir;
};
struct job_output { // read_output
  std::string job;
  bool running = false;
  std::optional<int> exit_code;
  std::string out, err;
  std::uint64_t next_offset = 0, next_error_offset = 0;
  bool truncated = false; ///< something behind the offsets is no longer held
  std::string note;
};
struct job_killed { // kill
  std::string job;
  bool was_running = false;
  std::optional<int> exit_code;
};

} // namespace conclave::workspace_tools
