// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A dialect: pure translation between our messages and one provider's wire format. No I/O, no state beyond a decoder.
/// To add one: `wire/<name>.cpp`, one row in `dialect.cpp`, golden cases under tests/golden/<name>/.

#include "protocols/chat.hpp"
#include "protocols/secrets.hpp"
#include "protocols/wire/http.hpp"
#include "protocols/wire/quirks.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace conclave::wire {

/// Tools of the provider's own that are asked for: options as a JSON object, "{}" for none; empty = not asked for. What each API is
/// sent for them: hosted_tools.hpp.
struct hosted_tools {
  std::string search, code, fetch;
  bool any() const { return !search.empty() || !code.empty() || !fetch.empty(); }
  bool operator==(const hosted_tools&) const = default;
};

/// A connection with everything resolved on the node that uses it.
struct endpoint {
  std::string base_url;   ///< where the bytes go: with or without trailing slash, or with the path already pasted
  std::string api_key;    ///< empty = send no key
  std::string provider;   ///< display name; no quirk follows from it
  std::string version;    ///< of the API, in a header (anthropic), the path (gemini) or the query (azure_openai); empty = default
  std::string extra_body; ///< JSON object merged last
  std::map<std::string, std::string> headers;
  std::map<std::string, std::string> query;
  bool http2 = false;
  bool id_slot = false; ///< local llama.cpp server: send id_slot / cache_prompt
  secrets hidden = {};  ///< values of variables in headers and query, which may be secrets
  hosted_tools hosted = {};
  std::string home = {}; ///< the base URL of whose API it is, if the bytes go elsewhere; empty = base_url
  bool operator==(const endpoint&) const = default;
};

/// Returns the base URL that says whose API this is: what a provider's host needs goes by it, paths are made of base_url.
inline const std::string& home_of(const endpoint& to) {
  return to.home.empty() ? to.base_url : to.home;
}

/// Turns the bytes of one response into chunks, then one completion. Same bytes, any split: same result.
class decoder {
public:
  virtual ~decoder() = default;

  /// Called once before the first byte.
  virtual void head(const http_head& h) = 0;

  /// Appends what the bytes complete to `out`. Never throws; a protocol error is remembered for `finish`.
  virtual void feed(std::string_view bytes, std::vector<chunk>& out) = 0;

  /// Returns whether the reply is complete (its end marker was seen) or beyond repair, so the transfer can be let go.
  virtual bool done() const = 0;

  /// Returns whether a semantic event (text, reasoning, tool call) was seen.
  virtual bool semantic() const = 0;

  /// Returns whether a stop reason was seen, so that only usage and the end marker may follow.
  virtual bool stopped() const = 0;

  /// Returns a count that grows with every event that brings the reply on: comments, pings and empty pieces do not.
  virtual std::uint64_t progress() const = 0;

  /// Returns how many bytes wait for the end of their event: what it takes to read that is in proportion.
  virtual std::size_t held() const = 0;

  /// Returns the completion. Called once, after the transfer ended or was let go. Text so far is kept on every path.
  virtual completion finish(const http_end& end) = 0;
};

struct dialect {
  const char* name;
  /// Returns the request in the form that `known` says the server takes; on failure (e.g. bad params JSON) `error` is set and the
  /// request is empty.
  http_request (*encode)(const model_request& req, const endpoint& to, const quirks& known, std::string& error);
  std::unique_ptr<decoder> (*make_decoder)(const endpoint& to);
};

/// Returns the dialect with this name, or nullptr. Rows: openai_chat, azure_openai, anthropic, openai_responses, gemini.
const dialect* find_dialect(std::string_view name);

} // namespace conclave::wire
