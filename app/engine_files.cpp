// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What tasks make of files, for hosts.

#include "app/engine_files.hpp"

#include "app/delivery_log.hpp"
#include "app/question_paths.hpp"
#include "app/task_changes.hpp"
#include "app/task_hold.hpp"
#include "app/task_in_place.hpp"
#include "app/user_folders.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/workspace_paths.hpp"
#include "transports/event_store.hpp"
#include "transports/home.hpp"
#include "transports/workspace_disk.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <filesystem>
#include <set>
#include <unistd.h>
#include <utility>
#include <variant>

namespace conclave {

namespace {

constexpr std::size_t most_named = 10;                  ///< paths, in one line
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
    error = "there is no task " + shown_text(task, 200);
  if (error.empty())
    out = changes_of(task, log, error);
  return error;
}

} // namespace

std::string settle_folders(std::vector<agent_config>& agents) {
  std::vector<std::string> missing; // of all agents, each once
  std::string whose;                // the first agent without one
  for (auto& a : agents) {
    auto& w = a.backend.workspace;
    if (w.cwd.empty() || !a.node.empty())
      continue;
    auto settle = [&](std::string& path, const char* key, folder_use use) -> std::string {
      auto needed = use != folder_use::programs;
      std::error_code e;
      if (path.empty() || path.front() != '/')
        return {}; // validate() says so
      auto found = std::filesystem::canonical(path, e).string();
      auto named = std::string{key} + ": " + shown_text(path, 4'096) + " of agent '" + a.id + "' ";
      if (e) {
        if (needed && std::find(missing.begin(), missing.end(), path) == missing.end())
          missing.push_back(path);
        whose = whose.empty() && needed ? a.id : whose;
        return {};
      }
      path = std::move(found);
      auto fault = folder_fault(path, use);
      return fault.empty() ? fault : named + fault;
    };
    std::vector<context_path> settled; // two names of one folder are one grant
    for (auto& c : w.context) {
      if (auto fault = settle(c.path, "context_paths", c.write ? folder_use::writing : folder_use::reading); !fault.empty())
        return fault;
      add_context(settled, c);
    }
    w.context = std::move(settled);
    for (auto& path : w.readable)
      if (auto fault = settle(path, "sandbox.readable", folder_use::programs); !fault.empty())
        return fault;
  }
  for (std::size_t i = 0; i < agents.size(); ++i)
    if (auto path = agents[i].node.empty() ? absolute_cwd(agents[i]) : std::string{}; !path.empty())
      if (auto fault = cwd_fault(path, i, agents); !fault.empty())
        return "cwd: " + shown_text(path, 4'096) + " of agent '" + agents[i].id + "' " + fault;
  std::string named;
  for (auto& path : missing)
    named += (named.empty() ? "" : ", ") + shown_text(path, 4'096);
  return missing.empty()       ? named
         : missing.size() == 1 ? "context_paths: " + named + " of agent '" + whose + "' is not there"
                               : "context_paths: " + named + " are not there";
}

std::string measure_folders(const std::vector<agent_config>& agents) {
  std::set<std::string> seen;
  for (auto& a : agents) {
    auto& w = a.backend.workspace;
    if (w.cwd.empty() || !a.node.empty())
      continue;
    for (auto& c : w.context)
      if (c.write && !workspace_paths::written_in_place(w, c) && seen.insert(c.path).second) {
        std::error_code none;
        auto wanted = std::filesystem::is_directory(c.path, none) ? R_OK | X_OK : R_OK;
        if (::faccessat(AT_FDCWD, c.path.c_str(), wanted, AT_EACCESS) != 0 && errno == EACCES)
          return "context_paths: " + shown_text(c.path, 4'096)
                 + " may be written, so agents get a copy of it, and this process may not read it. Give it the permission, or take "
                   "the path out";
        if (auto fault = copy_fault(c.path); !fault.empty())
          return "context_paths: " + shown_text(c.path, 4'096)
                 + " may be written, so agents get a copy of it, and it is too much for that: " + fault
                 + ". Name a folder below it, let agents only read it (`permission: read`), or have git ignore what they do not "
                   "need";
      }
  }
  return {};
}

proposed_changes changes_of_task(event_store& store, const std::string& task, std::string& error) {
  task_changes t;
  if (error = read_changes(store, task, t); !error.empty())
    return {};
  auto home = home_dir(error);
  if (!error.empty())
    return {};
  snapshots::store files{snapshot_folder(home)};
  proposed_changes out;
  out.folders = t.changes;
  out.files = t.files;
  out.names = changes_text(t, files, true, error);
  if (error.empty())
    out.text = changes_text(t, files, false, error);
  return error.empty() ? out : proposed_changes{};
}

std::string apply_task(event_store& store, outside& from, const std::string& task, const apply_request& how) {
  auto fault = drift_policy_fault(how.on_drift);
  if (!fault.empty())
    return fault;
  task_changes t;
  if (auto why = read_changes(store, task, t); !why.empty())
    return why;
  auto home = home_dir(fault);
  if (!fault.empty())
    return fault;
  auto hold = task_hold::of_ended(store, task, fault);
  if (!fault.empty())
    return fault + ". Nothing was written";
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
    if (auto why = ask_host(from, std::move(ask), std::chrono::milliseconds(how.approve_within_ms)); !why.empty())
      return "nothing was written: " + why;
  }
  fault = apply_changes(t, home, how.to, drift_policy_of(t, how.on_drift));
  hold.reset();
  log_deliveries(store, home, task); // what it cannot be told now the next one tells it: what was written stands
  return fault;
}

std::string undo_task(event_store& store, const std::string& task) {
  std::string fault;
  if (auto row = store.find(task, fault); !row)
    return fault.empty() ? "there is no task " + shown_text(task, 200) : fault;
  auto home = home_dir(fault);
  if (!fault.empty())
    return fault;
  auto hold = task_hold::of_ended(store, task, fault);
  if (!fault.empty())
    return fault;
  fault = undo_changes(home, task);
  hold.reset();
  log_deliveries(store, home, task);
  return fault;
}

std::string file_of_task(event_store& store, const std::string& task, const std::string& label, const std::string& path,
                         std::string& error) {
  task_changes t;
  if (error = read_changes(store, task, t); !error.empty())
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

std::function<void(outcome)> telling_in_place(std::shared_ptr<event_store> store, std::function<void(outcome)> done) {
  return [store = std::move(store), done = std::move(done)](outcome o) {
    std::string fault;
    auto home = home_path(fault);
    auto text = o.task.empty() ? std::string{} : in_place_text(in_place_of(*store, o.task, home), most_named);
    if (!text.empty())
      o.warnings.push_back("in place: " + text);
    done(std::move(o));
  };
}

std::shared_ptr<consent> consent::of(const listener& l, std::shared_ptr<event_store> store, std::shared_ptr<outside> from) {
  if (!l.approve)
    return nullptr;
  auto out = std::make_shared<consent>();
  out->approve_ = l.approve;
  out->on_event_ = l.on_event;
  out->within_ = l.approve_within;
  out->store_ = std::move(store);
  out->from_ = std::move(from);
  return out;
}

void consent::carry_out(outcome& o) {
  if (o.kind != outcome_kind::answered || o.changes.empty())
    return;
  std::string fault;
  task_changes t;
  auto why = read_changes(*store_, o.task, t);
  auto home = why.empty() ? home_dir(why) : std::string{};
  auto hold = why.empty() ? task_hold::of_ended(*store_, o.task, why) : nullptr;
  std::string text;
  if (why.empty())
    text = changes_text(t, snapshots::store{snapshot_folder(home)}, true, why);
  auto said = false; // by the host itself: it knows
  if (why.empty()) {
    auto no = std::make_shared<std::atomic<bool>>(false);
    why = question_.ask(
        *from_,
        [approve = approve_, end = o, text, no] {
          auto yes = approve(end, text);
          *no = !yes;
          return yes;
        },
        within_);
    said = *no && !why.empty();
  }
  if (why.empty()) {
    why = apply_changes(t, home, {}, drift_policy_of(t));
    hold.reset();
    tell_log(o, home);
  } else if (!said)
    why = "nothing was written: " + why;
  if (!why.empty() && !said)
    o.warnings.push_back("changes: " + why);
}

/// Whoever was asked hears of it as of all that is in the log of the task.
void consent::tell_log(outcome& o, const std::string& home) {
  std::vector<event> told;
  if (auto fault = log_deliveries(*store_, home, o.task, &told); !fault.empty())
    o.warnings.push_back("log: " + fault);
  for (auto& e : told)
    try {
      if (on_event_)
        on_event_(e);
    } catch (const std::exception& x) {
      o.warnings.push_back("the host's on_event threw: " + shown_text(x.what(), 300));
    } catch (...) {
      o.warnings.push_back("the host's on_event threw: something that is no std::exception");
    }
}

proposed_changes engine::changes(const std::string& task, std::string& error) {
  return changes_of_task(store(), task, error);
}

std::string engine::apply(const std::string& task, const apply_request& how) {
  return apply_task(store(), *outside_in_use(), task, how);
}

std::string engine::undo(const std::string& task) {
  return undo_task(store(), task);
}

std::string engine::read_file(const std::string& task, const std::string& label, const std::string& path, std::string& error) {
  return file_of_task(store(), task, label, path, error);
}

} // namespace conclave
