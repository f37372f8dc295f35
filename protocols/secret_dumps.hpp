// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Bytes that a text tells one by one: what tools that show files print (xxd, hexdump, od), and lists of numbers in programs and
/// JSON. Pure.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace conclave {

/// What a dump says, and where in the text.
struct dumped {
  std::string said;              ///< hexadecimal digits, or the bytes where it has numbers
  std::vector<std::uint32_t> at; ///< where each of `said` begins
  std::vector<std::uint32_t>
      ends;             ///< and ends: in a row of a dump where that ends, for the bytes stand there once more as they are
  bool numbers = false; ///< decimal ones

  void reserve(std::size_t size) {
    said.reserve(size);
    at.reserve(size);
    ends.reserve(size);
  }

  void clear() {
    said.clear();
    at.clear();
    ends.clear();
  }

  void add(char c, std::size_t begin, std::size_t end) {
    said += c;
    at.push_back(static_cast<std::uint32_t>(begin));
    ends.push_back(static_cast<std::uint32_t>(end));
  }
};

/// Calls `use` with each row of hexadecimal digits that have something between them (blanks, ends of lines, `:`, `,`, quotes,
/// `0x`), and with each list of decimal numbers, of at least `least` bytes. O(bytes); looks at few bytes of a text that has none.
void each_dump(std::string_view text, std::size_t least, const std::function<void(dumped&&)>& use);

/// Calls `use` with what the rows of each dump say that begin with where they are in a file ("00000010: 5a71 3831  Zq81"), as they
/// stand there and as words whose lower byte is the first. A row has the bytes that the next one says, at most 256; two rows at
/// least. O(bytes).
void each_row_dump(std::string_view text, const std::function<void(dumped&&)>& use);

/// Returns `said` told as `there` tells something of its length: byte by byte in the place of its digits, and everything between
/// them as it is; empty if that has not as many, or there is more between them than divides bytes. `numbers`: in decimal, `said` is
/// the bytes, else it is hexadecimal digits.
std::string told_as(const std::string& said, const std::string& there, bool numbers);

} // namespace conclave
