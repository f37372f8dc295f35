// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/git_checkout.hpp"

#include "protocols/path_policy.hpp"
#include "transports/git_library.hpp"
#include "transports/snapshot_disk.hpp"
#include "transports/snapshot_store.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace conclave::git {

namespace {

constexpr std::size_t max_entries = 500'000;             ///< of a commit: small trees can stand for very many files
constexpr std::size_t max_tree = std::size_t{64} << 20;  ///< bytes of one tree
constexpr std::size_t max_commit = std::size_t{1} << 20; ///< bytes of a commit
constexpr std::size_t max_link = 4'096;
constexpr unsigned max_depth = 64;

/// Nothing of the user's configuration, and nothing that would be run. The agent that commits has no name.
constexpr const char* own_config =
    "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n"
    "[user]\n\tname = agent\n\temail = agent@conclave.invalid\n"
    "[gc]\n\tauto = 0\n";

/// Looks at all that a commit holds, and at how much that is, before an index is made of it: that would know no end.
struct survey {
  git_repository* repo;
  git_odb* odb;
  const name_judge& left_out;
  git_index* users;             ///< nullptr = it cannot be read
  const std::string& work_tree; ///< the checkout's
  std::size_t seen = 0;
  std::vector<std::pair<std::string, git_index_entry>> absent = {}; ///< what no copy has

  bool has_room(const git_oid* id, std::size_t limit, std::string& why) const {
    std::size_t size = 0;
    git_object_t type{};
    if (git_odb_read_header(&size, &type, odb, id) != 0)
      why = last_error();
    else if (size > limit)
      why = "an object of " + std::to_string(size) + " bytes is more than a tree or commit may have";
    return why.empty();
  }

  /// A link that leads out is in no copy.
  bool leads_out(const git_oid* id, unsigned depth) const {
    std::string ignored;
    if (!has_room(id, max_link, ignored))
      return true;
    handle<git_blob, git_blob_free> blob;
    if (git_blob_lookup(blob.out(), repo, id) != 0)
      return true;
    std::string target(static_cast<const char*>(git_blob_rawcontent(blob.get())), git_blob_rawsize(blob.get()));
    return !snapshots::leads_out(target, depth).empty();
  }

  /// What the user has left out of the work tree (a sparse checkout): it is not deleted.
  bool is_sparse(const std::string& path) const {
    struct stat s {};
    const auto* e = users == nullptr ? nullptr : git_index_get_bypath(users, path.c_str(), 0);
    return e != nullptr && (e->flags_extended & GIT_INDEX_ENTRY_SKIP_WORKTREE) != 0
           && ::lstat((work_tree + "/" + path).c_str(), &s) != 0 && (errno == ENOENT || errno == ENOTDIR);
  }

