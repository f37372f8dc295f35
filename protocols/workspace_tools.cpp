// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/workspace_tools.hpp"

#include <algorithm>

namespace conclave::workspace_tools {

namespace {

using path_policy::access;

constexpr tool_annotations reads{.read_only = true, .idempotent = true, .destructive = false, .open_world = false};
constexpr tool_annotations makes{.read_only = false, .idempotent = true, .destructive = false, .open_world = false};
constexpr tool_annotations overwrites{.read_only = false, .idempotent = true, .destructive = true, .open_world = false};
constexpr tool_annotations once{.read_only = false, .idempotent = false, .destructive = true, .open_world = false};
constexpr tool_annotations harmless_once{.read_only = false, .idempotent = false, .destructive = false, .open_world = false};

constexpr std::string_view files = "filesystem", tools = "workspace_tools", commands = "command_line";

// Pieces of the schemas. A path is relative to the workspace, or absolute.
#define OBJECT(members) R"({"type":"object","additionalProperties":false,"properties":{)" members "}"
#define REQUIRED(names) R"(,"required":[)" names "]}"
#define PATH_OF(name) "\"" name R"(":{"type":"string","description":"Relative to your workspace, or absolute."})"
#define TEXT_OF(name, about) "\"" name R"(":{"type":"string","description":")" about "\"}"
#define FLAG_OF(name, about) "\"" name R"(":{"type":"boolean","default":false,"description":")" about "\"}"
#define PATTERNS_OF(name, about)                                                                                                   \
  "\"" name R"(":{"type":"array","items":{"type":"string"},"maxItems":50,"description":")" about "\"}"
#define SELECTING                                                                                                                  \
  PATTERNS_OF("include_patterns",                                                                                                  \
              "Which files, by their path below the folder: * matches any characters, also '/'; default [\\\"*\\\"].")             \
  "," PATTERNS_OF("exclude_patterns", "Which of them to leave out.")

constexpr std::string_view read_text_schema = OBJECT(PATH_OF(
    "path") R"(,"head":{"type":"integer","minimum":1,"description":"Only the first lines, this many."},)"
            R"("tail":{"type":"integer","minimum":1,"description":"Only the last lines, this many. Not with head."},)"
            R"("offset":{"type":"integer","minimum":0,"description":"Bytes to skip: where an earlier result said it goes on."})")
    REQUIRED(R"("path")");

constexpr std::string_view list_schema =
    OBJECT(PATH_OF("path") R"(,"sortBy":{"type":"string","enum":["name","size"],"default":"name"})") REQUIRED(R"("path")");

std::vector<tool_row> make_table() {
  return {
      {files, "read_text_file",
       "Read a text file. At most 1 MiB at once; a longer one is cut at a line, and the result says the offset to go on from.",
       read_text_schema, reads},
      {files, "read_file", "The same as read_text_file.", read_text_schema, reads},
      {files, "read_multiple_files", "Read several text files. One that fails does not stop the others.",
       OBJECT(R"("paths":{"type":"array","items":{"type":"string"},"minItems":1,"maxItems":50})") REQUIRED(R"("paths")"), reads},
      {files, "write_file", "Create a file, or replace what is in it. A file that exists must have been read before, as it is now.",
       OBJECT(PATH_OF("path") "," TEXT_OF("content", "All that the file is to hold.")) REQUIRED(R"("path","content")"), overwrites},
      {files, "edit_file",
       "Replace pieces of a text file. Each oldText must stand in it exactly once; otherwise nothing is changed. Returns a diff.",
       OBJECT(PATH_OF("path") R"(,"edits":{"type":"array","minItems":1,"items":{"type":"object","additionalProperties":false,)"
                              R"("properties":{"oldText":{"type":"string"},"newText":{"type":"string"}},)"
                              R"("required":["oldText","newText"]}},)" FLAG_OF("dryRun", "Only show the diff."))
           REQUIRED(R"("path","edits")"),
       once},
      {files, "create_directory", "Create a folder and those above it. One that exists is fine.",
       OBJECT(PATH_OF("path")) REQUIRED(R"("path")"), makes},
      {files, "list_directory", "List a folder: [FILE], [DIR] and [LINK] lines, at most 5000.", list_schema, reads},
      {files, "list_directory_with_sizes", "List a folder with sizes and totals, at most 5000 entries.", list_schema, reads},
      {files, "directory_tree", "The tree below a folder as JSON: name, type, children. At most 5000 entries, 32 deep.",
       OBJECT(PATH_OF("path") "," PATTERNS_OF("excludePatterns", "What to leave out, with what is below it."))
           REQUIRED(R"("path")"),
       reads},
      {files, "move_file", "Move or rename a file or folder. Fails if the destination exists.",
       OBJECT(PATH_OF("source") "," PATH_OF("destination")) REQUIRED(R"("source","destination")"), once},
      {files, "search_files", "Find files and folders below a folder by a pattern for their path; at most 2000.",
       OBJECT(PATH_OF("path") "," TEXT_OF("pattern", "Such as *.py; * also matches '/'.") "," PATTERNS_OF(
           "excludePatterns", "What to leave out.")) REQUIRED(R"("path","pattern")"),
       reads},
      {files, "get_file_info", "Size, times, type and permissions of a file or folder.",
       OBJECT(PATH_OF("path")) REQUIRED(R"("path")"), reads},
      {files, "list_allowed_directories", "Which folders and files you may use, and whether you may write there.", OBJECT("") "}",
       reads},
      {tools, "copy_file", "Copy a file, or a folder with all that is in it.",
       OBJECT(PATH_OF("source_path") "," PATH_OF("destination_path") "," FLAG_OF(
           "overwrite", "Replace what is at the destination; of a folder all that was in it."))
           REQUIRED(R"("source_path","destination_path")"),
       overwrites},
      {tools, "copy_files_batch", "Copy the files below a folder that patterns select, with the folders they are in.",
       OBJECT(PATH_OF(
           "source_base_path") R"(,"destination_base_path":{"type":"string","default":"","description":"Empty: your workspace."},)" SELECTING
                               "," FLAG_OF("overwrite", "Replace files that exist.")) REQUIRED(R"("source_base_path")"),
       overwrites},
      {tools, "delete_file", "Delete a file, or a folder. Files must have been read or made by you.",
       OBJECT(PATH_OF("path") "," FLAG_OF("recursive", "Of a folder: with all that is in it.")) REQUIRED(R"("path")"), once},
      {tools, "delete_files_batch",
       "Delete the files below a folder that patterns select; the folders stay. Files must have been read or made by you.",
       OBJECT(PATH_OF("base_path") "," SELECTING) REQUIRED(R"("base_path")"), once},
      {tools, "compare_directories", "Which files are only in one of two folders, which differ, which are the same.",
       OBJECT(PATH_OF("dir1") "," PATH_OF("dir2") "," FLAG_OF("show_content_diff", "Also how text files differ."))
           REQUIRED(R"("dir1","dir2")"),
       reads},
      {tools, "compare_files", "How two text files differ, as a unified diff of at most 500 lines.",
       OBJECT(PATH_OF("file1") "," PATH_OF("file2") R"(,"context_lines":{"type":"integer","minimum":0,"maximum":100,"default":3})")
           REQUIRED(R"("file1","file2")"),
       reads},
      {tools, "deliver_files",
       "Put files of your workspace into a folder that you may write, and see how they differ from what was there. With dry_run "
       "nothing "
       "is written.",
       OBJECT(R"("source_path":{"type":"string","default":".","description":"A file or folder of your workspace."},)" PATH_OF(
           "destination_path") "," SELECTING
                               R"(,"overwrite":{"type":"boolean","default":true,"description":"Replace files that exist."},)" FLAG_OF(
                                   "dry_run", "Only say what would change.")) REQUIRED(R"("destination_path")"),
       overwrites},
      {commands, "execute_command",
       "Run a command line with /bin/sh and wait for it. What it leaves running is ended; use execute_command_background for that.",
       OBJECT(
           TEXT_OF("command", "The command line.") R"(,"timeout":{"type":"integer","minimum":1,"maximum":3600,"default":60,)"
                                                   R"("description":"Seconds."},)"
                                                   R"("work_dir":{"type":"string","default":".","description":"Where it runs."})")
           REQUIRED(R"("command")"),
       once, true},
      {commands, "execute_command_background",
       "Start a command line that goes on running, until kill or the end of your run; 8 at most.",
       OBJECT(
           TEXT_OF("command", "The command line.") R"(,"work_dir":{"type":"string","default":".","description":"Where it runs."})")
           REQUIRED(R"("command")"),
       once, true},
      {commands, "read_output", "What a background command has written, and whether it still runs.",
       OBJECT(TEXT_OF(
           "job",
           "As execute_command_background named it.") R"(,"offset":{"type":"integer","minimum":0,"default":0,"description":"Bytes of stdout to skip: next_offset of an earlier )"
                                                      R"(result."},"error_offset":{"type":"integer","minimum":0,"default":0,"description":"The same of stderr."})")
           REQUIRED(R"("job")"),
       reads},
      {commands, "kill", "End a background command and all it started.",
       OBJECT(TEXT_OF("job", "As execute_command_background named it.")) REQUIRED(R"("job")"), harmless_once},
  };
}

#undef OBJECT
#undef REQUIRED
#undef PATH_OF
#undef TEXT_OF
#undef FLAG_OF
#undef PATTERNS_OF
#undef SELECTING

struct user {
  std::vector<path_use> out;

