// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/outside.hpp"

#include <chrono>
#include <random>

namespace conclave {

outside outside::of_machine() {
  using namespace std::chrono;
  return {[] { return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count(); },
          [](const std::string&) { return static_cast<std::uint32_t>(std::random_device{}()); }};
}

} // namespace conclave
