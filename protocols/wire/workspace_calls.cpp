// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/workspace_calls.hpp"

#include "protocols/glob.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json_util.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <optional>

namespace conclave::wire {

using namespace workspace_tools;
using path_policy::shown;

namespace {

/// How deep the brackets of a text go, outside of strings; `max_nesting` + 2 stands for more. The object itself is 1.
int depth_of(std::string_view text) {
  int depth = 0, deepest = 0;
  auto in_string = false;
  for (std::size_t i = 0; i < text.size() && deepest <= max_nesting + 1; ++i) {
    auto c = text[i];
    if (in_string && c == '\\')
      ++i;
    else if (c == '"')
      in_string = !in_string;
    else if (!in_string && (c == '{' || c == '['))
      deepest = std::max(deepest, ++depth);
    else if (!in_string && (c == '}' || c == ']'))
      --depth;
  }
  return deepest;
}

/// What is too much of a value at `depth`; empty if nothing is.
std::string excess(const json& v, int depth) {
  if (depth > max_nesting)
    return "they are nested deeper than " + std::to_string(max_nesting);
  if (v.is_object() && v.size() > max_keys)
    return "an object has more than " + std::to_string(max_keys) + " members";
  if (v.is_array() && v.size() > max_items)
    return "a list has more than " + std::to_string(max_items) + " items";
  if (v.is_structured())
    for (auto& x : v)
      if (auto found = excess(x, depth + 1); !found.empty())
        return found;
  return {};
}

/// Takes the arguments of one call out of their object. The first thing wrong is kept, and nothing after it counts.
class taker {
public:
  explicit taker(const json& given) : given_(given) {}

  void path(const char* key, std::string& to, bool required = true) {
    if (auto* v = find(key, required))
      take_path(key, *v, to);
  }

  void paths(const char* key, std::vector<std::string>& to, std::size_t most) {
    auto* v = list(key, true, most);
    if (v != nullptr && v->empty())
      bad(std::string(key) + " is empty: name at least one file");
    for (std::size_t i = 0; v != nullptr && i < v->size() && !fault_; ++i)
      take_path(key, (*v)[i], to.emplace_back());
  }

  void text(const char* key, std::string& to, std::size_t most = max_arguments) {
    auto* v = find(key, true);
    if (v == nullptr)
      return;
    if (!v->is_string())
      return bad(std::string(key) + " must be a string");
    to = v->get<std::string>();
    if (to.size() > most)
      too_much(std::string(key) + " is longer than " + std::to_string(most) + " bytes");
  }

  void flag(const char* key, bool& to) {
    if (auto* v = find(key, false)) {
      if (!v->is_boolean())
        return bad(std::string(key) + " must be true or false");
      to = v->get<bool>();
    }
  }

  void number(const char* key, std::int64_t& to, std::int64_t least, std::int64_t most) {
    auto* v = find(key, false);
    if (v == nullptr)
      return;
    auto d = v->is_number() ? v->get<double>() : NAN;
    if (!(d >= static_cast<double>(least) && d <= static_cast<double>(most)) || d != std::floor(d))
      return bad(std::string(key) + " must be a whole number from " + std::to_string(least) + " to " + std::to_string(most));
    to = v->is_number_float() ? static_cast<std::int64_t>(d) : v->get<std::int64_t>();
  }

  void number(const char* key, std::optional<std::int64_t>& to, std::int64_t least, std::int64_t most) {
    std::int64_t n = least - 1;
    number(key, n, least, most);
    if (n >= least)
      to = n;
  }

  void patterns(const char* key, std::vector<std::string>& to) {
    auto* v = list(key, false, max_patterns);
    if (v == nullptr)
      return;
    to.clear();
    for (auto& p : *v)
      if (!fault_)
        take_pattern(key, p, to.emplace_back());
  }

  void pattern(const char* key, std::string& to) {
    if (auto* v = find(key, true))
      take_pattern(key, *v, to);
  }

  const json* list(const char* key, bool required, std::size_t most) {
    auto* v = find(key, required);
    if (v == nullptr)
      return nullptr;
    if (!v->is_array())
      return bad(std::string(key) + " must be a list"), nullptr;
    if (v->size() > most)
      return too_much(std::string(key) + " has more than " + std::to_string(most) + " entries"), nullptr;
    return v;
  }

  /// Returns the argument; nullptr if it is absent, where null is as good as absent for what is not required.
  const json* find(const char* key, bool required) {
    known_.emplace_back(key);
    auto* v = fault_ ? nullptr : member(given_, key);
    if (v != nullptr && v->is_null() && !required)
      v = nullptr;
    if (v == nullptr && required)
      bad(std::string(key) + " is missing");
    return v;
  }

  void bad(const std::string& what) { fail(denial::args, what); }
  void too_much(const std::string& what) { fail(denial::size, what); }

