// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/prices.hpp"

#include "protocols/catalogue.hpp"
#include "protocols/catalogue_models.hpp"

namespace conclave {

std::optional<price> price_of(std::string_view provider_or_type, std::string_view model, std::int64_t unix_ms,
                              std::int64_t input_tokens, const std::vector<model_row>& own) {
  if (const auto* row = find_model(provider_or_type, model, own))
    return price_at(*row, unix_ms, input_tokens);
  return is_own_server(provider_or_type) ? std::optional{no_price} : std::nullopt;
}

std::optional<price> price_of(std::string_view provider_or_type, std::string_view model, std::int64_t unix_ms,
                              std::int64_t input_tokens) {
  return price_of(provider_or_type, model, unix_ms, input_tokens, {});
}

} // namespace conclave
