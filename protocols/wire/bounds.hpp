// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What one reply may be at most, whatever the dialect: more is a bad_reply. The one list of these numbers.

#include <cstddef>

namespace conclave::wire {

inline constexpr std::size_t max_reply_bytes = std::size_t{64} << 20; ///< of its body, decoded
inline constexpr std::size_t max_text_bytes = std::size_t{16}
                                              << 20; ///< of its text, thoughts and arguments, which are held more than once
inline constexpr std::size_t max_line_bytes = std::size_t{16} << 20;  ///< of one line, one event, or a body that is no stream
inline constexpr std::size_t max_event_bytes = std::size_t{32} << 20; ///< of one event, built up as values
inline constexpr int max_depth = 64;                                  ///< of JSON
inline constexpr std::size_t max_reply_calls = 128;                   ///< of tools of ours
inline constexpr std::size_t max_reply_parts = 1024; ///< blocks, items or parts; also of one list of a server's own

} // namespace conclave::wire