  /// What is wrong, if anything: the first of all, else a name that the tool does not know.
  std::optional<tool_fault> finish() {
    for (auto& [name, v] : given_.items()) {
      if (std::find(known_.begin(), known_.end(), name) != known_.end())
        continue;
      std::string all;
      for (auto& k : known_)
        all += (all.empty() ? "" : ", ") + k;
      return tool_fault{denial::args,
                        "there is no argument " + shown(name) + ". The arguments are: " + (all.empty() ? "none" : all) + "."};
    }
    return fault_;
  }

private:
  void fail(denial code, const std::string& what) {
    if (!fault_)
      fault_ = tool_fault{code, what + ". Call it again with other arguments."};
  }

  void take_path(const char* key, const json& v, std::string& to) {
    if (!v.is_string())
      return bad(std::string(key) + " must be a path as a string");
    to = v.get<std::string>();
    std::string ignored;
    if (auto judged = path_policy::absolute("/", to, ignored); !judged.ok() && !fault_)
      fault_ = tool_fault{judged.code, std::string(key) + ": " + shown(to) + ": " + judged.text};
  }

  void take_pattern(const char* key, const json& v, std::string& to) {
    if (!v.is_string())
      return bad(std::string(key) + " must hold strings");
    to = v.get<std::string>();
    if (to.size() > max_pattern)
      return too_much(std::string(key) + " has a pattern of more than " + std::to_string(max_pattern) + " bytes");
    std::string wrong;
    glob_list one;
    if (to.find('\0') != std::string::npos || !one.add_all({to}, wrong))
      bad(std::string(key) + " has the pattern " + shown(to) + ": patterns are not empty, relative, and without \"..\"");
  }

