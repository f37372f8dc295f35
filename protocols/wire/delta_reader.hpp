// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to wire/*.cpp: reads the events that most of a stream consists of, those that bring one piece of text, of a thought or
/// of a call's arguments, and copies nothing but that piece. One reader per dialect knows where the piece stands.
///
/// What a reader takes means the same to the general parser and the dialect's `on_object`; whatever else an event holds (more than
/// one piece, a member with something to say, an error, JSON that is not quite JSON), it does not judge: it returns false, and the
/// event is for those.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace conclave::wire {

enum class delta_kind : std::uint8_t { text, thought, arguments };

/// The token counts that Gemini sends with every event, in this order; NaN = it is not there.
inline constexpr std::array<std::string_view, 6> gemini_count_names{"promptTokenCount",        "toolUsePromptTokenCount",
                                                                    "cachedContentTokenCount", "candidatesTokenCount",
                                                                    "thoughtsTokenCount",      "totalTokenCount"};
using gemini_counts = std::array<double, gemini_count_names.size()>;

struct delta {
  delta_kind kind = delta_kind::text;
  std::string piece;      ///< not empty, or a mark: see `claim_piece`
  std::int64_t index = 0; ///< Chat Completions: of the call; Messages: of the block; Responses: of the item
  std::int64_t part = 0;  ///< Responses, of a thought: of which of its parts
  std::string field;      ///< Chat Completions: member that a thought came in; Responses: the event's type
  std::string item;       ///< Responses: the item's id
  bool counted = false;   ///< Gemini: there are counts
  gemini_counts counts{};
  std::string rest;               ///< of a long event, what was read in its place: readers view it
  std::size_t from = 0, size = 0; ///< of a piece of a long event: where it stands in the data, with its escapes; 0 = not so
};

/// Moves a long piece out of the data it was read from, which ends it: for whoever takes the event. Any other is where it should
/// be.
void claim_piece(std::string& data, delta& to);

/// Bytes that an event's data must have allocated behind its end; `read_...` makes room where they are not.
inline constexpr std::size_t delta_padding = 64;

/// Each reads one event's data, which keeps its bytes but may be moved to another place. Thread-safe.
bool read_chat_delta(std::string& data, delta& to);
bool read_anthropic_delta(std::string& data, delta& to);
bool read_responses_delta(std::string& data, delta& to);
bool read_gemini_delta(std::string& data, delta& to);

} // namespace conclave::wire
