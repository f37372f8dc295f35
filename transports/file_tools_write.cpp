// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/line_diff.hpp"
#include "transports/file_tools.hpp"
#include "transports/file_tools_parts.hpp"

#include <utility>

namespace conclave {

namespace wt = workspace_tools;

using path_policy::access;
using path_policy::denial;
using path_policy::shown;

namespace {

/// Counts where `what` begins in `text`, twice at most; they do not overlap.
int occurrences(const std::string& text, const std::string& what) {
  auto first = text.find(what);
  if (first == std::string::npos)
    return 0;
  return text.find(what, first + what.size()) == std::string::npos ? 1 : 2;
}

std::string with_crlf(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r'))
      out += '\r';
    out += text[i];
  }
  return out;
}

} // namespace

void file_tools::judge_replaced(const aim& to, const std::string& relative, const entry_facts& f) const {
  if (f.kind != entry_kind::file)
    return; // the write itself says what is wrong
  if (auto fault = tracker_.judge_overwrite(to.given, present(to, relative, f)))
    throw refusal{*fault};
}

bool file_tools::holds(const aim& a, const entry_facts& f, const std::string& content) const {
  if (f.kind != entry_kind::file || f.size != content.size() || !may(a.absolute, access::read))
    return false;
  auto file = a.dir->open_file(a.relative);
  if (!file.ok() || identity_of(file.value.facts) != identity_of(f))
    return false;
  auto read = read_bytes(file.value.fd.get(), 0, content.size() + 1, stop());
  return read.ok() && read.value == content;
}

std::string file_tools::carry_out(const wt::write_file& c) {
  auto a = at(c.path, access::create);
  need_room(a, c.content.size());
  write_options o;
  o.existing = if_exists::fail;
  auto old = a.dir->look(a.relative);
  if (old.ok()) {
    a = at(c.path, access::modify);
    if (holds(a, old.value, c.content)) { // as after a crash, where this call is made again
      tracker_.read(a.absolute, identity_of(old.value));
      return "Successfully wrote to " + line_of(c.path);
    }
    pause(); // what was not read to its end is not known to differ
    judge_replaced(a, a.relative, old.value);
    o.existing = if_exists::replace;
    o.expected = old.value;
  } else if (old.error.what == dir_fault::absent) {
    make_folders(a, parent_path(a.relative));
  } else {
    fail(a, old.error);
  }
  auto written = a.dir->write(a.relative, c.content, o);
  check(a, written.error);
  if (old.ok())
    tracker_.wrote(a.absolute, identity_of(written.value));
  else
    tracker_.created(a.absolute, identity_of(written.value));
  return "Successfully wrote to " + line_of(c.path);
}

std::string file_tools::carry_out(const wt::edit_file& c) {
  auto a = at(c.path, c.dry_run ? access::read : access::modify);
  if (!may(a.absolute, access::read))
    a = at(c.path, access::read);
  auto looked = a.dir->look(a.relative);
  check(a, looked.error);
  if (looked.value.kind == entry_kind::link && !c.dry_run)
    fail(a, {dir_fault::link, a.relative, 0});
  auto file = open_to_read(a);
  auto before = whole_text(a, file);
  auto after = before;
  int number = 0;
  for (auto& e : c.edits) {
    ++number;
    auto old_text = e.old_text, new_text = e.new_text;
    auto count = occurrences(after, old_text);
    if (count == 0 && after.find("\r\n") != std::string::npos) { // models write line feeds alone
      old_text = with_crlf(old_text);
      new_text = with_crlf(new_text);
      count = occurrences(after, old_text);
    }
    if (count != 1)
      refuse(denial::none, shown(c.path) + " is unchanged: oldText of edit " + std::to_string(number)
                               + (count == 0 ? " is not in it, letter by letter. Read the file, then copy what is there."
                                             : " is in it more than once. Give more of the lines around it."));
    after.replace(after.find(old_text), old_text.size(), new_text);
    if (after.size() > settings_.bounds.edit_bytes)
      refuse(denial::size,
             shown(c.path) + " is unchanged: it would grow beyond " + std::to_string(settings_.bounds.edit_bytes) + " bytes.");
    pause();
  }
  auto diff = unified_diff(before, after, settings_.bounds.diff_lines);
  auto text = "```diff\n--- " + line_of(c.path) + "\n+++ " + line_of(c.path) + "\n" + diff + "```\n";
  if (c.dry_run)
    return text;
  need_room(a, after.size());
  write_options o;
  o.expected = file.facts; // not if someone else wrote it meanwhile
  auto written = a.dir->write(a.relative, after, o);
  check(a, written.error);
  tracker_.wrote(a.absolute, identity_of(written.value));
  return text;
}

std::string file_tools::carry_out(const wt::create_directory& c) {
  auto a = at(c.path, access::create);
  make_folders(a, a.relative);
  return "Successfully created directory " + line_of(c.path);
}

std::string file_tools::carry_out(const wt::move_file& c) {
  auto from = at(c.source, access::remove);
  auto to = at(c.destination, access::create);
  if (to.absolute == from.absolute || to.absolute.starts_with(from.absolute + "/"))
    refuse(denial::args, shown(c.source) + " cannot be moved onto or into itself.");
  auto source = from.dir->look(from.relative);
  check(from, source.error);
  auto target = to.dir->look(to.relative);
  if (target.ok())
    refuse(denial::none, shown(c.destination) + " exists already. Choose another name, or delete it first.");
  if (target.error.what != dir_fault::absent)
    fail(to, target.error);
  files_below below;
  if (source.value.kind == entry_kind::folder)
    below = everything_below(from);
  may_go(from, access::remove, below, false);
  for (auto& p : below.paths) {
    pause();
    need(to.absolute + "/" + p, access::create);
  }
  if (source.value.kind == entry_kind::folder)
    judge_depth(to, to.relative);
  for (auto& [path, facts] : below.facts)
    if (facts.kind == entry_kind::folder)
      judge_depth(to, to.relative + "/" + path);
  if (from.root != to.root) {
    auto is_link = [](const entry_facts& f) { return f.kind == entry_kind::link; };
    for (auto& [path, facts] : below.facts)
      if (is_link(facts))
        refuse(denial::symlink,
               shown(c.source) + " holds the symbolic link " + shown(path) + ", which does not go to another folder.");
    if (is_link(source.value))
      fail(from, {dir_fault::link, from.relative, 0});
  }
  make_folders(to, parent_path(to.relative));
  auto moved = from.dir->move(from.relative, *to.dir, to.relative);
  if (moved.what == dir_fault::mount && from.base != to.base) { // another file system
    if (source.value.kind == entry_kind::folder) {
      auto plan = plan_copy(from, nullptr, nullptr);
      if (plan.cut || !plan.dropped.empty())
        refuse(denial::size, shown(c.source) + " cannot be moved there whole. Copy what you need of it.");
      need_room(to, plan.bytes);
      copy_whole(from, to, plan, [this] { pause(); });
      remove_known(from, below, true);
    } else {
      need_room(to, source.value.size);
      copy_one(from, from.relative, to, to.relative, if_exists::fail, std::nullopt, true);
      check(from, from.dir->remove(from.relative, source.value));
    }
    tracker_.removed(from.absolute);
  } else {
    check(moved.path == to.relative ? to : from, moved);
    std::optional<file_identity> now;
    if (auto f = to.dir->look(to.relative); f.ok() && f.value.kind == entry_kind::file)
      now = identity_of(f.value);
    tracker_.moved(from.absolute, to.absolute, now);
  }
  return "Successfully moved " + line_of(c.source) + " to " + line_of(c.destination);
}

} // namespace conclave
