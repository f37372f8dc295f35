// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "fuzz/sse_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return conclave::fuzz::run_sse(conclave::fuzz::text_of(data, size));
}
