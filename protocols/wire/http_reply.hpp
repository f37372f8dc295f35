// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to wire/*.cpp: what every provider's HTTP replies have in common: status -> code, waits the server asks for, error
/// sentences.

#include "protocols/wire/dialect.hpp"
#include "protocols/wire/json_util.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace conclave::wire {

/// Returns `text` as one clean line for an error sentence: without `hidden` (before the cut, which could leave half a key), no
/// controls, valid UTF-8, at most `limit` bytes, cut at a character.
std::string brief(std::string_view text, std::size_t limit = 300, const secrets& hidden = {});

/// Returns whether a reply is one body (JSON, or a proxy's page) rather than a stream of events, judged by its first character that
/// is not white space: content types are wrong too often, and no JSON or page begins as a line of a stream does.
bool is_body(const http_head& head, std::string_view beginning);

/// Returns what of a connection must never show in an error: its key, headers and URL parameters that carry one, and what came from
/// variables. Servers echo what they refuse.
secrets secrets_of(const endpoint& to);

/// Returns how long the server asks to wait: retry-after-ms, else Retry-After in seconds (fractions allowed) or as an HTTP date, at
/// most `max_wait_ms` of error_kind.hpp; -1 = not said, or said as no wait (negative, no number, no date). Source: RFC 9110
/// section 10.2.3; vendors' clients.
std::int64_t retry_after_ms(const http_head& head, std::int64_t now_s);

/// Fills code, error, said, model_fault, retry_after_ms (a header wins over the body) and the hints of a non-2xx reply. `body` is
/// the (bounded) body in any of the shapes of error_body.hpp.
void http_failure(completion& out, const http_head& head, std::string_view body, const secrets& hidden = {});

/// Fills status, code and error from how the transfer ended, for a reply that is not complete.
void transfer_failure(completion& out, const http_end& end, bool semantic);

/// Fills the same from an error object inside a stream.
void stream_failure(completion& out, const json& error, bool semantic, const secrets& hidden = {});

/// Merges the members of a JSON object text into `body`; returns false if the text is no object. A null leaves what is there, or
/// takes it away.
enum class null_member : std::uint8_t { leaves, removes };
bool merge(json& body, const std::string& object, null_member nulls = null_member::leaves);

/// Returns `base` + `path`: a trailing slash is dropped, a path already pasted is not repeated, a query stays at the end.
std::string with_path(const std::string& base, const std::string& path);

/// Adds the headers of the configuration; they replace ours of the same name.
void add_headers(key_values& headers, const endpoint& to);

/// Returns the text as one part of a path or query.
std::string percent_encoded(std::string_view text);

/// Appends query parameters, percent-encoded.
std::string with_query(std::string url, const std::map<std::string, std::string>& query);

} // namespace conclave::wire