  void add(const char* argument, const std::string& path, access what, bool tree = false) {
    out.push_back({argument, path, what, tree});
  }

  void operator()(const read_text_file& c) { add("path", c.path, access::read); }
  void operator()(const read_multiple_files& c) {
    for (auto& p : c.paths)
      add("paths", p, access::read);
  }
  void operator()(const write_file& c) { add("path", c.path, access::modify); }
  void operator()(const edit_file& c) {
    add("path", c.path, access::read);
    if (!c.dry_run)
      add("path", c.path, access::modify);
  }
  void operator()(const create_directory& c) { add("path", c.path, access::create); }
  void operator()(const list_directory& c) { add("path", c.path, access::list); }
  void operator()(const directory_tree& c) { add("path", c.path, access::list, true); }
  void operator()(const move_file& c) {
    add("source", c.source, access::remove, true);
    add("destination", c.destination, access::create);
  }
  void operator()(const search_files& c) { add("path", c.path, access::list, true); }
  void operator()(const get_file_info& c) { add("path", c.path, access::read); }
  void operator()(const list_allowed_directories&) {}
  void operator()(const copy_file& c) {
    add("source_path", c.source, access::read, true);
    add("destination_path", c.destination, c.overwrite ? access::modify : access::create, c.overwrite);
  }
  void operator()(const copy_files_batch& c) {
    add("source_base_path", c.source_base, access::read, true);
    add("destination_base_path", c.destination_base, access::create);
  }
  void operator()(const delete_file& c) { add("path", c.path, access::remove, c.recursive); }
  void operator()(const delete_files_batch& c) { add("base_path", c.base, access::modify); } // the folder itself stays
  void operator()(const compare_directories& c) {
    add("dir1", c.dir1, access::read, true);
    add("dir2", c.dir2, access::read, true);
  }
  void operator()(const compare_files& c) {
    add("file1", c.file1, access::read);
    add("file2", c.file2, access::read);
  }
  void operator()(const deliver_files& c) {
    add("source_path", c.source, access::read, true);
    add("destination_path", c.destination, access::create);
  }
  void operator()(const execute_command& c) { add("work_dir", c.work_dir, access::read); }
  void operator()(const execute_command_background& c) { add("work_dir", c.work_dir, access::read); }
  void operator()(const read_output&) {}
  void operator()(const kill_job&) {}
};

} // namespace

