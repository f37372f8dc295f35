// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The room a store takes on its disk: a small file kept aside so that tasks can be deleted when nothing is left, and the way freed
/// pages return to the disk. Private to transports/event_store*.

#include "transports/event_store_sqlite.hpp"

#include <string>

namespace conclave {

/// Deleting needs some room before it gives any back (the write-ahead log, its index). This file holds it: 1 MiB beside the store.
class disk_reserve {
public:
  explicit disk_reserve(const std::string& store) : path_(store + "-reserve") {}

  /// Makes the file if it is missing and the disk has plenty of room. Failing costs nothing but the reserve.
  void keep() const;

  /// Deletes the file. Returns whether there was one.
  bool release() const;

private:
  std::string path_;
};

/// Returns freed pages to the disk, as far as that may be: a store made before this was known is rebuilt once. `shared`: a task is
/// under way somewhere, so the lock may be held for moments only. What cannot be done now is done after the next deletion.
void give_pages_back(sqlite::connection& db, bool shared);

} // namespace conclave
