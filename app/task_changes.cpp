// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/task_changes.hpp"

#include "app/plain_text.hpp"
#include "app/task_in_place.hpp"
#include "app/user_folders.hpp"
#include "protocols/events.hpp"
#include "protocols/path_policy.hpp"
#include "protocols/replay.hpp"
#include "protocols/text.hpp"
#include "transports/workspace_disk.hpp"

#include <algorithm>
#include <filesystem>
#include <set>
#include <stdlib.h>
#include <system_error>
#include <utility>

namespace conclave {

namespace {

constexpr std::size_t shown_lines = 500; ///< of one file's difference
constexpr std::size_t longest_left = 4'096;
constexpr std::size_t shown_left = 100; ///< paths that apply leaves as they are

/// The snapshot of an empty folder: what everything that is delivered to another place is compared with.
std::string empty_snapshot(const snapshots::store& store, const std::string& task, std::string& error) {
  auto folder = store.home() + "-empty-XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) {
    error = "no folder can be made beside " + path_policy::shown(store.home(), 4'096);
    return {};
  }
  snapshots::take_options how;
  how.holder = task;
  auto got = store.take(folder, how);
  std::error_code ignored;
  std::filesystem::remove(folder, ignored);
  if (auto* f = std::get_if<snapshots::failure>(&got)) {
    error = f->text;
    return {};
  }
  return std::get<snapshots::taken>(got).id;
}

char letter(snapshots::change_kind k) {
  switch (k) {
  case snapshots::change_kind::added:
    return 'A';
  case snapshots::change_kind::removed:
    return 'D';
  default:
    return 'M';
  }
}

/// One folder's differences, and what of them apply leaves as it is. `allowed` may be empty: then it leaves nothing.
std::string difference_text(const snapshots::store& store, const std::string& before, const std::string& after, bool names,
                            const delivery::judge& allowed, std::string& error) {
  auto got = store.diff(before, after);
  if (auto* f = std::get_if<snapshots::failure>(&got)) {
    error = f->text;
    return {};
  }
  auto& all = std::get<snapshots::changes>(got);
  auto left = allowed ? delivery::take_denied(allowed, all) : std::vector<snapshots::left_out>{};
  std::string out;
  for (auto& c : all) {
    using snapshots::entry_kind;
    auto now = c.after.kind == entry_kind::none ? c.before.kind : c.after.kind;
    out += std::string{letter(c.kind())} + "  " + path_policy::shown(c.path, 4'096) + (now == entry_kind::folder ? "/" : "") + "\n";
    if (!names && (snapshots::has_bytes(c.before) || snapshots::has_bytes(c.after)))
      out += store.text_diff(c, shown_lines);
  }
  if (!left.empty())
    out += "not part of the changes, apply leaves it as it is:\n";
  for (std::size_t i = 0; i < std::min(left.size(), shown_left); ++i)
    out += "   " + path_policy::shown(left[i].path, 4'096) + ": " + left[i].why + "\n";
  if (left.size() > shown_left)
    out += "   and " + std::to_string(left.size() - shown_left) + " more\n";
  return out;
}

} // namespace

task_changes changes_of(const std::string& task, const std::vector<event>& log, std::string& error) {
  task_changes out;
  out.task = task;
  auto stored = ledger::restore(log);
  if (!stored.error.empty()) {
    error = stored.error;
    return out;
  }
  auto end = ledger::to_outcome(stored.state, task);
  out.snapshot = end.snapshot;
  out.files = end.files;
  out.changes = end.changes;
  for (auto& a : stored.opening.agents)
    if (a.id == end.winner)
      out.workspace = a.backend.workspace;
  out.in_place = in_place_of(stored.opening, log).folders;
  out.continues = stored.opening.continues;
  for (auto& a : stored.opening.answers)
    if (!a.snapshot.empty() || a.files > 0)
      out.answers.push_back({a.label, a.snapshot, a.files, a.bytes, true});
  if (auto* m = ledger::find(stored.state, end.winner); m != nullptr && !end.snapshot.empty())
    out.label = !stored.state.final_snapshot.empty() ? "agent" + std::to_string(m->number) + ".final" : m->answers.back().label;
  for (auto& e : log)
    if (e.type == event_type::snapshot_taken) {
      auto kept = events::kept_of(e);
      out.answers.push_back({e.label, kept.snapshot, kept.files, kept.bytes, false});
      if (e.label == out.label)
        out.left = std::move(kept.left);
    }
  return out;
}

std::string drift_policy_fault(const std::string& given) {
  return given.empty() || given == "fail" || given == "skip" || given == "prefer_presenter"
             ? std::string{}
             : "on_drift: '" + shown_text(given, 100) + "' is none of fail, skip and prefer_presenter. Nothing was written";
}

delivery::policy drift_policy_of(const task_changes& t, const std::string& given) {
  auto& on_drift = given.empty() ? t.workspace.on_drift : given;
  return on_drift == "skip"               ? delivery::policy::skip
         : on_drift == "prefer_presenter" ? delivery::policy::prefer_presenter
                                          : delivery::policy::fail;
}

std::string nothing_to_apply(const task_changes& t) {
  std::string folders;
  for (auto& f : t.in_place)
    folders += (folders.empty() ? "" : ", ") + path_policy::shown(f, 4'096);
  return folders.empty() ? folders
                         : "task " + t.task + " has nothing to apply: its presenter wrote in " + folders
                               + " itself (write_mode: legacy); what is known of that: conclave diff " + t.task;
}

std::string journal_of(const std::string& home, const std::string& task) {
  return home + "/deliveries/" + task;
}

std::vector<delivery::job> jobs_of(const task_changes& t, const snapshots::store& store, const std::string& home,
                                   const std::string& to, delivery::policy on_drift, std::string& error) {
  std::vector<delivery::job> out;
  auto add = [&](std::string base, std::string after, const std::string& target) {
    delivery::job one{store,
                      std::move(base),
                      std::move(after),
                      target,
                      on_drift,
                      delivery::judge_for(target, t.workspace),
                      journal_of(home, t.task)};
    out.push_back(std::move(one));
  };
  if (to.empty()) {
    for (auto& c : t.changes)
      add(c.before, c.after, c.folder);
    if (out.empty() && !t.in_place.empty())
      error = nothing_to_apply(t);
    else if (out.empty())
      error = t.snapshot.empty() ? "task " + t.task + " has no files"
              : t.files == 0     ? "task " + t.task + " proposes no changes to a folder, and its answer has no files"
                                 : "task " + t.task + " proposes no changes to a folder; its " + count_of(t.files, "file")
                                   + " can go into one: conclave apply " + t.task + " --to DIR";
    return out;
  }
  std::error_code e;
  auto target = std::filesystem::canonical(to, e).string();
  if (e || !std::filesystem::is_directory(target, e)) {
    error = "'" + path_policy::shown(to)
            + (std::filesystem::exists(to, e) ? "' is a file: name a folder" : "' is no folder; make it, then try again");
    return {};
  }
  if (auto why = folder_fault(target, folder_use::target, home); !why.empty()) {
    error = "--to: " + path_policy::shown(target) + " " + why + ". Nothing was written";
    return {};
  }
  if (t.changes.size() > 1) {
    error = "task " + t.task + " proposes changes to " + count_of(t.changes.size(), "folder") + ": --to takes those of one alone";
    return {};
  }
  if (t.changes.size() == 1) {
    add(t.changes.front().before, t.changes.front().after, target);
    return out;
  }
  if (t.snapshot.empty()) {
    error = "task " + t.task + " has no files";
    return {};
  }
  auto empty = empty_snapshot(store, t.task, error);
  if (error.empty())
    add(std::move(empty), t.snapshot, target);
  return out;
}

namespace {

bool begins_with_folder(const std::string& folder, const snapshots::failure& f) {
  return f.text.starts_with(path_policy::shown(folder) + " ");
}

/// Whether the folder is gone, or none any more.
bool is_gone(const std::string& folder, const snapshots::failure& f) {
  return f.kind == snapshots::fault::denied && begins_with_folder(folder, f);
}

std::string failure_text(const std::string& folder, const snapshots::failure& f) {
  auto out = path_policy::shown(folder, 4'096);
  out = begins_with_folder(folder, f) ? f.text : out + ": " + f.text;
  for (auto& x : f.largest)
    out += "\n  " + path_policy::shown(x.path, 4'096);
  return out;
}

} // namespace

void finish_broken_deliveries(const std::string& home, const std::function<void(const std::string&)>& tell) {
  for (auto& said : snapshots::store{snapshot_folder(home)}.clear_broken_places())
    if (tell)
      tell(said);
  std::error_code e;
  for (std::filesystem::directory_iterator at{home + "/deliveries", e}, end; !e && at != end; at.increment(e)) {
    if (at->path().filename().string().starts_with("."))
      continue; // no journal
    auto got = delivery::recover(at->path().string());
    if (auto* f = std::get_if<snapshots::failure>(&got)) {
      if (tell && f->kind != snapshots::fault::busy)
        tell(f->text);
      continue;
    }
    for (auto& r : std::get<std::vector<delivery::recovered>>(got))
      if (tell)
        tell(r.text);
  }
}

std::string apply_changes(const task_changes& t, const std::string& home, const std::string& to, delivery::policy on_drift,
                          std::vector<written_folder>* out, const std::function<void(const std::string&)>& tell,
                          snapshots::cancel_flag cancel) {
  std::error_code ignored;
  std::filesystem::create_directories(home + "/deliveries", ignored);
  finish_broken_deliveries(home, tell);
  snapshots::store store{snapshot_folder(home)};
  std::string error;
  auto jobs = jobs_of(t, store, home, to, on_drift, error);
  for (auto& j : jobs) {
    j.cancel = cancel;
    auto got = delivery::apply(j);
    if (auto* f = std::get_if<snapshots::failure>(&got))
      return failure_text(j.target, *f)
             + (f->kind == snapshots::fault::drifted
                    ? "\nNothing was written there. To keep yours: --on-drift skip; to replace it: --on-drift prefer_presenter"
                    : "")
             + (is_gone(j.target, *f)
                    ? "; nothing was written there. Put it back, or write elsewhere: conclave apply " + t.task + " --to DIR"
                    : "");
    if (out != nullptr)
      out->push_back({j.target, std::move(std::get<delivery::applied>(got))});
  }
  return error;
}

std::string undo_changes(const std::string& home, const std::string& task, std::vector<written_folder>* out,
                         const std::function<void(const std::string&)>& tell, snapshots::cancel_flag cancel) {
  auto journal = journal_of(home, task);
  std::string faults; // what is half written of this one is no notice
  auto rest = delivery::recover(journal);
  if (auto* got = std::get_if<std::vector<delivery::recovered>>(&rest))
    for (auto& r : *got) {
      if (r.half)
        faults += (faults.empty() ? "" : "\n") + r.text;
      else if (tell)
        tell(r.text);
    }
  finish_broken_deliveries(home, [&](const std::string& text) {
    if (tell && faults.find(text) == std::string::npos)
      tell(text);
  });
  auto past = delivery::history(journal);
  std::set<std::string> stuck; // what was applied there before can only be taken back after what came later
  for (auto p = past.rbegin(); p != past.rend(); ++p) { // the newest first
    if (p->undone() || stuck.contains(p->target))
      continue;
    auto got = delivery::undo(journal, p->id, cancel);
    if (auto* f = std::get_if<snapshots::failure>(&got)) {
      faults += (faults.empty() ? "" : "\n") + failure_text(p->target, *f)
                + (is_gone(p->target, *f) ? "; nothing was undone there. Put it back, then try again: conclave undo " + task : "");
      stuck.insert(p->target);
    } else if (out != nullptr) {
      out->push_back({p->target, std::move(std::get<delivery::applied>(got))});
    }
  }
  return faults;
}

std::string delivery_text(const delivery::past& p) {
  return count_of(static_cast<std::size_t>(p.files), "file") + " in " + path_policy::shown(p.target, 4'096) + ", "
         + utc(p.applied_ms) + (p.undone() ? ", taken back " + utc(p.undone_ms) : "");
}

std::string changes_text(const task_changes& t, const snapshots::store& store, bool names, std::string& error) {
  std::string out;
  for (auto& c : t.changes) {
    out += "folder " + path_policy::shown(c.folder, 4'096) + "\n";
    out += difference_text(store, c.before, c.after, names, delivery::judge_for(c.folder, t.workspace), error);
  }
  auto left = t.left.empty() ? std::string{} : one_line(t.left, longest_left) + "\n";
  if (!t.changes.empty() || t.snapshot.empty() || !error.empty())
    return out + left;
  auto empty = empty_snapshot(store, t.task, error);
  if (!error.empty())
    return out;
  auto files = difference_text(store, empty, t.snapshot, names, {}, error);
  return (files.empty() ? files : "files of the answer\n" + files) + left;
}

std::string write_files(const task_changes& t, const snapshots::store& store, const std::string& home, const std::string& folder,
                        std::uint64_t& files, std::vector<snapshots::left_out>& left, snapshots::cancel_flag cancel) {
  if (t.snapshot.empty())
    return "the answer has no files";
  std::error_code e;
  if (auto fault = folder_fault(std::filesystem::weakly_canonical(folder, e).string(), folder_use::target, home); !fault.empty())
    return fault;
  auto allowed = delivery::judge_for(folder, t.workspace);
  auto leave_out = [&](const std::string& path, bool) {
    auto why = allowed(path, path_policy::access::create);
    if (!why.empty())
      left.push_back({path, why});
    return why;
  };
  auto got = store.restore(t.snapshot, folder, cancel, snapshots::asked_keep_free, leave_out, true);
  if (auto* f = std::get_if<snapshots::failure>(&got))
    return f->text;
  files = std::get<snapshots::placed>(got).files;
  return {};
}

} // namespace conclave
