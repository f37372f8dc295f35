// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/workspace_calls.hpp"
#include "transports/file_tools.hpp"
#include "transports/file_tools_parts.hpp"

#include <atomic>
#include <utility>

namespace conclave {

namespace wt = workspace_tools;

using path_policy::access;
using path_policy::denial;
using path_policy::root_kind;
using path_policy::shown;

namespace {

std::string under(const std::string& folder, const std::string& path) {
  return folder.empty() ? path : path.empty() ? folder : folder + "/" + path;
}

/// Whether a link at `path` stays in the folder that is copied, by what it says.
bool stays_within(const std::string& path, const std::string& target) {
  if (target.empty() || target.front() == '/')
    return false;
  long depth = 0;
  for (char c : path)
    depth += c == '/';
  for (std::size_t at = 0; at <= target.size();) {
    auto end = std::min(target.find('/', at), target.size());
    auto part = target.substr(at, end - at);
    if (part == "..")
      --depth;
    else if (!part.empty() && part != ".")
      ++depth;
    if (depth < 0)
      return false;
    at = end + 1;
  }
  return true;
}

std::string copy_name(const std::string& beside) {
  static std::atomic<unsigned> count{0};
  return under(parent_path(beside), ".conclave-copy-" + std::to_string(++count) + ".tmp");
}

} // namespace

file_tools::copy_plan file_tools::plan_copy(const aim& from, const std::vector<std::string>* include,
                                            const std::vector<std::string>* exclude) const {
  copy_plan plan;
  auto wanted = include != nullptr ? patterns(*include) : glob_walk();
  auto unwanted = exclude != nullptr ? patterns(*exclude) : glob_walk();
  std::size_t seen = 0;
  auto visit = [&](const walked& w) {
    if (++seen > settings_.bounds.walked) {
      plan.cut = true;
      return walk_step::stop;
    }
    auto folder = w.facts.kind == entry_kind::folder;
    if (!folder && include != nullptr && (!wanted.matches(w.path) || unwanted.matches(w.path)))
      return walk_step::on;
    auto drop = [&](std::string why) {
      if (plan.dropped.size() < settings_.bounds.batch_files)
        plan.dropped.push_back({w.path, std::move(why)});
      return walk_step::over;
    };
    auto v = judge(from.below(under(from.relative, w.path)), folder ? access::list : access::read);
    if (!v.ok())
      return drop(reason_of({v.code, v.text}));
    if (w.fault != dir_fault::none)
      return drop("it " + to_text({w.fault, w.path, 0}));
    if (folder) {
      plan.folders.push_back({w.path, w.facts, {}});
    } else if (w.facts.kind == entry_kind::link) {
      auto target = from.dir->link_target(under(from.relative, w.path));
      if (include != nullptr || !target.ok() || !stays_within(w.path, target.value))
        return drop(
            std::string(path_policy::to_string(denial::symlink))
            + (include != nullptr ? ": symbolic links are not copied" : ": a symbolic link that leads out of the directory"));
      plan.links.push_back({w.path, w.facts, target.value});
    } else if (w.facts.kind == entry_kind::special) {
      return drop("it is neither a regular file nor a directory");
    } else {
      if (plan.files.size() == settings_.bounds.batch_files) {
        plan.cut = true;
        return walk_step::stop;
      }
      plan.bytes += w.facts.size;
      plan.files.push_back({w.path, w.facts, {}});
    }
    return walk_step::on;
  };
  check(from, from.dir->walk(from.relative, walking(), visit));
  return plan;
}

void file_tools::copy_one(const aim& from, const std::string& source, const aim& to, const std::string& target, if_exists existing,
                          const std::optional<entry_facts>& expected, bool durable) {
  auto file = from.dir->open_file(source);
  check(from, file.error);
  need(from.below(file.value.path), access::read);
  write_options o;
  o.existing = existing;
  o.expected = expected;
  o.mode = (file.value.facts.mode & 0777U) | 0600U; // views are read-only, copies of them are not
  o.durable = durable;
  make_folders(to, parent_path(target));
  auto written = to.dir->write_from(target, file.value.fd.get(), settings_.bounds.copy_bytes, o, stop());
  check(to, written.error);
  if (existing == if_exists::fail)
    tracker_.created(to.below(target), identity_of(written.value));
  else
    tracker_.wrote(to.below(target), identity_of(written.value));
}

void file_tools::copy_tree(const aim& from, const aim& to, copy_plan& plan) {
  make_folders(to, to.relative);
  for (auto& f : plan.folders)
    make_folders(to, under(to.relative, f.path));
  for (auto& f : plan.files) {
    pause();
    copy_one(from, under(from.relative, f.path), to, under(to.relative, f.path), if_exists::fail, std::nullopt, false);
  }
  for (auto& l : plan.links) {
    if (to.root->kind != root_kind::workspace)
      plan.dropped.push_back({l.path, std::string(path_policy::to_string(denial::symlink)) + ": links stay in your workspace"});
    else
      check(to, to.dir->make_link(under(to.relative, l.path), l.link));
  }
  check(to, to.dir->sync());
}

void file_tools::copy_whole(const aim& from, const aim& to, copy_plan& plan, const std::function<void()>& make_way) {
  make_folders(to, parent_path(to.relative));
  auto beside = to; // complete before it gets its name
  beside.relative = copy_name(to.relative);
  beside.absolute = beside.below(beside.relative);
  try {
    copy_tree(from, beside, plan);
    make_way();
    check(to, beside.dir->move(beside.relative, *to.dir, to.relative));
  } catch (const refusal&) {
    static_cast<void>(
        beside.dir->remove_tree(beside.relative, {settings_.bounds.depth, nullptr}, [](const walked&) { return walk_step::on; }));
    tracker_.removed(beside.absolute);
    throw;
  }
  tracker_.moved(beside.absolute, to.absolute);
}

bool file_tools::is_copy(const aim& from, const entry_facts& f, const aim& to, const entry_facts& t) const {
  auto files = f.kind == entry_kind::file && t.kind == entry_kind::file && to.absolute != from.below(from.relative);
  if (!files || f.size != t.size || ((f.mode ^ t.mode) & 0111U) != 0 || !may(to.absolute, access::read))
    return false;
  auto a = from.dir->open_file(from.relative), b = to.dir->open_file(to.relative);
  return a.ok() && b.ok() && same_content(a.value, b.value);
}

std::string file_tools::carry_out(const wt::copy_file& c) {
  auto from = at(c.source, access::read);
  auto to = at(c.destination, access::create);
  auto found = from.dir->find(from.relative);
  check(from, found.error);
  check_found(from, found.value.path, access::read);
  from.relative = found.value.path;
  wt::copy_result r;
  r.source = c.source;
  r.destination = c.destination;
  r.directory = found.value.facts.kind == entry_kind::folder;
  if (found.value.facts.kind == entry_kind::special)
    fail(from, {dir_fault::special, from.relative, 0});
  auto old = to.dir->look(to.relative);
  if (!old.ok() && old.error.what != dir_fault::absent)
    fail(to, old.error);
  if (old.ok() && is_copy(from, found.value.facts, to, old.value)) { // as after a crash, where this call is made again
    r.size = old.value.size;
    tracker_.read(to.absolute, identity_of(old.value));
    return wire::to_json(c, r);
  }
  if (old.ok() && !c.overwrite)
    refuse(denial::none, shown(c.destination) + " exists already. Choose another name, or set overwrite.");
  auto source = from.below(from.relative);
  if (to.absolute == source || to.absolute.starts_with(source + "/"))
    refuse(denial::args, shown(c.source) + " cannot be copied onto or into itself.");
  if (old.ok() && old.value.kind == entry_kind::folder && !r.directory)
    fail(to, {dir_fault::folder, to.relative, 0});
  if (old.ok() && old.value.kind != entry_kind::folder && r.directory)
    fail(to, {dir_fault::not_folder, to.relative, 0});
  if (!r.directory) {
    r.size = found.value.facts.size;
    if (r.size > settings_.bounds.copy_bytes)
      fail(from, {dir_fault::too_large, from.relative, 0});
    need_room(to, r.size);
    std::optional<entry_facts> expected;
    if (old.ok()) {
      to = at(c.destination, access::modify);
      judge_replaced(to, to.relative, old.value);
      expected = old.value;
    }
    copy_one(from, from.relative, to, to.relative, old.ok() ? if_exists::replace : if_exists::fail, expected, true);
    return wire::to_json(c, r);
  }
  files_below replaced;
  if (old.ok()) {
    to = at(c.destination, access::remove);
    if (source.starts_with(to.absolute + "/"))
      refuse(denial::args, shown(c.destination) + " holds what is copied, and so cannot be replaced by it.");
    replaced = everything_below(to);
    may_go(to, access::remove, replaced, true);
  }
  auto plan = plan_copy(from, nullptr, nullptr);
  if (plan.cut || plan.bytes > settings_.bounds.copy_bytes)
    refuse(denial::size, shown(c.source) + " is too large for one call: at most " + std::to_string(settings_.bounds.batch_files)
                             + " files of " + std::to_string(settings_.bounds.copy_bytes) + " bytes. Copy directories below it.");
  need_room(to, plan.bytes);
  for (auto* list : {&plan.folders, &plan.files})
    for (auto& i : *list) {
      pause();
      need(to.absolute + "/" + i.path, access::create);
    }
  copy_whole(from, to, plan, [&] {
    pause();
    if (!old.ok())
      return;
    remove_known(to, replaced, true);
    tracker_.removed(to.absolute);
  });
  r.file_count = plan.files.size();
  r.dropped = std::move(plan.dropped);
  return wire::to_json(c, r);
}

std::string file_tools::carry_out(const wt::copy_files_batch& c) {
  auto from = at(c.source_base, access::list);
  auto to = at(c.destination_base, access::create);
  auto found = from.dir->find(from.relative);
  check(from, found.error);
  check_found(from, found.value.path, access::list);
  from.relative = found.value.path;
  auto plan = plan_copy(from, &c.include, &c.exclude);
  if (plan.bytes > settings_.bounds.copy_bytes)
    refuse(denial::size, shown(c.source_base) + " holds " + std::to_string(plan.bytes)
                             + " bytes that match; one call copies at most " + std::to_string(settings_.bounds.copy_bytes) + ".");
  need_room(to, plan.bytes);
  wt::batch_result r;
  r.skipped = std::move(plan.dropped);
  if (plan.cut)
    r.note = "cut at " + std::to_string(plan.files.size()) + " files: copy directories below, or use narrower patterns";
  std::size_t number = 0;
  for (auto& f : plan.files) {
    if (cut_short(r, plan.files.size() - number++))
      break;
    auto target = under(to.relative, f.path);
    try {
      auto one = to;
      one.given = to.below(target);
      need(one.given, access::create);
      auto old = to.dir->look(target);
      if (!old.ok() && old.error.what != dir_fault::absent)
        fail(one, old.error);
      if (old.ok() && !c.overwrite) {
        r.skipped.push_back({f.path, "it exists already in the destination; set overwrite to replace it"});
        continue;
      }
      std::optional<entry_facts> expected;
      if (old.ok()) {
        judge_replaced(one, target, old.value);
        expected = old.value;
      }
      copy_one(from, under(from.relative, f.path), one, target, old.ok() ? if_exists::replace : if_exists::fail, expected, false);
      r.done.push_back({from.below(under(from.relative, f.path)), one.given, f.path, f.facts.size, {}, {}});
    } catch (const refusal& why) {
      r.errors.push_back({f.path, reason_of(why.fault)});
    }
  }
  if (!r.done.empty())
    check(to, to.dir->sync());
  return wire::to_json(c, r);
}

} // namespace conclave
