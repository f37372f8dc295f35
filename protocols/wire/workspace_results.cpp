// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/json_util.hpp"
#include "protocols/wire/workspace_calls.hpp"

#include <algorithm>

namespace conclave::wire {

using namespace workspace_tools;

namespace {

using ordered = nlohmann::ordered_json; // what matters most to a reader comes first

std::string written(const ordered& v) {
  return v.dump(-1, ' ', false, ordered::error_handler_t::replace);
}

/// It has failed where nothing of what was to be done could be.
bool any_done(const batch_result& r) {
  return !r.done.empty() || r.errors.empty();
}

ordered envelope(std::string_view operation, bool success = true) {
  return {{"success", success}, {"operation", operation}};
}

ordered notes(const std::vector<path_note>& list, const char* why) {
  auto out = ordered::array();
  for (auto& n : list)
    out.push_back({{"path", n.path}, {why, n.reason}});
  return out;
}

void add_note(ordered& to, const std::string& note) {
  if (!note.empty())
    to["note"] = note;
}

ordered code_of(const std::optional<int>& code) {
  return code ? ordered(*code) : ordered(nullptr);
}

} // namespace

std::string to_json(const copy_file&, const copy_result& r) {
  auto v = envelope("copy_file");
  auto& d = v["details"] = {{"type", r.directory ? "directory" : "file"}, {"source", r.source}, {"destination", r.destination}};
  if (r.directory)
    d["file_count"] = r.file_count;
  else
    d["size"] = r.size;
  if (!r.dropped.empty())
    d["dropped"] = notes(r.dropped, "reason");
  return written(v);
}

std::string to_json(const delete_file&, const delete_result& r) {
  auto v = envelope("delete_file");
  auto& d = v["details"] = {{"type", r.link ? "link" : r.directory ? "directory" : "file"}, {"path", r.path}};
  if (r.directory)
    d["file_count"] = r.file_count;
  else
    d["size"] = r.size;
  return written(v);
}

std::string to_json(const copy_files_batch&, const batch_result& r) {
  auto v = envelope("copy_files_batch", any_done(r));
  v["summary"] = {{"copied", r.done.size()}, {"skipped", r.skipped.size()}, {"errors", r.errors.size()}};
  auto done = ordered::array();
  for (auto& f : r.done)
    done.push_back({{"source", f.source}, {"destination", f.destination}, {"relative_path", f.relative_path}, {"size", f.size}});
  v["details"] = {
      {"copied_files", std::move(done)}, {"skipped_files", notes(r.skipped, "reason")}, {"errors", notes(r.errors, "error")}};
  add_note(v, r.note);
  return written(v);
}

std::string to_json(const delete_files_batch&, const batch_result& r) {
  auto v = envelope("delete_files_batch", any_done(r));
  v["summary"] = {{"deleted", r.done.size()}, {"skipped", r.skipped.size()}, {"errors", r.errors.size()}};
  auto done = ordered::array();
  for (auto& f : r.done)
    done.push_back({{"path", f.source}, {"relative_path", f.relative_path}, {"size", f.size}});
  v["details"] = {
      {"deleted_files", std::move(done)}, {"skipped_files", notes(r.skipped, "reason")}, {"errors", notes(r.errors, "error")}};
  add_note(v, r.note);
  return written(v);
}

std::string to_json(const deliver_files& c, const batch_result& r) {
  auto v = envelope("deliver_files", any_done(r));
  v["dry_run"] = c.dry_run;
  std::size_t added = 0, modified = 0, identical = 0;
  auto files = ordered::array();
  for (auto& f : r.done) {
    ++(f.change == "added" ? added : f.change == "modified" ? modified : identical);
    files.push_back({{"source", f.source},
                     {"destination", f.destination},
                     {"relative_path", f.relative_path},
                     {"size", f.size},
                     {"change", f.change}});
    if (!f.diff.empty())
      files.back()["diff"] = f.diff;
  }
  v["summary"] = {{"added", added},
                  {"modified", modified},
                  {"identical", identical},
                  {"skipped", r.skipped.size()},
                  {"errors", r.errors.size()}};
  v["details"] = {{"files", std::move(files)}, {"skipped_files", notes(r.skipped, "reason")}, {"errors", notes(r.errors, "error")}};
  add_note(v, r.note);
  return written(v);
}

std::string to_json(const compare_directories& c, const compare_directories_result& r) {
  auto v = envelope("compare_directories");
  auto& d = v["details"] = {
      {"only_in_dir1", r.only_in_dir1}, {"only_in_dir2", r.only_in_dir2}, {"different", r.different}, {"identical", r.identical}};
  if (c.show_content_diff) {
    auto& diffs = d["content_diffs"] = ordered::object();
    for (auto& [name, diff] : r.content_diffs)
      diffs[valid_utf8(name)] = diff;
  }
  if (!r.skipped.empty())
    d["skipped"] = notes(r.skipped, "reason");
  add_note(v, r.note);
  return written(v);
}

std::string to_json(const compare_files&, const compare_files_result& r) {
  auto v = envelope("compare_files");
  v["details"] = {{"identical", r.identical},
                  {"diff", r.diff},
                  {"stats", {{"added", r.added}, {"removed", r.removed}, {"changed", std::min(r.added, r.removed)}}}};
  if (r.truncated)
    v["truncated"] = true;
  return written(v);
}

std::string to_json(const command_result& r) {
  ordered v = {{"success", r.exit_code == 0 && !r.timed_out},
               {"exit_code", r.exit_code},
               {"stdout", r.out},
               {"stderr", r.err},
               {"execution_time", static_cast<double>(r.time_ms) / 1000},
               {"command", r.command},
               {"work_dir", r.work_dir}};
  if (r.timed_out)
    v["timed_out"] = true;
  if (r.truncated)
    v["truncated"] = true;
  add_note(v, r.note);
  return written(v);
}

std::string to_json(const job_started& r) {
  auto v = envelope("execute_command_background");
  v["job"] = r.job;
  v["command"] = r.command;
  v["work_dir"] = r.work_dir;
  return written(v);
}

std::string to_json(const job_output& r) {
  auto v = envelope("read_output");
  v["job"] = r.job;
  v["running"] = r.running;
  v["exit_code"] = code_of(r.exit_code);
  v["stdout"] = r.out;
  v["stderr"] = r.err;
  v["next_offset"] = r.next_offset;
  v["next_error_offset"] = r.next_error_offset;
  if (r.truncated)
    v["truncated"] = true;
  add_note(v, r.note);
  return written(v);
}

std::string to_json(const job_killed& r) {
  auto v = envelope("kill");
  v["job"] = r.job;
  v["was_running"] = r.was_running;
  v["exit_code"] = code_of(r.exit_code);
  return written(v);
}

namespace {

ordered listed(const std::vector<tree_node>& nodes) {
  auto out = ordered::array();
  for (auto& n : nodes) {
    out.push_back({{"name", n.name}, {"type", n.type}});
    if (n.type == "directory")
      out.back()["children"] = listed(n.children);
  }
  return out;
}

} // namespace

std::string to_json(const std::vector<tree_node>& top, const std::string& note) {
  auto v = listed(top);
  if (!note.empty())
    v.push_back({{"note", note}});
  return written(v);
}

std::string failure_json(std::string_view operation, const tool_fault& fault) {
  auto v = envelope(operation, false);
  v["error"] = fault.text;
  if (fault.code != denial::none)
    v["code"] = path_policy::to_string(fault.code);
  return written(v);
}

std::string refused_command_json(const std::string& command, const std::string& work_dir, const tool_fault& fault) {
  auto code = std::string(path_policy::to_string(fault.code));
  ordered v = {{"success", false},    {"exit_code", -1},
               {"stdout", ""},        {"stderr", (code.empty() ? "" : code + ": ") + fault.text},
               {"execution_time", 0}, {"command", command},
               {"work_dir", work_dir}};
  return written(v);
}

std::vector<std::string> paths_changed(const std::string& result) {
  std::vector<std::string> out;
  auto v = parse(result);
  if (!v || !v->is_object() || v->value("dry_run", json()) == true)
    return out;
  auto details = v->find("details");
  if (details == v->end() || !details->is_object())
    return out;
  auto add = [&out](const json& one) {
    if (!one.is_object() || one.value("change", json()) == "identical")
      return;
    for (auto* key : {"destination", "path"})
      if (auto i = one.find(key); i != one.end() && i->is_string())
        out.push_back(i->get<std::string>());
  };
  add(*details);
  for (auto* list : {"files", "copied_files", "deleted_files"})
    if (auto i = details->find(list); i != details->end() && i->is_array())
      std::for_each(i->begin(), i->end(), add);
  return out;
}

} // namespace conclave::wire
