// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/workspace_calls.hpp"
#include "transports/file_tools.hpp"
#include "transports/file_tools_parts.hpp"

#include <utility>

namespace conclave {

namespace wt = workspace_tools;

using path_policy::access;
using path_policy::denial;
using path_policy::shown;

std::string file_tools::carry_out(const wt::delete_file& c) {
  auto a = at(c.path, access::remove);
  auto there = a.dir->look(a.relative);
  check(a, there.error);
  wt::delete_result r;
  r.path = c.path;
  switch (there.value.kind) {
  case entry_kind::special:
    fail(a, {dir_fault::special, a.relative, 0});
  case entry_kind::link: // the link alone; what it leads to stays
    r.link = true;
    check(a, a.dir->remove(a.relative, there.value));
    break;
  case entry_kind::file:
    r.size = there.value.size;
    may_go(a, access::remove, {{}, {}, {present(a, a.relative, there.value)}}, true);
    check(a, a.dir->remove(a.relative, there.value));
    break;
  case entry_kind::folder: {
    r.directory = true;
    auto below = everything_below(a);
    if (!c.recursive && !below.paths.empty())
      refuse(denial::none, shown(c.path) + " is not empty. Set recursive to delete it with all that it holds.");
    may_go(a, access::remove, below, true);
    r.file_count = below.files.size();
    try {
      remove_known(a, below, false);
    } catch (refusal& why) {
      if (why.fault.code == denial::timeout)
        why.fault.text += " Part of " + shown(c.path) + " is deleted already: call it again for the rest.";
      throw;
    }
    break;
  }
  }
  tracker_.removed(a.absolute);
  return wire::to_json(c, r);
}

std::string file_tools::carry_out(const wt::delete_files_batch& c) {
  auto a = at(c.base, access::modify);
  auto include = patterns(c.include), exclude = patterns(c.exclude);
  struct item {
    std::string path;
    entry_facts facts;
  };
  std::vector<item> chosen;
  std::vector<present_file> files;
  wt::batch_result r;
  std::size_t seen = 0;
  auto under = [&a](const std::string& path) { return a.relative.empty() ? path : a.relative + "/" + path; };
  auto visit = [&](const walked& w) {
    if (++seen > settings_.bounds.walked || chosen.size() == settings_.bounds.batch_files) {
      r.note = "cut at " + std::to_string(chosen.size()) + " files: call it again, or on a directory below";
      return walk_step::stop;
    }
    auto skip = [&](std::string why) {
      if (r.skipped.size() < settings_.bounds.batch_files)
        r.skipped.push_back({w.path, std::move(why)});
      return walk_step::over;
    };
    auto folder = w.facts.kind == entry_kind::folder;
    if (!folder && (!include.matches(w.path) || exclude.matches(w.path)))
      return walk_step::on;
    if (w.fault != dir_fault::none)
      return skip("it " + to_text({w.fault, w.path, 0}));
    auto v = judge(a.below(under(w.path)), access::remove);
    if (folder) // stays, but what lies below a name that is never deleted is not looked at
      return v.code == denial::excluded ? skip(reason_of({v.code, v.text})) : walk_step::on;
    if (!v.ok())
      return skip(reason_of({v.code, v.text}));
    if (w.facts.kind == entry_kind::special)
      return skip("it is neither a regular file nor a directory");
    chosen.push_back({w.path, w.facts});
    if (w.facts.kind == entry_kind::file)
      files.push_back(present(a, under(w.path), w.facts));
    return walk_step::on;
  };
  auto folder = a.dir->look(a.relative);
  check(a, folder.error);
  if (folder.value.kind == entry_kind::link)
    fail(a, {dir_fault::link, a.relative, 0});
  check(a, a.dir->walk(a.relative, walking(), visit));
  if (auto fault = tracker_.judge_removal(c.base, files))
    throw refusal{*fault};
  std::size_t number = 0;
  for (auto& f : chosen) {
    if (cut_short(r, chosen.size() - number++))
      break;
    auto e = a.dir->remove(under(f.path), f.facts);
    if (!e.ok()) {
      r.errors.push_back({f.path, "it " + to_text(e)});
      continue;
    }
    tracker_.removed(a.below(under(f.path)));
    r.done.push_back({a.below(under(f.path)), {}, f.path, f.facts.size, {}, {}});
  }
  return wire::to_json(c, r);
}

} // namespace conclave
