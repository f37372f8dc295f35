// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/line_diff.hpp"
#include "protocols/path_policy.hpp"
#include "protocols/text.hpp"
#include "transports/snapshot_read.hpp"
#include "transports/snapshot_store.hpp"

#include <cerrno>

namespace conclave::snapshots {

namespace {

// More is not read for being looked at.
constexpr std::size_t most_text = std::size_t{4} << 20;

struct comparer {
  const objects& kept;
  changes out = {};

  /// Lists everything of one side.
  std::optional<failure> all(const wire::digest& tree, const std::string& path, bool added);
  std::optional<failure> one(const tree_entry& e, const std::string& path, bool added);
  std::optional<failure> both(const wire::digest& before, const wire::digest& after, const std::string& path);
};

std::string below(const std::string& path, std::string_view name) {
  return path.empty() ? std::string{name} : path + "/" + std::string{name};
}

std::optional<failure> comparer::one(const tree_entry& e, const std::string& path, bool added) {
  out.push_back({path, added ? entry{} : plain(e), added ? plain(e) : entry{}});
  return e.kind == entry_kind::folder ? all(e.hash, path, added) : std::nullopt;
}

std::optional<failure> comparer::all(const wire::digest& tree, const std::string& path, bool added) {
  std::string text;
  if (auto bad = kept.read_tree(tree, text))
    return bad;
  tree_reader in{text};
  tree_entry e;
  while (in.next(e))
    if (auto bad = one(e, below(path, e.name), added))
      return bad;
  return {};
}

std::optional<failure> comparer::both(const wire::digest& before, const wire::digest& after, const std::string& path) {
  if (before == after)
    return {};
  std::string old_text, new_text;
  if (auto bad = kept.read_tree(before, old_text))
    return bad;
  if (auto bad = kept.read_tree(after, new_text))
    return bad;
  tree_reader olds{old_text}, news{new_text};
  tree_entry a, b;
  for (bool has_a = olds.next(a), has_b = news.next(b); has_a || has_b;) {
    std::optional<failure> bad;
    if (!has_b || (has_a && a.name < b.name)) {
      bad = one(a, below(path, a.name), false);
      has_a = olds.next(a);
    } else if (!has_a || b.name < a.name) {
      bad = one(b, below(path, b.name), true);
      has_b = news.next(b);
    } else {
      auto at = below(path, a.name);
      auto folders = (a.kind == entry_kind::folder) + (b.kind == entry_kind::folder);
      if (folders == 2) {
        bad = both(a.hash, b.hash, at);
      } else if (a.kind != b.kind || a.hash != b.hash) {
        out.push_back({at, plain(a), plain(b)});
        if (folders == 1)
          bad = a.kind == entry_kind::folder ? all(a.hash, at, false) : all(b.hash, at, true);
      }
      has_a = olds.next(a);
      has_b = news.next(b);
    }
    if (bad)
      return bad;
  }
  return {};
}

/// Reads one side of a change for being looked at. Returns why it cannot be, or empty.
std::string text_of(const store& s, const entry& e, std::string& out) {
  if (!has_bytes(e))
    return {};
  if (e.size > most_text)
    return "too large to be shown";
  descriptor fd{s.open_object(e.sha256)};
  if (!fd || read_whole(fd.get(), out, most_text) != 0 || wire::sha256(out) != e.sha256)
    return "the snapshot store is damaged";
  if (e.kind == entry_kind::link)
    out = "link to " + path_policy::shown(out, 4'096) + "\n"; // as names are: it may hold what a terminal obeys
  return looks_binary(out) ? "binary" : "";
}

std::string kind_of(const entry& e) {
  switch (e.kind) {
  case entry_kind::none:
    return "nothing";
  case entry_kind::file:
    return "file";
  case entry_kind::executable:
    return "executable file";
  case entry_kind::link:
    return "link";
  case entry_kind::folder:
    return "folder";
  }
  return {};
}

} // namespace

result<changes> store::diff(const std::string& before, const std::string& after) const {
  objects kept;
  wire::digest a, b;
  if (auto bad = open_snapshot(home_, before, kept, a))
    return std::move(*bad);
  if (auto bad = open_snapshot(home_, after, kept, b))
    return std::move(*bad);
  comparer c{kept};
  if (auto bad = c.both(a, b, {}))
    return std::move(*bad);
  return std::move(c.out);
}

std::string store::text_diff(const change& c, std::size_t lines) const {
  auto name = path_policy::shown(c.path, 4096);
  std::string out;
  if (c.before.kind != c.after.kind
      && (c.before.kind != entry_kind::none || c.after.kind == entry_kind::folder || c.after.kind == entry_kind::executable)
      && c.after.kind != entry_kind::none)
    out += name + ": " + kind_of(c.before) + " becomes " + kind_of(c.after) + "\n";
  else if (c.before.kind == entry_kind::folder)
    out += name + ": folder removed\n";
  std::string a, b;
  auto why = text_of(*this, c.before, a);
  if (why.empty())
    why = text_of(*this, c.after, b);
  if (!why.empty())
    return out + name + ": " + why + " (" + std::to_string(c.before.size) + " to " + std::to_string(c.after.size) + " bytes)\n";
  auto hunks = unified_diff(a, b, lines);
  if (hunks.empty())
    return out;
  out += has_bytes(c.before) ? "--- a/" + name + "\n" : "--- /dev/null\n";
  out += has_bytes(c.after) ? "+++ b/" + name + "\n" : "+++ /dev/null\n";
  return out + hunks;
}

} // namespace conclave::snapshots
