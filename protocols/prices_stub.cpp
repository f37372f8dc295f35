// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// A few prices, until the catalogue has them all.

#include "protocols/prices.hpp"

namespace conclave {

std::optional<price> price_of(std::string_view, std::string_view model, std::int64_t, std::int64_t) {
  if (model == "gpt-4o-mini")
    return price{150, 75, -1, 600, -1, -1, -1};
  if (model == "gpt-4o")
    return price{2'500, 1'250, -1, 10'000, -1, -1, -1};
  return {};
}

} // namespace conclave
