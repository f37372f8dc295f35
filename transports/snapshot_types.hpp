// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What the snapshot store and the delivery of changes say (transports/snapshot_store.hpp, transports/delivery.hpp). Values.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace conclave::snapshots {

/// Set by another thread to end an operation early; may be null. Asked at least once per file and per MiB.
using cancel_flag = const std::atomic<bool>*;

enum class fault : std::uint8_t {
  over_limit, ///< the folder holds more than it may; `largest` says what is large
  disk_full,  ///< the disk (or a quota) has no room for it, or less than what is kept free would remain
  unsettled,  ///< a file changed each time it was read
  missing,    ///< no such snapshot, or no such path in it
  exists,     ///< the place is taken
  not_a_file, ///< a folder or a link where a file was asked for
  damaged,    ///< what is kept is not what its name says
  drifted,    ///< the user's file is no more what the change was made from; `largest` names them
  denied,     ///< it may not be done
  busy,       ///< someone else is at it
  io,         ///< the system refused something
  cancelled,
};
std::string_view to_string(fault f);

/// Something large, or something that a failure is about.
struct sized {
  std::string path; ///< relative; a folder has '/' at its end
  std::uint64_t bytes = 0;
  std::uint64_t files = 0;
};

struct failure {
  fault kind = fault::io;
  std::string text;           ///< one sentence: what, where, what to do next
  std::vector<sized> largest; ///< at most 8, the largest first
};

template <class T>
using result = std::variant<T, failure>;

inline constexpr std::uint64_t default_keep_free = std::uint64_t{1} << 30;
/// The same where somebody has asked for the files to be written: room for what a file system needs beside them.
inline constexpr std::uint64_t asked_keep_free = std::uint64_t{16} << 20;

struct bounds {
  std::uint64_t bytes = std::uint64_t{2} << 30; ///< of files, as their sizes say: a sparse one counts in full
  std::uint64_t files = 200'000;                ///< files and links, and folders too: everything with a name
  unsigned depth = 64;                          ///< folders in folders
  std::uint64_t keep_free = default_keep_free;  ///< bytes of the disk
};

/// Returns why a relative path is left out, or empty.
using leaving = std::function<std::string(const std::string& path, bool folder)>;

/// What a folder in a folder was made from.
struct based {
  std::string on;      ///< a snapshot that is held as long as the new one is
  std::string at = {}; ///< where, with '/' at its end; empty = all of the folder
};

struct take_options {
  std::string holder;          ///< who needs it, usually a task: 1 to 128 of A-Z a-z 0-9 . _ -, no dot in front
  std::string scan_cache = {}; ///< a file of our own, beside the folder and not in it; empty = read every file
  bounds limits = {};
  cancel_flag cancel = nullptr;
  /// Returns why something (a relative path) is left out, or empty. May be empty: nothing is.
  leaving leave_out = {};
  /// A folder of our own: what may not be read in it is given to its owner to read, and where that cannot be, the snapshot fails.
  bool ours = false;
  /// What of these is left out stays in the new snapshot as it is there, and so is no change.
  std::vector<based> bases = {};
};

/// Something that is not in a snapshot, or not among the changes, and why.
struct left_out {
  std::string path;
  std::string why;
};

/// Why a file or folder of the user's is left out that this user may not read.
inline constexpr std::string_view not_readable = "not readable";
/// Why it is that git does not track and is not to.
inline constexpr std::string_view git_ignores = "git ignores it";

struct taken {
  std::string id;                ///< 64 hexadecimal digits
  std::uint64_t files = 0;       ///< files and links
  std::uint64_t dirs = 0;        ///< without the root
  std::uint64_t bytes = 0;       ///< of files
  std::uint64_t read_files = 0;  ///< how many were read
  std::uint64_t new_bytes = 0;   ///< that this one added to the store
  std::vector<left_out> skipped; ///< at most 1,000; also what stays as it is in one of `bases`
  std::uint64_t skipped_more = 0;
};

struct freed {
  bool swept = false; ///< false: others were at work, it will be done later
  std::uint64_t objects = 0;
  std::uint64_t bytes = 0;
};

enum class entry_kind : std::uint8_t { none, file, executable, link, folder };

struct entry {
  entry_kind kind = entry_kind::none;
  std::uint64_t size = 0; ///< bytes of a file, or of the target of a link
  std::string sha256;     ///< of the bytes, of the target, of the entries of a folder
  bool operator==(const entry&) const = default;
};

/// Whether it is a file or a link, of which there is something to be read; of a folder there is what is in it.
inline bool has_bytes(const entry& e) {
  return e.kind != entry_kind::none && e.kind != entry_kind::folder;
}

/// How much a tree holds.
struct placed {
  std::uint64_t files = 0;
  std::uint64_t dirs = 0;
  std::uint64_t bytes = 0;
};

struct listed {
  std::string path;
  entry what;
};

struct listing {
  std::vector<listed> entries;
  bool more = false;
};

struct piece {
  std::string bytes;
  std::uint64_t size = 0; ///< of the whole file
};

enum class change_kind : std::uint8_t { added, modified, removed, mode };
std::string_view to_string(change_kind k);

/// One path that differs. A folder appears where it comes or goes, and everything in it does too. A file that becomes a folder, or
/// the reverse, is `modified`.
struct change {
  std::string path;
  entry before; ///< kind none = it was not there
  entry after;
  change_kind kind() const;
};

/// By path, a folder before what is in it.
using changes = std::vector<change>;

} // namespace conclave::snapshots
