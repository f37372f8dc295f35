// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Half surrogate pairs in JSON text: some servers cut an emoji between two events, and no parser takes `"\ud83d"`. Pure.

#include <cstdint>
#include <string>
#include <string_view>

namespace conclave::wire {

/// Appends a code point; a surrogate half or what is no code point becomes U+FFFD.
void append_utf8(std::string& out, std::uint32_t code);

/// Returns JSON text whose `\uXXXX` escapes hold no half pairs: each becomes U+FFFD or, where `marked`, a private-use character
/// that a `surrogate_joiner` can still join.
std::string without_halves(std::string_view json_text, bool marked);

/// Joins marked halves across the pieces of one text; a lone one becomes U+FFFD.
class surrogate_joiner {
public:
  /// Rewrites the piece: without marks; a first half at its end is held back for the next piece.
  void feed(std::string& piece);

  /// Returns whether a half is held back: the next piece must be fed, too.
  bool pending() const { return high_ != 0; }

  /// Appends what was held back.
  void finish(std::string& to);

private:
  std::uint32_t high_ = 0;
};

} // namespace conclave::wire
