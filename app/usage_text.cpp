// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/usage_text.hpp"

#include "app/plain_text.hpp"
#include "protocols/budget.hpp"

#include <algorithm>
#include <initializer_list>
#include <utility>

namespace conclave {

bool is_unknown(std::int64_t tokens, const usage& u, std::uint64_t open) {
  return tokens <= 0 && (u.unreported > 0 || open > 0);
}

namespace {
bool all_unknown(const usage& u, std::uint64_t open = 0) {
  return is_unknown(u.input_tokens, u, open) && is_unknown(u.output_tokens, u, open);
}

/// " (1,024 cached, 12 audio)", without what is 0.
std::string apart(std::initializer_list<std::pair<std::int64_t, const char*>> counts) {
  std::string out;
  for (const auto& [n, name] : counts)
    if (n > 0)
      out += (out.empty() ? " (" : ", ") + with_commas(n) + " " + name;
  return out.empty() ? out : out + ")";
}
} // namespace

std::string cost_text(const usage& u, std::uint64_t open) {
  auto whole = u.unpriced <= 0 && (open == 0 || u.cost_nano_usd == 0);
  if (u.cost_nano_usd > 0)
    return (whole ? ", " : ", at least ") + dollars(u.cost_nano_usd);
  return whole ? "" : ", cost unknown";
}

std::string calls_text(std::uint64_t calls, const usage& u, const char* noun, std::uint64_t uncounted) {
  auto text = count_of(calls, noun);
  auto requests = static_cast<std::uint64_t>(std::max<std::int64_t>(u.requests, 0));
  // A model that is not asked over HTTP sends none; that is no difference to speak of.
  if (requests == 0 || (requests == calls && uncounted == 0))
    return text;
  return text + (uncounted > 0 ? " (at least " : " (") + count_of(requests, "request") + ")";
}

std::string tokens_text(const usage& u, std::uint64_t open, bool parts) {
  if (all_unknown(u, open))
    return "tokens unknown";
  if (u.input_tokens <= 0 && u.output_tokens <= 0)
    return "no tokens";
  auto missing = static_cast<std::uint64_t>(std::max<std::int64_t>(u.unreported, 0));
  std::string bound = missing + open > 0 ? "at least " : "";
  auto text = is_unknown(u.input_tokens, u, open) ? "tokens in unknown"
                                                  : std::exchange(bound, {}) + with_commas(u.input_tokens) + " tokens in";
  if (parts)
    text += apart({{u.cached_input_tokens, "cached"},
                   {u.cache_write_tokens, "written to the cache"},
                   {u.cache_write_1h_tokens, "of them for an hour"},
                   {u.audio_input_tokens, "audio"}});
  text += is_unknown(u.output_tokens, u, open) ? ", out unknown" : ", " + bound + with_commas(u.output_tokens) + " out";
  if (parts)
    text += apart({{u.reasoning_tokens, "reasoning"}, {u.audio_output_tokens, "audio"}});
  if (parts && u.hosted_calls > 0)
    text += ", " + count_of(static_cast<std::uint64_t>(u.hosted_calls), "use") + " of the provider's tools";
  if (missing > 0)
    text += " (" + count_of(missing, "call") + " unreported)";
  if (open > 0)
    text += " (" + count_of(open, "call") + " without an end)";
  return text;
}

std::string tokens_in_all(const usage& u) {
  if (all_unknown(u))
    return "tokens unknown" + cost_text(u);
  return (u.unreported > 0 ? "at least " : "") + with_commas(u.input_tokens + u.output_tokens) + " tokens" + cost_text(u);
}

} // namespace conclave
