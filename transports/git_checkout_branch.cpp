// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/path_policy.hpp"
#include "protocols/text.hpp"
#include "transports/git_checkout.hpp"
#include "transports/git_library.hpp"
#include "transports/snapshot_disk.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

namespace conclave::git {

namespace {

constexpr std::size_t block = std::size_t{1} << 20;

/// The changes as a tree of names.
struct node {
  std::map<std::string, node> below;
  const path_change* change = nullptr;
};

node tree_of(const std::vector<path_change>& changes) {
  node top;
  for (auto& c : changes) {
    auto* at = &top;
    for (std::size_t from = 0; from <= c.path.size();) {
      auto end = std::min(c.path.find('/', from), c.path.size());
      at = &at->below[c.path.substr(from, end - from)];
      from = end + 1;
    }
    at->change = &c;
  }
  return top;
}

git_filemode_t mode_of(path_change::kind k) {
  return k == path_change::kind::link         ? GIT_FILEMODE_LINK
         : k == path_change::kind::executable ? GIT_FILEMODE_BLOB_EXECUTABLE
                                              : GIT_FILEMODE_BLOB;
}

struct writer {
  git_repository* repo;
  git_odb* odb;
  const content_opener& open;
  std::unique_ptr<char[]> buffer = std::make_unique<char[]>(block);

  /// The bytes as they are: no filter, no line ends.
  std::string blob(const path_change& c, git_oid& id) const {
    snapshots::descriptor from{open(c)};
    if (!from)
      return path_policy::shown(c.path) + " cannot be read: " + std::strerror(errno);
    handle<git_odb_stream, git_odb_stream_free> to;
    if (git_odb_open_wstream(to.out(), odb, static_cast<git_object_size_t>(c.size), GIT_OBJECT_BLOB) != 0)
      return last_error();
    for (std::uint64_t at = 0; at < c.size;) {
      auto want = static_cast<std::size_t>(std::min<std::uint64_t>(block, c.size - at));
      auto n = snapshots::read_at(from.get(), buffer.get(), want, at);
      if (n != static_cast<std::int64_t>(want))
        return path_policy::shown(c.path) + " cannot be read: " + (n < 0 ? std::strerror(errno) : "it is shorter than it was");
      if (git_odb_stream_write(to.get(), buffer.get(), want) != 0)
        return last_error();
      at += want;
    }
    return git_odb_stream_finalize_write(&id, to.get()) == 0 ? std::string{} : last_error();
  }

  /// Writes `base` (may be null: an empty one) with what is below `n`. `entries`: how many it has then.
  std::string tree(const git_tree* base, const node& n, git_oid& id, std::size_t& entries) const {
    handle<git_treebuilder, git_treebuilder_free> out;
    if (git_treebuilder_new(out.out(), repo, base) != 0)
      return last_error();
    for (auto& [name, child] : n.below)
      if (auto why = entry(base, name, child, out.get()); !why.empty())
        return why;
    entries = git_treebuilder_entrycount(out.get());
    return git_treebuilder_write(&id, out.get()) == 0 ? std::string{} : last_error();
  }

