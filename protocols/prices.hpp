// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a token costs. Pure, any thread; the rows are those of the catalogue (docs/providers.md says where they come from).

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace conclave {

struct model_row;

/// Prices of one model, all in nano-USD (1e-9 USD): 2.5 USD per million tokens = 2500 a token, rounded up to a whole one. -1 =
/// unknown, which is never 0: 0 = free of charge.
struct price {
  std::int64_t input = -1;        ///< a token of the prompt that is in no cache
  std::int64_t cached_input = -1; ///< a token of the prompt read from the provider's cache; where the source says none, as `input`
  std::int64_t cache_write = -1;  ///< a token written into that cache (Anthropic: for 5 minutes); where none is said, as `input`
  std::int64_t output = -1;       ///< a token of the reply, reasoning included
  std::int64_t audio_in = -1;     ///< a token of audio in the prompt
  std::int64_t audio_out = -1;    ///< a token of audio in the reply
  std::int64_t per_hosted_call = -1; ///< one use of a tool that the provider runs (web search, grounding), the dearest it has

  bool operator==(const price&) const = default;
};

/// Of servers of one's own.
constexpr price no_price{0, 0, 0, 0, 0, 0, 0};

/// Returns what this model costs at this provider, nullopt if nobody knows: unknown is not free.
/// @param provider_or_type a provider's id or display name ("Groq"), a backend type ("claude"), or a host ("api.groq.com"); of a
///   backend: provider_of(b) (protocols/catalogue.hpp). Servers of one's own (vllm, lmstudio, ollama, ...) cost nothing
/// @param model as sent; a date behind it and a provider's prefix before it are seen through
/// @param unix_ms when the call is made: prices change at dates
/// @param input_tokens of the call, cached ones included: long prompts cost more at some; what is not known yet is 0
/// @param own a user's rows (protocols/catalogue_models.hpp), which come first
std::optional<price> price_of(std::string_view provider_or_type, std::string_view model, std::int64_t unix_ms,
                              std::int64_t input_tokens, const std::vector<model_row>& own);
std::optional<price> price_of(std::string_view provider_or_type, std::string_view model, std::int64_t unix_ms,
                              std::int64_t input_tokens);

} // namespace conclave
