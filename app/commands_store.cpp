// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/commands.hpp"
#include "app/host_io.hpp"
#include "app/left_logs.hpp"
#include "app/plain_text.hpp"
#include "app/report.hpp"
#include "app/stored_tasks.hpp"
#include "app/task_changes.hpp"
#include "app/task_in_place.hpp"
#include "app/task_lookup.hpp"
#include "protocols/events.hpp"
#include "protocols/path_policy.hpp"
#include "protocols/run_state.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/turn_sources.hpp"
#include "transports/event_store_names.hpp"
#include "transports/outside.hpp"
#include "transports/workspace_disk.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace conclave {

namespace {

constexpr int wrong_usage = static_cast<int>(exit_code::usage);
constexpr int failed = static_cast<int>(exit_code::failed);
constexpr std::size_t most_named = 20; ///< paths that were written in place
constexpr std::size_t most_told = 20;  ///< deliveries that can be taken back no more

/// What the replies of the agents name as their sources; what cannot be read of them is no matter here.
std::vector<std::pair<std::string, std::string>> sources_in(const stored_tasks& s, const std::string& task,
                                                            const std::vector<event>& events) {
  std::vector<std::pair<std::string, std::string>> out;
  std::map<std::string, std::string> bodies;
  auto find = [&](const std::string& sha) -> const std::string* {
    auto i = bodies.find(sha);
    std::string error;
    if (i == bodies.end())
      for (auto& b : s.store->bodies(task, {sha}, error))
        i = bodies.emplace(sha, std::move(b.bytes)).first;
    return i == bodies.end() ? nullptr : &i->second;
  };
  for (const auto& e : events) {
    completion reply;
    std::string error;
    if (e.type != event_type::call_ended || e.said.empty() || !events::call_of(e).model
        || !run::find_completion(e.said.front(), find, reply, error))
      continue;
    bodies.clear();
    for (auto& text : wire::sources_of(reply.opaque, reply.opaque_dialect))
      if (std::pair<std::string, std::string> one{e.agent, std::move(text)}; std::find(out.begin(), out.end(), one) == out.end())
        out.push_back(std::move(one));
  }
  std::stable_sort(out.begin(), out.end(), [](auto& a, auto& b) { return a.first < b.first; });
  return out;
}

/// The arguments of the tool calls, by their names.
std::map<std::string, std::string> arguments_in(const stored_tasks& s, const std::string& task, const std::vector<event>& events) {
  std::vector<std::string> names;
  for (const auto& e : events)
    if (e.type == event_type::call_started && !e.said.empty() && !events::call_of(e).model)
      names.push_back(e.said.back());
  std::map<std::string, std::string> out;
  std::string ignored;
  if (!names.empty()) // else it would be all there are
    for (auto& b : s.store->bodies(task, names, ignored))
      out.emplace(std::move(b.sha), std::move(b.bytes));
  return out;
}

/// The files of each answer. Returns the exit code.
int print_files(const stored_tasks& s, const std::string& task, const std::vector<event>& events) {
  std::string error, out;
  auto made = changes_of(task, events, error);
  if (!error.empty()) {
    complain("task " + task + ": its log cannot tell what it made of files: " + error);
    return failed;
  }
  snapshots::store store{snapshot_folder(s.home)};
  for (const auto& a : made.answers) {
    out += a.label + ": " + count_of(static_cast<std::size_t>(a.files), "file") + ", " + std::to_string(a.bytes) + " bytes";
    if (a.earlier)
      out += ", of task " + one_line(made.continues);
    if (a.snapshot.empty()) {
      out += ", gone before this task began\n";
      continue;
    }
    std::size_t files = 0;
    auto all_there = store.walk(a.snapshot, [&](const std::string&, const snapshots::entry& e) {
      files += has_bytes(e) ? 1 : 0;
      return true;
    });
    auto came = std::holds_alternative<snapshots::placed>(all_there) && files > static_cast<std::size_t>(a.files)
                    ? files - static_cast<std::size_t>(a.files)
                    : 0;
    out += (came > 0 ? ", and " + std::to_string(came) + " of your folders as they were" : "")
           + std::string{a.label == made.label ? ", delivered\n" : "\n"};
    auto got = store.list(a.snapshot);
    if (auto* f = std::get_if<snapshots::failure>(&got)) {
      out += "  " + f->text + "\n";
      continue;
    }
    auto& all = std::get<snapshots::listing>(got);
    for (const auto& x : all.entries)
      if (x.what.kind != snapshots::entry_kind::folder)
        out += "  " + path_policy::shown(x.path, 4'096) + "  " + std::to_string(x.what.size) + "\n";
    if (all.more)
      out += "  and more\n";
  }
  for (auto& p : delivery::history(journal_of(s.home, task)))
    out += "applied: " + delivery_text(p) + "\n";
  if (!made.in_place.empty())
    out += "in place: " + in_place_text(in_place_of(*s.store, task, s.home), most_named) + "\n";
  return print(out.empty() ? "task " + task + " has no files\n" : out);
}

/// What of these tasks is applied, and could be taken back as long as they are kept: a line for each folder.
std::map<std::string, std::vector<std::string>> applied_of(const stored_tasks& s, const std::vector<std::string>& tasks) {
  std::map<std::string, std::vector<std::string>> out;
  for (const auto& task : tasks)
    if (is_task_id(task))
      for (auto& p : delivery::history(journal_of(s.home, task)))
        if (!p.undone())
          out[task].push_back(delivery_text(p));
  return out;
}

/// Says of the tasks that were deleted what stays as they made it.
void tell_lasting(const std::map<std::string, std::vector<std::string>>& applied, const std::vector<std::string>& deleted) {
  std::size_t n = 0;
  for (const auto& task : deleted)
    if (auto i = applied.find(task); i != applied.end())
      for (auto& text : i->second)
        if (++n <= most_told)
          complain("notice: what task " + one_line(task) + " wrote stays and cannot be taken back any more: " + text);
  if (n > most_told)
    complain("notice: nor what " + std::to_string(n - most_told) + " more wrote");
}

} // namespace

int command_show(const show_options& o) {
  stored_tasks s;
  task_row row;
  if (auto code = s.open(o.task, row))
    return code;
  if (auto fault = mend_left_logs(s.home, row, *s.store); !fault.empty())
    complain("notice: " + fault);
  if (o.json) {
    std::string error, lines;
    for (const auto& e : s.store->read(row.task, 0, error))
      lines += e.json + "\n";
    if (error.empty())
      return print(lines);
    complain(error);
    return failed;
  }
  std::vector<event> events;
  if (auto code = s.read(row.task, events))
    return code;
  if (o.files)
    return print_files(s, row.task, events);
  std::vector<std::string> deliveries;
  for (auto& p : delivery::history(journal_of(s.home, row.task)))
    deliveries.push_back(delivery_text(p));
  return print(report(row.task, events,
                      {.running = row.live && row.outcome.empty(),
                       .resumable = is_resumable(row),
                       .full = o.full,
                       .width = terminal_width(1, 0),
                       .sources = sources_in(s, row.task, events),
                       .arguments = o.full ? arguments_in(s, row.task, events) : std::map<std::string, std::string>{},
                       .deliveries = std::move(deliveries),
                       .raw = !is_terminal(1)}));
}

int command_list(const list_options& o) {
  stored_tasks s;
  if (auto code = s.open())
    return code;
  task_deliveries applied;
  for (const auto& r : s.rows)
    if (is_task_id(r.task))
      if (auto past = delivery::history(journal_of(s.home, r.task)); !past.empty())
        applied.emplace(r.task, std::move(past));
  return print(o.json ? task_lines(s.rows, applied) : task_table(s.rows, terminal_width(1, 0), applied));
}

int command_remove(const remove_options& o) {
  stored_tasks s;
  if (auto code = s.open())
    return code;
  // Every name is resolved before the first task is deleted: a typing error deletes nothing.
  std::vector<std::string> tasks;
  for (const auto& wanted : o.tasks) {
    std::string error;
    tasks.push_back(find_task(s.rows, wanted, error));
    if (tasks.back().empty()) {
      complain(error);
      return wrong_usage;
    }
    if (auto row = s.row(tasks.back()); row.live) {
      complain(why_kept(row));
      return failed;
    }
  }
  std::vector<std::string> deleted;
  auto applied = applied_of(s, tasks);
  auto code = s.forget(tasks, deleted);
  tell_lasting(applied, deleted);
  std::string out;
  for (const auto& task : deleted)
    out += "deleted " + one_line(task) + "\n";
  return print(out, code);
}

int command_prune(const prune_options& o) {
  stored_tasks s;
  if (auto code = s.open())
    return code;
  auto now = outside::of_machine()->now_unix_ms();
  std::vector<std::string> old, deleted, kept;
  for (const auto& r : s.rows)
    if (r.started_ms < now - o.older_than_ms)
      (r.live ? kept : old).push_back(r.task);
  auto applied = applied_of(s, old);
  auto code = s.forget(old, deleted, true);
  if (code == 0) // else it was said why the others are there
    for (auto& task : old)
      if (std::find(deleted.begin(), deleted.end(), task) == deleted.end())
        kept.push_back(task);
  if (!kept.empty())
    complain("notice: " + count_of(kept.size(), "task") + " left alone, as a process works on " + (kept.size() == 1 ? "it" : "them")
             + ": " + one_line(kept.front()) + (kept.size() == 1 ? "" : ", ..."));
  tell_lasting(applied, deleted);
  if (code != 0 && deleted.empty())
    return code; // it was said why
  return print("deleted " + count_of(deleted.size(), "task") + "\n", code);
}

int command_node(const node_options& o) {
  if (o.check)
    return check_node(o);
  block_signals();
  return run_node(o);
}

} // namespace conclave