  std::string entry(const git_tree* base, const std::string& name, const node& child, git_treebuilder* out) const {
    const auto* old = base == nullptr ? nullptr : git_tree_entry_byname(base, name.c_str());
    auto is_tree = old != nullptr && git_tree_entry_type(old) == GIT_OBJECT_TREE;
    git_oid id;
    auto good = true;
    if (child.change != nullptr && child.change->what != path_change::kind::removed) {
      if (auto why = blob(*child.change, id); !why.empty())
        return why;
      good = git_treebuilder_insert(nullptr, out, name.c_str(), &id, mode_of(child.change->what)) == 0;
    } else if (!child.below.empty()) {
      handle<git_tree, git_tree_free> sub;
      if (is_tree && git_tree_lookup(sub.out(), repo, git_tree_entry_id(old)) != 0)
        return last_error();
      std::size_t entries = 0;
      if (auto why = tree(sub.get(), child, id, entries); !why.empty())
        return why;
      if (entries > 0)
        good = git_treebuilder_insert(nullptr, out, name.c_str(), &id, GIT_FILEMODE_TREE) == 0;
      else if (old != nullptr)
        good = git_treebuilder_remove(out, name.c_str()) == 0;
    } else if (old != nullptr && !is_tree) { // what was never committed is not there to be removed
      good = git_treebuilder_remove(out, name.c_str()) == 0;
    }
    return good ? std::string{} : last_error();
  }
};

/// Whom the user's configuration names.
void signature_of(git_repository* repo, git_signature** out) {
  if (git_signature_default(out, repo) != 0)
    git_signature_now(out, "Conclave", "conclave@conclave.invalid");
}

/// What a branch is made in.
struct place {
  handle<git_repository, git_repository_free> repo;
  handle<git_odb, git_odb_free> odb;
  handle<git_commit, git_commit_free> from;
  handle<git_tree, git_tree_free> base;
  std::string top;                   ///< the user's folder
  std::map<std::string, bool> known; ///< folders below it: whether they are repositories
};

std::string open_place(const repository& to, const std::string& parent, place& p) {
  if (auto& wrong = load_library(); !wrong.empty())
    return wrong;
  git_oid id;
  auto code = git_repository_open_ext(p.repo.out(), to.git_dir.c_str(),
                                      GIT_REPOSITORY_OPEN_NO_SEARCH | GIT_REPOSITORY_OPEN_NO_DOTGIT, nullptr);
  // Without any safe.directory in the configuration the library complains of that.
  if (code == GIT_EOWNER || (code != 0 && last_error().find("safe.directory") != std::string::npos))
    return "it belongs to another user, so that git refuses it; where you trust it, see safe.directory in git help config";
  if (code != 0 || git_repository_odb(p.odb.out(), p.repo.get()) != 0)
    return last_error();
  if (git_oid_fromstr(&id, parent.c_str()) != 0 || git_commit_lookup(p.from.out(), p.repo.get(), &id) != 0
      || git_commit_tree(p.base.out(), p.from.get()) != 0)
    return "the commit " + parent + " that the changes were made from cannot be read: " + last_error();
  return {};
}

/// Git cannot have a branch "a" and one "a/b".
std::string check_name(const repository& to, git_repository* repo, const std::string& ref) {
  constexpr std::string_view heads = "refs/heads/";
  handle<git_reference, git_reference_free> taken;
  if (git_reference_lookup(taken.out(), repo, ref.c_str()) == 0)
    return "there is a branch of this name already; name another one";
  std::string ignored; // what is not seen here, the library refuses in its own words
  auto refs = refs_of(to, ignored);
  std::string other;
  if (auto below = refs.lower_bound(ref + "/"); below != refs.end() && below->first.starts_with(ref + "/"))
    other = below->first;
  for (auto at = ref.find('/', heads.size()); at != std::string::npos && other.empty(); at = ref.find('/', at + 1))
    if (refs.count(ref.substr(0, at)) != 0)
      other = ref.substr(0, at);
  return other.empty() ? std::string{}
                       : "there is a branch '" + shown_text(other.substr(heads.size()), 200)
                             + "', and git can have none of this name beside it; name another one";
}

/// The first folder on the way to a path, from its `end` on, that is a repository by itself; empty if none is.
std::string repository_around(place& p, const std::string& path, std::size_t end) {
  for (; end < path.size(); end = std::min(path.find('/', end + 1), path.size())) {
    auto folder = path.substr(0, end);
    auto [at, is_new] = p.known.try_emplace(folder, false);
    if (std::string why; is_new)
      at->second = find(p.top + "/" + folder, why) || !why.empty();
    if (at->second)
      return folder + "/";
  }
  return {};
}

enum class standing { absent, there, submodule, repository };

/// Whether the commit has a path, or a submodule at or above it; else whether it lies in a repository of its own, which is set in
/// `around`: of that git adds no file.
std::string look_up(place& p, const std::string& path, standing& out, std::string& around) {
  out = standing::absent;
  std::vector<std::unique_ptr<handle<git_tree, git_tree_free>>> open;
  const auto* tree = p.base.get();
  for (std::size_t at = 0; at <= path.size();) {
    auto end = std::min(path.find('/', at), path.size());
    const auto* e = git_tree_entry_byname(tree, path.substr(at, end - at).c_str());
    auto type = e == nullptr ? GIT_OBJECT_INVALID : git_tree_entry_type(e);
    if (type == GIT_OBJECT_COMMIT || end == path.size()) {
      out = type == GIT_OBJECT_COMMIT ? standing::submodule : e != nullptr ? standing::there : standing::absent;
      return {};
    }
    if (type != GIT_OBJECT_TREE) {
      around = repository_around(p, path, end);
      out = around.empty() ? standing::absent : standing::repository;
      return {};
    }
    auto& next = *open.emplace_back(std::make_unique<handle<git_tree, git_tree_free>>());
    if (git_tree_lookup(next.out(), p.repo.get(), git_tree_entry_id(e)) != 0)
      return last_error();
    tree = next.get();
    at = end + 1;
  }
  return {};
}

/// Takes out of the changes what git would not commit. Returns why none of them can be.
std::string sort_out(place& p, const std::vector<path_change>& changes, std::vector<path_change>& kept, new_branch& out) {
  std::set<std::string> told; // of repositories: each once
  for (auto& c : changes) {
    standing now{};
    std::string around;
    if (auto why = look_up(p, c.path, now, around); !why.empty())
      return why;
    if (now == standing::repository) {
      if (told.insert(around).second)
        out.left_out.emplace_back(around, "is a git repository of its own, and git adds no file of it to yours");
      continue;
    }
    if (now == standing::submodule) {
      out.left_out.emplace_back(c.path, "lies in a submodule, which has a repository of its own");
      continue;
    }
    const char* filter = nullptr;
    if (c.what == path_change::kind::file || c.what == path_change::kind::executable) {
      if (git_attr_get(&filter, p.repo.get(), GIT_ATTR_CHECK_FILE_THEN_INDEX, c.path.c_str(), "filter") != 0)
        return last_error();
      if (auto set = git_attr_value(filter); set == GIT_ATTR_VALUE_STRING || set == GIT_ATTR_VALUE_TRUE)
        return path_policy::shown(c.path) + " goes through the filter '"
               + shown_text(set == GIT_ATTR_VALUE_STRING ? filter : "filter", 100)
               + "' of git, which is not run here: its bytes would be committed as they are; use conclave apply without --branch, "
                 "and "
                 "commit it with git";
    }
    auto ignored = 0;
    if (now == standing::absent && c.what != path_change::kind::removed
        && git_ignore_path_is_ignored(&ignored, p.repo.get(), c.path.c_str()) != 0)
      return last_error();
    if (ignored != 0)
      out.left_out.emplace_back(c.path, "git ignores it");
    else
      kept.push_back(c);
  }
  return kept.empty()
             ? "there is nothing to commit"
                   + (out.left_out.empty() ? std::string{}
                                           : ": " + path_policy::shown(out.left_out[0].first) + " " + out.left_out[0].second)
             : std::string{};
}

std::string prepare(const repository& to, const std::string& parent, const std::string& name,
                    const std::vector<path_change>& changes, place& p, std::vector<path_change>& kept, new_branch& out) {
  auto ref = "refs/heads/" + name;
  if (name.empty() || name.front() == '-' || name == "HEAD" || !is_ref_name(ref))
    return "'" + shown_text(name, 100) + "' is no name for a branch";
  if (!is_commit_name(parent))
    return "there is no commit that the changes were made from";
  p.top = to.top;
  if (auto why = open_place(to, parent, p); !why.empty())
    return why;
  if (auto why = check_name(to, p.repo.get(), ref); !why.empty())
    return why;
  return sort_out(p, changes, kept, out);
}

std::string commit(const place& p, const std::string& ref, const std::string& message, const std::vector<path_change>& changes,
                   const content_opener& open, new_branch& out) {
  handle<git_reference, git_reference_free> made;
  handle<git_signature, git_signature_free> author;
  handle<git_tree, git_tree_free> tree;
  git_oid id, top;
  writer w{p.repo.get(), p.odb.get(), open};
  std::size_t entries = 0;
  if (auto why = w.tree(p.base.get(), tree_of(changes), top, entries); !why.empty())
    return why;
  signature_of(p.repo.get(), author.out());
  const git_commit* parents[] = {p.from.get()};
  if (author.get() == nullptr || git_tree_lookup(tree.out(), p.repo.get(), &top) != 0
      || git_commit_create(&id, p.repo.get(), nullptr, author.get(), author.get(), nullptr, message.c_str(), tree.get(), 1,
                           static_cast<const git_commit**>(parents))
             != 0
      || git_reference_create(made.out(), p.repo.get(), ref.c_str(), &id, 0, "conclave apply") != 0)
    return last_error();
  out.commit = std::string(40, '\0');
  git_oid_fmt(out.commit.data(), &id);
  out.author = std::string{author.get()->name} + " <" + author.get()->email + ">";
  return {};
}

} // namespace

std::string check_branch(const repository& to, const std::string& parent, const std::string& name,
                         const std::vector<path_change>& changes) {
  place p;
  std::vector<path_change> kept;
  new_branch ignored;
  return prepare(to, parent, name, changes, p, kept, ignored);
}

new_branch commit_branch(const repository& to, const std::string& parent, const std::string& name, const std::string& message,
                         const std::vector<path_change>& changes, const content_opener& open) {
  new_branch out;
  place p;
  std::vector<path_change> kept;
  out.error = prepare(to, parent, name, changes, p, kept, out);
  if (out.error.empty())
    out.error = commit(p, "refs/heads/" + name, message, kept, open, out);
  return out;
}

} // namespace conclave::git
