// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Ends what processes that were killed had begun.

#include "protocols/path_policy.hpp"
#include "transports/delivery_journal.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace conclave::delivery {

using snapshots::failed;
using snapshots::look;
using snapshots::remove_below;

namespace {

/// Ends one run that was broken off. Returns whether nothing of it is left to do. `applied`: of an undo, the apply.
bool end_run(run& r, const std::string& journal, const std::string& id, const run* applied, recovered& out) {
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
  auto shown = path_policy::shown(out.target);
  if (!r.has("plan")) {
    r.clear(at);
    out.text = "nothing had been written to " + shown;
    return true;
  }
  auto later = [&](const failure& why) {
    out.text = "left for later: " + why.text;
    return false;
  };
  std::vector<step> steps, past;
  std::vector<left_out> kept;
  if (auto error = r.read_plan(steps); error != 0)
    return later(failed("read the journal of", out.target, error));
  auto error = r.open_stage(at);
  auto lost = error == ENOENT || r.has("lost") || (error == 0 && r.is_damaged(steps, at));
  if (lost) {
    auto olds = applied != nullptr && applied->read_plan(past) == 0 ? open_in(applied->folder(), "old") : descriptor{};
    error = r.mend_stage(steps, at, past, olds.get());
  }
  if (error != 0)
    return later(failed("open", out.target + "/" + r.stage_name(), error));
  std::size_t reached = 0;
  std::string why = "what had been begun in " + shown;
  if (r.has("back") || (lost && !r.undo())) {
    if (lost)
      why += ", as not all that it needs is there any more";
  } else if (auto stop = r.forward(steps, at, kept, reached)) {
    why += ": " + stop->text;
  } else {
    error = r.finish(at, steps.size() - kept.size());
    if (error != 0)
      return later(failed("finish writing", out.target, error));
    out.completed = true;
    out.text = "completed " + why;
    return true;
  }
  out.half = true;
  if (auto rest = r.take_back(steps, at, reached); !rest.empty())
    return later({fault::io, why + ": " + rest, {}});
  out.half = false;
  out.text = "taken back: " + why;
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
      if (end_run(r, journal_path, id, nullptr, what) && !what.completed)
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
    if (end_run(u, journal_path, id, &r, what) && !what.completed)
      remove_below(folder.get(), "undo", nullptr);
    out.push_back(std::move(what));
  }
  return out;
}

} // namespace conclave::delivery
