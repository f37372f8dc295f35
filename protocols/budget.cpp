// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/budget.hpp"

#include <algorithm>
#include <cstdio>

namespace conclave {

namespace {

constexpr std::int64_t most = 1'000'000'000'000'000; ///< of a sum: no number of a log makes it overflow

std::int64_t sane(std::int64_t x) {
  return std::clamp<std::int64_t>(x, 0, most);
}

} // namespace

amount amount_of(const usage& u) {
  return {sane(sane(u.input_tokens) + sane(u.output_tokens)), sane(u.cost_nano_usd)};
}

void add(amount& sum, const amount& x) {
  sum.tokens = sane(sum.tokens + sane(x.tokens));
  sum.nano_usd = sane(sum.nano_usd + sane(x.nano_usd));
}

amount settled(const usage& reserve, const usage& reported) {
  auto out = amount_of(reported);
  if (reported.unreported <= 0)
    return out;
  auto least = amount_of(reserve);
  return {std::max(out.tokens, least.tokens), std::max(out.nano_usd, least.nano_usd)};
}

std::string thousands(std::int64_t n) {
  auto text = std::to_string(n);
  for (auto i = static_cast<std::ptrdiff_t>(text.size()) - 3; i > (n < 0 ? 1 : 0); i -= 3)
    text.insert(static_cast<std::size_t>(i), ",");
  return text;
}

std::string dollars(std::int64_t nano_usd) {
  constexpr std::int64_t one = 1'000'000'000, step = one / 10'000;
  if (nano_usd > 0 && nano_usd < step)
    return "under $0.0001";
  auto fine = nano_usd < one; // in steps of 1/100 of a cent, rounded
  auto steps = (nano_usd + (fine ? step : one / 100) / 2) / (fine ? step : one / 100);
  auto unit = fine ? 10'000 : 100;
  char rest[24];
  std::snprintf(rest, sizeof rest, fine ? ".%04lld" : ".%02lld", static_cast<long long>(steps % unit));
  return "$" + thousands(steps / unit) + rest;
}

std::string to_string(budget_unit u) {
  switch (u) {
  case budget_unit::tokens:
    return "tokens";
  case budget_unit::usd:
    return "usd";
  }
  return "unknown";
}

std::int64_t limit_of(const budget& b, budget_unit u) {
  return u == budget_unit::tokens ? b.tokens : b.nano_usd;
}

std::int64_t in(const amount& a, budget_unit u) {
  return u == budget_unit::tokens ? a.tokens : a.nano_usd;
}

std::string share_text(std::int64_t part, std::int64_t limit, budget_unit u) {
  return u == budget_unit::tokens ? thousands(part) + " of " + thousands(limit) + " tokens"
                                  : dollars(part) + " of " + dollars(limit);
}

} // namespace conclave
