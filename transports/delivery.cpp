// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/delivery.hpp"

#include "protocols/path_policy.hpp"
#include "protocols/text.hpp"
#include "transports/delivery_plan.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace conclave::delivery {

using snapshots::copy_bytes;
using snapshots::failed;
using snapshots::look;
using snapshots::remove_below;

namespace {

constexpr std::size_t most_named = 8;

/// Puts a new file aside and notes which one it is.
int put_aside(const run& r, std::size_t n, step& s, int source, cancel_flag cancel) {
  auto slot = std::to_string(n);
  int error = 0;
  if (s.after.kind == entry_kind::link) {
    std::string names;
    error = snapshots::read_whole(source, names, 4096);
    if (error == 0 && ::symlinkat(names.c_str(), r.stage(), slot.c_str()) != 0)
      error = errno;
    if (error == 0 && ::geteuid() == 0 && ::fchownat(r.stage(), slot.c_str(), s.after.uid, s.after.gid, AT_SYMLINK_NOFOLLOW) != 0)
      error = errno;
  } else {
    descriptor to{::openat(r.stage(), slot.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)};
    error = to ? copy_bytes(source, to.get(), s.after.size, cancel) : errno;
    if (error == 0 && ::geteuid() == 0 && ::fchown(to.get(), s.after.uid, s.after.gid) != 0)
      error = errno;
    if (error == 0 && ::fchmod(to.get(), s.after.mode & 07777) != 0)
      error = errno;
    auto at = [&](snapshots::moment m) { return timespec{m / 1'000'000'000, m % 1'000'000'000}; };
    timespec times[2] = {at(s.after.modified), at(s.after.modified)};
    if (error == 0 && s.after.modified != 0 && ::futimens(to.get(), times) != 0)
      error = errno;
  }
  found f;
  if (error == 0)
    error = look(r.stage(), slot.c_str(), f);
  auto sha256 = s.after.sha256;
  if (error == 0)
    s.after = state_of(f);
  s.after.sha256 = sha256;
  return error;
}

/// Keeps the bytes of what a step takes away. EAGAIN: it is not what was judged any more.
int keep_old(int olds, std::size_t n, const step& s, const target& at, cancel_flag cancel) {
  std::string name, slot = std::to_string(n);
  auto in = at.parent(s.path, name);
  if (!in)
    return EAGAIN;
  descriptor to{::openat(olds, slot.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
  if (!to)
    return errno;
  if (s.before.kind == entry_kind::link) {
    std::string names;
    if (snapshots::read_link(in.get(), name.c_str(), names) != 0 || wire::sha256(names) != s.before.sha256)
      return EAGAIN;
    return snapshots::write_all(to.get(), names.data(), names.size());
  }
  auto from = snapshots::open_file(in.get(), name.c_str());
  found f;
  if (!from || look(from.get(), "", f) != 0 || !s.before.is(f))
    return EAGAIN;
  auto error = copy_bytes(from.get(), to.get(), s.before.size, cancel);
  if (error == EIO && look(from.get(), "", f) == 0 && f.size != s.before.size)
    return EAGAIN;
  return error != 0 ? error : look(from.get(), "", f) == 0 && s.before.is(f) ? 0 : EAGAIN;
}

bool has_old(const step& s) {
  return s.before.kind != entry_kind::none && s.before.kind != entry_kind::folder;
}
bool has_new(const step& s) {
  return s.what == act::add || s.what == act::replace;
}

std::optional<failure> drift_of(const std::vector<judged>& all) {
  failure bad{fault::drifted, {}, {}};
  std::size_t count = 0;
  for (auto& d : all) {
    if (d.said.state != verdict::drifted)
      continue;
    if (++count <= most_named) {
      bad.largest.push_back({d.said.what.path, d.now.size, 1});
      bad.text += (count == 1 ? "" : ", ") + path_policy::shown(d.said.what.path, 100) + " (" + d.said.why + ")";
    }
  }
  if (count == 0)
    return {};
  bad.text = std::to_string(count) + (count == 1 ? " path was" : " paths were")
             + " changed since the work began, so nothing was written: " + bad.text + "; or apply elsewhere: --to DIR";
  return bad;
}

void report(const std::vector<step>& steps, applied& out) {
  for (auto& s : steps)
    if (s.what == act::replace)
      out.modified.push_back(s.path);
    else
      (s.what == act::add || s.what == act::make_folder ? out.added : out.removed).push_back(s.path);
}

/// Takes a plan back. Where the disk refuses that, all of it stays for `recover`.
bool take_back(run& r, const std::vector<step>& steps, const target& at, failure& why) {
  if (r.back(steps, at)) {
    r.clear(at);
    return true;
  }
  why.text += "; what was written could not be taken back either: it is at the next start";
  return false;
}

/// Carries out a plan that was put aside, and takes it back if that cannot be.
std::optional<failure> carry_out(run& r, const std::vector<step>& steps, const target& at, std::vector<left_out>& kept) {
  if (auto error = r.write_plan(steps, at); error != 0) {
    r.clear(at);
    return failed("write the journal of", at.path(), error);
  }
  auto bad = r.forward(steps, at, kept);
  if (!bad)
    if (auto error = r.finish(at); error != 0)
      bad = failed("finish writing", at.path(), error);
  if (bad)
    take_back(r, steps, at, *bad);
  return bad;
}

std::optional<failure> prepare(const job& j, run& r, std::vector<step>& steps, const target& at) {
  std::uint64_t news = 0, old_bytes = 0;
  for (auto& s : steps) {
    news += has_new(s) ? s.after.size : 0;
    old_bytes += s.before.size;
  }
  if (!snapshots::has_room(at.root(), news, j.keep_free) || !snapshots::has_room(r.folder(), old_bytes, j.keep_free))
    return failure{fault::disk_full,
                   "there is no room to write " + std::to_string(news) + " bytes into " + path_policy::shown(at.path())
                       + " and to keep what is there; nothing was written",
                   {}};
  if (::mkdirat(r.folder(), "old", 0700) != 0)
    return failed("write the journal of", at.path(), errno);
  auto olds = open_in(r.folder(), "old");
  if (auto error = r.begin(at); error != 0)
    return failed("write into", at.path(), error);
  for (std::size_t n = 0; n < steps.size(); ++n) {
    auto& s = steps[n];
    if (snapshots::is_set(j.cancel))
      return failed("", "", ECANCELED);
    if (has_old(s)) {
      auto error = keep_old(olds.get(), n, s, at, j.cancel);
      if (error != 0)
        return error == EAGAIN ? changed_meanwhile(s.path) : failed("keep a copy of", s.path, error);
    }
    if (has_new(s)) {
      descriptor source{j.store.open_object(s.after.sha256)};
      auto error = source ? put_aside(r, n, s, source.get(), j.cancel) : errno;
      if (error != 0)
        return failed("write", s.path, error);
    }
  }
  return {};
}

/// The reverse of a plan; fails where the target is not as the plan left it.
std::optional<failure> reverse(const std::vector<step>& plan, const target& at, std::vector<step>& out,
                               std::vector<std::size_t>& source, cancel_flag cancel) {
  failure bad{fault::drifted, {}, {}};
  for (auto n = plan.size(); n > 0; --n) {
    auto& s = plan[n - 1];
    state now;
    // A folder that the plan made may hold files in the way of one that it took away: that is seen at the name itself.
    auto error = look_at(at, s.path, s.what != act::make_folder && s.what != act::remove_folder, now, cancel);
    if (error == ECANCELED)
      return failed("", "", error);
    snapshots::entry expected{s.after.kind, 0, s.after.sha256};
    auto next = s;
    std::swap(next.before, next.after);
    auto absent_again = [&] { // something the plan put in the place of what it took away goes first
      return std::any_of(plan.begin(), plan.end(), [&](const step& other) {
        return other.path == s.path && (other.what == act::add || other.what == act::make_folder);
      });
    };
    bool good = error == 0 || error == ENOENT;
    switch (s.what) {
    case act::add:
      next.what = act::remove_file;
      good = good && matches(now, expected);
      break;
    case act::replace:
      good = good && matches(now, expected);
      break;
    case act::make_folder:
      next.what = act::remove_folder;
      good = good && now.kind == entry_kind::folder;
      break;
    case act::remove_file:
      next.what = act::add;
      good = now.kind == entry_kind::none ? error == 0 || error == ENOENT || error == ENOTDIR : absent_again();
      break;
    case act::remove_folder:
      next.what = act::make_folder;
      if (now.kind == entry_kind::folder)
        continue; // it stayed
      good = now.kind == entry_kind::none ? error == 0 || error == ENOENT || error == ENOTDIR : absent_again();
      break;
    }
    if (!good) {
      bad.text += (bad.largest.empty() ? "" : ", ") + path_policy::shown(s.path, 100);
      bad.largest.push_back({s.path, now.size, 1});
      if (bad.largest.size() >= most_named)
        break;
      continue;
    }
    if (next.what == act::remove_file || next.what == act::replace)
      next.before = now;
    next.after.inode = 0;
    source.push_back(n - 1);
    out.push_back(std::move(next));
  }
  if (bad.largest.empty())
    return {};
  bad.text = "changed since it was applied, so nothing was undone: " + bad.text
             + "; put it back, or keep a copy of it elsewhere, then try again";
  return bad;
}

} // namespace

result<std::vector<proposed>> propose(const job& j) {
  target at;
  if (auto bad = at.open(j.target))
    return std::move(*bad);
  auto got = judge_all(j, at);
  if (auto* bad = std::get_if<failure>(&got))
    return std::move(*bad);
  std::vector<proposed> out;
  for (auto& d : std::get<std::vector<judged>>(got))
    out.push_back(std::move(d.said));
  return out;
}

result<applied> apply(const job& j) {
  descriptor journal, lock;
  if (auto bad = open_journal(j.journal, true, journal, lock))
    return std::move(*bad);
  target at;
  if (auto bad = at.open(j.target))
    return std::move(*bad);
  if (auto bad = at.lock(j.journal))
    return std::move(*bad);
  auto got = judge_all(j, at);
  if (auto* bad = std::get_if<failure>(&got))
    return std::move(*bad);
  auto& all = std::get<std::vector<judged>>(got);
  if (j.on_drift == policy::fail)
    if (auto bad = drift_of(all))
      return std::move(*bad);
  applied out;
  auto steps = steps_of(j, at, all, out.skipped);
  if (steps.empty())
    return out;
  auto path = j.journal + "/XXXXXX";
  if (::mkdtemp(path.data()) == nullptr)
    return failed("write in", j.journal, errno);
  out.id = path.substr(path.size() - 6);
  run r{open_in(journal.get(), out.id), out.id, false};
  auto bad = prepare(j, r, steps, at);
  if (bad)
    r.clear(at);
  else
    bad = carry_out(r, steps, at, out.skipped);
  if (bad) {
    // A plan that was carried out and not finished is for `recover`.
    if (!r.has("plan") || !descriptor{snapshots::open_folder(at.root(), r.stage_name().c_str(), at.what().device)})
      remove_below(journal.get(), out.id.c_str(), nullptr);
    return std::move(*bad);
  }
  report(steps, out);
  for (auto& s : steps)
    if (s.what == act::replace && s.after.uid != s.before.uid)
      out.yours.push_back(s.path);
  return out;
}

result<applied> undo(const std::string& journal_path, const std::string& id, cancel_flag cancel) {
  descriptor journal, lock;
  if (auto bad = open_journal(journal_path, false, journal, lock))
    return std::move(*bad);
  auto past = is_id(id) ? open_in(journal.get(), id) : descriptor{};
  failure absent{fault::missing, "there is nothing to undo named " + shown_text(id), {}};
  if (!past)
    return absent;
  run done{descriptor{::fcntl(past.get(), F_DUPFD_CLOEXEC, 0)}, id, false};
  std::string path;
  std::uint64_t inode = 0;
  if (!done.has("done") || !done.read_target(path, inode))
    return absent;
  if (auto before = open_in(past.get(), "undo"); before && ::faccessat(before.get(), "done", F_OK, 0) == 0)
    return failure{fault::missing, "that was undone already", {}};
  target at;
  if (auto bad = at.open(path))
    return std::move(*bad);
  if (at.what().inode != inode)
    return failure{fault::drifted, path_policy::shown(path) + " is another folder now; nothing was undone", {}};
  if (auto bad = at.lock(journal_path))
    return std::move(*bad);
  std::vector<step> plan, steps;
  std::vector<std::size_t> source;
  if (auto error = done.read_plan(plan); error != 0)
    return failed("read the journal of", path, error);
  if (auto bad = reverse(plan, at, steps, source, cancel))
    return std::move(*bad);
  remove_below(past.get(), "undo", nullptr);
  if (::mkdirat(past.get(), "undo", 0700) != 0)
    return failed("write in", journal_path, errno);
  run r{open_in(past.get(), "undo"), id, true};
  auto olds = open_in(past.get(), "old");
  auto error = r.begin(at);
  applied out;
  out.id = id;
  for (std::size_t n = 0; n < steps.size() && error == 0; ++n)
    if (has_new(steps[n])) {
      auto from = snapshots::open_file(olds.get(), std::to_string(source[n]).c_str());
      auto owner = steps[n].after.uid;
      error = snapshots::is_set(cancel) ? ECANCELED : from ? put_aside(r, n, steps[n], from.get(), cancel) : errno;
      if (steps[n].after.uid != owner)
        out.yours.push_back(steps[n].path);
    }
  std::optional<failure> bad;
  if (error != 0) {
    r.clear(at);
    bad = failed("put back what was in", path, error);
  } else {
    bad = carry_out(r, steps, at, out.skipped);
  }
  if (bad) {
    if (!r.has("plan") || !descriptor{snapshots::open_folder(at.root(), r.stage_name().c_str(), at.what().device)})
      remove_below(past.get(), "undo", nullptr);
    return std::move(*bad);
  }
  remove_below(past.get(), "old", nullptr);
  report(steps, out);
  return out;
}

namespace {

/// Ends one run that was broken off. Returns whether there was one.
bool end_run(run& r, const std::string& journal, const std::string& id, recovered& out) {
  std::uint64_t inode = 0;
  out.id = id;
  out.undo = r.undo();
  if (!r.read_target(out.target, inode)) {
    out.text = "nothing had been written";
    return true;
  }
  target at;
  auto bad = at.open(out.target);
  if (!bad && at.what().inode != inode)
    bad = failure{fault::denied, path_policy::shown(out.target) + " is another folder now", {}};
  if (!bad)
    bad = at.lock(journal);
  if (bad) {
    out.text = "left for later: " + bad->text;
    return false;
  }
  std::vector<step> steps;
  std::vector<left_out> kept;
  if (r.has("plan") && r.open_stage(at) == 0 && r.read_plan(steps) == 0) {
    bad = r.forward(steps, at, kept);
    out.completed = !bad;
    auto error = bad ? (take_back(r, steps, at, *bad) ? 0 : EIO) : r.finish(at);
    out.text = bad          ? "taken back: " + bad->text
               : error == 0 ? "completed what had been begun in " + path_policy::shown(out.target)
                            : failed("finish writing", out.target, error).text;
    return error == 0;
  }
  r.clear(at);
  out.text = "nothing had been written to " + path_policy::shown(out.target);
  return true;
}

/// What was finished and not cleared up.
void clear_rests(run& r, const std::string& journal) {
  std::string path;
  std::uint64_t inode = 0;
  found f;
  target at;
  if (r.read_target(path, inode) && look(AT_FDCWD, (path + "/" + r.stage_name()).c_str(), f) == 0 && !at.open(path)
      && at.what().inode == inode && !at.lock(journal))
    r.clear(at);
}

} // namespace

result<std::vector<recovered>> recover(const std::string& journal_path) {
  std::vector<recovered> out;
  descriptor journal, lock;
  if (auto bad = open_journal(journal_path, false, journal, lock)) {
    if (bad->kind == fault::missing)
      return out;
    return std::move(*bad);
  }
  std::vector<std::string> names;
  if (auto error = snapshots::names_in(journal.get(), names); error != 0)
    return failed("list", journal_path, error);
  for (auto& id : names) {
    auto folder = is_id(id) ? open_in(journal.get(), id) : descriptor{};
    if (!folder)
      continue;
    run r{descriptor{::fcntl(folder.get(), F_DUPFD_CLOEXEC, 0)}, id, false};
    if (!r.has("done")) {
      recovered what;
      if (end_run(r, journal_path, id, what) && !what.completed)
        remove_below(journal.get(), id.c_str(), nullptr);
      out.push_back(std::move(what));
      continue;
    }
    clear_rests(r, journal_path);
    auto undone = open_in(folder.get(), "undo");
    if (!undone)
      continue;
    run u{std::move(undone), id, true};
    if (u.has("done")) {
      clear_rests(u, journal_path);
      continue;
    }
    recovered what;
    if (end_run(u, journal_path, id, what) && !what.completed)
      remove_below(folder.get(), "undo", nullptr);
    out.push_back(std::move(what));
  }
  return out;
}

} // namespace conclave::delivery
