// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A folder that is opened once, and what is done below it: nothing here ever leaves it, whoever changes links and folders
/// meanwhile. Paths are relative to it, components parted by '/', "" is the folder itself; ".." is refused. Reading follows links
/// that stay beneath; whatever writes or deletes follows none. Mount points are not crossed. Blocking; a value may be used by one
/// thread at a time, several values on one folder by several.
///
///   auto dir = confined_dir::open("/home/u/project");
///   if (auto file = dir.value.open_file("src/a.txt"); file.ok()) ...read file.value.fd, below file.value.path

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct stat;

namespace conclave {

/// A file descriptor that closes itself.
class descriptor {
public:
  descriptor() = default;
  explicit descriptor(int fd) : fd_(fd) {}
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~descriptor();
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  explicit operator bool() const { return fd_ >= 0; }

private:
  int fd_ = -1;
};

enum class dir_fault : std::uint8_t {
  none,
  absent,
  exists,
  refused,    ///< the system's permissions
  escapes,    ///< a link that leads out of the folder, or ".."
  link,       ///< a link where none is followed
  mount,      ///< a mount point
  not_folder, ///< a component is something else
  folder,     ///< a folder where a file is meant
  special,    ///< a FIFO, socket or device
  not_empty,
  bad_path, ///< too long, or names no entry
  too_deep,
  too_large,
  changed, ///< it was replaced while it was worked on
  cancelled,
  full, ///< no space, or over quota
  io,
};

struct dir_error {
  dir_fault what = dir_fault::none;
  std::string path; ///< relative to the folder
  int number = 0;   ///< errno; 0 = none
  bool ok() const { return what == dir_fault::none; }
};

/// Says what happened in a few words: "is not there", "no space is left". Names no path.
std::string to_text(const dir_error& e);

template <class T>
struct dir_result {
  T value{};
  dir_error error;
  bool ok() const { return error.ok(); }
};

enum class entry_kind : std::uint8_t { file, folder, link, special };

/// What an entry is, as the system says.
struct entry_facts {
  entry_kind kind = entry_kind::file;
  std::uint64_t size = 0; ///< bytes
  std::uint32_t mode = 0; ///< permission bits
  std::uint32_t user = 0, group = 0;
  std::uint64_t device = 0, inode = 0, links = 0;
  std::int64_t mtime_ns = 0, ctime_ns = 0, atime_ns = 0;
  bool same_file(const entry_facts& other) const { return device == other.device && inode == other.inode; }
};
entry_facts facts_of(const struct stat& st);

struct opened_entry {
  descriptor fd;
  std::string path; ///< where it was found: no component is a link
  entry_facts facts;
};

struct dir_entry {
  std::string name;
  entry_facts facts;
};

struct dir_listing {
  std::vector<dir_entry> entries; ///< by name
  bool cut = false;               ///< there are more
};

/// An entry that a walk came to.
struct walked {
  std::string path; ///< relative to where the walk began
  std::string name;
  entry_facts facts;
  int depth = 0;                     ///< 0 = in the folder where it began
  int parent = -1;                   ///< descriptor of the folder that holds it, for the time of the call
  dir_fault fault = dir_fault::none; ///< why a folder cannot be gone into: mount, refused, too_deep, ...
};

enum class walk_step : std::uint8_t {
  on,   ///< goes into a folder
  over, ///< does not
  stop,
};

struct walk_bounds {
  int depth = 64; ///< folders below this one are `too_deep`
  const std::atomic<bool>* cancel = nullptr;
};

using walk_visitor = std::function<walk_step(const walked&)>;

enum class if_exists : std::uint8_t { fail, replace };

struct write_options {
  if_exists existing = if_exists::replace;
  std::optional<entry_facts> expected; ///< replaces this file alone: same identity, size and ctime
  std::uint32_t mode = 0;              ///< of a new file; 0 = as the umask says. A replaced one keeps its own
  bool durable = true;                 ///< synced before it gets its name; false = the caller calls sync()
};

class confined_dir {
public:
  /// How paths are resolved: by openat2 where the kernel has it, or component by component.
  enum class way : std::uint8_t { best, components };

