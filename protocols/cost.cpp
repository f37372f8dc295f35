// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/cost.hpp"

#include "protocols/catalogue.hpp"
#include "protocols/catalogue_models.hpp"
#include "protocols/wire/hosted_tools.hpp"
#include "protocols/wire/json.hpp"

#include <algorithm>
#include <charconv>
#include <string>

namespace conclave {

namespace {

constexpr std::int64_t most_tokens = 1'000'000'000; ///< of one call
constexpr std::int64_t most_price = 1'000'000'000;  ///< of one token, in nano-USD: no product of the two overflows

std::int64_t natural(std::int64_t n, std::int64_t most) {
  return std::clamp<std::int64_t>(n, 0, most);
}

std::int64_t number_at(const std::string& object, const char* key) {
  std::string text;
  std::int64_t n = 0;
  if (wire::get(object, key, text))
    std::from_chars(text.data(), text.data() + text.size(), n);
  return natural(n, most_tokens);
}

constexpr const char* bound_keys[] = {"max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens"};
constexpr const char* config_keys[] = {"generationConfig", "generation_config"}; // Gemini's

bool is_null(const std::string& object, const char* key) {
  std::string text;
  return wire::get(object, key, text) && text == "null";
}

/// Whether a null in `extra_body` takes a member of the request away.
bool takes_away(const std::string& extra_body, const char* key) {
  if (extra_body.find("null") == std::string::npos)
    return false;
  if (is_null(extra_body, key))
    return true;
  std::string config;
  return wire::get(extra_body, "generationConfig", config) && (config == "null" || is_null(config, key));
}

/// What the parameters of a provider say of the longest reply, 0 = nothing; what `extra_body` takes away does not count. Tokens of
/// thought count as well.
std::int64_t reply_bound(const std::string& params, const std::string& extra_body = {}) {
  if (params.find("okens") == std::string::npos) // cheaper than to read it
    return 0;
  std::int64_t bound = 0;
  for (const auto* key : bound_keys)
    if (!takes_away(extra_body, key))
      bound = std::max(bound, number_at(params, key));
  for (const auto* name : config_keys)
    if (std::string config; wire::get(params, name, config))
      for (const auto* key : {"maxOutputTokens", "max_output_tokens"})
        if (!takes_away(extra_body, "maxOutputTokens"))
          bound = std::max(bound, number_at(config, key));
  if (std::string thinking; wire::get(params, "thinking", thinking))
    if (auto thought = number_at(thinking, "budget_tokens"); thought > 0)
      bound = std::max(bound, thought + default_reply_tokens);
  return bound;
}

/// Which models may answer a request: an aggregator's `models` are asked in turn, and `extra_body` has the last word.
std::vector<std::string> models_of(const backend_config& b) {
  std::vector<std::string> out{b.model};
  for (const auto* text : {&b.params, &b.extra_body}) {
    if (text->find("\"model") == std::string::npos) // cheaper than to read it
      continue;
    if (std::string model; text == &b.extra_body && wire::get(*text, "model", model) && model != "null")
      out.front() = model;
    auto more = wire::texts_at(*text, "models");
    out.insert(out.end(), more.begin(), more.end());
  }
  return out;
}

/// The price of a token that is counted apart, by its own price or by the one that it is a part of.
std::int64_t or_else(std::int64_t own, std::int64_t whole) {
  return own >= 0 ? own : whole;
}

/// A token at the dearer of two prices; unknown if one of them is.
price dearer(const price& a, const price& b) {
  auto most = [](std::int64_t x, std::int64_t y) { return x < 0 || y < 0 ? -1 : std::max(x, y); };
  return {most(a.input, b.input),
          most(or_else(a.cached_input, a.input), or_else(b.cached_input, b.input)),
          most(or_else(a.cache_write, a.input), or_else(b.cache_write, b.input)),
          most(a.output, b.output),
          most(a.audio_in, b.audio_in),
          most(a.audio_out, b.audio_out),
          most(a.per_hosted_call, b.per_hosted_call)};
}

} // namespace

std::int64_t input_tokens_of(const model_request& r, const std::vector<message>& talk, std::size_t more,
                             std::int64_t bytes_a_token) {
  auto tokens_of = [&](std::size_t bytes) {
    return (static_cast<std::int64_t>(std::min<std::size_t>(bytes, std::size_t{1} << 40)) + bytes_a_token - 1) / bytes_a_token;
  };
  auto bytes = r.params.size() + r.schema.size() + more;
  for (auto& t : r.tools)
    bytes += t.name.size() + t.description.size() + t.parameters.size();
  std::int64_t apart = tokens_per_request;
  for (auto& m : talk) {
    apart += tokens_per_message;
    bytes += m.text.size() + m.reasoning.size() + m.opaque.size();
    for (auto& c : m.calls)
      bytes += c.id.size() + c.name.size() + c.arguments.size();
    for (auto& p : m.parts)
      apart += p.data.empty()                      ? tokens_of(p.text.size())
               : p.media_type == "application/pdf" ? std::max(tokens_per_picture, tokens_of(p.data.size() / document_bytes))
                                                   : tokens_per_picture;
  }
  return natural(tokens_of(bytes) + apart, most_tokens);
}

usage reserve_for(const model_request& r, const std::vector<message>& talk, const backend_config& config) {
  usage out;
  out.input_tokens = input_tokens_of(r, talk, config.extra_body.size(), bytes_per_token);
  auto unbound = std::any_of(std::begin(bound_keys), std::end(bound_keys),
                             [&](const char* key) { return takes_away(config.extra_body, key); });
  auto bound =
      std::max({unbound ? 0 : r.max_output_tokens, reply_bound(r.params, config.extra_body), reply_bound(config.extra_body)});
  out.output_tokens = natural(bound > 0 ? bound : default_reply_tokens, most_tokens);
  if (!config.hosted_tools.empty())
    out.hosted_calls = natural(wire::hosted_uses(config).most, most_tokens);
  // `ttl` of a cache mark: found without reading what it stands in, since a reserve may be too large.
  for (auto* text : {&r.params, &config.extra_body})
    if (text->find("\"1h\"") != std::string::npos)
      out.cache_write_tokens = out.cache_write_1h_tokens = out.input_tokens;
  return out;
}

void put_cost(usage& of, const std::optional<price>& p) {
  of.cost_nano_usd = 0;
  auto input = natural(of.input_tokens, most_tokens), output = natural(of.output_tokens, most_tokens);
  auto hosted = natural(of.hosted_calls, most_tokens);
  of.unpriced = of.unreported > 0 && p != no_price ? 1 : 0; // what nobody counted costs nothing there, too
  if (!p) {
    of.unpriced = of.unreported > 0 || input > 0 || output > 0 || hosted > 0 ? 1 : 0;
    return;
  }
  usage sum;
  auto charge = [&](std::int64_t count, std::int64_t each) {
    if (count > 0 && each < 0)
      of.unpriced = 1;
    usage one;
    one.cost_nano_usd = count * natural(each, most_price);
    add(sum, one);
  };
  // Tokens counted apart are a part of the input, or of the output: what a provider says beyond that is no more of it.
  auto take = [](std::int64_t& rest, std::int64_t part) {
    part = natural(part, rest);
    rest -= part;
    return part;
  };
  charge(take(input, of.cached_input_tokens), or_else(p->cached_input, p->input));
  auto written = take(input, of.cache_write_tokens);
  charge(take(written, of.cache_write_1h_tokens), p->input < 0 ? -1 : hour_cache_factor * natural(p->input, most_price));
  charge(written, or_else(p->cache_write, p->input));
  charge(take(input, of.audio_input_tokens), p->audio_in);
  charge(input, p->input);
  charge(take(output, of.audio_output_tokens), p->audio_out);
  charge(output, p->output);
  charge(hosted, p->per_hosted_call);
  of.cost_nano_usd = sum.cost_nano_usd;
}

void put_highest_cost(usage& of, const std::optional<price>& p) {
  if (!p)
    return put_cost(of, p);
  auto highest = *p;
  if (of.cache_write_1h_tokens <= 0) // else it is all written to be kept for an hour, which is dearer still
    highest.input = p->input < 0 ? -1 : std::max(p->input, p->cache_write);
  highest.per_hosted_call = std::max<std::int64_t>(p->per_hosted_call, 0); // unknown: counted once it is reported
  put_cost(of, highest);
}

std::optional<price> price_for(const backend_config& b, std::int64_t unix_ms, std::int64_t input_tokens,
                               const std::vector<model_row>& own) {
  if (b.type == "local" || b.type == "scripted")
    return no_price;
  std::optional<price> out;
  for (const auto& model : models_of(b)) {
    auto p = price_of(provider_of(b), model, unix_ms, input_tokens, own);
    if (!p)
      return {};
    out = out ? dearer(*out, *p) : *p;
  }
  return out;
}

price_source prices_of(std::vector<model_row> own) {
  return [own = std::move(own)](const backend_config& b, std::int64_t unix_ms, std::int64_t input_tokens) {
    return price_for(b, unix_ms, input_tokens, own);
  };
}

} // namespace conclave