const std::vector<tool_row>& table() {
  static const auto rows = make_table();
  return rows;
}

const tool_row* find(std::string_view name) {
  auto& rows = table();
  auto row = std::find_if(rows.begin(), rows.end(), [name](const tool_row& r) { return r.name == name; });
  return row == rows.end() ? nullptr : &*row;
}

std::string public_name(const tool_row& row) {
  return "mcp__" + std::string(row.server) + "__" + std::string(row.name);
}

bool is_named(const tool_row& row, const std::vector<std::string>& list) {
  auto full = public_name(row);
  return std::any_of(list.begin(), list.end(), [&](auto& x) { return x == row.name || x == full; });
}

std::vector<path_use> uses(const call& c) {
  user u;
  std::visit(u, c);
  return std::move(u.out);
}

std::string error_text(std::string_view tool, const tool_fault& fault) {
  if (fault.code == denial::none)
    return "Error: " + fault.text;
  if (fault.code == denial::timeout) // nothing was denied
    return "Error: " + std::string(path_policy::to_string(fault.code)) + ": " + fault.text;
  return "Error: Permission denied for tool " + path_policy::shown(tool) + ": " + std::string(path_policy::to_string(fault.code))
         + ": " + fault.text;
}

std::string denial_in(std::string_view result) {
  auto head = result.substr(0, 20'000); // a command is repeated in front of why it was refused
  auto at = head.starts_with("Error: Permission denied for tool ")         ? head.find(": E_")
            : head.starts_with("{") && head.find("\"success\":false") < 20 ? head.find("\"stderr\":\"E_")
                                                                           : std::string_view::npos;
  at = at == std::string_view::npos ? at : head.find("E_", at);
  if (at == std::string_view::npos)
    return {};
  auto end = head.find(':', at);
  std::string code{head.substr(at, end == std::string_view::npos ? 0 : end - at)};
  auto plain = std::all_of(code.begin(), code.end(), [](char c) { return (c >= 'A' && c <= 'Z') || c == '_'; });
  return plain && code.size() <= 20 ? code : std::string{};
}

} // namespace conclave::workspace_tools
