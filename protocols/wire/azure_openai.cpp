// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/text.hpp"
#include "protocols/wire/dialects.hpp"
#include "protocols/wire/http_reply.hpp"

#include <algorithm>

// Chat Completions as Azure serves it: the same bodies and streams (with frames of its content filter, which hold no choice or no
// delta), another address and another header. Source: class AzureOpenAI of npm openai 7.57.0, read 2026-11-26, which sends the
// requests in tests/e2e/test_sdk_chat.py; no resource at Azure has been asked.

namespace conclave::wire {

namespace {

/// What MassGen 0.1.0 sends where nobody says.
constexpr const char* default_version = "2024-12-01-preview";

/// Versions with a date are of the addresses with a deployment; `v1`, `preview` and `latest` of the newer ones, without.
bool is_dated(const std::string& version) {
  return !version.empty() && version.front() >= '0' && version.front() <= '9';
}

bool cut(std::string& text, std::string_view tail) {
  if (!std::string_view(text).ends_with(tail))
    return false;
  text.resize(text.size() - tail.size());
  return true;
}

/// Completes the address of a resource, or one that is pasted from a page, up to where Chat Completions begin.
void complete_address(endpoint& to, const std::string& deployment) {
  auto query_at = std::min(to.base_url.find('?'), to.base_url.size());
  auto base = to.base_url.substr(0, query_at), query = to.base_url.substr(query_at);
  auto trim = [&] {
    while (cut(base, "/"))
      ;
  };
  trim();
  auto pasted = cut(base, "/chat/completions"); // as it is, whatever stands in front
  if (pasted || cut(base, "/responses"))
    trim();
  auto newer = base.ends_with("/openai/v1") || (!to.version.empty() && !is_dated(to.version));
  auto whole =
      pasted || base.ends_with("/v1") || base.ends_with("/models") || base.find("/openai/deployments/") != std::string::npos;
  if (!whole) {
    cut(base, "/openai");
    base += newer ? "/openai/v1" : "/openai/deployments/" + percent_encoded(deployment);
  }
  auto version =
      newer ? (is_dated(to.version) || to.version == "v1" ? "" : to.version) : (to.version.empty() ? default_version : to.version);
  auto said = query.find("?api-version=") != std::string::npos || query.find("&api-version=") != std::string::npos;
  if (!version.empty() && !said)
    to.query.try_emplace("api-version", version); // extra_query wins
  to.base_url = base + query;
}

} // namespace

http_request encode_azure_openai(const model_request& req, const endpoint& given, const quirks& known, std::string& error) {
  auto to = given;
  complete_address(to, req.model);
  auto own = [&](const char* name) {
    return std::any_of(to.headers.begin(), to.headers.end(), [&](auto& h) { return lower(h.first) == name; });
  };
  if (!own("api-key") && !own("authorization") && !to.api_key.empty()) // a token of Entra ID comes as the latter
    to.headers.emplace("api-key", to.api_key);
  to.api_key.clear();
  return encode_openai_chat(req, to, known, error);
}

} // namespace conclave::wire
