// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/path_text.hpp"
#include "protocols/text.hpp"
#include "transports/file_tools.hpp"
#include "transports/file_tools_parts.hpp"

#include <algorithm>
#include <utility>

namespace conclave {

using path_policy::access;
using path_policy::denial;
using path_policy::root_kind;
using path_policy::shown;

namespace {

std::string folder_of(const path_policy::root& r) {
  return r.kind == root_kind::context_file ? std::string(path_policy::parent_of(r.path)) : r.path;
}

denial code_of(dir_fault what) {
  switch (what) {
  case dir_fault::escapes:
  case dir_fault::link:
    return denial::symlink;
  case dir_fault::mount:
    return denial::outside;
  case dir_fault::too_large:
  case dir_fault::too_deep:
    return denial::size;
  case dir_fault::bad_path:
    return denial::args;
  default:
    return denial::none;
  }
}

std::string remedy(dir_fault what) {
  switch (what) {
  case dir_fault::escapes:
  case dir_fault::link:
    return " Use the path of the file itself, within your folders.";
  case dir_fault::mount:
    return " Mount points are not crossed.";
  case dir_fault::changed:
    return " Look at it again, then try anew.";
  case dir_fault::full:
    return " What was there before is unchanged. Delete what you no longer need.";
  default:
    return {};
  }
}

} // namespace

std::string reason_of(const workspace_tools::tool_fault& f) {
  auto code = std::string(path_policy::to_string(f.code));
  return code.empty() ? f.text : code + ": " + f.text;
}

file_identity identity_of(const entry_facts& f) {
  return {f.size, f.ctime_ns};
}

std::string line_of(const std::string& name) {
  std::string out;
  for (std::size_t at = 0; at < name.size();) { // shown() cuts what is long
    auto n = std::max<std::size_t>(1, whole_characters(std::string_view(name).substr(at), 40));
    out += shown(std::string_view(name).substr(at, n));
    at += n;
  }
  return out;
}

glob_walk patterns(const std::vector<std::string>& list) {
  glob_list out;
  std::string bad;
  if (!out.add_all(list, bad))
    refuse(denial::args, "The pattern '" + shown(bad)
                             + "' is empty, too long, absolute or leads up. Patterns are relative to the "
                               "directory of the call, like *.py or src/**.");
  return glob_walk(std::move(out));
}

bool left_out(glob_walk& exclude, const std::string& path, const std::string& name) {
  return !exclude.empty() && (exclude.matches(path) || (name.size() != path.size() && exclude.matches_name(name)));
}

std::string parent_path(const std::string& relative) {
  auto cut = relative.rfind('/');
  return cut == std::string::npos ? std::string() : relative.substr(0, cut);
}

const char* type_name(entry_kind k) {
  switch (k) {
  case entry_kind::file:
    return "file";
  case entry_kind::folder:
    return "directory";
  case entry_kind::link:
    return "symlink";
  case entry_kind::special:
    break;
  }
  return "other";
}

void file_tools::set_rules(path_policy::rules r) {
  settings_.rules = std::move(r);
  std::map<std::string, confined_dir> before;
  before.swap(dirs_);
  for (auto& root : settings_.rules.roots) {
    auto known = before.find(folder_of(root));
    if (known != before.end())
      dirs_.insert(before.extract(known));
    else
      open_root(root);
  }
}

void file_tools::open_root(const path_policy::root& r) {
  auto folder = folder_of(r);
  if (dirs_.count(folder) != 0)
    return;
  if (auto dir = confined_dir::open(folder, settings_.way); dir.ok())
    dirs_.emplace(std::move(folder), std::move(dir.value));
}

void file_tools::judge_depth(const aim& a, std::string_view folder) const {
  if (!folder.empty() && std::count(folder.begin(), folder.end(), '/') >= settings_.bounds.depth)
    refuse(denial::size, shown(a.given) + " would make more than " + std::to_string(settings_.bounds.depth)
                             + " folders in each other. Use a path of fewer folders.");
}

void file_tools::make_folders(const aim& a, const std::string& folder) const {
  judge_depth(a, folder);
  check(a, a.dir->make_folders(folder));
}

file_tools::aim file_tools::at(const std::string& given, access what) const {
  aim a;
  a.given = given;
  auto& roots = settings_.rules.roots;
  auto workspace = roots.empty() ? std::string("/") : roots.front().path;
  auto v = path_policy::absolute(workspace, given, a.absolute);
  if (v.ok())
    v = judge(a.absolute, what);
  if (!v.ok())
    refuse(v.code, v.text);
  a.root = &roots[v.root];
  a.base = folder_of(*a.root);
  auto dir = dirs_.find(a.base);
  if (dir == dirs_.end())
    refuse(denial::none, shown(given) + " is not there: the folder " + shown(a.base) + " could not be opened.");
  a.dir = &dir->second;
  a.relative = a.absolute.size() > a.base.size() ? a.absolute.substr(a.base == "/" ? 1 : a.base.size() + 1) : std::string();
  return a;
}

void file_tools::fail(const aim& a, const dir_error& e) const {
  // What a link led to is judged before anything is told of it.
  if (!e.path.empty() && e.path != a.relative && e.what != dir_fault::escapes && e.what != dir_fault::link)
    need(a.below(e.path), access::list);
  if (e.what == dir_fault::cancelled)
    ended();
  refuse(code_of(e.what), shown(a.given) + " " + to_text(e) + "." + remedy(e.what));
}

void file_tools::check(const aim& a, const dir_error& e) const {
  if (!e.ok())
    fail(a, e);
}

opened_entry file_tools::open_to_read(const aim& a) const {
  auto file = a.dir->open_file(a.relative);
  check(a, file.error);
  check_found(a, file.value.path, access::read);
  return std::move(file.value);
}

void file_tools::need_room(const aim& a, std::uint64_t bytes) const {
  auto room = a.dir->room();
  if (room.ok() && room.value < settings_.bounds.keep_free + bytes)
    refuse(denial::size, shown(a.given) + " is not written: it needs " + std::to_string(bytes) + " bytes, and "
                             + std::to_string(settings_.bounds.keep_free)
                             + " bytes of the disk are kept free. Delete what you no "
                               "longer need.");
}

void file_tools::pause() const {
  if (end_ != nullptr && end_->now)
    ended();
}

std::string file_tools::time_is_over() const {
  auto ms = settings_.bounds.time.count();
  return "ended after " + (ms < 1000 ? std::to_string(ms) + " ms" : std::to_string(ms / 1000) + " s")
         + ", which is what one call may take";
}

void file_tools::ended() const {
  if (end_ == nullptr || !end_->late)
    refuse(denial::none, "The call was cancelled.");
  refuse(denial::timeout,
         "The call was " + time_is_over()
             + ". Ask for less: a directory below, fewer or smaller files, a narrower pattern; or use a command, if "
               "you have them.");
}

bool file_tools::cut_short(workspace_tools::batch_result& r, std::size_t left) const {
  if (end_ == nullptr || !end_->now)
    return false;
  if (!end_->late || r.done.empty())
    ended();
  r.note += (r.note.empty() ? "" : "; ")
            + reason_of({denial::timeout, time_is_over() + "; " + std::to_string(left)
                                              + " files were not come to: call it again, or on a directory below"});
  return true;
}

present_file file_tools::present(const aim& a, const std::string& relative, const entry_facts& f) const {
  return {a.below(relative), relative, identity_of(f), a.root->kind != root_kind::workspace};
}

file_tools::files_below file_tools::everything_below(const aim& a) const {
  files_below out;
  dir_error bad;
  auto visit = [&](const walked& w) {
    if (w.fault != dir_fault::none || out.paths.size() >= settings_.bounds.walked) {
      bad = {w.fault != dir_fault::none ? w.fault : dir_fault::too_large, a.relative, 0};
      return walk_step::stop;
    }
    out.paths.push_back(w.path);
    out.facts.emplace(w.path, w.facts);
    if (w.facts.kind == entry_kind::file)
      out.files.push_back(present(a, a.relative.empty() ? w.path : a.relative + "/" + w.path, w.facts));
    return walk_step::on;
  };
  check(a, a.dir->walk(a.relative, walking(), visit));
  check(a, bad);
  return out;
}

void file_tools::remove_known(const aim& a, const files_below& below, bool whole) const {
  // What appeared or changed since it was judged stays, and ends it.
  auto may = [&below](const walked& w) {
    auto known = below.facts.find(w.path);
    auto same = known != below.facts.end() && known->second.same_file(w.facts)
                && (w.facts.kind == entry_kind::folder
                    || (known->second.size == w.facts.size && known->second.mtime_ns == w.facts.mtime_ns));
    return same ? walk_step::on : walk_step::stop;
  };
  check(a, a.dir->remove_tree(a.relative, {settings_.bounds.depth, whole ? nullptr : stop()}, may));
}

} // namespace conclave
