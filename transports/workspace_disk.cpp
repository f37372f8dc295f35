// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/workspace_disk.hpp"

#include "protocols/text.hpp"
#include "protocols/wire/sha256.hpp"
#include "protocols/workspace_paths.hpp"
#include "transports/home.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace conclave {

namespace {

namespace fs = std::filesystem;
using namespace workspace_paths;

/// A folder of our own, and nobody else's. Returns what is wrong, or empty.
std::string make_own(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    return "the folder " + shown_text(path, 4'096) + " cannot be made: " + std::strerror(errno);
  struct stat s {};
  if (::lstat(path.c_str(), &s) != 0 || !S_ISDIR(s.st_mode) || s.st_uid != ::geteuid())
    return shown_text(path, 4'096) + " is no folder of this user: move it away";
  return {};
}

std::string parent(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

std::string name_of(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

bool is_file(const std::string& path) {
  std::error_code e;
  return fs::is_regular_file(path, e);
}

std::string read_line(const std::string& path) {
  std::ifstream in{path};
  std::string line;
  std::getline(in, line);
  return line;
}

/// What a model can do about too many files.
std::string too_much(const snapshots::failure& f) {
  std::string largest;
  for (auto& x : f.largest)
    largest += "\n  " + shown_text(x.path, 200) + ": " + std::to_string(x.bytes) + " bytes, " + std::to_string(x.files) + " files";
  return f.text + (largest.empty() ? "" : "\nThe largest:" + largest)
         + "\nDelete what does not belong to the answer, then hand it in again.";
}

} // namespace

std::string snapshot_folder(const std::string& home) {
  return home + "/snapshots";
}

std::string left_out_of_copies(const std::string& path) {
  for (std::size_t at = 0; at <= path.size();) {
    auto end = std::min(path.find('/', at), path.size());
    auto name = std::string_view{path}.substr(at, end - at);
    if (path_policy::is_secret_name(name))
      return "the name of a secret";
    if (path_policy::is_excluded_name(name))
      return "the name of what programs keep for themselves";
    at = end + 1;
  }
  return {};
}

workspace_disk::workspace_disk(workspace_folders f)
    : f_(std::move(f)), store_(snapshot_folder(f_.home)), bases_(f_.config.context.size()) {}

std::string workspace_disk::base_file(std::size_t i) const {
  return target(f_.place, i) + ".base";
}

std::string workspace_disk::make_folders() {
  for (auto& path : {f_.home + "/work", parent(f_.place), f_.place, workspace_paths::home(f_.place), view(f_.place)})
    if (auto fault = make_own(path); !fault.empty())
      return fault;
  return {};
}

std::string workspace_disk::prepare(const prepare_workspace& p, snapshots::cancel_flag cancel) {
  if (auto fault = make_folders(); !fault.empty())
    return fault;
  if (auto fault = fill_workspace(p, cancel); !fault.empty())
    return fault;
  if (auto fault = show(p.shown, cancel); !fault.empty())
    return fault;
  if (p.present || f_.config.write_from_start)
    return copy_targets(p.as_it_is, cancel);
  return {};
}

/// A run starts from the files of its agent's newest answer; one that goes on, from what is there.
std::string workspace_disk::fill_workspace(const prepare_workspace& p, snapshots::cancel_flag cancel) {
  auto here = work(f_.place);
  struct stat s {};
  auto there = ::lstat(here.c_str(), &s) == 0;
  if (there && !S_ISDIR(s.st_mode))
    return shown_text(here, 4'096) + " is no folder: move it away";
  if (there && p.as_it_is)
    return {};
  if (auto fault = snapshots::remove_tree(here, cancel); !fault.empty())
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

/// A private copy of each folder that may be changed, as it is now.
std::string workspace_disk::copy_targets(bool as_it_is, snapshots::cancel_flag cancel) {
  for (std::size_t i = 0; i < f_.config.context.size(); ++i) {
    auto& c = f_.config.context[i];
    if (!c.write)
      continue;
    auto copy = target(f_.place, i);
    std::error_code e;
    if (auto base = read_line(base_file(i)); as_it_is && fs::is_directory(copy, e) && wire::is_sha256(base)) {
      bases_[i] = base;
      continue;
    }
    if (auto fault = snapshots::remove_tree(copy, cancel); !fault.empty())
      return fault;
    snapshots::take_options how;
    how.holder = f_.task;
    how.scan_cache = copy + ".scan";
    how.cancel = cancel;
    auto one = is_file(c.path);
    auto only = name_of(c.path);
    how.leave_out = [one, only](const std::string& path, bool) {
      return one ? (path == only ? std::string{} : "not the file") : left_out_of_copies(path);
    };
    auto got = store_.take(one ? parent(c.path) : c.path, how);
    auto* taken = std::get_if<snapshots::taken>(&got);
    if (taken == nullptr)
      return "no copy of " + shown_text(c.path, 4'096) + " can be made: " + std::get<snapshots::failure>(got).text;
    auto placed = store_.restore(taken->id, copy, cancel);
    if (auto* failed = std::get_if<snapshots::failure>(&placed))
      return "no copy of " + shown_text(c.path, 4'096) + " can be made: " + failed->text;
    if (auto fault = write_atomically(base_file(i), taken->id + "\n"); !fault.empty())
      return fault;
    bases_[i] = taken->id;
  }
  return {};
}

kept_files workspace_disk::keep(bool present, snapshots::cancel_flag cancel) {
  kept_files out;
  snapshots::take_options how;
  how.holder = f_.task;
  how.cancel = cancel;
  how.scan_cache = work(f_.place) + ".scan";
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
  out.snapshot = taken.id;
  out.files = static_cast<std::int64_t>(taken.files);
  out.bytes = static_cast<std::int64_t>(taken.bytes);
  for (std::size_t i = 0; present && i < bases_.size(); ++i) {
    if (bases_[i].empty())
      continue;
    auto& c = f_.config.context[i];
    how.scan_cache = target(f_.place, i) + ".scan";
    auto one = is_file(c.path);
    auto only = name_of(c.path);
    how.leave_out = [one, only](const std::string& path, bool) {
      return one ? (path == only ? std::string{} : "not the file") : left_out_of_copies(path);
    };
    auto after = store_.take(target(f_.place, i), how);
    if (auto* f = std::get_if<snapshots::failure>(&after))
      return failed(*f);
    auto& id = std::get<snapshots::taken>(after).id;
    if (id == bases_[i])
      continue;
    auto diff = store_.diff(bases_[i], id);
    if (auto* f = std::get_if<snapshots::failure>(&diff))
      return failed(*f);
    auto& all = std::get<snapshots::changes>(diff);
    auto files = std::count_if(all.begin(), all.end(), [](auto& x) {
      return x.before.kind != snapshots::entry_kind::folder && x.after.kind != snapshots::entry_kind::folder;
    });
    out.changes.push_back({one ? parent(c.path) : c.path, bases_[i], id, files});
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
    if (bases_[i].empty()) {
      out.roots.push_back(std::move(r));
      continue;
    }
    r.copy = target(f_.place, i) + (one ? "/" + name_of(c.path) : "");
    path_policy::root t = r;
    t.path = one ? r.copy : target(f_.place, i);
    t.kind = one ? root_kind::context_file : root_kind::target;
    t.writable = true;
    t.later = false;
    t.copy.clear();
    for (auto& p : t.protected_paths) // absolute ones speak of the original
      if (p.starts_with(c.path + "/"))
        p = p.substr(c.path.size() + 1);
    out.roots.push_back(std::move(r));
    out.roots.push_back(std::move(t));
  }
  return out;
}

namespace {

constexpr std::size_t max_looked_at = 200'000; ///< entries of one folder
constexpr std::size_t max_protected = 1'000;   ///< each is a mount of its own
constexpr int max_depth = 64;

/// Calls `f(path, is a folder)` for everything below, links not followed, until it returns false for a folder: what is in that is
/// left out. Returns false if that is too much.
template <class F>
bool look_through(const std::string& folder, F f) {
  std::error_code e;
  std::size_t seen = 0;
  fs::recursive_directory_iterator at{folder, fs::directory_options::skip_permission_denied, e}, end;
  for (; !e && at != end; at.increment(e)) {
    if (++seen > max_looked_at || at.depth() > max_depth)
      return false;
    std::error_code ignored;
    auto is_folder = at->symlink_status(ignored).type() == fs::file_type::directory;
    if (!f(at->path().string(), is_folder) && is_folder)
      at.disable_recursion_pending();
  }
  return !e;
}

} // namespace

void workspace_disk::find_secrets(std::vector<std::string>& hidden, std::vector<std::string>& closed) const {
  for (auto& c : f_.config.context) {
    std::error_code e;
    if (f_.config.allow_secret_files || !fs::is_directory(c.path, e))
      continue;
    auto all = look_through(c.path, [&](const std::string& path, bool) {
      auto secret = path_policy::is_secret_name(name_of(path));
      if (secret)
        hidden.push_back(path);
      return !secret;
    });
    if (!all)
      closed.push_back(c.path);
  }
}

std::vector<std::string> workspace_disk::find_protected() const {
  using path_policy::access;
  std::vector<std::string> out;
  auto all = rules();
  auto is_protected = [&](const std::string& path) {
    return path_policy::judge(all, path, access::modify).code == path_policy::denial::protected_path;
  };
  for (auto& r : all.roots) {
    if (!r.writable || r.protected_paths.empty())
      continue;
    std::vector<std::string> here;
    auto note = [&](const std::string& path, bool) {
      auto found = here.size() <= max_protected && is_protected(path);
      if (found)
        here.push_back(path);
      return !found;
    };
    auto one = r.kind == path_policy::root_kind::context_file;
    auto whole = !is_protected(r.path) && (one || look_through(r.path, note));
    if (!whole || here.size() > max_protected)
      here = {r.path};
    out.insert(out.end(), here.begin(), here.end());
  }
  return out;
}

std::vector<workspace_disk::made> workspace_disk::made_since(std::int64_t unix_ns) const {
  std::vector<made> out;
  for (auto& r : rules().roots)
    if (r.writable)
      look_through(r.path, [&](const std::string& path, bool is_folder) {
        struct statx s {};
        if (is_folder || ::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &s) != 0
            || !S_ISREG(s.stx_mode) || (s.stx_mask & STATX_BTIME) == 0)
          return true;
        auto ns = [](const statx_timestamp& t) { return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec; };
        if (ns(s.stx_btime) >= unix_ns)
          out.push_back({path, {s.stx_size, ns(s.stx_ctime)}});
        return true;
      });
  return out;
}

std::string workspace_disk::clear() {
  auto fault = snapshots::remove_tree(f_.place);
  ::rmdir(parent(f_.place).c_str()); // once it is empty
  return fault;
}

} // namespace conclave
