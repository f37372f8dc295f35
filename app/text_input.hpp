// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Bytes that are to be text: a configuration, a question, what is added to one. Pure.

#include <string>
#include <string_view>

namespace conclave {

/// Why bytes are no text. `line` is where it was noticed, from 1.
struct text_fault {
  int line = 0; ///< 0 = nothing is wrong
  std::string why;
};

/// Judges bytes: UTF-8 without zero bytes. What is recognised otherwise (UTF-16, Latin-1, pictures, archives) is named with a way
/// out.
text_fault find_text_fault(std::string_view bytes);

/// Drops a byte order mark of UTF-8.
void drop_bom(std::string& text);

} // namespace conclave
