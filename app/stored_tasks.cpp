// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/stored_tasks.hpp"

#include "app/commands.hpp"
#include "app/plain_text.hpp"
#include "app/task_changes.hpp"
#include "app/task_lookup.hpp"
#include "protocols/ledger.hpp"
#include "protocols/wire/json.hpp"
#include "transports/event_store_names.hpp"
#include "transports/home.hpp"
#include "transports/workspace_disk.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace conclave {

namespace {

constexpr int wrong_usage = static_cast<int>(exit_code::usage);
constexpr int failed = static_cast<int>(exit_code::failed);

/// Deletes the log folder of a task. Returns whether nothing is left of it.
bool forget_logs(const std::string& home, const std::string& task) {
  if (!is_task_id(task))
    return true; // never made by us, so there is no folder; and it must not be used as a path
  std::error_code problem;
  std::filesystem::remove_all(home + "/logs/" + task, problem);
  if (problem)
    complain("cannot delete " + home + "/logs/" + task + ": " + problem.message());
  return !problem;
}

/// What a task made of files: its workspaces, what undo would need, its snapshots as far as no other task holds them.
bool forget_files(const std::string& home, const std::string& task) {
  if (!is_task_id(task))
    return true;
  std::string fault;
  // A journal that goes takes with it what a broken apply needs to end.
  auto rest = delivery::recover(journal_of(home, task));
  if (auto* f = std::get_if<snapshots::failure>(&rest))
    fault = f->text;
  else
    for (auto& r : std::get<std::vector<delivery::recovered>>(rest)) {
      if (r.half)
        fault = r.text;
      else
        complain("notice: " + r.text);
    }
  for (auto& folder : {home + "/work/" + task, journal_of(home, task)})
    if (fault.empty())
      fault = snapshots::remove_tree(folder);
  std::error_code none;
  if (fault.empty() && std::filesystem::is_directory(snapshot_folder(home), none)) {
    auto freed = snapshots::store{snapshot_folder(home)}.remove(task);
    if (auto* f = std::get_if<snapshots::failure>(&freed))
      fault = f->text;
  }
  if (!fault.empty())
    complain("cannot delete the files of task " + task + ": " + fault);
  return fault.empty();
}

} // namespace

int stored_tasks::open() {
  std::string error;
  home = home_dir(error);
  if (error.empty())
    store = event_store::open(path(), error, store_use::reading);
  if (store)
    rows = store->list(error);
  if (store && error.empty())
    return 0;
  complain(error.empty() ? "the store cannot be opened" : error);
  return failed;
}

int stored_tasks::open(const std::string& wanted, task_row& found) {
  if (auto code = open())
    return code;
  std::string error;
  auto task = find_task(rows, wanted, error);
  found = row(task);
  if (!task.empty())
    return 0;
  complain(error);
  return wrong_usage;
}

task_row stored_tasks::row(const std::string& task) const {
  auto i = std::find_if(rows.begin(), rows.end(), [&](const task_row& r) { return r.task == task; });
  return i == rows.end() ? task_row{} : *i;
}

int stored_tasks::read(const std::string& task, std::vector<event>& out,
                       std::unordered_map<std::string, std::string>* bodies) const {
  std::string error;
  std::vector<stored_body> on_the_way;
  auto stored = bodies == nullptr ? store->read(task, 0, error) : store->read_with_bodies(task, on_the_way, error);
  if (!error.empty()) {
    complain(error);
    return failed;
  }
  if (bodies != nullptr) {
    bodies->reserve(on_the_way.size());
    for (auto& b : on_the_way)
      bodies->emplace(std::move(b.sha), std::move(b.bytes));
  }
  out.reserve(out.size() + stored.size());
  for (auto& e : stored) {
    event x;
    auto json = std::move(e.json); // its room is for the events that follow
    if (wire::from_json(json, x))
      out.push_back(std::move(x));
    else
      complain("event " + std::to_string(e.seq) + " of " + task + " cannot be read and is left out");
  }
  return 0;
}

int stored_tasks::read_bodies(const std::string& task, std::map<std::string, std::string>& out) const {
  std::string error;
  for (auto& b : store->bodies(task, {}, error))
    out.emplace(std::move(b.sha), std::move(b.bytes));
  if (error.empty())
    return 0;
  complain(error);
  return failed;
}

int stored_tasks::hold(const std::string& task, event_store* by) {
  std::string why;
  if (by == nullptr) {
    writing_ = event_store::open(path(), why);
    by = writing_.get();
  }
  if (by == nullptr)
    return 0; // whoever tells the log says so
  held_ = task_hold::of_ended(*by, task, why);
  if (held_)
    return 0;
  writing_.reset();
  if (!why.empty())
    complain(why);
  return why.empty() ? 0 : failed;
}

void stored_tasks::let_go() {
  held_.reset();
  writing_.reset();
}

int stored_tasks::forget(const std::vector<std::string>& tasks, std::vector<std::string>& deleted, bool leave_running) const {
  if (::access(path().c_str(), W_OK) != 0 && errno != ENOENT) {
    complain("event store " + path() + " cannot be written: " + std::strerror(errno));
    return failed;
  }
  std::string error;
  auto writing = rows.empty() ? nullptr : event_store::open(path(), error, store_use::deleting);
  if (!error.empty()) {
    complain(error);
    return failed;
  }
  int code = 0;
  std::vector<std::string> ready;
  auto is_ours = [&](const std::string& task) { // who takes it up from then on is told that somebody is at it
    auto out = true;
    if (writing)
      writing->claim(task, {}, [&out](const claim_result& r) { out = r.code != ec::denied; }); // called before it returns
    return out;
  };
  for (const auto& task : tasks)
    if (!is_ours(task)) {
      if (!leave_running) {
        std::string unread;
        auto now = store->find(task, unread);
        complain(why_kept(now ? *now : row(task)));
        code = failed;
      }
    } else if (forget_files(home, task) && forget_logs(home, task))
      ready.push_back(task);
    else
      code = failed;
  if (writing)
    deleted = writing->remove_all(ready, error);
  for (const auto& task : deleted)
    forget_logs(home, task); // somebody may just have completed what they lacked
  if (error.empty())
    return code;
  complain(error);
  return failed;
}

outcome outcome_of(const std::string& task, const std::vector<event>& events) {
  ledger::state s;
  for (const auto& e : events)
    ledger::fold(s, e);
  auto o = ledger::to_outcome(s, task);
  if (s.phase != ledger::phase::done)
    o.kind = outcome_kind::interrupted;
  return o;
}

} // namespace conclave
