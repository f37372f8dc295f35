// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/line_diff.hpp"
#include "protocols/wire/workspace_calls.hpp"
#include "transports/file_tools.hpp"
#include "transports/file_tools_parts.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <unistd.h>
#include <utility>

namespace conclave {

namespace wt = workspace_tools;

using path_policy::access;
using path_policy::denial;
using path_policy::root_kind;
using path_policy::shown;

namespace {

constexpr std::size_t all_diffs = std::size_t{1} << 20; // bytes in one result

std::string under(const std::string& folder, const std::string& path) {
  return folder.empty() ? path : path.empty() ? folder : folder + "/" + path;
}

/// Reads as much as there is, or the buffer holds. Negative: it cannot be read.
ssize_t fill(std::string& buffer, int fd, std::uint64_t at) {
  std::size_t have = 0;
  while (have < buffer.size()) {
    auto n = ::pread(fd, buffer.data() + have, buffer.size() - have, static_cast<off_t>(at + have));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return n;
    if (n == 0)
      break;
    have += static_cast<std::size_t>(n);
  }
  return static_cast<ssize_t>(have);
}

} // namespace

bool file_tools::same_content(const opened_entry& a, const opened_entry& b) const {
  if (a.facts.same_file(b.facts))
    return true;
  if (a.facts.size != b.facts.size)
    return false;
  constexpr std::size_t step = std::size_t{1} << 20;
  std::string left(static_cast<std::size_t>(std::min<std::uint64_t>(step, a.facts.size + 1)), '\0'), right = left;
  for (std::uint64_t at = 0;; at += left.size()) {
    pause();
    auto l = fill(left, a.fd.get(), at), r = fill(right, b.fd.get(), at);
    if (l < 0 || l != r || std::memcmp(left.data(), right.data(), static_cast<std::size_t>(l)) != 0)
      return false;
    if (static_cast<std::size_t>(l) < left.size())
      return true;
  }
}

std::string file_tools::diff_of(const opened_entry& a, const opened_entry& b, std::size_t limit, bool& whole) const {
  whole = false;
  auto most = settings_.bounds.edit_bytes;
  if (a.facts.size > most || b.facts.size > most)
    return "the files differ; they are too large for a diff\n";
  auto read = [this, most](const opened_entry& e) {
    return e.fd ? read_bytes(e.fd.get(), 0, most, stop()) : dir_result<std::string>{};
  };
  auto l = read(a), r = read(b);
  pause();
  if (!l.ok() || !r.ok())
    return "the files could not be read\n";
  whole = true;
  if (looks_binary(l.value) || looks_binary(r.value))
    return "binary files differ\n";
  diff_counts counts;
  auto text = unified_diff(l.value, r.value, limit, 3, &counts);
  whole = counts.left_out == 0;
  return text;
}

std::string file_tools::carry_out(const wt::compare_files& c) {
  auto a = at(c.file1, access::read), b = at(c.file2, access::read);
  auto l = open_to_read(a), r = open_to_read(b);
  wt::compare_files_result out;
  auto before = whole_text(a, l), after = whole_text(b, r);
  out.identical = before == after;
  diff_counts counts;
  out.diff = unified_diff(before, after, settings_.bounds.diff_lines, static_cast<std::size_t>(c.context_lines), &counts);
  out.added = counts.added;
  out.removed = counts.removed;
  out.truncated = counts.left_out > 0;
  tracker_.read(a.below(l.path), identity_of(l.facts));
  tracker_.read(b.below(r.path), identity_of(r.facts));
  return wire::to_json(c, out);
}

std::string file_tools::carry_out(const wt::compare_directories& c) {
  auto a = at(c.dir1, access::list), b = at(c.dir2, access::list);
  wt::compare_directories_result out;
  auto collect = [this, &out](aim& side) {
    auto found = side.dir->find(side.relative);
    check(side, found.error);
    check_found(side, found.value.path, access::list);
    side.relative = found.value.path;
    std::map<std::string, entry_facts> files;
    std::size_t seen = 0;
    auto visit = [&](const walked& w) {
      auto skip = [&](std::string why) {
        if (out.skipped.size() < settings_.bounds.batch_files)
          out.skipped.push_back({under(side.given, w.path), std::move(why)});
        return walk_step::over;
      };
      auto folder = w.facts.kind == entry_kind::folder;
      if (path_policy::is_excluded_name(w.name))
        return walk_step::over;
      auto v = judge(side.below(under(side.relative, w.path)), folder ? access::list : access::read);
      if (!v.ok())
        return skip(reason_of({v.code, v.text}));
      if (w.fault != dir_fault::none)
        return skip("it " + to_text({w.fault, w.path, 0}));
      if (folder)
        return walk_step::on;
      if (w.facts.kind != entry_kind::file)
        return skip(w.facts.kind == entry_kind::link ? "it is a symbolic link" : "it is neither a regular file nor a directory");
      if (++seen > settings_.bounds.batch_files) {
        out.note = "cut at " + std::to_string(settings_.bounds.batch_files) + " files: compare directories below";
        return walk_step::stop;
      }
      files.emplace(w.path, w.facts);
      return walk_step::on;
    };
    check(side, side.dir->walk(side.relative, walking(), visit));
    return files;
  };
  auto left = collect(a), right = collect(b);
  std::size_t shown_bytes = 0, not_compared = 0;
  std::uint64_t read = 0;
  auto fits = [&](std::uint64_t bytes) {
    auto yes = bytes <= settings_.bounds.compare_bytes - read;
    read += yes ? bytes : 0;
    return yes;
  };
  for (auto& [path, facts] : left) {
    pause();
    if (right.count(path) == 0) {
      out.only_in_dir1.push_back(path);
      continue;
    }
    auto l = a.dir->open_file(under(a.relative, path)), r = b.dir->open_file(under(b.relative, path));
    if (!l.ok() || !r.ok() || l.value.path != under(a.relative, path) || r.value.path != under(b.relative, path)) {
      out.skipped.push_back({path, "it cannot be read, or was changed meanwhile"});
      continue;
    }
    auto& lf = l.value.facts;
    if (lf.size == r.value.facts.size && !lf.same_file(r.value.facts) && !fits(lf.size)) {
      out.skipped.push_back({path, "it has the same size in both; its bytes were not compared"});
      ++not_compared;
      continue;
    }
    if (same_content(l.value, r.value)) {
      out.identical.push_back(path);
      continue;
    }
    out.different.push_back(path);
    if (!c.show_content_diff)
      continue;
    if (shown_bytes > all_diffs || !fits(std::min<std::uint64_t>(lf.size + r.value.facts.size, 2 * settings_.bounds.edit_bytes))) {
      out.note = "not all diffs are shown: compare the files one by one";
      continue;
    }
    bool whole = false;
    auto diff = diff_of(l.value, r.value, settings_.bounds.small_diff_lines, whole);
    shown_bytes += diff.size();
    out.content_diffs.emplace_back(path, std::move(diff));
  }
  for (auto& [path, facts] : right)
    if (left.count(path) == 0)
      out.only_in_dir2.push_back(path);
  if (not_compared > 0)
    out.note += (out.note.empty() ? "" : "; ") + std::to_string(not_compared)
                + " files were not compared: one call compares at most " + std::to_string(settings_.bounds.compare_bytes)
                + " bytes. Compare directories below, or use cmp in a command, if you have them";
  return wire::to_json(c, out);
}

std::string file_tools::carry_out(const wt::deliver_files& c) {
  auto from = at(c.source, access::read);
  auto to = at(c.destination, access::create);
  if (from.root->kind != root_kind::workspace)
    refuse(denial::args, shown(c.source) + " is not in your workspace: only files of yours are delivered.");
  if (to.root->kind == root_kind::workspace)
    refuse(denial::args, shown(c.destination) + " is in your workspace. Deliver into a folder of the user, or the copy of one.");
  auto found = from.dir->find(from.relative);
  check(from, found.error);
  check_found(from, found.value.path, access::read);
  from.relative = found.value.path;
  copy_plan plan;
  if (found.value.facts.kind == entry_kind::folder) {
    plan = plan_copy(from, &c.include, &c.exclude);
  } else {
    plan.files.push_back({"", found.value.facts, {}});
    if (auto there = to.dir->look(to.relative); there.ok() && there.value.kind == entry_kind::folder) // one file goes into it
      to.relative = under(to.relative, from.relative.substr(from.relative.rfind('/') + 1));
  }
  for (auto& f : plan.files)
    plan.bytes += f.path.empty() ? f.facts.size : 0;
  if (plan.bytes > settings_.bounds.copy_bytes)
    fail(from, {dir_fault::too_large, from.relative, 0});
  if (!c.dry_run)
    need_room(to, plan.bytes);
  wt::batch_result r;
  r.dry_run = c.dry_run;
  r.skipped = std::move(plan.dropped);
  if (plan.cut)
    r.note = "cut at " + std::to_string(plan.files.size()) + " files: deliver directories below, or use narrower patterns";
  std::size_t shown_bytes = 0, number = 0;
  for (auto& f : plan.files) {
    if (cut_short(r, plan.files.size() - number++))
      break;
    auto target = under(to.relative, f.path);
    auto name = f.path.empty() ? target : f.path;
    try {
      auto one = to;
      one.given = to.below(target);
      need(one.given, access::create);
      auto old = to.dir->look(target);
      if (!old.ok() && old.error.what != dir_fault::absent)
        fail(one, old.error);
      auto source = from.dir->open_file(under(from.relative, f.path));
      check(from, source.error);
      wt::moved_file done{from.below(under(from.relative, f.path)), one.given, name, f.facts.size, "added", {}};
      opened_entry before;
      if (old.ok()) {
        if (old.value.kind != entry_kind::file)
          fail(one, {old.value.kind == entry_kind::link ? dir_fault::link : dir_fault::folder, target, 0});
        auto opened = to.dir->open_file(target);
        check(one, opened.error);
        if (opened.value.path != target)
          fail(one, {dir_fault::changed, target, 0});
        before = std::move(opened.value);
        done.change = same_content(source.value, before) ? "identical" : "modified";
      }
      bool whole = false;
      if (done.change != "identical" && shown_bytes < all_diffs) {
        done.diff = diff_of(before, source.value, settings_.bounds.small_diff_lines, whole);
        shown_bytes += done.diff.size();
      }
      if (done.change == "modified" && !c.overwrite) {
        r.skipped.push_back({name, "it exists already in the destination; set overwrite to replace it"});
        continue;
      }
      if (c.dry_run) {
        if (whole && old.ok()) // its whole difference was seen
          tracker_.read(to.below(target), identity_of(before.facts));
      } else if (done.change != "identical") {
        if (old.ok())
          judge_replaced(one, target, old.value);
        copy_one(from, under(from.relative, f.path), one, target, old.ok() ? if_exists::replace : if_exists::fail,
                 old.ok() ? std::optional(old.value) : std::nullopt, false);
      }
      r.done.push_back(std::move(done));
    } catch (const refusal& why) {
      r.errors.push_back({name, reason_of(why.fault)});
    }
  }
  if (!c.dry_run && !r.done.empty())
    check(to, to.dir->sync());
  return wire::to_json(c, r);
}

} // namespace conclave
