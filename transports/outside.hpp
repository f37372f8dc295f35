// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What an engine cannot work out for itself: the time of day and chance. Carried by the parts of whoever needs it, so that a test
/// can play both. Any thread.

#include <cstdint>
#include <functional>
#include <string>

namespace conclave {

struct outside {
  std::function<std::int64_t()> now_unix_ms;                     ///< Unix time
  std::function<std::uint32_t(const std::string& owner)> random; ///< the seed of the random numbers of this owner

  /// This machine's clock and its random device.
  static outside of_machine();
};

} // namespace conclave
