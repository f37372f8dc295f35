// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.prices

#include "protocols/prices.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/catalogue.hpp"
#include "protocols/catalogue_models.hpp"

#include <set>

using namespace conclave;

namespace {

constexpr std::int64_t hour = 3'600'000, day = 24 * hour;
/// 2026-11-26, noon UTC.
constexpr std::int64_t now = 20'783 * day + 12 * hour;

std::int64_t input_of(std::string_view provider, std::string_view model, std::int64_t at = now, std::int64_t tokens = 0) {
  auto p = price_of(provider, model, at, tokens);
  return p ? p->input : -1;
}

} // namespace

CAF_TEST(an unknown model has no price and not the price zero) {
  for (auto* provider : {"openai", "claude", "groq", "chatcompletion", "gw.example", "", "nosuch"})
    CAF_CHECK(!price_of(provider, "no-such-model", now, 0));
  CAF_CHECK(!price_of("openai", "", now, 0));
  CAF_CHECK(!price_of("openai", std::string(100'000, 'x'), now, 0));
  CAF_CHECK(!price_of("groq", "gpt-4o", now, 0)); // another provider's
  CAF_CHECK(!price_of("openai", "gpt-4o-and-something", now, 0));
  CAF_CHECK(input_of("openai", "gpt-4.1") != input_of("openai", "gpt-4")); // no name is taken for a shorter one
}

CAF_TEST(a model is found by its name and by it with a date or a providers prefix) {
  auto sonnet = input_of("claude", "claude-sonnet-4-5");
  CAF_CHECK_EQUAL(sonnet, 3000);
  for (auto* name :
       {"claude-sonnet-4-5-20250929", "Claude-Sonnet-4-5", "claude-sonnet-4-5-latest", "claude-sonnet-4-5@20250929",
        "anthropic/claude-sonnet-4-5", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-sonnet-4-5-v1:0"})
    CAF_CHECK_EQUAL(input_of("claude", name), sonnet);
  CAF_CHECK_EQUAL(input_of("openai", "gpt-4o-2024-05-13"), 5000); // a dated name with a price of its own
  CAF_CHECK_EQUAL(input_of("openai", "openai/gpt-4o-2024-05-13"), 5000);
  CAF_CHECK_EQUAL(input_of("openai", "gpt-4o-2024-11-20"), 2500);
  CAF_CHECK_EQUAL(input_of("openai", "ft:gpt-4o-2024-08-06:org:name:id"), 3750);
  CAF_CHECK_EQUAL(input_of("gemini", "models/gemini-3.8-flash"), 750);
  CAF_CHECK(input_of("openrouter", "openai/gpt-4o") > 0);
  CAF_CHECK_EQUAL(input_of("openrouter", "openai/gpt-4o:online"), input_of("openrouter", "openai/gpt-4o"));
  CAF_CHECK(input_of("fireworks", "accounts/fireworks/models/deepseek-v3p2") > 0);
  CAF_CHECK_EQUAL(input_of("azure_openai", "gpt-4.1"), 2000); // of its maker
}

CAF_TEST(a provider goes by its type its name and its host) {
  for (auto* provider : {"claude", "Claude", "api.anthropic.com", "claude_code", "CLAUDE"})
    CAF_CHECK_EQUAL(input_of(provider, "claude-sonnet-4-5"), 3000);
  for (auto* provider : {"groq", "Groq", "api.groq.com", "API.GROQ.COM"})
    CAF_CHECK_EQUAL(input_of(provider, "llama-3.1-8b-instant"), 50);
  backend_config b;
  b.type = "chatcompletion";
  CAF_CHECK_EQUAL(provider_of(b), "openai");
  b.base_url = "https://api.groq.com/openai/v1/";
  CAF_CHECK_EQUAL(provider_of(b), "groq");
  b.base_url = "https://gw.example/v1";
  CAF_CHECK_EQUAL(provider_of(b), "gw.example");
  b.sent_to = "http://127.0.0.1:1/v1"; // only the bytes go there
  CAF_CHECK_EQUAL(provider_of(b), "gw.example");
  b.type = "vllm";
  CAF_CHECK_EQUAL(provider_of(b), "vllm");
  b.type = "ollama";
  b.base_url = "https://ollama.com/v1";
  CAF_CHECK_EQUAL(provider_of(b), "ollama_cloud");
}

CAF_TEST(a server of ones own costs nothing) {
  for (auto* type : {"lmstudio", "vllm", "sglang", "ollama", "local", "scripted"})
    CAF_CHECK(price_of(type, "anything", now, 0) == (price{0, 0, 0, 0, 0, 0, 0}));
  CAF_CHECK(!price_of("ollama_cloud", "anything", now, 0));
}

CAF_TEST(cached tokens cost what the source says or as much as others) {
  auto p = *price_of("claude", "claude-sonnet-4-5", now, 0);
  CAF_CHECK_EQUAL(p.cached_input, 300);
  CAF_CHECK_EQUAL(p.cache_write, 3750);
  CAF_CHECK_EQUAL(p.output, 15000);
  CAF_CHECK_EQUAL(p.per_hosted_call, 10'000'000); // 10 USD per 1,000 searches
  CAF_CHECK_EQUAL(p.audio_in, -1);
  p = *price_of("openai", "gpt-4-turbo", now, 0);
  CAF_CHECK_EQUAL(p.cached_input, p.input);
  CAF_CHECK_EQUAL(p.cache_write, p.input);
  CAF_CHECK(price_of("openai", "gpt-audio", now, 0).value().audio_out == 64000);
}

CAF_TEST(a long prompt costs more than the token below it) {
  CAF_CHECK_EQUAL(input_of("gemini", "gemini-2.5-pro", now, 200'000), 1250);
  CAF_CHECK_EQUAL(input_of("gemini", "gemini-2.5-pro", now, 200'001), 2500);
  CAF_CHECK(price_of("gemini", "gemini-2.5-pro", now, 200'001).value().output == 15000);
}

CAF_TEST(prices change at a day and at hours of a day) {
  // DeepSeek V4 Flash: flat at first, dearer from 2026-08-17 on, another price from 2026-09-10 on, and peak hours (UTC).
  auto at = [](std::int64_t days, std::int64_t minutes) {
    return input_of("deepseek", "deepseek-v4-flash", days * day + minutes * 60'000);
  };
  CAF_CHECK_EQUAL(at(20'681, 720), 140);
  CAF_CHECK_EQUAL(at(20'682, 720), 220); // 2026-08-17
  CAF_CHECK_EQUAL(at(20'705, 720), 220);
  CAF_CHECK_EQUAL(at(20'706, 720), 150); // 2026-09-10
  CAF_CHECK_EQUAL(at(20'783, 60), 300);
  CAF_CHECK_EQUAL(at(20'783, 239), 300);
  CAF_CHECK_EQUAL(at(20'783, 240), 150);
  for (auto odd : {std::int64_t{0}, std::int64_t{-1}, INT64_MIN, INT64_MAX})
    CAF_CHECK(price_of("claude", "claude-sonnet-4-5", odd, odd));
}

CAF_TEST(no default model is past its last day) {
  for (const auto& kind : backend_kinds()) {
    std::string_view model = kind.default_model;
    if (model.empty() || is_own_server(kind.type) || std::string_view{kind.type} == "ag2"
        || std::string_view{kind.type} == "autogen")
      continue;
    const auto* row = find_model(kind.type, model);
    CAF_MESSAGE(kind.type << " " << model);
    CAF_REQUIRE(row != nullptr);
    CAF_CHECK(!has_ended(*row, now));
    CAF_CHECK(ending_notice(*row, std::string{model}, now + 30 * day).empty());
    CAF_CHECK(price_of(kind.type, model, now, 0));
  }
}

CAF_TEST(a model that ended or soon ends is said with its successor) {
  auto notice = [](std::string_view type, const std::string& model, std::int64_t at) {
    const auto* row = find_model(type, model);
    return row ? ending_notice(*row, model, at) : "nobody knows it";
  };
  CAF_CHECK_EQUAL(notice("claude", "claude-sonnet-4-20250514", now),
                  "model 'claude-sonnet-4-20250514' ended on 2026-06-15; its successor is 'claude-sonnet-5-5'");
  CAF_CHECK_EQUAL(notice("claude", "claude-sonnet-4-5-20250929", now),
                  "model 'claude-sonnet-4-5-20250929' ends on 2026-11-30; its successor is 'claude-sonnet-5-5'");
  CAF_CHECK_EQUAL(notice("claude", "claude-sonnet-4-5-20250929", now - 60 * day), "");
  CAF_CHECK_EQUAL(notice("grok", "grok-4", now), "model 'grok-4' ended on 2026-05-15; its successor is 'grok-4.3'");
  CAF_CHECK_EQUAL(notice("claude", "claude-sonnet-5-5", now), "");
  // The day itself is the first one without it.
  const auto* row = find_model("openai", "gpt-4o");
  CAF_REQUIRE(row && row->ends == 20270114);
  CAF_CHECK(!has_ended(*row, 20'832 * day - 1) && has_ended(*row, 20'832 * day));
}

CAF_TEST(every successor is a model we know that has not ended) {
  for (const auto& row : catalogue_models()) {
    CAF_REQUIRE(!row.provider.empty() && !row.names.empty());
    CAF_CHECK(row.ends == 0 || read_day(day_text(row.ends)) == row.ends);
    if (row.successor.empty())
      continue;
    const auto* next = find_model(row.provider, row.successor);
    CAF_MESSAGE(row.names[0] << " -> " << row.successor);
    CAF_REQUIRE(next != nullptr);
    CAF_CHECK(!has_ended(*next, now));
  }
}

CAF_TEST(the data is sorted has each name once and knows its providers) {
  std::set<std::string> names, known;
  for (const auto& p : providers())
    known.insert(p.id);
  const model_row* last = nullptr;
  for (const auto& row : catalogue_models()) {
    if (last)
      CAF_CHECK(std::pair(last->provider, last->names[0]) < std::pair(row.provider, row.names[0]));
    last = &row;
    CAF_CHECK(known.count(row.provider) == 1);
    for (const auto& name : row.names)
      CAF_CHECK(names.insert(row.provider + " " + name).second);
    for (const auto& p : row.prices)
      CAF_CHECK(p.value.input >= 0 && p.value.output >= 0);
  }
}

CAF_TEST(days of the calendar are read and others are not ) {
  CAF_CHECK_EQUAL(read_day("2026-11-30"), 20261130);
  CAF_CHECK_EQUAL(read_day("2028-02-29"), 20280229);
  for (auto* bad : {"2026-02-29", "2026-13-01", "2026-00-10", "2026-1-30", "20261130", "2026-11-30 ", "x", "", "0000-01-01"})
    CAF_CHECK_EQUAL(read_day(bad), 0);
}
