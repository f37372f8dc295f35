// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// A reply of the Responses API.
#include "fuzz/dialect_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return conclave::fuzz::run_dialect("openai_responses", data, size);
}
