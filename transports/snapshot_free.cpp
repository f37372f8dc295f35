// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/text.hpp"
#include "transports/snapshot_read.hpp"
#include "transports/snapshot_store.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>
#include <unordered_set>

namespace conclave::snapshots {

namespace {

struct digest_hash {
  std::size_t operator()(const wire::digest& d) const {
    std::size_t out = 0;
    for (std::size_t i = 0; i < sizeof(out); ++i)
      out = out << 8 | d[i];
    return out;
  }
};
using digests = std::unordered_set<wire::digest, digest_hash>;

struct marks {
  digests trees, files;
};

std::optional<failure> mark(const objects& kept, const wire::digest& tree, marks& out, cancel_flag cancel) {
  if (is_set(cancel))
    return failed("", "", ECANCELED);
  if (!out.trees.insert(tree).second)
    return {};
  std::string text;
  if (auto bad = kept.read_tree(tree, text))
    return bad;
  tree_reader in{text};
  tree_entry e;
  while (in.next(e)) {
    if (e.kind != entry_kind::folder)
      out.files.insert(e.hash);
    else if (auto bad = mark(kept, e.hash, out, cancel))
      return bad;
  }
  if (!in.good())
    return failure{fault::damaged, "the snapshot store is damaged: " + kept.home() + "/trees/" + objects::place(tree), {}};
  return {};
}

/// Everything that some holder needs. A damaged folder ends it: nobody could tell what is in it.
std::optional<failure> mark_all(const objects& kept, marks& out, cancel_flag cancel) {
  std::vector<std::string> holders, ids;
  if (auto error = names_in(kept.holders(), holders); error != 0)
    return failed("list", kept.home() + "/held", error);
  for (auto& h : holders) {
    descriptor own{::openat(kept.holders(), h.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    if (auto error = own ? names_in(own.get(), ids) : errno; error != 0)
      return failed("list", kept.home() + "/held/" + h, error);
    for (auto& id : ids) {
      wire::digest root;
      if (wire::from_hex(id, root))
        if (auto bad = mark(kept, root, out, cancel))
          return bad;
    }
  }
  return {};
}

std::optional<failure> delete_unmarked(int area, const std::string& shown, const digests& marked, cancel_flag cancel, freed& out) {
  std::vector<std::string> folders, names;
  if (auto error = names_in(area, folders); error != 0)
    return failed("list", shown, error);
  for (auto& f : folders) {
    descriptor in{::openat(area, f.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    if (auto error = in ? names_in(in.get(), names) : errno; error != 0)
      return failed("list", shown + "/" + f, error);
    for (auto& n : names) {
      if (is_set(cancel))
        return failed("", "", ECANCELED);
      wire::digest hash;
      if (wire::from_hex(std::string_view{n}.substr(0, 64), hash) && marked.contains(hash))
        continue;
      found what;
      if (look(in.get(), n.c_str(), what) != 0 || ::unlinkat(in.get(), n.c_str(), 0) != 0)
        continue;
      ++out.objects;
      out.bytes += what.size;
    }
  }
  return {};
}

} // namespace

result<freed> store::sweep(cancel_flag cancel) const {
  objects kept;
  freed out;
  if (auto error = kept.open(home_, false); error != 0) {
    if (error != ENOENT)
      return failed("open the snapshot store", home_, error);
    out.swept = true;
    return out;
  }
  auto lock = kept.lock(true, false, cancel);
  if (!lock) {
    if (errno == EWOULDBLOCK)
      return out;
    return failed("lock the snapshot store", home_, errno);
  }
  // Nobody is at work, so these are rests.
  std::vector<std::string> rests;
  if (names_in(kept.incoming(), rests) == 0)
    for (auto& r : rests)
      if (remove_below(kept.incoming(), r.c_str(), cancel) == ECANCELED)
        return failed("", "", ECANCELED);
  marks needed;
  if (auto bad = mark_all(kept, needed, cancel))
    return std::move(*bad);
  // Folders first: as long as one is there, what it names is too.
  if (auto bad = delete_unmarked(kept.trees(), home_ + "/trees", needed.trees, cancel, out))
    return std::move(*bad);
  if (auto bad = delete_unmarked(kept.files(), home_ + "/files", needed.files, cancel, out))
    return std::move(*bad);
  out.swept = true;
  return out;
}

result<freed> store::remove(const std::string& holder, const std::vector<std::string>& ids, cancel_flag cancel) const {
  objects kept;
  if (auto error = kept.open(home_, false); error != 0 && error != ENOENT)
    return failed("open the snapshot store", home_, error);
  if (kept.holders() >= 0 && is_holder(holder)) {
    descriptor own{::openat(kept.holders(), holder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    if (own)
      for (auto& id : ids)
        if (wire::is_sha256(id) && ::unlinkat(own.get(), id.c_str(), 0) != 0 && errno != ENOENT)
          return failed("delete", home_ + "/held/" + holder + "/" + id, errno);
    if (ids.empty())
      if (auto error = remove_below(kept.holders(), holder.c_str(), nullptr); error != 0)
        return failed("delete", home_ + "/held/" + holder, error);
    if (own && ::fsync(ids.empty() ? kept.holders() : own.get()) != 0)
      return failed("write", home_ + "/held", errno);
  }
  return sweep(cancel);
}

} // namespace conclave::snapshots
