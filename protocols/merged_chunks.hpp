// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Pieces of one run's stream that wait for a reader, merged where they are of one kind. Bounded: the oldest text is dropped, never
/// inside a character, and how much it was is known.

#include "protocols/chat.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace conclave {

/// The status chunk that stands where `bytes` of a stream are missing.
chunk left_out(std::uint64_t bytes);

/// Returns how many bytes of a stream are missing where this piece is: of such a mark, those that it stands for.
std::uint64_t missing_without(const chunk& c);

class merged_chunks {
public:
  /// Adds a piece; the newest `limit` bytes are kept.
  void add(const chunk& c, std::size_t limit);

  bool empty() const { return chunks_.empty() && dropped_ == 0; }
  std::size_t bytes() const { return bytes_; }

  /// What it takes in memory, about: a list that grows has room to spare.
  std::size_t held() const { return bytes_ + skip_ + chunks_.size() * 2 * sizeof(chunk); }

  /// Drops all but the newest `limit` bytes.
  void keep(std::size_t limit);

  /// Drops what waits.
  void drop();

  /// Notes that so much is missing here.
  void miss(std::uint64_t bytes) { dropped_ += bytes; }

  /// Returns the pieces and starts anew. `dropped`: how many bytes before them are missing.
  std::vector<chunk> take(std::uint64_t& dropped);

  /// The same, with the word on what is missing in front.
  std::vector<chunk> take();

private:
  std::size_t front_bytes() const;
  void drop_front();

  std::vector<chunk> chunks_;
  std::size_t bytes_ = 0; ///< of text, without what is skipped
  std::size_t skip_ = 0;  ///< so many bytes of the first piece are dropped
  std::uint64_t dropped_ = 0;
};

} // namespace conclave
