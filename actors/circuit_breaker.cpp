// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/circuit_breaker.hpp"

#include <algorithm>

namespace conclave {

bool breaker::allow(std::int64_t now_ms) {
  if (is_paced(now_ms))
    return false;
  if (until_ms_ == 0)
    return true;
  if (now_ms < until_ms_ || probing_)
    return false;
  probing_ = true; // half-open: one probe decides
  return true;
}

void breaker::success() {
  failures_ = 0;
  until_ms_ = 0;
  probing_ = false;
}

void breaker::failure(std::int64_t now_ms) {
  ++failures_;
  probing_ = false;
  if (failures_ < policy_.max_failures)
    return;
  std::uint64_t factor = 1;
  for (auto n = policy_.max_failures; n < failures_ && factor < policy_.max_multiplier; ++n)
    factor *= policy_.multiplier;
  factor = std::min<std::uint64_t>(factor, policy_.max_multiplier);
  until_ms_ = now_ms + policy_.reset_ms * static_cast<std::int64_t>(factor);
}

void breaker::undecided() {
  probing_ = false;
}

void breaker::pace_until(std::int64_t until_ms) {
  probing_ = false;
  paced_until_ms_ = std::max(paced_until_ms_, until_ms);
  until_ms_ = std::max(until_ms_, until_ms); // afterwards one call probes
}

std::int64_t breaker::remaining_ms(std::int64_t now_ms) const {
  return std::max<std::int64_t>(std::max(until_ms_, paced_until_ms_) - now_ms, 0);
}

} // namespace conclave
