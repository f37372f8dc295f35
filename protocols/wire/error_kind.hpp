// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What kind of error a server's sentence tells. Pure: judges the text, never an address or a model's name.

#include "protocols/error.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace conclave::wire {

/// Returns `text` with ASCII letters in lower case.

/// Returns whether one of `words` is in `text`.
bool says(std::string_view text, std::initializer_list<std::string_view> words);

// All of these take a text in lower case.

/// The conversation does not fit: into the model's context, or into what one request may hold.
bool is_overflow(std::string_view text);

/// The server blames what the model wrote (a call it could not read, JSON that does not fit the schema): the same request may
/// succeed.
bool is_model_fault(std::string_view text);

/// The account has nothing left: no key is wrong and no wait helps.
bool is_out_of_credit(std::string_view text);

/// The model is being loaded: no failure, only a wait.
bool is_loading(std::string_view text);

/// Clear text was sent to a port that speaks TLS.
bool wants_tls(std::string_view text);

/// The longest wait there is: who asks for more gets this, which ends every try all the same.
inline constexpr std::int64_t max_wait_ms = std::int64_t{30} * 86'400'000;

/// Returns milliseconds, rounded up, as a wait of at most `max_wait_ms`; -1 for what is none: negative, no number.
std::int64_t wait_ms(double ms);

/// Returns the wait that a sentence asks for ("try again in 1m30.5s", "retry after 20 seconds"), in milliseconds; -1 = none.
std::int64_t wait_in(std::string_view text);

/// Returns a duration like "31s", "1.5s", "1m30s", "20ms", "2 minutes" at the beginning of `text` in milliseconds; -1 = none.
std::int64_t duration_ms(std::string_view text);

/// Returns what to do next about a refusal with this HTTP status (0 = none, inside a stream) and text.
ec code_for(int status, std::string_view text);

/// Returns what the user does about an error, as the end of a sentence ("; check the key"); empty if there is nothing to say.
/// `keyless`: the request carried no key, so none can be wrong.
std::string advice(ec code, int status, const std::string& said, bool keyless = false);

} // namespace conclave::wire
