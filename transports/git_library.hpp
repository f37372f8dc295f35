// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The calls of libgit2 that are used, under their own names within this namespace: the library is loaded when the first repository
/// is worked on, for it and the eight that it needs would make every start a tenth longer. Private to transports/git_*.

#include <git2.h>
#include <string>

// Each call, and what takes away what it gives.
#define CONCLAVE_GIT_CALLS(X)                                                                                                      \
  X(git_attr_get)                                                                                                                  \
  X(git_attr_value)                                                                                                                \
  X(git_blob_free)                                                                                                                 \
  X(git_blob_lookup)                                                                                                               \
  X(git_blob_rawcontent)                                                                                                           \
  X(git_blob_rawsize)                                                                                                              \
  X(git_commit_create)                                                                                                             \
  X(git_commit_free)                                                                                                               \
  X(git_commit_lookup)                                                                                                             \
  X(git_commit_tree)                                                                                                               \
  X(git_commit_tree_id)                                                                                                            \
  X(git_error_last)                                                                                                                \
  X(git_ignore_path_is_ignored)                                                                                                    \
  X(git_index_add)                                                                                                                 \
  X(git_index_find_prefix)                                                                                                         \
  X(git_index_free)                                                                                                                \
  X(git_index_get_bypath)                                                                                                          \
  X(git_index_open)                                                                                                                \
  X(git_index_read_tree)                                                                                                           \
  X(git_index_write)                                                                                                               \
  X(git_libgit2_init)                                                                                                              \
  X(git_libgit2_opts)                                                                                                              \
  X(git_odb_add_disk_alternate)                                                                                                    \
  X(git_odb_free)                                                                                                                  \
  X(git_odb_new)                                                                                                                   \
  X(git_odb_open_wstream)                                                                                                          \
  X(git_odb_read_header)                                                                                                           \
  X(git_odb_stream_finalize_write)                                                                                                 \
  X(git_odb_stream_free)                                                                                                           \
  X(git_odb_stream_write)                                                                                                          \
  X(git_oid_fmt)                                                                                                                   \
  X(git_oid_fromstr)                                                                                                               \
  X(git_reference_create)                                                                                                          \
  X(git_reference_free)                                                                                                            \
  X(git_reference_lookup)                                                                                                          \
  X(git_repository_free)                                                                                                           \
  X(git_repository_index)                                                                                                          \
  X(git_repository_odb)                                                                                                            \
  X(git_repository_open_ext)                                                                                                       \
  X(git_repository_workdir)                                                                                                        \
  X(git_repository_wrap_odb)                                                                                                       \
  X(git_signature_default)                                                                                                         \
  X(git_signature_free)                                                                                                            \
  X(git_signature_now)                                                                                                             \
  X(git_tree_entry_byindex)                                                                                                        \
  X(git_tree_entry_byname)                                                                                                         \
  X(git_tree_entry_filemode)                                                                                                       \
  X(git_tree_entry_id)                                                                                                             \
  X(git_tree_entry_name)                                                                                                           \
  X(git_tree_entry_type)                                                                                                           \
  X(git_tree_entrycount)                                                                                                           \
  X(git_tree_free)                                                                                                                 \
  X(git_tree_lookup)                                                                                                               \
  X(git_treebuilder_entrycount)                                                                                                    \
  X(git_treebuilder_free)                                                                                                          \
  X(git_treebuilder_insert)                                                                                                        \
  X(git_treebuilder_new)                                                                                                           \
  X(git_treebuilder_remove)                                                                                                        \
  X(git_treebuilder_write)

namespace conclave::git {

// NOLINTNEXTLINE(bugprone-macro-parentheses): a name that is declared
#define CONCLAVE_GIT_POINTER(name) inline decltype(&::name) name = nullptr;
CONCLAVE_GIT_CALLS(CONCLAVE_GIT_POINTER)
#undef CONCLAVE_GIT_POINTER

/// Once per process, before any of them. Returns what is wrong, for people, or empty. Any thread.
const std::string& load_library();

/// Owns what libgit2 gives.
template <class T, void (*&Free)(T*)>
class handle {
public:
  handle() = default;
  ~handle() {
    if (x_ != nullptr)
      Free(x_);
  }
  handle(const handle&) = delete;
  handle& operator=(const handle&) = delete;
  T* get() const { return x_; }
  T** out() { return &x_; }

private:
  T* x_ = nullptr;
};

/// What the last call on this thread complained of. A repository may have written it: escaped.
std::string last_error();

} // namespace conclave::git
