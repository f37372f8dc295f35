// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Budgets that no call fits into.

#include "app/load_config.hpp"
#include "protocols/config_validate.hpp"
#include "protocols/cost.hpp"
#include "protocols/prompts.hpp"

#include <algorithm>
#include <optional>

namespace conclave {

namespace {

/// The least that a call of this backend reserves: the instructions without a question, and the longest reply.
usage least_reserve(const agent_config& a, const backend_config& b, const run_config& c, std::int64_t now_unix_ms) {
  model_request r;
  r.params = b.params;
  r.max_output_tokens = b.max_tokens;
  auto talk = prompts::coordination({}, a.system_message, prompts::ladder::tools, 0);
  auto out = reserve_for(r, talk, b);
  put_highest_cost(out, price_for(b, now_unix_ms, out.input_tokens, c.models));
  return out;
}

} // namespace

std::vector<problem> small_budgets(const run_config& c, std::int64_t now_unix_ms) {
  std::vector<problem> out;
  std::optional<amount> least_of_all;
  auto judge = [&](const budget& b, const std::optional<amount>& least, const std::string& path, const char* whose) {
    if (!least || b.on_exceed == exceed_policy::warn)
      return;
    for (auto u : {budget_unit::tokens, budget_unit::usd})
      if (auto limit = limit_of(b, u), need = in(*least, u); limit > 0 && need > limit) {
        auto figure = [u](std::int64_t n) { return u == budget_unit::tokens ? thousands(n) + " tokens" : dollars(n); };
        auto at = place_of(c.places, path + "." + to_string(u));
        out.push_back({severity::warning, c.source, at.line, at.path,
                       "no call fits: the smallest of " + std::string{whose} + " may take " + figure(need) + ", the budget is "
                           + figure(limit) + "; allow more, or set `max_tokens`, which bounds the reply",
                       false, at.column});
      }
  };
  auto least = [](std::optional<amount>& sum, const amount& x) {
    sum = sum ? amount{std::min(sum->tokens, x.tokens), std::min(sum->nano_usd, x.nano_usd)} : x;
  };
  for (std::size_t i = 0; i < c.agents.size(); ++i) {
    std::optional<amount> own;
    each_backend(c.agents[i], [&](const backend_config& b, const std::string&) {
      least(own, amount_of(least_reserve(c.agents[i], b, c, now_unix_ms)));
    });
    if (own)
      least(least_of_all, *own);
    judge(c.agents[i].budget, own, "agents[" + std::to_string(i) + "].budget", "this agent");
  }
  judge(c.rules.budget, least_of_all, "budget", "any agent");
  return out;
}

} // namespace conclave
