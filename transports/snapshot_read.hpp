// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What reads a kept snapshot. Private to transports/snapshot_*.

#include "transports/snapshot_objects.hpp"

#include <optional>
#include <string>

namespace conclave::snapshots {

/// Opens the store and says whether there is such a snapshot.
std::optional<failure> open_snapshot(const std::string& home, const std::string& id, objects& kept, wire::digest& root);

failure no_snapshot(const std::string& id);

/// What holds the bytes of `path` is not what its name says.
failure damaged(const objects& kept, const wire::digest& hash, const std::string& path);

} // namespace conclave::snapshots
