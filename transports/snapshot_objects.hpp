// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Where the snapshot store keeps things. Private to transports/snapshot_*.
///
///   lock                     shared while a snapshot is taken, exclusive while what nobody holds is deleted
///   files/<2 digits>/<hash>  the bytes of files and the targets of links, 0444; with ".x" behind it once more for those who
///   execute it trees/<2 digits>/<hash>  folders as transports/snapshot_tree.hpp writes them held/<holder>/<id>       that somebody
///   needs a snapshot: "files dirs bytes" incoming/<6 letters>/    what is being written; nothing in it counts

#include "transports/snapshot_disk.hpp"
#include "transports/snapshot_tree.hpp"

#include <optional>
#include <string>

namespace conclave::snapshots {

bool is_holder(const std::string& name);

/// The folders of a store, opened.
class objects {
public:
  /// Opens the store, made if `make`. Returns 0 or errno.
  int open(const std::string& home, bool make);

  /// Holds the lock as long as it lives. Null if the store is locked otherwise and `wait` is not set, or with errno ECANCELED.
  descriptor lock(bool exclusive, bool wait, cancel_flag cancel) const;

  bool has(char area, const wire::digest& hash) const; ///< area: 'f' or 't'
  int open_file(const wire::digest& hash) const;       ///< -1 with errno
  /// Reads a folder and checks it against its hash.
  std::optional<failure> read_tree(const wire::digest& hash, std::string& out) const;

  /// The file to link to where it is to be executable, made if it is not there. Returns 0 or errno.
  int make_executable(const wire::digest& hash, std::uint64_t size, cancel_flag cancel) const;

  /// "files dirs bytes" of a held snapshot; nothing if it is not held.
  std::optional<placed> held(const std::string& holder, const std::string& id) const;
  /// Whether anybody holds it.
  std::optional<placed> held_by_anyone(const std::string& id) const;

  int root() const { return root_.get(); }
  int files() const { return files_.get(); }
  int trees() const { return trees_.get(); }
  int holders() const { return held_.get(); }
  int incoming() const { return incoming_.get(); }
  const std::string& home() const { return home_; }

  /// "ab/abcd..." of a hash.
  static std::string place(const wire::digest& hash);

private:
  std::string home_;
  descriptor root_, files_, trees_, held_, incoming_;
};

/// A folder in incoming/ that goes with it.
class arrival {
public:
  ~arrival();
  int open(const objects& store);
  int folder() const { return fd_.get(); }
  moment begun() const { return begun_; } ///< when the folder was made, by the disk's clock

  /// Writes an object, unless one of that hash is here or kept. `new_bytes` grows by what is written. Returns 0 or errno.
  int put(char area, const wire::digest& hash, std::string_view bytes, std::uint64_t& new_bytes);
  /// A file to write into, which `adopt` names by what it holds.
  descriptor begin(int& error);
  int adopt(const wire::digest& hash, std::uint64_t size, std::uint64_t& new_bytes);

  /// Makes all of it durable and gives it its places, with the holder's note last.
  int publish(const std::string& holder, const std::string& id, const placed& what);

private:
  int place_all();
  const objects* store_ = nullptr;
  descriptor fd_;
  std::string name_;
  moment begun_ = 0;
  bool anything_ = false;
};

} // namespace conclave::snapshots
