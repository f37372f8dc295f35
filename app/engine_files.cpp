// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// What tasks make of files, for hosts.

#include "app/approval.hpp"
#include "app/engine.hpp"
#include "app/task_changes.hpp"
#include "protocols/wire/json.hpp"
#include "transports/event_store.hpp"
#include "transports/home.hpp"
#include "transports/workspace_disk.hpp"

#include <chrono>
#include <utility>
#include <variant>

namespace conclave {

namespace {

constexpr std::size_t max_read = std::size_t{16} << 20; ///< of one file

/// Reads what a task made. Returns why that cannot be told, or empty.
std::string read_changes(event_store& store, const std::string& task, task_changes& out) {
  std::string error;
  std::vector<event> log;
  for (auto& stored : store.read(task, 0, error)) {
    event e;
    if (!wire::from_json(stored.json, e))
      return "an event of task " + task + " cannot be read";
    log.push_back(std::move(e));
  }
  if (error.empty() && log.empty())
    error = "there is no task " + task;
  if (error.empty())
    out = changes_of(task, log, error);
  return error;
}

} // namespace

std::string engine::apply(const std::string& task, const apply_request& how) {
  std::string fault;
  task_changes t;
  if (auto why = read_changes(store(), task, t); !why.empty())
    return why;
  auto home = home_dir(fault);
  if (!fault.empty())
    return fault;
  if (how.approve) {
    snapshots::store files{snapshot_folder(home)};
    auto text = changes_text(t, files, true, fault);
    if (!fault.empty())
      return fault;
    auto changes = t.changes;
    if (changes.empty() && !t.snapshot.empty())
      changes.push_back({how.to, {}, t.snapshot, t.files});
    else if (!how.to.empty() && changes.size() == 1)
      changes.front().folder = how.to;
    auto ask = [approve = how.approve, changes = std::move(changes), text = std::move(text)] { return approve(changes, text); };
    if (auto why = ask_host(*outside_in_use(), std::move(ask), std::chrono::milliseconds(how.approve_within_ms)); !why.empty())
      return "nothing was written: " + why;
  }
  return apply_changes(t, home, how.to,
                       how.on_drift == "skip"               ? delivery::policy::skip
                       : how.on_drift == "prefer_presenter" ? delivery::policy::prefer_presenter
                                                            : delivery::policy::fail);
}

std::string engine::undo(const std::string& task) {
  std::string fault;
  auto home = home_dir(fault);
  return fault.empty() ? undo_changes(home, task) : fault;
}

std::string engine::read_file(const std::string& task, const std::string& label, const std::string& path, std::string& error) {
  task_changes t;
  if (error = read_changes(store(), task, t); !error.empty())
    return {};
  auto home = home_dir(error);
  if (!error.empty())
    return {};
  for (auto& a : t.answers)
    if (a.label == label) {
      auto got = snapshots::store{snapshot_folder(home)}.read(a.snapshot, path, 0, max_read);
      if (auto* f = std::get_if<snapshots::failure>(&got)) {
        error = f->text;
        return {};
      }
      return std::move(std::get<snapshots::piece>(got).bytes);
    }
  error = "task " + task + " has no files with " + label;
  return {};
}

} // namespace conclave
