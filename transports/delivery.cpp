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
#include <set>
#include <sys/stat.h>
#include <unistd.h>

namespace conclave::delivery {

using snapshots::failed;
using snapshots::remove_below;

namespace {

constexpr std::size_t most_named = 8;

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

/// `kept`: folders that stay.
void report(const std::vector<step>& steps, const std::vector<left_out>& kept, applied& out) {
  std::set<std::string> stay;
  for (auto& k : kept)
    stay.insert(k.path);
  for (auto& s : steps)
    if (s.what == act::replace)
      out.modified.push_back(s.path);
    else if (s.what != act::remove_folder || !stay.contains(s.path))
      (s.what == act::add || s.what == act::make_folder ? out.added : out.removed).push_back(s.path);
  out.skipped.insert(out.skipped.end(), kept.begin(), kept.end());
}

/// Carries out a plan that was put aside, and takes it back if that cannot be. Then the plan is gone, or it is for `recover`.
std::optional<failure> carry_out(run& r, const std::vector<step>& steps, const target& at, applied& out) {
  auto none = r.undo() ? "; nothing was undone" : "; nothing was written";
  if (auto error = r.write_plan(steps, at); error != 0) {
    r.end_plan();
    r.clear(at);
    auto bad = failed("write the journal of", at.path(), error);
    bad.text += none;
    return bad;
  }
  std::vector<left_out> kept;
  std::size_t reached = 0;
  auto bad = r.forward(steps, at, kept, reached);
  if (!bad)
    if (auto error = r.finish(at, steps.size() - kept.size()); error != 0)
      bad = failed("finish writing", at.path(), error);
  if (!bad) {
    report(steps, kept, out);
    return {};
  }
  if (auto rest = r.take_back(steps, at, reached); rest.empty())
    bad->text += none;
  else
    bad = failure{fault::io, bad->text + "; " + rest, {}};
  return bad;
}

/// Whether what was put aside is not what the snapshot says: the store may be on a disk that lies, or somebody was in it.
std::optional<failure> differs(int stage, std::size_t n, const step& s, cancel_flag cancel) {
  if (s.after.kind == entry_kind::link)
    return {};
  auto fd = snapshots::open_file(stage, std::to_string(n).c_str());
  wire::digest hash{};
  if (auto error = fd ? snapshots::hash_bytes(fd.get(), hash, cancel) : errno; error != 0)
    return failed("check", s.path, error);
  if (wire::to_hex(hash) == s.after.sha256)
    return {};
  return failure{fault::damaged,
                 "the snapshot store is damaged: its bytes of " + path_policy::shown(s.path) + " are altered; nothing was written",
                 {}};
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
        return error == EAGAIN ? changed_meanwhile(s.path, "; nothing was written") : failed("keep a copy of", s.path, error);
    }
    if (has_new(s)) {
      descriptor source{j.store.open_object(s.after.sha256)};
      auto error = source ? put_aside(r.stage(), std::to_string(n), s.after, source.get(), j.cancel) : errno;
      if (error != 0)
        return failed("write", s.path, error);
      if (auto bad = differs(r.stage(), n, s, j.cancel))
        return bad;
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
    bad = carry_out(r, steps, at, out);
  if (bad) {
    if (!r.has("plan"))
      remove_below(journal.get(), out.id.c_str(), nullptr);
    return std::move(*bad);
  }
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
  if (auto before = open_in(past.get(), "undo")) {
    run first{std::move(before), id, true};
    if (first.has("done"))
      return failure{fault::missing, "that was undone already", {}};
    if (first.has("plan")) // what it holds is needed to end it
      return failure{fault::busy, "an undo of it was broken off, and cannot be ended yet", {}};
  }
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
      error = snapshots::is_set(cancel) ? ECANCELED
              : from                    ? put_aside(r.stage(), std::to_string(n), steps[n].after, from.get(), cancel)
                                        : errno;
      if (steps[n].after.uid != owner)
        out.yours.push_back(steps[n].path);
    }
  std::optional<failure> bad;
  if (error != 0) {
    r.clear(at);
    bad = failed("put back what was in", path, error);
  } else {
    bad = carry_out(r, steps, at, out);
  }
  if (bad) {
    if (!r.has("plan"))
      remove_below(past.get(), "undo", nullptr);
    return std::move(*bad);
  }
  remove_below(past.get(), "old", nullptr);
  return out;
}

} // namespace conclave::delivery
