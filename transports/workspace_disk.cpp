// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/workspace_disk.hpp"

#include "protocols/path_policy.hpp"
#include "protocols/wire/sha256.hpp"
#include "protocols/workspace_paths.hpp"
#include "transports/delivery_judge.hpp"
#include "transports/git_checkout.hpp"
#include "transports/home.hpp"
#include "transports/workspace_files.hpp"
#include "transports/workspace_look.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <set>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace conclave {

namespace {

namespace fs = std::filesystem;
using namespace workspace_files;
using namespace workspace_paths;

constexpr std::size_t most_named = 5; ///< paths, in what a person is told

/// A folder of our own, and nobody else's. Returns what is wrong, or empty.
std::string make_own(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    return "the folder " + path_policy::shown(path, 4'096) + " cannot be made: " + std::strerror(errno);
  struct stat s {};
  if (::lstat(path.c_str(), &s) != 0 || !S_ISDIR(s.st_mode) || s.st_uid != ::geteuid())
    return path_policy::shown(path, 4'096) + " is no folder of this user: move it away";
  return {};
}

/// Not what a link leads to.
bool is_folder(const std::string& path) {
  struct stat s {};
  return ::lstat(path.c_str(), &s) == 0 && S_ISDIR(s.st_mode);
}

/// What a model can do about too many files.
std::string too_much(const snapshots::failure& f) {
  std::string largest;
  for (auto& x : f.largest)
    largest +=
        "\n  " + path_policy::shown(x.path) + ": " + std::to_string(x.bytes) + " bytes, " + std::to_string(x.files) + " files";
  return f.text + (largest.empty() ? "" : "\nThe largest:" + largest)
         + "\nDelete what does not belong to the answer, then hand it in again.";
}

/// To what goes nowhere.
void add_sentence(std::string& left, const std::string& text) {
  left += (left.empty() ? "" : "; ") + text;
}

/// `made_again`: names of what programs make when they need it.
void add_not_part(const std::string& where, const std::vector<snapshots::left_out>& all, std::uint64_t more,
                  const std::set<std::string>& made_again, std::string& left) {
  std::string names;
  for (std::size_t i = 0; i < std::min(all.size(), most_named); ++i)
    names += (i == 0 ? "" : ", ") + path_policy::shown(all[i].path) + " (" + all[i].why + ")";
  auto n = all.size() + more;
  names += n > most_named ? " and " + std::to_string(n - most_named) + " more" : "";
  std::string again;
  for (auto& name : made_again)
    again += (again.empty() ? "" : ", ") + name;
  if (!again.empty())
    names += (names.empty() ? "" : ", ") + ("what programs make again (" + again + ")");
  if (!names.empty())
    add_sentence(left, "not part of the " + where + ": " + names);
}

/// What was made and is in no snapshot, so that nobody gets it; a checkout's own .git nobody asks for. `checkouts`: what paths in
/// one begin with; `told_with_changes`: what lies in these is told elsewhere.
void add_left_out(const std::string& where, const snapshots::taken& of, const std::vector<std::string>& checkouts,
                  bool told_with_changes, std::string& left) {
  std::vector<snapshots::left_out> asked_for;
  std::set<std::string> made_again;
  for (auto& x : of.skipped) {
    auto name = name_of(x.path);
    auto in_checkout = std::any_of(checkouts.begin(), checkouts.end(), [&](auto& folder) { return x.path.starts_with(folder); });
    if ((in_checkout && told_with_changes) || (in_checkout && name == ".git"))
      continue;
    if (path_policy::is_excluded_name(name) && !path_policy::is_secret_name(name) && name != ".git")
      made_again.insert(name);
    else
      asked_for.push_back(x);
  }
  add_not_part(where, asked_for, of.skipped_more, made_again, left);
}

} // namespace

std::string snapshot_folder(const std::string& home) {
  return home + "/snapshots";
}

workspace_disk::workspace_disk(workspace_folders f)
    : f_(std::move(f)), store_(snapshot_folder(f_.home)), bases_(f_.config.context.size()) {}

std::string workspace_disk::make_folders() {
  for (auto& path : {f_.home + "/work", parent(f_.place), f_.place, workspace_paths::home(f_.place), view(f_.place)})
    if (auto fault = make_own(path); !fault.empty())
      return fault;
  return {};
}

std::string workspace_disk::lay_out(const std::string& home, bool& fresh) {
  if (auto fault = make_folders(); !fault.empty())
    return fault;
  struct stat s {};
  fresh = ::lstat(work(f_.place).c_str(), &s) != 0;
  for (auto& path : {work(f_.place), parent(home), home})
    if (auto fault = make_own(path); !fault.empty())
      return fault;
  return {};
}

std::string workspace_disk::prepare(const prepare_workspace& p, snapshots::cancel_flag cancel) {
  end_presentation(); // of a run that did not get to its end
  if (auto fault = make_folders(); !fault.empty())
    return fault;
  if (auto fault = fill_workspace(p, cancel); !fault.empty())
    return fault;
  if (auto fault = show(p.shown, cancel); !fault.empty())
    return fault;
  borrowed_.clear();
  if (auto fault = check_out(p, cancel); !fault.empty())
    return fault;
  if (p.present)
    if (auto fault = copy_targets(p.as_it_is, cancel); !fault.empty())
      return fault;
  if (p.present)
    begin_presentation(p.as_it_is, cancel);
  return {};
}

/// A run starts from the files of its agent's newest answer; one that goes on, from what is there.
std::string workspace_disk::fill_workspace(const prepare_workspace& p, snapshots::cancel_flag cancel) {
  auto here = work(f_.place);
  struct stat s {};
  auto there = ::lstat(here.c_str(), &s) == 0;
  if (there && !S_ISDIR(s.st_mode))
    return path_policy::shown(here, 4'096) + " is no folder: move it away";
  if (there && p.as_it_is) {
    workspace_look::sweep(here, cancel);
    return {};
  }
  auto aside = here + ".old"; // in one step: a run that goes on after a crash takes what is there for whole
  if (auto fault = snapshots::remove_tree(aside, cancel); !fault.empty())
    return fault;
  if (there && ::rename(here.c_str(), aside.c_str()) != 0)
    return "cannot put " + path_policy::shown(here, 4'096) + " aside: " + std::strerror(errno);
  if (auto fault = snapshots::remove_tree(aside, cancel); !fault.empty())
    return fault;
  if (p.snapshot.empty())
    return make_own(here);
  auto got = store_.restore(p.snapshot, here, cancel);
  auto* failed = std::get_if<snapshots::failure>(&got);
  return failed != nullptr ? "the files of its answer cannot be put back: " + failed->text : std::string{};
}

/// The files of the answers a run is shown, and no others.
std::string workspace_disk::show(const std::vector<shown_answer>& answers, snapshots::cancel_flag cancel) {
  std::vector<std::pair<std::string, std::string>> wanted;
  for (auto& a : answers)
    if (!a.snapshot.empty() && wire::is_sha256(a.snapshot))
      wanted.emplace_back(a.id, a.snapshot);
  std::error_code e;
  for (auto& x : fs::directory_iterator(view(f_.place), e)) {
    auto id = x.path().filename().string();
    auto same = [&](auto& w) { return w.first == id && std::find(shown_.begin(), shown_.end(), w) != shown_.end(); };
    if (std::none_of(wanted.begin(), wanted.end(), same))
      if (auto fault = snapshots::remove_tree(x.path().string(), cancel); !fault.empty())
        return fault;
  }
  for (auto& w : wanted) {
    auto to = view(f_.place) + "/" + w.first;
    if (fs::exists(fs::symlink_status(to, e)))
      continue;
    auto got = store_.materialise(w.second, to, cancel);
    if (auto* failed = std::get_if<snapshots::failure>(&got))
      return "the files of " + w.first + " cannot be shown: " + failed->text;
  }
  shown_ = std::move(wanted);
  return {};
}

/// What git ignores is not what agents work on, and may be more than all the rest.
void workspace_disk::tell_not_copied(std::size_t i, const snapshots::taken& of) {
  auto& c = f_.config.context[i];
  auto tell = [&](std::string_view why, const std::string& because) {
    std::string names;
    std::size_t n = 0;
    for (auto& x : of.skipped)
      if (x.why == why && ++n <= most_named)
        names += (n == 1 ? "" : ", ") + path_policy::shown(x.path);
    if (n > 0)
      notice(std::string{"not in the "} + (c.git ? "checkout" : "copy") + " of " + path_policy::shown(c.path, 4'096) + ", because "
             + because + ": " + names
             + (n > most_named ? " and " + std::to_string(n - most_named) + (of.skipped_more > 0 ? " or more" : " more") : ""));
  };
  tell(snapshots::git_ignores, std::string{snapshots::git_ignores});
  tell(snapshots::not_readable, "you may not read it");
}

std::optional<git::repository> workspace_disk::repository_of(std::size_t i, bool tell) {
  auto& c = f_.config.context[i];
  std::string why;
  auto out = git::find(c.path, why);
  if (tell && !why.empty())
    notice("no git checkout of " + path_policy::shown(c.path, 4'096) + " is made, agents get its files alone: " + why);
  return out;
}

void workspace_disk::notice(std::string text) {
  if (std::find(told_.begin(), told_.end(), text) != told_.end())
    return;
  told_.push_back(text);
  notices_.push_back(std::move(text));
}

/// What the agent may change from its first run on, in its workspace: a checkout of each git repository, a copy of other folders.
/// The files are those of its newest answer, else the user's as they are; refs and index are made anew.
std::string workspace_disk::check_out(const prepare_workspace& p, snapshots::cancel_flag cancel) {
  for (std::size_t i = 0; i < f_.config.context.size(); ++i) {
    auto& c = f_.config.context[i];
    if (!goes_with_answers(f_.config, c))
      continue;
    auto from = repository_of(i, git_checkout_wanted(f_.config, c));
    if (!read_base(i))
      if (auto fault = take_base(i, from, cancel); !fault.empty())
        return fault;
    auto to = checkout(f_.place, i);
    // Its answer has none, or something else there: it was deleted. Or it has the user's files as they were for an earlier task.
    if (!is_folder(to) || (!p.as_it_is && carried_unchanged(i, p.snapshot))) {
      if (auto fault = snapshots::remove_tree(to, cancel); !fault.empty())
        return fault;
      auto placed = store_.restore(bases_[i].snapshot, to, cancel);
      if (auto* failed = std::get_if<snapshots::failure>(&placed))
        return "no copy of " + path_policy::shown(c.path, 4'096) + " can be made: " + failed->text;
    }
    if (!from || !c.git)
      continue;
    borrowed_.push_back(from->objects());
    if (p.as_it_is && is_folder(to + "/.git"))
      continue;
    from->branch = bases_[i].branch;
    from->commit = bases_[i].commit;
    if (auto fault = snapshots::remove_tree(to + "/.git", cancel); !fault.empty())
      return fault;
    if (auto why = git::make_checkout(*from, to, left_out_of_copies); !why.empty())
      notice("no git checkout of " + path_policy::shown(c.path, 4'096) + " is made, agents get its files alone: " + why);
  }
  return {};
}

/// For the presentation: a private copy of each other folder that may be changed, as it is now.
std::string workspace_disk::copy_targets(bool as_it_is, snapshots::cancel_flag cancel) {
  for (std::size_t i = 0; i < f_.config.context.size(); ++i) {
    auto& c = f_.config.context[i];
    if (!c.write || goes_with_answers(f_.config, c) || written_in_place(f_.config, c))
      continue;
    auto copy = target(f_.place, i);
    std::error_code e;
    if (as_it_is && fs::is_directory(copy, e) && read_base(i)) {
      workspace_look::sweep(copy, cancel);
      continue;
    }
    if (auto fault = snapshots::remove_tree(copy, cancel); !fault.empty())
      return fault;
    if (auto fault = take_base(i, repository_of(i, git_checkout_wanted(f_.config, c)), cancel); !fault.empty())
      return fault;
    auto placed = store_.restore(bases_[i].snapshot, copy, cancel);
    if (auto* failed = std::get_if<snapshots::failure>(&placed))
      return "no copy of " + path_policy::shown(c.path, 4'096) + " can be made: " + failed->text;
  }
  return {};
}

/// Whether a snapshot of the workspace says by itself that a folder in it is as it was at first: then it is not read once more.
bool workspace_disk::holds_unchanged(const snapshots::taken& all, const std::string& folder, const std::string& as) const {
  auto below = [&](auto& x) { return x.path.starts_with(folder + "/") && x.path != folder + "/.git"; };
  if (all.skipped_more > 0 || std::any_of(all.skipped.begin(), all.skipped.end(), below)) // what is left out is to be told
    return false;
  auto found = store_.find(all.id, folder);
  auto* e = std::get_if<snapshots::entry>(&found);
  return e != nullptr && e->sha256 == as;
}

kept_files workspace_disk::keep(bool present, snapshots::cancel_flag cancel) {
  kept_files out;
  snapshots::take_options how;
  how.holder = f_.task;
  how.limits = f_.limits;
  how.cancel = cancel;
  how.scan_cache = work(f_.place) + ".scan";
  how.ours = true; // agents' programs have their way with modes: what is not readable is not gone
  std::vector<std::string> checkouts;
  for (std::size_t i = 0; i < f_.config.context.size(); ++i)
    if (goes_with_answers(f_.config, f_.config.context[i])) {
      checkouts.push_back(name_of(checkout(f_.place, i)) + "/");
      if (!bases_[i].snapshot.empty())
        how.bases.push_back({bases_[i].snapshot, checkouts.back()});
    }
  how.leave_out = [checkouts](const std::string& path, bool) {
    for (auto& folder : checkouts)
      if (path.starts_with(folder))
        return left_out_of_copies(path.substr(folder.size()));
    return std::string{};
  };
  auto failed = [&out, present](const snapshots::failure& f) {
    out.snapshot.clear();
    out.changes.clear();
    out.mend = !present && f.kind == snapshots::fault::over_limit;
    out.why = f.kind == snapshots::fault::over_limit ? too_much(f) : f.text;
    return out;
  };
  auto got = store_.take(work(f_.place), how);
  if (auto* f = std::get_if<snapshots::failure>(&got))
    return failed(*f);
  auto& taken = std::get<snapshots::taken>(got);
  add_left_out("files of the answer", taken, checkouts, true, out.left);
  out.snapshot = taken.id;
  out.files = static_cast<std::int64_t>(taken.files);
  out.bytes = static_cast<std::int64_t>(taken.bytes);
  for (std::size_t i = 0; i < bases_.size(); ++i) {
    auto& from = bases_[i];
    auto& c = f_.config.context[i];
    if (from.snapshot.empty() || (!present && !goes_with_answers(f_.config, c)))
      continue;
    auto where = changed(f_.place, f_.config, i);
    auto there = is_folder(where); // a checkout lies where commands may put a link in its place, to anywhere
    if (!there && !present) {      // the next run finds it as it was at first
      add_sentence(out.left, "the copy of " + path_policy::shown(c.path, 4'096) + " is not there any more (" + name_of(where)
                                 + "): with this answer nothing of it is proposed");
      continue;
    }
    if (!there)
      return failed(
          {snapshots::fault::io, path_policy::shown(where, 4'096) + " is not there any more, or no folder: make it again", {}});
    auto came_along = [&](const snapshots::changes& differs) { // what is as it was nobody made
      if (!goes_with_answers(f_.config, c))
        return;
      auto files = from.files, bytes = from.bytes;
      for (auto& x : differs)
        if (has_bytes(x.before)) {
          --files;
          bytes -= x.before.kind == snapshots::entry_kind::link ? 0 : static_cast<std::int64_t>(x.before.size);
        }
      out.files = std::max<std::int64_t>(out.files - files, 0);
      out.bytes = std::max<std::int64_t>(out.bytes - bytes, 0);
    };
    if (goes_with_answers(f_.config, c) && holds_unchanged(taken, name_of(where), from.snapshot)) {
      came_along({});
      continue;
    }
    auto take = how_to_take(i, cancel);
    take.ours = true;
    take.bases = {{from.snapshot}};
    auto after = store_.take(where, take);
    if (auto* f = std::get_if<snapshots::failure>(&after))
      return failed(*f);
    auto where_told = "changes of " + path_policy::shown(c.path, 4'096);
    add_left_out(where_told, std::get<snapshots::taken>(after), c.git ? std::vector<std::string>{""} : std::vector<std::string>{},
                 false, out.left);
    auto& id = std::get<snapshots::taken>(after).id;
    if (id == from.snapshot) {
      came_along({});
      continue;
    }
    auto diff = store_.diff(from.snapshot, id);
    if (auto* f = std::get_if<snapshots::failure>(&diff))
      return failed(*f);
    auto& all = std::get<snapshots::changes>(diff);
    came_along(all);
    auto folder = is_file(c.path) ? parent(c.path) : c.path;
    std::string denied; // in the snapshots it is, so whoever looks at the changes is told again
    add_not_part(where_told, delivery::take_denied(delivery::judge_for(folder, f_.config), all), 0, {}, denied);
    if (!denied.empty())
      notice(std::move(denied));
    if (all.empty())
      continue;
    auto files = std::count_if(all.begin(), all.end(), [](auto& x) { return has_bytes(x.before) || has_bytes(x.after); });
    out.changes.push_back({std::move(folder), from.snapshot, id, files, from.commit});
  }
  return out;
}

path_policy::rules workspace_disk::rules() const {
  using path_policy::root_kind;
  path_policy::rules out;
  out.kept = {f_.home};
  out.roots.push_back({work(f_.place), root_kind::workspace, true, false, {}, false, {}});
  out.roots.push_back({view(f_.place), root_kind::view, false, false, {}, false, {}});
  for (std::size_t i = 0; i < f_.config.context.size(); ++i) {
    auto& c = f_.config.context[i];
    auto one = is_file(c.path);
    path_policy::root r{
        c.path, one ? root_kind::context_file : root_kind::context, false, c.write, c.protected_paths, f_.config.allow_secret_files,
        {}};
    if (bases_[i].snapshot.empty()) {
      if (written_in_place(f_.config, c)) {
        r.writable = presenting_;
        r.later = !presenting_;
        auto read = read_below(f_.config, c.path);
        r.protected_paths.insert(r.protected_paths.end(), read.begin(), read.end());
      }
      out.roots.push_back(std::move(r));
      continue;
    }
    r.copy = changed(f_.place, f_.config, i) + (one ? "/" + name_of(c.path) : "");
    path_policy::root t = r;
    t.path = r.copy;
    t.kind = one ? root_kind::context_file : root_kind::target;
    t.writable = true;
    t.later = false;
    t.copy.clear();
    for (auto& p : t.protected_paths) // absolute ones speak of the original
      p = path_policy::entry_below(one ? parent(c.path) : c.path, p);
    auto read = read_below(f_.config, c.path);
    t.protected_paths.insert(t.protected_paths.end(), read.begin(), read.end());
    out.roots.push_back(std::move(r));
    out.roots.push_back(std::move(t));
  }
  return out;
}

std::string workspace_disk::clear() {
  auto fault = snapshots::remove_tree(f_.place);
  ::rmdir(parent(f_.place).c_str()); // once it is empty
  return fault;
}

} // namespace conclave
