// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a model call may use at most, before it is made, and what it cost in the end (docs/protocol.md 8.5). Pure.

#include "protocols/config.hpp"
#include "protocols/prices.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace conclave {

/// A token is taken for this many bytes of a request where no more than that may be used: English has about four, so that this is
/// enough for what most people write.
inline constexpr std::int64_t bytes_per_token = 2;
/// And where its usual size is wanted, as for a limit of tokens a minute.
inline constexpr std::int64_t usual_bytes_per_token = 4;
/// What the frame of a request and of each of its messages takes, and each picture, in tokens.
inline constexpr std::int64_t tokens_per_request = 32, tokens_per_message = 8, tokens_per_picture = 3'000;
/// So many bytes of a document, as it is sent, are taken for one byte of its text, and it is never less than a picture.
inline constexpr std::size_t document_bytes = 8;
/// The longest reply where neither `max_tokens` nor a parameter of the provider bounds it.
inline constexpr std::int64_t default_reply_tokens = 16'384;

/// What a token costs that Anthropic's cache keeps for an hour, in prices of a plain one. Source, read 2026-11-26:
/// https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching ("Pricing").
inline constexpr std::int64_t hour_cache_factor = 2;

/// Returns the tokens that a request takes whose conversation is `talk`, at so many bytes a token; `more`: bytes of it that stand
/// elsewhere.
std::int64_t input_tokens_of(const model_request& r, const std::vector<message>& talk, std::size_t more,
                             std::int64_t bytes_a_token);

/// Returns the tokens that this request, whose conversation is `talk`, may use at most: of the input by its bytes, of the output
/// its bound; and the uses of the provider's tools that it bounds. `config` is that of its agent's backend.
usage reserve_for(const model_request& r, const std::vector<message>& talk, const backend_config& config);

/// Sets what the tokens of a call cost: `cost_nano_usd`, and `unpriced` where a part of it has no known price.
void put_cost(usage& of, const std::optional<price>& p);

/// The same of a reserve: the dearest that its tokens may be.
void put_highest_cost(usage& of, const std::optional<price>& p);

/// Returns what a model costs, see price_of; where one of several may answer (`models` of an aggregator), the dearest of them,
/// unknown if one is. Models that the user runs cost nothing.
std::optional<price> price_for(const backend_config& b, std::int64_t unix_ms, std::int64_t input_tokens,
                               const std::vector<model_row>& own);

/// Where prices come from: as price_for.
using price_source = std::function<std::optional<price>(const backend_config&, std::int64_t unix_ms, std::int64_t input_tokens)>;

/// Returns price_for with a user's rows.
price_source prices_of(std::vector<model_row> own);

} // namespace conclave
