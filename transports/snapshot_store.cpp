// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/snapshot_store.hpp"

#include "protocols/path_policy.hpp"
#include "protocols/text.hpp"
#include "transports/snapshot_objects.hpp"
#include "transports/snapshot_read.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

namespace conclave::snapshots {

std::string_view to_string(fault f) {
  static constexpr std::string_view names[] = {"over_limit", "disk_full", "unsettled", "missing", "exists", "not_a_file",
                                               "damaged",    "drifted",   "denied",    "busy",    "io",     "cancelled"};
  auto i = static_cast<std::size_t>(f);
  return i < std::size(names) ? names[i] : "io";
}

std::string_view to_string(change_kind k) {
  static constexpr std::string_view names[] = {"added", "modified", "removed", "mode"};
  auto i = static_cast<std::size_t>(k);
  return i < std::size(names) ? names[i] : "modified";
}

change_kind change::kind() const {
  if (before.kind == entry_kind::none)
    return change_kind::added;
  if (after.kind == entry_kind::none)
    return change_kind::removed;
  auto plain_file = [](entry_kind k) { return k == entry_kind::file || k == entry_kind::executable; };
  return plain_file(before.kind) && plain_file(after.kind) && before.sha256 == after.sha256 ? change_kind::mode
                                                                                            : change_kind::modified;
}

failure no_snapshot(const std::string& id) {
  return {fault::missing, "there is no snapshot " + shown_text(id, 64), {}};
}

std::optional<failure> open_snapshot(const std::string& home, const std::string& id, objects& kept, wire::digest& root) {
  if (!wire::from_hex(id, root))
    return no_snapshot(id);
  if (auto error = kept.open(home, false); error != 0)
    return error == ENOENT ? no_snapshot(id) : failed("open the snapshot store", home, error);
  if (!kept.has('t', root))
    return no_snapshot(id);
  return {};
}

namespace {

using visitor = std::function<std::optional<failure>(const std::string& path, const tree_entry& e, bool& enough)>;

std::optional<failure> walk_tree(const objects& kept, const wire::digest& hash, std::string& path, const visitor& visit,
                                 bool& enough) {
  std::string text;
  if (auto bad = kept.read_tree(hash, text))
    return bad;
  tree_reader in{text};
  tree_entry e;
  auto length = path.size();
  while (!enough && in.next(e)) {
    path.resize(length);
    if (length > 0)
      path += '/';
    path += e.name;
    auto bad = visit(path, e, enough);
    if (!bad && !enough && e.kind == entry_kind::folder)
      bad = walk_tree(kept, e.hash, path, visit, enough);
    if (bad)
      return bad;
  }
  path.resize(length);
  if (!in.good())
    return failure{fault::damaged, "the snapshot store is damaged: " + kept.home() + "/trees/" + objects::place(hash), {}};
  return {};
}

void count(placed& out, const tree_entry& e) {
  if (e.kind == entry_kind::folder)
    ++out.dirs;
  else
    ++out.files;
  if (e.kind == entry_kind::file || e.kind == entry_kind::executable)
    out.bytes += e.size;
}

result<placed> walked(const objects& kept, const wire::digest& root, const visitor& visit) {
  placed out;
  std::string path;
  bool enough = false;
  auto bad = walk_tree(
      kept, root, path,
      [&](const std::string& at, const tree_entry& e, bool& stop) {
        count(out, e);
        return visit(at, e, stop);
      },
      enough);
  if (bad)
    return std::move(*bad);
  return out;
}

/// Goes down a path; `out` has no name.
std::optional<failure> go_down(const objects& kept, const wire::digest& root, const std::string& path, tree_entry& out) {
  auto absent = [&] { return failure{fault::missing, "the snapshot has no " + path_policy::shown(path), {}}; };
  out = {entry_kind::folder, 0, root, {}};
  for (std::size_t i = 0; i < path.size();) {
    auto end = std::min(path.find('/', i), path.size());
    auto name = std::string_view{path}.substr(i, end - i);
    i = end + 1;
    if (name.empty() || name == ".")
      continue;
    if (out.kind != entry_kind::folder)
      return absent();
    std::string text;
    if (auto bad = kept.read_tree(out.hash, text))
      return bad;
    tree_reader in{text};
    tree_entry e;
    bool there = false;
    while (!there && in.next(e))
      there = e.name == name;
    if (!there)
      return absent();
    out = {e.kind, e.size, e.hash, {}};
  }
  return {};
}

} // namespace

result<taken> store::hold(const std::string& id, const std::string& holder) const {
  if (!is_holder(holder))
    return failure{fault::denied, "'" + shown_text(holder) + "' is no name of a holder of snapshots", {}};
  objects kept;
  wire::digest root;
  if (auto bad = open_snapshot(home_, id, kept, root))
    return std::move(*bad);
  auto lock = kept.lock(false, true, nullptr);
  if (!lock)
    return failed("lock the snapshot store", home_, errno);
  auto note = kept.held_by_anyone(id);
  if (!note)
    return no_snapshot(id);
  arrival box;
  auto error = box.open(kept);
  if (error == 0 && !kept.held(holder, id))
    error = box.publish(holder, id, *note);
  if (error != 0)
    return failed("keep a snapshot in", home_, error);
  taken out;
  out.id = id;
  out.files = note->files;
  out.dirs = note->dirs;
  out.bytes = note->bytes;
  return out;
}

std::vector<std::string> store::held(const std::string& holder) const {
  objects kept;
  std::vector<std::string> out;
  if (!is_holder(holder) || kept.open(home_, false) != 0)
    return out;
  descriptor own{::openat(kept.holders(), holder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
  if (own && names_in(own.get(), out) != 0)
    out.clear();
  std::erase_if(out, [](const std::string& n) { return !wire::is_sha256(n); });
  return out;
}

result<placed> store::walk(const std::string& id, const std::function<bool(const std::string&, const entry&)>& visit) const {
  objects kept;
  wire::digest root;
  if (auto bad = open_snapshot(home_, id, kept, root))
    return std::move(*bad);
  return walked(kept, root, [&](const std::string& path, const tree_entry& e, bool& enough) {
    enough = !visit(path, plain(e));
    return std::optional<failure>{};
  });
}

result<listing> store::list(const std::string& id, std::size_t limit, std::size_t skip) const {
  listing out;
  auto all = walk(id, [&](const std::string& path, const entry& e) {
    if (skip > 0) {
      --skip;
      return true;
    }
    out.more = out.entries.size() >= limit;
    if (!out.more)
      out.entries.push_back({path, e});
    return !out.more;
  });
  if (auto* bad = std::get_if<failure>(&all))
    return std::move(*bad);
  return out;
}

result<entry> store::find(const std::string& id, const std::string& path) const {
  objects kept;
  wire::digest root;
  tree_entry e;
  if (auto bad = open_snapshot(home_, id, kept, root))
    return std::move(*bad);
  if (auto bad = go_down(kept, root, path, e))
    return std::move(*bad);
  return plain(e);
}

result<piece> store::read(const std::string& id, const std::string& path, std::uint64_t offset, std::size_t limit) const {
  objects kept;
  wire::digest root;
  tree_entry e;
  if (auto bad = open_snapshot(home_, id, kept, root))
    return std::move(*bad);
  if (auto bad = go_down(kept, root, path, e))
    return std::move(*bad);
  if (e.kind == entry_kind::folder)
    return failure{fault::not_a_file, path_policy::shown(path) + " is a folder", {}};
  descriptor fd{kept.open_file(e.hash)};
  if (!fd)
    return damaged(kept, e.hash, path);
  piece out;
  if (e.kind == entry_kind::link) {
    auto error = read_whole(fd.get(), out.bytes, 4096);
    if (error != 0)
      return failed("read", path, error);
    return failure{fault::not_a_file, path_policy::shown(path) + " is a link to " + path_policy::shown(out.bytes), {}};
  }
  found what;
  if (look(fd.get(), "", what) != 0 || what.size != e.size)
    return damaged(kept, e.hash, path);
  out.size = e.size;
  auto size = std::min<std::uint64_t>({limit, std::uint64_t{16} << 20, offset < e.size ? e.size - offset : 0});
  out.bytes.resize(static_cast<std::size_t>(size));
  auto n = read_at(fd.get(), out.bytes.data(), out.bytes.size(), offset);
  if (n < 0)
    return failed("read", path, errno);
  out.bytes.resize(static_cast<std::size_t>(n));
  return out;
}

failure damaged(const objects& kept, const wire::digest& hash, const std::string& path) {
  return {fault::damaged,
          "the snapshot store is damaged: " + kept.home() + "/files/" + objects::place(hash) + ", which holds "
              + path_policy::shown(path) + ", is missing or altered",
          {{path, 0, 0}}};
}

result<placed> store::verify(const std::string& id, cancel_flag cancel) const {
  objects kept;
  wire::digest root;
  if (auto bad = open_snapshot(home_, id, kept, root))
    return std::move(*bad);
  auto buffer = std::make_unique<char[]>(std::size_t{1} << 20);
  wire::sha256_stream stream;
  std::optional<failure> first;
  auto good = [&](int fd, const tree_entry& e) {
    std::uint64_t at = 0;
    for (std::int64_t n = 0; (n = read_at(fd, buffer.get(), std::size_t{1} << 20, at)) > 0 && !is_set(cancel);) {
      stream.add({buffer.get(), static_cast<std::size_t>(n)});
      at += static_cast<std::uint64_t>(n);
    }
    return stream.end() == e.hash && at == e.size;
  };
  auto all = walked(kept, root, [&](const std::string& path, const tree_entry& e, bool&) -> std::optional<failure> {
    if (e.kind == entry_kind::folder)
      return {};
    descriptor fd{kept.open_file(e.hash)};
    auto fine = fd && good(fd.get(), e);
    if (is_set(cancel))
      return failed("", "", ECANCELED);
    if (fine)
      return {};
    if (!first)
      first = damaged(kept, e.hash, path);
    else if (first->largest.size() < 8)
      first->largest.push_back({path, e.size, 1});
    return {};
  });
  if (first && std::holds_alternative<placed>(all))
    return std::move(*first);
  return all;
}

namespace {

std::optional<failure> lack_of(const objects& kept, const wire::digest& tree, const std::string& path,
                               std::set<std::string>& whole) {
  auto name = wire::to_hex(tree);
  if (whole.count(name) > 0)
    return {};
  std::string text;
  if (auto bad = kept.read_tree(tree, text))
    return bad;
  tree_reader in{text};
  tree_entry e;
  while (in.next(e)) {
    auto at = path.empty() ? std::string{e.name} : path + "/" + std::string{e.name};
    if (e.kind == entry_kind::folder) {
      if (auto bad = lack_of(kept, e.hash, at, whole))
        return bad;
    } else if (found what;
               look(kept.files(), objects::place(e.hash).c_str(), what) != 0 || !what.is_file() || what.size != e.size) {
      return damaged(kept, e.hash, at);
    }
  }
  if (!in.good())
    return failure{fault::damaged, "the snapshot store is damaged: " + kept.home() + "/trees/" + objects::place(tree), {}};
  whole.insert(std::move(name));
  return {};
}

} // namespace

std::optional<failure> store::lack(const std::string& id, std::set<std::string>& whole) const {
  objects kept;
  wire::digest root;
  if (auto bad = open_snapshot(home_, id, kept, root))
    return bad;
  return lack_of(kept, root, {}, whole);
}

int store::open_object(const std::string& sha256) const {
  objects kept;
  wire::digest hash;
  if (!wire::from_hex(sha256, hash)) {
    errno = EINVAL;
    return -1;
  }
  if (auto error = kept.open(home_, false); error != 0) {
    errno = error;
    return -1;
  }
  return kept.open_file(hash);
}

} // namespace conclave::snapshots
