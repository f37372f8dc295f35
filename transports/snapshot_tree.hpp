// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// How a folder is written down: "tree 1\n", then for each name in byte order one letter for the kind (f, x, l, d), 8 bytes of size
/// (little endian; 0 of a folder), 32 bytes of hash, the name, a NUL. Private to transports/snapshot_*. Pure.

#include "protocols/wire/sha256.hpp"
#include "transports/snapshot_types.hpp"

#include <string>
#include <string_view>

namespace conclave::snapshots {

/// Longest written folder that is read: 200,000 names of 255 bytes fit.
inline constexpr std::size_t max_tree_bytes = std::size_t{96} << 20;

struct tree_entry {
  entry_kind kind = entry_kind::none;
  std::uint64_t size = 0;
  wire::digest hash{};
  std::string_view name; ///< of the text read
};

std::string_view tree_head();

/// Appends an entry; names come in byte order.
void add_entry(std::string& tree, const tree_entry& e);

/// Reads a written folder entry by entry.
class tree_reader {
public:
  explicit tree_reader(std::string_view text);
  /// Returns false at the end, and where the text is not a folder: `good` tells which.
  bool next(tree_entry& out);
  bool good() const { return good_; }

private:
  std::string_view rest_, last_;
  bool good_ = true;
};

/// An entry as callers see it.
entry plain(const tree_entry& e);

} // namespace conclave::snapshots
