// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Reads `content` out of the arguments of a new_answer call while they stream: the answer is shown as it is written, and what was
/// written is not lost when the call breaks off. Pure; linear in its input; whatever is no JSON gives some text or none.

#include <cstdint>
#include <string>
#include <string_view>

namespace conclave::wire {

class answer_reader {
public:
  /// Returns what the fragment adds to the answer.
  std::string feed(std::string_view fragment);

private:
  bool escaped(char c, std::string& out);

  int depth_ = 0;
  bool in_string_ = false;
  bool value_ = false;   ///< at depth 1: after the colon
  bool content_ = false; ///< the string under way is the answer
  bool done_ = false;
  std::string key_;
  std::string escape_;      ///< from the backslash on, while it is incomplete
  std::uint32_t first_ = 0; ///< first half of a surrogate pair
};

} // namespace conclave::wire
