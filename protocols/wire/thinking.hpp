// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Thinking that a model writes into its text: `<think>why</think>\n\nIt is 42.` Pure.
///
/// A leading block is reasoning, whatever follows; a block that is never closed is reasoning to its end. So is what stands before a
/// lone closing tag, if the tag is the only one in the text and stands on a line of its own outside code fences: the templates of
/// some models hold the opening tag themselves.

#include <cstddef>
#include <string>
#include <string_view>

namespace conclave::wire {

/// Tells thinking from text while both stream. Any split of the text gives the same result; linear; holds back no more than white
/// space at the beginning and the beginning of a tag.
class thinking_filter {
public:
  struct parts {
    std::string reasoning, text;
  };

  /// Appends to `to` what the piece adds. Costs a copy once the text itself has begun.
  void feed(std::string_view piece, parts& to);

  /// Returns whether the text itself has begun: nothing further will be thinking.
  bool passes() const { return state_ == state::text; }

  /// Appends what was held back. Call once, at the end.
  void finish(parts& to);

private:
  enum class state : unsigned char { start, inside, after, text };

  void run(parts& to, bool last);
  bool at_start(std::size_t& at, parts& to, bool last);
  bool in_block(std::size_t& at, parts& to, bool last);

  state state_ = state::start;
  std::string held_;
  std::string_view close_; ///< of the block under way
};

/// Moves what stands before a lone closing tag, and the tag, from `text` to the end of `reasoning`. One pass.
void move_untagged(std::string& text, std::string& reasoning);

/// Returns a whole text without its thinking.
std::string without_thinking(const std::string& text);

} // namespace conclave::wire
