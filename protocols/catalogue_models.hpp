// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Models by provider: windows, what they can, when they end, what they cost. The rows are made by scripts/update_catalogue
/// (docs/decisions/0012); a user's models.yaml adds to them or overrides them. Pure, any thread.

#include "protocols/prices.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace conclave {

struct backend_config;

/// Whether a model can do something. Where the source says nothing it is unknown, and nothing is refused for it.
enum class trait : std::uint8_t { unknown, no, yes };

struct model_traits {
  trait images = trait::unknown;     ///< takes images
  trait documents = trait::unknown;  ///< takes PDF
  trait tools = trait::unknown;      ///< calls tools
  trait reasoning = trait::unknown;  ///< thinks before it answers
  trait web_search = trait::unknown; ///< its provider searches the web for it
  trait code = trait::unknown;       ///< its provider runs code for it
  bool operator==(const model_traits&) const = default;
};

/// What holds from a day on, in some minutes of the day, for long prompts. Of several rows that hold, the last one counts.
struct price_row {
  std::int32_t from_day = 0;                   ///< 20261130, UTC; 0 = always
  std::int32_t from_minute = 0, to_minute = 0; ///< of the UTC day, the second one not included; equal = all day
  std::int64_t above_tokens = 0;               ///< prompts of more tokens than this
  price value;
  bool operator==(const price_row&) const = default;
};

struct model_row {
  std::string provider;                                   ///< id of the provider, or a host that is nobody's we know
  std::vector<std::string> names;                         ///< lower case; the first one is the model's own
  std::int64_t context_tokens = 0, max_output_tokens = 0; ///< 0 = unknown
  model_traits traits;
  std::int32_t ends = 0;         ///< 20261130: the first day on which it is not served; 0 = none announced
  std::string successor;         ///< empty = nobody names one
  std::vector<price_row> prices; ///< empty = unknown
  bool operator==(const model_row&) const = default;
};

/// Returns every row of the catalogue, by provider and name.
const std::vector<model_row>& catalogue_models();

/// Returns the row of a model, or nullptr. `own` (a user's rows) comes first. Exact names before names without a date ("-20250929",
/// "-latest"), before names without a provider's prefix ("openai/", "us.anthropic.").
/// @param provider_or_type as in price_of
const model_row* find_model(std::string_view provider_or_type, std::string_view model, const std::vector<model_row>& own = {});

/// Returns what the model of a backend can, as far as is known: what its row says; behind a host that is nobody's we know, that of
/// the model's maker; and what no row has, by its name and by what its API takes.
model_traits traits_of(const backend_config& b, const std::vector<model_row>& own = {});

/// Returns what a row costs at this time for a prompt of this length, nullopt if unknown.
std::optional<price> price_at(const model_row& row, std::int64_t unix_ms, std::int64_t input_tokens);

/// Returns whether the model is not served any more at this time.
bool has_ended(const model_row& row, std::int64_t unix_ms);

/// Returns "2026-11-30" of 20261130.
std::string day_text(std::int32_t day);

/// Returns 20261130 of "2026-11-30", 0 if it is no day of the calendar.
std::int32_t read_day(std::string_view text);

/// Returns a sentence if the model has ended ("'x' ended on 2026-06-15; its successor is 'y'") or ends within 30 days, else empty.
std::string ending_notice(const model_row& row, const std::string& model, std::int64_t unix_ms);

} // namespace conclave
