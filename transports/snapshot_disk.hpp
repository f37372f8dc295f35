// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What the snapshot store and the delivery of changes do with descriptors: folders are entered one by one, never through a link.
/// Private to transports/snapshot_* and transports/delivery*.

#include "protocols/wire/sha256.hpp"
#include "transports/snapshot_types.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace conclave::snapshots {

/// A descriptor that is closed with it.
class descriptor {
public:
  descriptor() = default;
  explicit descriptor(int fd) : fd_(fd) {}
  ~descriptor() { reset(); }
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    if (this != &other)
      reset(std::exchange(other.fd_, -1));
    return *this;
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);

private:
  int fd_ = -1;
};

/// A moment of the disk, in nanoseconds.
using moment = std::int64_t;

/// What a name stands for, as the disk says now.
struct found {
  std::uint32_t mode = 0; ///< with the kind; 0 = nothing
  std::uint64_t device = 0, inode = 0, size = 0, blocks = 0, links = 0;
  std::uint32_t uid = 0, gid = 0;
  moment modified = 0, changed = 0;
  bool mount_point = false;

  bool is_file() const;
  bool is_folder() const;
  bool is_link() const;
  bool same_state(const found& other) const; ///< identity, size and times
  entry_kind kind() const;                   ///< none for what is no file, link or folder
};

/// Looks at a name in a folder, or at the descriptor itself if the name is empty. Follows no link. Returns 0 or errno.
int look(int folder, const char* name, found& out);

/// Opens a folder in a folder. No link, no mount point (`device`: where it has to be). The errno is ELOOP, ENOTDIR or EXDEV then.
descriptor open_folder(int in, const char* name, std::uint64_t device);
/// Opens a file in a folder for reading; never waits for a FIFO, follows no link.
descriptor open_file(int in, const char* name);

/// Whether this process may read a file, or list a folder and enter it. What cannot be told is readable: opening it says why not.
bool may_read(int in, const char* name, bool folder);

/// Lets the owner of a file read it, of a folder read, search and change it; by its own descriptor, so that no link is followed.
/// Returns 0 or errno.
int make_readable(int in, const char* name);

/// All names in a folder but "." and "..", in byte order. Returns 0 or errno.
int names_in(int folder, std::vector<std::string>& out);

/// Reads a link in a folder. Returns 0 or errno.
int read_link(int folder, const char* name, std::string& out);

/// Writes all of it. Returns 0 or errno.
int write_all(int fd, const char* bytes, std::size_t size);
/// Reads up to `size` bytes at `offset`, fewer at the end of the file alone. Returns -1 with errno set for a failure.
std::int64_t read_at(int fd, char* to, std::size_t size, std::uint64_t offset);
/// All of a file, `limit` bytes at most (EFBIG). Returns 0 or errno.
int read_whole(int fd, std::string& out, std::size_t limit);

/// The hash of all of a file, whatever its offset is. Returns 0 or errno; ECANCELED if told to end.
int hash_bytes(int fd, wire::digest& out, cancel_flag cancel);

/// Copies `size` bytes: shares them where the disk can, else copies. Returns 0 or errno; ECANCELED if told to end, EIO if the
/// source is shorter.
int copy_bytes(int from, int to, std::uint64_t size, cancel_flag cancel);

/// The umask of the process: what it takes off the modes of new files. Changes nothing, unless the kernel does not tell it (no
/// /proc).
mode_t umask_now();

/// Makes every missing folder of an absolute path (0700). Returns 0 or errno.
int make_folders(const std::string& path);

/// Returns whether the disk of `fd` has more than `keep` bytes left once `wanted` are written.
bool has_room(int fd, std::uint64_t wanted, std::uint64_t keep);

/// Deletes a name in a folder and everything below. Follows no link, crosses no mount point. Returns 0 or errno.
int remove_below(int folder, const char* name, cancel_flag cancel);

/// Writes a small file so that it is there whole and durable, or not at all. Returns 0 or errno.
int write_durably(int folder, const std::string& name, const std::string& bytes);

inline bool is_set(cancel_flag cancel) {
  return cancel != nullptr && cancel->load(std::memory_order_relaxed);
}

/// "cannot <doing> <path>: <why>", with the kind that the errno means.
failure failed(const std::string& doing, const std::string& path, int error);

/// Returns why a link at that depth (0 = in the root) may lead out of its tree, or empty. ".." counts in front alone: behind a name
/// it would depend on what that is.
std::string leads_out(const std::string& target, std::size_t depth);

} // namespace conclave::snapshots
