// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/text.hpp"
#include "transports/git_checkout.hpp"
#include "transports/git_library.hpp"
#include "transports/snapshot_disk.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
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
      return shown_text(c.path, 200) + " cannot be read: " + std::strerror(errno);
    handle<git_odb_stream, git_odb_stream_free> to;
    if (git_odb_open_wstream(to.out(), odb, static_cast<git_object_size_t>(c.size), GIT_OBJECT_BLOB) != 0)
      return last_error();
    for (std::uint64_t at = 0; at < c.size;) {
      auto want = static_cast<std::size_t>(std::min<std::uint64_t>(block, c.size - at));
      auto n = snapshots::read_at(from.get(), buffer.get(), want, at);
      if (n != static_cast<std::int64_t>(want))
        return shown_text(c.path, 200) + " cannot be read: " + (n < 0 ? std::strerror(errno) : "it is shorter than it was");
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

std::string commit(const repository& to, const std::string& parent, const std::string& ref, const std::string& message,
                   const std::vector<path_change>& changes, const content_opener& open, new_branch& out) {
  if (auto& wrong = load_library(); !wrong.empty())
    return wrong;
  handle<git_repository, git_repository_free> repo;
  handle<git_odb, git_odb_free> odb;
  handle<git_commit, git_commit_free> from;
  handle<git_tree, git_tree_free> base;
  handle<git_reference, git_reference_free> taken, made;
  handle<git_signature, git_signature_free> author;
  git_oid id, top;
  if (git_repository_open_ext(repo.out(), to.git_dir.c_str(), GIT_REPOSITORY_OPEN_NO_SEARCH | GIT_REPOSITORY_OPEN_NO_DOTGIT,
                              nullptr)
          != 0
      || git_repository_odb(odb.out(), repo.get()) != 0)
    return last_error();
  if (git_reference_lookup(taken.out(), repo.get(), ref.c_str()) == 0)
    return "there is a branch of this name already; name another one";
  if (git_oid_fromstr(&id, parent.c_str()) != 0 || git_commit_lookup(from.out(), repo.get(), &id) != 0
      || git_commit_tree(base.out(), from.get()) != 0)
    return "the commit " + parent + " that the changes were made from cannot be read: " + last_error();
  writer w{repo.get(), odb.get(), open};
  std::size_t entries = 0;
  if (auto why = w.tree(base.get(), tree_of(changes), top, entries); !why.empty())
    return why;
  handle<git_tree, git_tree_free> tree;
  signature_of(repo.get(), author.out());
  const git_commit* parents[] = {from.get()};
  if (author.get() == nullptr || git_tree_lookup(tree.out(), repo.get(), &top) != 0
      || git_commit_create(&id, repo.get(), nullptr, author.get(), author.get(), nullptr, message.c_str(), tree.get(), 1,
                           static_cast<const git_commit**>(parents))
             != 0
      || git_reference_create(made.out(), repo.get(), ref.c_str(), &id, 0, "conclave apply") != 0)
    return last_error();
  out.commit = std::string(40, '\0');
  git_oid_fmt(out.commit.data(), &id);
  out.author = std::string{author.get()->name} + " <" + author.get()->email + ">";
  return {};
}

} // namespace

new_branch commit_branch(const repository& to, const std::string& parent, const std::string& name, const std::string& message,
                         const std::vector<path_change>& changes, const content_opener& open) {
  new_branch out;
  auto ref = "refs/heads/" + name;
  if (name.empty() || name.front() == '-' || name == "HEAD" || !is_ref_name(ref))
    out.error = "'" + shown_text(name, 100) + "' is no name for a branch";
  else if (!is_commit_name(parent))
    out.error = "there is no commit that the changes were made from";
  else
    out.error = commit(to, parent, ref, message, changes, open, out);
  return out;
}

} // namespace conclave::git
