// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to wire/*.cpp: what every provider's HTTP replies have in common: status -> code, waits the server asks for, error
/// sentences.

#include "protocols/wire/dialect.hpp"
#include "protocols/wire/json_util.hpp"

#include <string>

namespace conclave::wire {

/// Returns how long the server asks to wait: retry-after-ms, else Retry-After in seconds (fractions allowed) or as an HTTP date; -1
/// = not said. Source: RFC 9110 section 10.2.3; vendors' clients.
std::int64_t retry_after_ms(const http_head& head, std::int64_t now_s);

/// Fills code, error, retry_after_ms, retryable_hint of a non-2xx reply. `body` is the (bounded) body; understands the error shapes
/// of all providers: {"error":{message,type,code}}, {"error":"..."}, {"detail":...}, {"message":...}, plain text.
void http_failure(completion& out, const http_head& head, std::string_view body);

/// Fills status, code and error from how the transfer ended, for a reply that is not complete.
void transfer_failure(completion& out, const http_end& end, bool semantic);

/// Fills code and error from an error object inside a stream.
void stream_failure(completion& out, const json& error, bool semantic);

/// Merges the members of a JSON object text into `body`; returns false if the text is no object.
bool merge(json& body, const std::string& object);

/// Appends query parameters, percent-encoded.
std::string with_query(std::string url, const std::map<std::string, std::string>& query);

inline constexpr std::size_t max_reply_bytes = 32u << 20;

} // namespace conclave::wire
