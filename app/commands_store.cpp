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
#include <chrono>
#include <filesystem>
#include <memory>
#include <system_error>

namespace conclave {

namespace {

constexpr int wrong_usage = static_cast<int>(exit_code::usage);
constexpr int failed = static_cast<int>(exit_code::failed);

/// The store of this user, opened, and its tasks.
struct opened {
  std::string home;
  std::unique_ptr<event_store> store;
  std::vector<task_row> rows;

  /// Returns 0, or the exit code after a complaint.
  int open() {
    std::string error;
    home = home_dir(error);
    if (error.empty())
      store = event_store::open(home + "/tasks.db", error);
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

  /// Deletes the log folder of a task that was deleted from the store. Returns whether nothing is left of it.
  bool forget_logs(const std::string& task) const {
    if (!is_task_id(task))
      return true; // never made by us, so there is no folder; and it must not be used as a path
    std::error_code problem;
    std::filesystem::remove_all(home + "/logs/" + task, problem);
    if (problem)
      complain("cannot delete " + home + "/logs/" + task + ": " + problem.message());
    return !problem;
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
  int code = 0;
  std::string out;
  for (const auto& task : tasks) {
    std::string error;
    if (!s.store->remove(task, error) && !error.empty()) {
      complain(error);
      return failed;
    }
    code = s.forget_logs(task) ? code : failed;
    out += "deleted " + one_line(task) + "\n";
  }
  return print(out, code);
}

int command_prune(const prune_options& o) {
  opened s;
  if (auto code = s.open())
    return code;
  auto now = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  std::string error;
  auto deleted = s.store->prune(now - o.older_than_ms, error);
  if (!error.empty()) {
    complain(error);
    return failed;
  }
  int code = 0;
  for (const auto& task : deleted)
    code = s.forget_logs(task) ? code : failed;
  return print("deleted " + count_of(deleted.size(), "task") + "\n", code);
}

int command_node(const node_options& o) {
  block_signals();
  return run_node(o);
}

} // namespace conclave
