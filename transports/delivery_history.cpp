// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/text.hpp"
#include "transports/delivery_journal.hpp"

#include <algorithm>
#include <fcntl.h>
#include <unistd.h>

namespace conclave::delivery {

using snapshots::failed;
using snapshots::look;
using snapshots::remove_below;

std::vector<past> history(const std::string& journal_path) {
  std::vector<std::pair<snapshots::moment, past>> all;
  auto journal = open_in(AT_FDCWD, journal_path);
  std::vector<std::string> names;
  if (journal && snapshots::names_in(journal.get(), names) == 0)
    for (auto& id : names) {
      auto folder = is_id(id) ? open_in(journal.get(), id) : descriptor{};
      found done, undone;
      if (!folder || look(folder.get(), "done", done) != 0)
        continue;
      past p;
      p.id = id;
      p.applied_ms = done.modified / 1'000'000;
      p.undone_ms = look(folder.get(), "undo/done", undone) == 0 ? undone.modified / 1'000'000 : 0;
      std::uint64_t inode = 0;
      run past_run{std::move(folder), id, false};
      past_run.read_target(p.target, inode);
      std::vector<step> plan;
      if (past_run.read_plan(plan) == 0)
        p.files = static_cast<std::uint64_t>(std::count_if(
            plan.begin(), plan.end(), [](auto& s) { return s.what != act::make_folder && s.what != act::remove_folder; }));
      all.emplace_back(done.modified, std::move(p));
    }
  std::stable_sort(all.begin(), all.end(), [](auto& a, auto& b) { return a.first < b.first; });
  std::vector<past> out;
  out.reserve(all.size());
  for (auto& [when, p] : all)
    out.push_back(std::move(p));
  return out;
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
