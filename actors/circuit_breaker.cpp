// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/circuit_breaker.hpp"

#include <algorithm>

namespace conclave {

bool breaker::would_allow(std::int64_t now_ms) const {
  return !is_paced(now_ms) && (until_ms_ == 0 || (now_ms >= until_ms_ && !probing_));
}

bool breaker::allow(std::int64_t now_ms) {
  if (!would_allow(now_ms))
    return false;
  probing_ = until_ms_ != 0; // half-open: one probe decides
  return true;
}

void breaker::success() {
  failures_ = 0;
  until_ms_ = 0;
  probing_ = false;
}

void breaker::failure(std::int64_t now_ms) {
  if (!policy_.enabled)
    return;
  ++failures_;
  probing_ = false;
  if (failures_ < policy_.max_failures)
    return;
  auto most = static_cast<double>(std::max(policy_.max_reset_ms, policy_.reset_ms));
  auto wait = static_cast<double>(policy_.reset_ms);
  for (auto n = policy_.max_failures; n < failures_ && wait < most && policy_.multiplier > 1; ++n)
    wait *= policy_.multiplier;
  until_ms_ = now_ms + static_cast<std::int64_t>(std::min(wait, most));
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

std::string wait_text(std::int64_t ms) {
  auto in = [ms](std::int64_t unit) { return (ms + unit - 1) / unit; };
  auto seconds = in(1'000);
  if (ms < 120'000)
    return std::to_string(seconds) + " s";
  if (ms >= 7'200'000)
    return std::to_string(in(3'600'000)) + " h";
  // Beside a limit of whole minutes a wait that is a little longer must not look like another minute.
  return std::to_string(seconds / 60) + " min" + (seconds % 60 == 0 ? "" : " " + std::to_string(seconds % 60) + " s");
}

} // namespace conclave