  /// Opens the folder `path`, which is resolved once. A value that was not opened answers `absent`.
  static dir_result<confined_dir> open(const std::string& path, way how = way::best);

  /// Canonical and absolute.
  const std::string& path() const { return path_; }

  // -- reading: links that stay beneath are followed --

  /// Opens a regular file. Never waits for the other end of a FIFO.
  dir_result<opened_entry> open_file(std::string_view path) const;
  /// Opens a folder for listing.
  dir_result<opened_entry> open_folder(std::string_view path) const;
  /// Opens whatever is there as a mere reference (O_PATH), also what may not be read.
  dir_result<opened_entry> find(std::string_view path) const;
  /// Opens a regular file that a walk is at; follows no link.
  dir_result<opened_entry> open_walked(const walked& w) const;
  dir_result<dir_listing> list(std::string_view path, std::size_t limit) const;
  /// Visits what is below the folder, each folder before what it holds, by name. No link is followed, so nothing comes twice.
  dir_error walk(std::string_view path, const walk_bounds& bounds, const walk_visitor& visit) const;

  // -- no link is followed --

  /// What is there itself: of a link the link.
  dir_result<entry_facts> look(std::string_view path) const;
  dir_result<std::string> link_target(std::string_view path) const;

  /// Writes a file whole: others see what was there before, or all of it. A hard link elsewhere keeps what it had.
  dir_result<entry_facts> write(std::string_view path, std::string_view bytes, const write_options& o) const;
  /// The same with what `from` holds from its start, at most `limit` bytes.
  dir_result<entry_facts> write_from(std::string_view path, int from, std::uint64_t limit, const write_options& o,
                                     const std::atomic<bool>* cancel = nullptr) const;
  dir_error make_link(std::string_view path, const std::string& target) const;
  /// Makes a folder and those above it. One that is there is fine. `made`: how many were not.
  dir_error make_folders(std::string_view path, std::size_t* made = nullptr) const;
  /// Removes a file, link or special entry. `expected`: this one alone.
  dir_error remove(std::string_view path, const std::optional<entry_facts>& expected = std::nullopt) const;
  dir_error remove_folder(std::string_view path) const; ///< an empty one
  /// Removes a folder with all below. `may_go` is asked for each entry right before it goes, with its path below the folder;
  /// false ends it with `changed`.
  dir_error remove_tree(std::string_view path, const walk_bounds& bounds, const walk_visitor& may_go) const;
  /// Gives an entry a new name; nothing is replaced. Between two folders of one file system, else `mount`.
  dir_error move(std::string_view from, const confined_dir& to_dir, std::string_view to) const;
  /// Syncs all that was written to its file system.
  dir_error sync() const;
  /// Bytes left for users without privileges.
  dir_result<std::uint64_t> room() const;

private:
  struct place { ///< the folder that holds an entry
    descriptor folder;
    std::string name; ///< empty = the root itself
    std::string path;
  };
  dir_result<place> parent_of(std::string_view path) const;
  dir_result<opened_entry> resolve(std::string_view path, int flags, bool follow) const;
  dir_result<opened_entry> walk_components(std::string_view path, int flags, bool follow) const;
  dir_result<entry_facts> put(std::string_view path, const std::function<dir_error(int)>& fill, const write_options& o) const;
  dir_error visit_folder(int folder, const std::string& prefix, int depth, const walk_bounds& bounds, const walk_visitor& visit,
                         bool removes, bool& stopped) const;
  descriptor step(int folder, const char* name, int flags) const; ///< opens one component, no link, no mount; else errno

  std::string path_;
  descriptor root_;
  std::uint64_t mount_ = 0;
  way way_ = way::best;
};

/// Reads what an open file holds from `offset` on, at most `limit` bytes.
dir_result<std::string> read_bytes(int fd, std::uint64_t offset, std::size_t limit, const std::atomic<bool>* cancel = nullptr);

} // namespace conclave
