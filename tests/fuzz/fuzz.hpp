// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Shared by the fuzzers. Seeds stay readable files: what varies besides the bytes is taken from their hash.

#include "protocols/wire/json.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace conclave::fuzz {

/// Ends the process, so that libFuzzer keeps the input, if `what` does not hold.
#define FUZZ_REQUIRE(what)                                                                                                         \
  do {                                                                                                                             \
    if (!(what)) {                                                                                                                 \
      std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #what);                                               \
      std::abort();                                                                                                                \
    }                                                                                                                              \
  } while (false)

inline std::string text_of(const std::uint8_t* data, std::size_t size) {
  return size == 0 ? std::string{} : std::string(reinterpret_cast<const char*>(data), size);
}

/// Piece sizes that depend on nothing but the input.
inline std::vector<std::size_t> pieces_of(std::string_view bytes) {
  std::vector<std::size_t> out;
  for (char c : wire::hash(bytes))
    out.push_back(1 + static_cast<std::size_t>(static_cast<unsigned char>(c)) % 23);
  return out;
}

/// One line of printable text: no control characters, valid UTF-8.
inline bool is_clean_line(const std::string& x) {
  for (unsigned char c : x)
    if (c < 0x20 || c == 0x7F)
      return false;
  return wire::quote(x).find("\xEF\xBF\xBD") == std::string::npos || x.find("\xEF\xBF\xBD") != std::string::npos;
}

} // namespace conclave::fuzz
