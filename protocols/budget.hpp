// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a task, or one agent of it, may spend, and how a call counts (docs/protocol.md 8.5). Pure data and functions; who decides
/// is the ledger.

#include "protocols/chat.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace conclave {

/// What becomes of a call that might exceed a budget.
enum class exceed_policy : std::uint8_t {
  block,     ///< it is not made, and its agent goes on with its next backend, or is out
  warn,      ///< a person is told, once
  terminate, ///< it is not made, and the task ends with what there is
};

/// What becomes of a call whose price nobody knows, under a budget in US dollars.
enum class unknown_cost_policy : std::uint8_t {
  deny,  ///< it is not made, as with `block`
  allow, ///< it is made and counts as 0 dollars
};

/// Limits; 0 = none.
struct budget {
  std::int64_t tokens = 0;   ///< read and written, those from a cache too
  std::int64_t nano_usd = 0; ///< in 10^-9 US dollars
  exceed_policy on_exceed = exceed_policy::block;
  unknown_cost_policy on_unknown_cost = unknown_cost_policy::deny;
  std::vector<std::int64_t> warn_at = {500, 750, 900}; ///< a person is told when so much is spent, in permille
  bool counted = false; ///< another budget counts the calls of this agent, too: set for its node, never in a configuration
  bool limits() const { return tokens > 0 || nano_usd > 0; }
  bool operator==(const budget&) const = default;
};

/// What one or more calls count against a budget. Not negative; no sum overflows.
struct amount {
  std::int64_t tokens = 0;
  std::int64_t nano_usd = 0;
  bool operator==(const amount&) const = default;
};
amount amount_of(const usage& u);
void add(amount& sum, const amount& x);

/// Returns what a call that has ended counts: what was reported; of a call that nobody reported, or of which only a part was, no
/// less than its reserve.
amount settled(const usage& reserve, const usage& reported);

/// Returns a sum as people read it: "$0.0123", "$12.34", "under $0.0001".
std::string dollars(std::int64_t nano_usd);

/// Returns "12,345".
std::string thousands(std::int64_t n);

/// What a budget is counted in.
enum class budget_unit : std::uint8_t { tokens, usd };
std::string to_string(budget_unit u); ///< "tokens", "usd": as the keys are called

/// Returns the limit in this unit, 0 = none.
std::int64_t limit_of(const budget& b, budget_unit u);
std::int64_t in(const amount& a, budget_unit u);

/// Returns "1,234 of 5,000 tokens", "$0.0123 of $0.50".
std::string share_text(std::int64_t part, std::int64_t limit, budget_unit u);

} // namespace conclave
