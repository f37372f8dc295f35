// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What a journal tells of the deliveries that are over.

#include "protocols/text.hpp"
#include "transports/delivery_journal.hpp"

#include <algorithm>
#include <fcntl.h>
#include <sstream>
#include <unistd.h>

namespace conclave::delivery {

using snapshots::failed;
using snapshots::look;
using snapshots::remove_below;

namespace {

constexpr const char* noted = "noted";

bool is_there(int folder, const std::string& name) {
  return ::faccessat(folder, name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/// Calls `use` with each delivery's folder, until it returns false.
void each(const std::string& journal_path, const std::function<bool(const std::string& id, descriptor folder)>& use) {
  auto journal = open_in(AT_FDCWD, journal_path);
  std::vector<std::string> names;
  if (journal && snapshots::names_in(journal.get(), names) == 0)
    for (auto& id : names)
      if (auto folder = is_id(id) ? open_in(journal.get(), id) : descriptor{}; folder && !use(id, std::move(folder)))
        return;
}

/// A plan that cannot be read has no steps.
std::vector<step> plan_of(const run& r) {
  std::vector<step> out;
  return r.read_plan(out) == 0 ? out : std::vector<step>{};
}

/// How many paths were written: not the folders that stayed.
std::uint64_t paths_of(const run& r, const std::vector<step>& plan) {
  descriptor fd{snapshots::open_file(r.folder(), "done")};
  std::string text, word;
  std::uint64_t count = 0;
  if (!fd || snapshots::read_whole(fd.get(), text, 64) != 0)
    return plan.size();
  std::istringstream in{text};
  return in >> word >> count ? count : plan.size(); // those of old say no more than that they are done
}

} // namespace

std::vector<past> history(const std::string& journal_path) {
  std::vector<std::pair<snapshots::moment, past>> all;
  each(journal_path, [&all](const std::string& id, descriptor folder) {
    found done, undone;
    if (look(folder.get(), "done", done) != 0)
      return true;
    past p;
    p.id = id;
    p.applied_ms = done.modified / 1'000'000;
    if (auto undo = open_in(folder.get(), "undo"); undo && look(undo.get(), "done", undone) == 0) {
      p.undone_ms = undone.modified / 1'000'000;
      run undoing{std::move(undo), id, true};
      p.paths_undone = paths_of(undoing, plan_of(undoing));
    }
    std::uint64_t inode = 0;
    run past_run{std::move(folder), id, false};
    past_run.read_target(p.target, inode);
    auto plan = plan_of(past_run);
    p.paths = paths_of(past_run, plan);
    p.files = static_cast<std::uint64_t>(std::count_if(
        plan.begin(), plan.end(), [](auto& s) { return s.what != act::make_folder && s.what != act::remove_folder; }));
    all.emplace_back(done.modified, std::move(p));
    return true;
  });
  std::stable_sort(all.begin(), all.end(), [](auto& a, auto& b) { return a.first < b.first; });
  std::vector<past> out;
  out.reserve(all.size());
  for (auto& [when, p] : all)
    out.push_back(std::move(p));
  return out;
}

bool has_unnoted(const std::string& journal_path) {
  auto out = false;
  each(journal_path, [&out](const std::string&, descriptor folder) {
    auto at = folder.get();
    out = (is_there(at, "done") && !is_there(at, noted))
          || (is_there(at, "undo/done") && !is_there(at, std::string{"undo/"} + noted));
    return !out;
  });
  return out;
}

void mark_noted(const std::string& journal_path, const std::vector<past>& all) {
  auto mark = [](int folder) { descriptor{::openat(folder, noted, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600)}; };
  auto journal = open_in(AT_FDCWD, journal_path);
  for (auto& p : all)
    if (auto folder = journal && is_id(p.id) ? open_in(journal.get(), p.id) : descriptor{}) {
      mark(folder.get());
      if (auto undo = p.undone() ? open_in(folder.get(), "undo") : descriptor{})
        mark(undo.get());
    }
}

std::string forget(const std::string& journal_path, const std::string& id) {
  descriptor journal, lock;
  if (auto bad = open_journal(journal_path, false, journal, lock))
    return bad->kind == fault::missing ? std::string{} : bad->text;
  auto folder = is_id(id) ? open_in(journal.get(), id) : descriptor{};
  if (!folder)
    return {};
  // What is not finished is not forgotten.
  if (::faccessat(folder.get(), "done", F_OK, 0) != 0)
    return "it is not finished: it ends at the next start";
  auto error = remove_below(journal.get(), id.c_str(), nullptr);
  return error == 0 ? std::string{} : failed("delete", journal_path + "/" + id, error).text;
}

} // namespace conclave::delivery