  const json& given_;
  std::vector<std::string> known_;
  std::optional<tool_fault> fault_;
};

void take(taker& t, read_text_file& c) {
  t.path("path", c.path);
  t.number("head", c.head, 1, max_lines);
  t.number("tail", c.tail, 1, max_lines);
  t.number("offset", c.offset, 0, std::int64_t{1} << 53);
  if (c.head && c.tail)
    t.bad("head and tail cannot both be given");
  if (c.tail && c.offset != 0)
    t.bad("tail and offset cannot both be given");
}

void take(taker& t, read_multiple_files& c) {
  t.paths("paths", c.paths, max_paths);
}

void take(taker& t, write_file& c) {
  t.path("path", c.path);
  t.text("content", c.content);
}

void take_edit(taker& t, const json& v, text_edit& to) {
  if (!v.is_object())
    return t.bad("edits must hold objects");
  taker one(v);
  one.text("oldText", to.old_text);
  one.text("newText", to.new_text);
  if (auto fault = one.finish())
    return t.bad("edits: " + fault->text);
  if (to.old_text.empty())
    t.bad("edits: oldText is empty: give the text to replace");
}

void take(taker& t, edit_file& c) {
  t.path("path", c.path);
  auto* edits = t.list("edits", true, max_items);
  if (edits != nullptr && edits->empty())
    t.bad("edits is empty: give at least one");
  for (std::size_t i = 0; edits != nullptr && i < edits->size(); ++i)
    take_edit(t, (*edits)[i], c.edits.emplace_back());
  t.flag("dryRun", c.dry_run);
}

void take(taker& t, create_directory& c) {
  t.path("path", c.path);
}

void take(taker& t, list_directory& c) {
  t.path("path", c.path);
  if (auto* v = t.find("sortBy", false)) {
    if (*v != "name" && *v != "size")
      return t.bad("sortBy must be name or size");
    c.sort_by = *v == "size" ? sort_order::size : sort_order::name;
  }
}

void take(taker& t, directory_tree& c) {
  t.path("path", c.path);
  t.patterns("excludePatterns", c.exclude);
}

void take(taker& t, move_file& c) {
  t.path("source", c.source);
  t.path("destination", c.destination);
}

void take(taker& t, search_files& c) {
  t.path("path", c.path);
  t.pattern("pattern", c.pattern);
  t.patterns("excludePatterns", c.exclude);
}

void take(taker& t, get_file_info& c) {
  t.path("path", c.path);
}

void take(taker&, list_allowed_directories&) {}

void take(taker& t, copy_file& c) {
  t.path("source_path", c.source);
  t.path("destination_path", c.destination);
  t.flag("overwrite", c.overwrite);
}

void take(taker& t, copy_files_batch& c) {
  t.path("source_base_path", c.source_base);
  if (auto* v = t.find("destination_base_path", false); v != nullptr && *v != "")
    t.path("destination_base_path", c.destination_base);
  else
    c.destination_base = ".";
  t.patterns("include_patterns", c.include);
  t.patterns("exclude_patterns", c.exclude);
  t.flag("overwrite", c.overwrite);
}

void take(taker& t, delete_file& c) {
  t.path("path", c.path);
  t.flag("recursive", c.recursive);
}

void take(taker& t, delete_files_batch& c) {
  t.path("base_path", c.base);
  t.patterns("include_patterns", c.include);
  t.patterns("exclude_patterns", c.exclude);
}

void take(taker& t, compare_directories& c) {
  t.path("dir1", c.dir1);
  t.path("dir2", c.dir2);
  t.flag("show_content_diff", c.show_content_diff);
}

void take(taker& t, compare_files& c) {
  t.path("file1", c.file1);
  t.path("file2", c.file2);
  t.number("context_lines", c.context_lines, 0, max_context_lines);
}

void take(taker& t, deliver_files& c) {
  t.path("source_path", c.source, false);
  t.path("destination_path", c.destination);
  t.patterns("include_patterns", c.include);
  t.patterns("exclude_patterns", c.exclude);
  t.flag("overwrite", c.overwrite);
  t.flag("dry_run", c.dry_run);
}

void take_command(taker& t, std::string& command, std::string& work_dir) {
  t.text("command", command, max_command);
  if (is_blank(command))
    t.bad("command is empty");
  if (command.find('\0') != std::string::npos)
    t.bad("command holds a NUL character");
  t.path("work_dir", work_dir, false);
}

void take(taker& t, execute_command& c) {
  take_command(t, c.command, c.work_dir);
  t.number("timeout", c.timeout, 1, max_timeout);
}

void take(taker& t, execute_command_background& c) {
  take_command(t, c.command, c.work_dir);
}

void take_job(taker& t, std::string& job) {
  t.text("job", job, 64);
  auto plain = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-'; };
  if (job.empty() || !std::all_of(job.begin(), job.end(), plain))
    t.bad("job must be as execute_command_background named it");
}

void take(taker& t, read_output& c) {
  take_job(t, c.job);
  t.number("offset", c.offset, 0, std::int64_t{1} << 53);
  t.number("error_offset", c.error_offset, 0, std::int64_t{1} << 53);
}

void take(taker& t, kill_job& c) {
  take_job(t, c.job);
}

using decoded = std::variant<call, tool_fault>;

template <class T>
decoded take_all(const json& given, T c = {}) {
  taker t(given);
  take(t, c);
  if (auto fault = t.finish())
    return *fault;
  return call(std::move(c));
}

struct decoder {
  std::string_view name;
  decoded (*take)(const json&);
};

/// The one list of names that can be called.
constexpr decoder decoders[] = {
    {"read_text_file", [](const json& v) { return take_all<read_text_file>(v); }},
    {"read_file", [](const json& v) { return take_all<read_text_file>(v); }},
    {"read_multiple_files", [](const json& v) { return take_all<read_multiple_files>(v); }},
    {"write_file", [](const json& v) { return take_all<write_file>(v); }},
    {"edit_file", [](const json& v) { return take_all<edit_file>(v); }},
    {"create_directory", [](const json& v) { return take_all<create_directory>(v); }},
    {"list_directory", [](const json& v) { return take_all<list_directory>(v); }},
    {"list_directory_with_sizes", [](const json& v) { return take_all<list_directory>(v, {.path = {}, .with_sizes = true}); }},
    {"directory_tree", [](const json& v) { return take_all<directory_tree>(v); }},
    {"move_file", [](const json& v) { return take_all<move_file>(v); }},
    {"search_files", [](const json& v) { return take_all<search_files>(v); }},
    {"get_file_info", [](const json& v) { return take_all<get_file_info>(v); }},
    {"list_allowed_directories", [](const json& v) { return take_all<list_allowed_directories>(v); }},
    {"copy_file", [](const json& v) { return take_all<copy_file>(v); }},
    {"copy_files_batch", [](const json& v) { return take_all<copy_files_batch>(v); }},
    {"delete_file", [](const json& v) { return take_all<delete_file>(v); }},
    {"delete_files_batch", [](const json& v) { return take_all<delete_files_batch>(v); }},
    {"compare_directories", [](const json& v) { return take_all<compare_directories>(v); }},
    {"compare_files", [](const json& v) { return take_all<compare_files>(v); }},
    {"deliver_files", [](const json& v) { return take_all<deliver_files>(v); }},
    {"execute_command", [](const json& v) { return take_all<execute_command>(v); }},
    {"execute_command_background", [](const json& v) { return take_all<execute_command_background>(v); }},
    {"read_output", [](const json& v) { return take_all<read_output>(v); }},
    {"kill", [](const json& v) { return take_all<kill_job>(v); }},
};

} // namespace

decoded decode_workspace_call(std::string_view name, std::string_view arguments) {
  auto* row = std::find_if(std::begin(decoders), std::end(decoders), [name](const decoder& d) { return d.name == name; });
  if (row == std::end(decoders))
    return tool_fault{denial::tool, "there is no tool " + shown(name) + ". Use one of those you were offered, by its exact name."};
  if (arguments.size() > max_arguments)
    return tool_fault{denial::size, "the arguments are larger than 1 MiB. Write a large file in pieces, or make it by a command."};
  if (depth_of(arguments) > max_nesting + 1)
    return tool_fault{denial::size, "the arguments are too large: they are nested deeper than 5. Call it with fewer."};
  auto v = is_blank(arguments) ? json::object() : parse(arguments, true);
  if (!v || !v->is_object())
    return tool_fault{denial::args,
                      "the arguments are no valid JSON object: each name once, no NaN, no half surrogate pairs, nothing "
                      "behind it. Call it again with valid ones."};
  if (auto much = excess(*v, 0); !much.empty())
    return tool_fault{denial::size, "the arguments are too large: " + much + ". Call it with fewer."};
  return row->take(*v);
}

} // namespace conclave::wire