  /// `gone`: the folder is in no copy.
  std::string see(const git_oid* id, const std::string& path, bool gone, unsigned depth) {
    std::string why;
    handle<git_tree, git_tree_free> tree;
    if (depth > max_depth)
      return "its commit has more than " + std::to_string(max_depth) + " folders in each other";
    if (!has_room(id, max_tree, why))
      return why;
    if (git_tree_lookup(tree.out(), repo, id) != 0)
      return last_error();
    for (std::size_t i = 0; i < git_tree_entrycount(tree.get()); ++i) {
      const auto* e = git_tree_entry_byindex(tree.get(), i);
      std::string name = git_tree_entry_name(e);
      auto below = path + name;
      auto absent_here = gone || !left_out(name).empty();
      if (++seen > max_entries)
        return "its commit has more than " + std::to_string(max_entries) + " files and folders";
      if (git_tree_entry_type(e) == GIT_OBJECT_TREE) {
        if (why = see(git_tree_entry_id(e), below + "/", absent_here, depth + 1); !why.empty())
          return why;
        continue;
      }
      git_index_entry entry{};
      entry.mode = git_tree_entry_filemode(e);
      entry.id = *git_tree_entry_id(e);
      entry.flags_extended = GIT_INDEX_ENTRY_SKIP_WORKTREE;
      if (absent_here || is_sparse(below) || (entry.mode == GIT_FILEMODE_LINK && leads_out(&entry.id, depth)))
        absent.emplace_back(std::move(below), entry);
    }
    return {};
  }
};

/// An index of a commit, written to `file`. The objects are read where they are; there is no configuration.
std::string write_index(const repository& from, const std::string& work_tree, const name_judge& left_out) {
  if (auto& wrong = load_library(); !wrong.empty())
    return wrong;
  handle<git_odb, git_odb_free> odb;
  handle<git_repository, git_repository_free> repo;
  handle<git_index, git_index_free> index, users;
  git_oid id;
  auto file = work_tree + "/.git/index";
  if (git_odb_new(odb.out()) != 0 || git_odb_add_disk_alternate(odb.get(), from.objects().c_str()) != 0
      || git_repository_wrap_odb(repo.out(), odb.get()) != 0 || git_index_open(index.out(), file.c_str()) != 0
      || git_oid_fromstr(&id, from.commit.c_str()) != 0)
    return last_error();
  git_index_open(users.out(), (from.git_dir + "/index").c_str());
  survey all{repo.get(), odb.get(), left_out, users.get(), work_tree};
  std::string why;
  if (!all.has_room(&id, max_commit, why))
    return why;
  handle<git_commit, git_commit_free> commit;
  handle<git_tree, git_tree_free> tree;
  if (git_commit_lookup(commit.out(), repo.get(), &id) != 0)
    return last_error();
  if (why = all.see(git_commit_tree_id(commit.get()), {}, false, 0); !why.empty())
    return why;
  if (git_commit_tree(tree.out(), commit.get()) != 0 || git_index_read_tree(index.get(), tree.get()) != 0)
    return last_error();
  for (auto& [path, entry] : all.absent) {
    entry.path = path.c_str();
    if (git_index_add(index.get(), &entry) != 0)
      return last_error();
  }
  return git_index_write(index.get()) == 0 ? std::string{} : last_error();
}

std::string write(const std::string& path, const std::string& text) {
  snapshots::descriptor fd{::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644)};
  auto error = fd ? snapshots::write_all(fd.get(), text.data(), text.size()) : errno;
  return error == 0 ? std::string{} : path_policy::shown(path) + " cannot be written: " + std::strerror(error);
}

std::string fill_folder(const repository& from, const std::string& work_tree, const name_judge& left_out) {
  auto git_dir = work_tree + "/.git";
  for (auto* path : {"", "/objects", "/objects/info", "/objects/pack", "/refs", "/refs/heads", "/refs/tags", "/info"})
    if (::mkdir((git_dir + path).c_str(), 0755) != 0)
      return path_policy::shown(git_dir + path) + " cannot be made: " + std::strerror(errno);
  std::string packed = "# pack-refs with: sorted \n";
  std::string why;
  auto refs = refs_of(from, why);
  if (!why.empty())
    return why;
  if (!from.branch.empty() && !from.commit.empty())
    refs[from.branch] = from.commit; // as it was when the files were taken
  for (auto& [name, hash] : refs)
    packed += hash + " " + name + "\n";
  std::vector<std::pair<const char*, std::string>> files{
      {"/HEAD", from.branch.empty() ? from.commit + "\n" : "ref: " + from.branch + "\n"},
      {"/config", own_config},
      {"/packed-refs", packed},
      {"/objects/info/alternates", from.objects() + "\n"}};
  auto shallow = shallow_of(from, why);
  if (!why.empty())
    return why;
  if (!shallow.empty())
    files.emplace_back("/shallow", shallow);
  for (auto& [name, text] : files)
    if (why = write(git_dir + name, text); !why.empty())
      return why;
  return from.commit.empty() ? std::string{} : write_index(from, work_tree, left_out);
}

} // namespace

std::string make_checkout(const repository& from, const std::string& work_tree, const name_judge& left_out) {
  if (from.objects().find('\n') != std::string::npos)
    return "the path of its objects has a line break, which git's list of borrowed objects cannot hold";
  auto git_dir = work_tree + "/.git";
  auto why = fill_folder(from, work_tree, left_out);
  if (!why.empty())
    if (auto left = snapshots::remove_tree(git_dir); !left.empty())
      why += "; " + left;
  return why;
}

} // namespace conclave::git
