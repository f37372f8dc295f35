// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/catalogue_models.hpp"

#include "protocols/catalogue.hpp"
#include "protocols/config_url.hpp"
#include "protocols/text.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <iterator>
#include <unordered_map>

namespace conclave {

namespace {

/// A line of the data: one that names no provider is another price of the model above it. Texts lie in the row: thousands of
/// pointers to them would be relocated whenever the program starts, and most starts read none.
struct data_row {
  char provider[16];
  char names[240];
  std::int64_t context_tokens, max_output_tokens;
  char traits[12];
  std::int32_t ends;
  char successor[24];
  price_row priced;
};

constexpr data_row data[] = {
#include "protocols/catalogue_data.inc"
};

/// "it-r": images and tools yes, reasoning no, nothing known of the others.
model_traits read_traits(std::string_view text) {
  model_traits out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto value = text[i] == '-' ? trait::no : trait::yes;
    if (value == trait::no && ++i == text.size())
      break;
    switch (text[i]) {
    case 'i':
      out.images = value;
      break;
    case 'd':
      out.documents = value;
      break;
    case 't':
      out.tools = value;
      break;
    case 'r':
      out.reasoning = value;
      break;
    case 'w':
      out.web_search = value;
      break;
    case 'c':
      out.code = value;
      break;
    default:
      break;
    }
  }
  return out;
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < text.size();) {
    auto end = std::min(text.find(' ', at), text.size());
    out.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

std::vector<model_row> read_data() {
  std::vector<model_row> out;
  for (const auto& row : data) {
    if (*row.provider != '\0')
      out.push_back({row.provider,
                     words_of(row.names),
                     row.context_tokens,
                     row.max_output_tokens,
                     read_traits(row.traits),
                     row.ends,
                     row.successor,
                     {}});
    if (row.priced.value.input >= 0 && row.priced.value.output >= 0)
      out.back().prices.push_back(row.priced);
  }
  return out;
}

std::string key_of(std::string_view provider, std::string_view name) {
  std::string key{provider};
  key += '\n';
  return key += name;
}

using row_index = std::unordered_map<std::string, const model_row*>;

const row_index& catalogue_index() {
  static const auto index = [] {
    row_index out;
    for (const auto& row : catalogue_models())
      for (const auto& name : row.names)
        out.emplace(key_of(row.provider, name), &row);
    return out;
  }();
  return index;
}

const model_row* exact(std::string_view provider, std::string_view name, const std::vector<model_row>& own) {
  for (const auto& row : own)
    if (row.provider == provider && std::find(row.names.begin(), row.names.end(), name) != row.names.end())
      return &row;
  if (is_own_server(provider))
    return nullptr; // nor is the index made, which takes a fifteenth of a short run
  auto found = catalogue_index().find(key_of(provider, name));
  return found == catalogue_index().end() ? nullptr : found->second;
}

/// Whether the end of a text is this pattern: '0' stands for any digit, the rest for itself.
bool ends_like(std::string_view text, std::string_view pattern) {
  if (text.size() <= pattern.size())
    return false;
  text.remove_prefix(text.size() - pattern.size());
  return std::equal(text.begin(), text.end(), pattern.begin(),
                    [](char c, char p) { return p == '0' ? c >= '0' && c <= '9' : c == p; });
}

/// Takes what says a version of the same model off: a date, a build, a variant of how it is served.
bool cut_version(std::string_view& name) {
  for (std::string_view pattern : {"-20000000", "-2000-00-00", "@20000000", "-latest", "@latest", "-v0:0", ":0", "-000", ":online",
                                   ":nitro", ":floor", ":exacto"})
    // A '2' and the zeros behind it are those of a year of this century.
    if (ends_like(name, pattern)) {
      name.remove_suffix(pattern.size());
      return true;
    }
  // A fine-tuned model: its base, then whose it is.
  if (name.starts_with("ft:") && name.find(':', 3) != std::string_view::npos) {
    name = name.substr(0, name.find(':', 3));
    return true;
  }
  return false;
}

/// Takes a provider's, region's or folder's prefix off.
bool cut_prefix(std::string_view& name) {
  for (std::string_view prefix : {"us.", "eu.", "apac.", "global.", "jp.", "au.", "anthropic.", "openai.", "mistral.", "deepseek.",
                                  "cohere.", "moonshotai.", "zai."})
    if (name.starts_with(prefix) && name.size() > prefix.size()) {
      name.remove_prefix(prefix.size());
      return true;
    }
  auto slash = name.find('/');
  if (slash == std::string_view::npos || slash + 1 == name.size())
    return false;
  name.remove_prefix(slash + 1);
  return true;
}

const model_row* find_at(std::string_view provider, std::string_view name, const std::vector<model_row>& own) {
  do {
    auto cut = name;
    do
      if (const auto* row = exact(provider, cut, own))
        return row;
    while (cut_version(cut));
  } while (cut_prefix(name));
  return nullptr;
}

/// Azure serves the models of others at their makers' prices; its deployments are often named after them.
constexpr std::array<std::string_view, 5> makers_at_azure = {"openai", "claude", "deepseek", "grok", "moonshot"};

struct moment {
  std::int32_t day, minute;
};

moment moment_of(std::int64_t unix_ms) {
  constexpr std::int64_t minute_ms = 60'000, day_minutes = 1440;
  auto minutes = std::clamp<std::int64_t>(unix_ms, 0, std::int64_t{4'000'000'000'000}) / minute_ms;
  std::chrono::year_month_day day{std::chrono::sys_days{std::chrono::days{minutes / day_minutes}}};
  return {static_cast<int>(day.year()) * 10'000 + static_cast<std::int32_t>(static_cast<unsigned>(day.month())) * 100
              + static_cast<std::int32_t>(static_cast<unsigned>(day.day())),
          static_cast<std::int32_t>(minutes % day_minutes)};
}

/// Hours may reach over midnight.
bool holds(const price_row& row, moment now) {
  if (now.day < row.from_day)
    return false;
  if (row.from_minute == row.to_minute)
    return true;
  auto late = now.minute >= row.from_minute, early = now.minute < row.to_minute;
  return row.from_minute < row.to_minute ? late && early : late || early;
}

} // namespace

const std::vector<model_row>& catalogue_models() {
  static const auto rows = read_data();
  return rows;
}

const model_row* find_model(std::string_view provider_or_type, std::string_view model, const std::vector<model_row>& own) {
  if (model.empty() || model.size() > 256)
    return nullptr;
  auto provider = provider_id(provider_or_type);
  auto name = lower(std::string{model});
  if (const auto* row = find_at(provider, name, own))
    return row;
  if (provider == "azure_openai")
    for (auto maker : makers_at_azure)
      if (const auto* row = find_at(maker, name, {}))
        return row;
  return nullptr;
}

namespace {

/// Models without eyes that no row tells of, by how their names begin behind the last '/'. Whoever is not here may refuse in words
/// of its own.
constexpr std::string_view blind_models[] = {"gpt-3.5",     "o1-mini",  "o1-preview",     "o3-mini",          "deepseek-chat",
                                             "deepseek-r1", "claude-2", "claude-instant", "deepseek-reasoner"};

} // namespace

model_traits traits_of(const backend_config& b, const std::vector<model_row>& own) {
  auto name = lower(b.model.substr(std::min(b.model.size(), b.model.rfind('/') + 1)));
  auto provider = provider_of(b);
  const auto* row = find_model(provider, b.model, own);
  if (auto maker = infer_backend_type(name); row == nullptr && !maker.empty())
    row = find_model(maker, name, own);
  auto out = row == nullptr ? model_traits{} : row->traits;
  if (out.images == trait::unknown
      && std::any_of(std::begin(blind_models), std::end(blind_models), [&](auto x) { return name.starts_with(x); }))
    out.images = trait::no;
  const auto* kind = find_backend_kind(b.type);
  auto in_chat =
      kind != nullptr && (kind->dialect == std::string_view{"openai_chat"} || kind->dialect == std::string_view{"azure_openai"});
  auto own_row = row != nullptr && std::any_of(own.begin(), own.end(), [&](auto& x) { return &x == row; });
  if (in_chat && !(own_row && out.documents == trait::yes) && !is_loopback_host(url_host(base_url_of(b)))
      && !takes_documents_in_chat(provider))
    out.documents = trait::no; // whatever the model could be shown by another API
  return out;
}

std::optional<price> price_at(const model_row& row, std::int64_t unix_ms, std::int64_t input_tokens) {
  const price_row* best = nullptr;
  auto now = moment_of(unix_ms);
  for (const auto& p : row.prices)
    if (holds(p, now) && (p.above_tokens == 0 || input_tokens > p.above_tokens))
      best = &p;
  if (best == nullptr)
    return std::nullopt;
  auto out = best->value;
  for (auto* part : {&out.cached_input, &out.cache_write})
    if (*part < 0)
      *part = out.input;
  return out;
}

bool has_ended(const model_row& row, std::int64_t unix_ms) {
  return row.ends > 0 && moment_of(unix_ms).day >= row.ends;
}

std::string day_text(std::int32_t day) {
  auto text = std::to_string(day);
  return text.size() == 8 ? text.substr(0, 4) + "-" + text.substr(4, 2) + "-" + text.substr(6) : text;
}

std::int32_t read_day(std::string_view text) {
  if (text.size() != 10 || !ends_like(std::string{" "} + std::string{text}, "0000-00-00"))
    return 0;
  auto number = [&](std::size_t at, std::size_t count) { return std::stoi(std::string{text.substr(at, count)}); };
  auto year = number(0, 4), month = number(5, 2), day = number(8, 2);
  using namespace std::chrono;
  auto valid = year_month_day{std::chrono::year{year}, std::chrono::month{static_cast<unsigned>(month)},
                              std::chrono::day{static_cast<unsigned>(day)}}
                   .ok();
  return valid && year >= 1970 ? year * 10'000 + month * 100 + day : 0;
}

std::string ending_notice(const model_row& row, const std::string& model, std::int64_t unix_ms) {
  constexpr std::int64_t soon_ms = std::int64_t{30} * 24 * 3600 * 1000;
  if (!has_ended(row, unix_ms + soon_ms))
    return "";
  return "model '" + shown_text(model, 100) + "' " + (has_ended(row, unix_ms) ? "ended on " : "ends on ") + day_text(row.ends)
         + (row.successor.empty() ? "" : "; its successor is '" + row.successor + "'");
}

} // namespace conclave
