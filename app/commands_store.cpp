// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/commands.hpp"
#include "app/host_io.hpp"
#include "app/plain_text.hpp"
#include "app/report.hpp"
#include "app/task_lookup.hpp"
#include "protocols/wire/json.hpp"
#include "transports/home.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>
#include <unistd.h>

namespace conclave {

namespace {

constexpr int wrong_usage = static_cast<int>(exit_code::usage);
constexpr int failed = static_cast<int>(exit_code::failed);

/// The store of this user, opened, and its tasks.
struct opened {
  std::string home;
  std::unique_ptr<event_store> store;
  std::vector<task_row> rows;

  /// Opens the store to read it. Returns 0, or the exit code after a complaint.
  int open() {
    std::string error;
    home = home_dir(error);
    if (error.empty())
      store = event_store::open(home + "/tasks.db", error, store_use::reading);
    if (store)
      rows = store->list(error);
    if (store && error.empty())
      return 0;
    complain(error.empty() ? "the store cannot be opened" : error);
    return failed;
  }

  task_row row(const std::string& task) const {
    auto i = std::find_if(rows.begin(), rows.end(), [&](const task_row& r) { return r.task == task; });
    return i == rows.end() ? task_row{} : *i;
  }

  /// Deletes the log folder of a task. Returns whether nothing is left of it.
  bool forget_logs(const std::string& task) const {
    if (!is_task_id(task))
      return true; // never made by us, so there is no folder; and it must not be used as a path
    std::error_code problem;
    std::filesystem::remove_all(home + "/logs/" + task, problem);
    if (problem)
      complain("cannot delete " + home + "/logs/" + task + ": " + problem.message());
    return !problem;
  }

  /// Deletes tasks: first their logs, so that a full disk has room for what deleting from the store writes, and so that a call
  /// that was ended half-way leaves the tasks in the list for the next one. Sets `deleted`. Returns 0, or the exit code after a
  /// complaint.
  int forget(const std::vector<std::string>& tasks, std::vector<std::string>& deleted) {
    auto path = home + "/tasks.db";
    if (::access(path.c_str(), W_OK) != 0 && errno != ENOENT) {
      complain("event store " + path + " cannot be written: " + std::strerror(errno));
      return failed;
    }
    int code = 0;
    std::vector<std::string> ready;
    for (const auto& task : tasks)
      if (forget_logs(task))
        ready.push_back(task);
      else
        code = failed;
    std::string error;
    if (auto writing = rows.empty() ? nullptr : event_store::open(path, error, store_use::deleting))
      deleted = writing->remove_all(ready, error);
    if (error.empty())
      return code;
    complain(error);
    return failed;
  }
};

} // namespace

int command_show(const show_options& o) {
  opened s;
  if (auto code = s.open())
    return code;
  std::string error;
  auto task = find_task(s.rows, o.task, error);
  if (task.empty()) {
    complain(error);
    return wrong_usage;
  }
  auto stored = s.store->read(task, 0, error);
  if (!error.empty()) {
    complain(error);
    return failed;
  }
  if (o.json) {
    std::string lines;
    for (const auto& e : stored)
      lines += e.json + "\n";
    return print(lines);
  }
  std::vector<event> events;
  for (const auto& e : stored) {
    event x;
    if (wire::from_json(e.json, x))
      events.push_back(std::move(x));
    else
      complain("event " + std::to_string(e.seq) + " of " + task + " cannot be read and is left out");
  }
  return print(
      report(task, events, {.running = s.row(task).live, .full = o.full, .width = terminal_width(1, 0), .raw = !is_terminal(1)}));
}

int command_list(const list_options& o) {
  opened s;
  if (auto code = s.open())
    return code;
  return print(o.json ? task_lines(s.rows) : task_table(s.rows, terminal_width(1, 0)));
}

int command_remove(const remove_options& o) {
  opened s;
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
    if (s.row(tasks.back()).live) {
      complain("task " + tasks.back() + " is still running: end it first");
      return failed;
    }
  }
  std::vector<std::string> deleted;
  auto code = s.forget(tasks, deleted);
  std::string out;
  for (const auto& task : deleted)
    out += "deleted " + one_line(task) + "\n";
  return print(out, code);
}

int command_prune(const prune_options& o) {
  opened s;
  if (auto code = s.open())
    return code;
  auto now = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  std::vector<std::string> old, deleted;
  for (const auto& r : s.rows)
    if (r.started_ms < now - o.older_than_ms && !r.live)
      old.push_back(r.task);
  auto code = s.forget(old, deleted);
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
