// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// A user's own rows of models, models.yaml: what the catalogue does not know, or knows otherwise. What a row leaves out stays as
// the catalogue has it.

#include "app/load_config_parts.hpp"
#include "protocols/catalogue.hpp"
#include "protocols/catalogue_models.hpp"
#include "protocols/config_url.hpp"
#include "protocols/spelling.hpp"
#include "protocols/text.hpp"
#include "transports/home.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <sstream>

namespace conclave {

namespace {

using loader::report;
using loader::tree;

constexpr std::size_t max_rows = 1'000, max_names = 50, max_name_bytes = 256;
constexpr std::int64_t max_window = 100'000'000;
constexpr double max_usd = 1e6; ///< per million tokens

struct trait_key {
  const char* name;
  trait model_traits::*member;
};

constexpr std::array<trait_key, 6> trait_keys = {{{"images", &model_traits::images},
                                                  {"documents", &model_traits::documents},
                                                  {"tools", &model_traits::tools},
                                                  {"reasoning", &model_traits::reasoning},
                                                  {"web_search", &model_traits::web_search},
                                                  {"code", &model_traits::code}}};

struct price_key {
  const char* name;
  std::int64_t price::*member;
  double nano; ///< what one USD of the file is in nano-USD of the member
};

constexpr double per_million = 1e3, per_thousand = 1e6;
constexpr std::array<price_key, 7> price_keys = {{{"input", &price::input, per_million},
                                                  {"cached_input", &price::cached_input, per_million},
                                                  {"cache_write", &price::cache_write, per_million},
                                                  {"output", &price::output, per_million},
                                                  {"audio_in", &price::audio_in, per_million},
                                                  {"audio_out", &price::audio_out, per_million},
                                                  {"per_1000_hosted_calls", &price::per_hosted_call, per_thousand}}};

const std::vector<std::string> row_keys = {"provider",  "model",     "context_tokens", "max_output_tokens", "images",
                                           "documents", "tools",     "reasoning",      "web_search",        "code",
                                           "ends",      "successor", "price"};

/// What provider_of() may say: an id, or a host as url_host() writes it, without port or path.
bool is_provider(const std::string& name) {
  auto ids = providers();
  return std::any_of(ids.begin(), ids.end(), [&](auto& p) { return p.id == name; }) || is_own_server(name)
         || url_host("http://" + name) == name || url_host("http://[" + name + "]") == name;
}

class reader {
public:
  explicit reader(report& to) : to_(to) {}

  std::vector<model_row> read(const tree& root) {
    const auto* list = root.kind == tree::map ? root.find("models") : &root;
    if (root.kind == tree::null)
      return {};
    if (list == nullptr || list->kind != tree::list) {
      to_.error(root.at, "models", "expected a list of models");
      return {};
    }
    if (root.kind == tree::map)
      for (const auto& e : root.items)
        if (e.key != "models")
          to_.error(e.at, shown_text(e.key), "unknown key; the file has one: models");
    std::vector<model_row> out;
    for (std::size_t i = 0; i < list->items.size(); ++i) {
      const auto& e = list->items[i];
      path_ = "models[" + std::to_string(i) + "]";
      if (i == max_rows) {
        to_.error(e.at, path_, "more than " + std::to_string(max_rows) + " models");
        break;
      }
      if (e.value->kind == tree::map)
        add(*e.value, out);
      else
        to_.error(e.at, path_, "a model is a map");
    }
    return out;
  }

private:
  void add(const tree& node, std::vector<model_row>& out) {
    check_keys(node, row_keys, path_);
    auto provider = provider_id(text_of(node, "provider"));
    auto names = names_of(node);
    if (const auto* value = node.find("provider"); value && !provider.empty() && !is_provider(provider)) {
      auto host = url_host(value->text);
      to_.error(
          value->at, path_ + ".provider",
          "'" + shown_text(value->text, 200)
              + "' is neither a provider or type that `conclave backends` lists nor a host: write the host of the base_url alone"
              + (host.empty() ? "" : " (" + shown_text(host, 100) + ")"));
      return;
    }
    if (provider.empty())
      to_.error(node.at, path_, "needs a provider: one that `conclave backends` lists, or the host of the server");
    if (names.empty() || provider.empty())
      return;
    model_row row;
    if (const auto* known = find_model(provider, names.front()); known && known->provider == provider)
      row = *known;
    row.provider = provider;
    row.names = std::move(names);
    read_number(node, "context_tokens", row.context_tokens);
    read_number(node, "max_output_tokens", row.max_output_tokens);
    for (const auto& t : trait_keys)
      if (const auto* value = node.find(t.name)) {
        bool can = false;
        if (!loader::to_flag(*value, can))
          to_.error(value->at, path_ + "." + t.name, "expected true or false");
        row.traits.*t.member = can ? trait::yes : trait::no;
      }
    read_end(node, row);
    if (const auto* value = node.find("price"))
      read_price(*value, row);
    for (const auto& name : row.names)
      for (const auto& other : out)
        if (other.provider == row.provider && std::find(other.names.begin(), other.names.end(), name) != other.names.end())
          to_.error(node.at, path_ + ".model", "'" + shown_text(name) + "' is listed twice for " + shown_text(provider));
    out.push_back(std::move(row));
  }

  void check_keys(const tree& node, const std::vector<std::string>& known, const std::string& path) {
    for (const auto& e : node.items)
      if (std::find(known.begin(), known.end(), e.key) == known.end()) {
        auto near = nearest(e.key, known);
        to_.error(e.at, path + "." + shown_text(e.key), "unknown key" + (near.empty() ? "" : "; did you mean '" + near + "'?"));
      }
  }

  /// Empty if it is absent, or was reported.
  std::string text_of(const tree& node, const std::string& key) {
    const auto* value = node.find(key);
    if (value == nullptr || value->kind == tree::null)
      return "";
    return word(*value, path_ + "." + key);
  }

  std::string word(const tree& value, const std::string& at) {
    auto odd = [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7F; };
    if (value.kind != tree::scalar || value.text.empty() || value.text.size() > max_name_bytes
        || std::any_of(value.text.begin(), value.text.end(), odd)) {
      to_.error(value.at, at, "expected a name without blanks, at most 256 bytes");
      return "";
    }
    return value.text;
  }

  std::vector<std::string> names_of(const tree& node) {
    const auto* value = node.find("model");
    std::vector<std::string> out;
    if (value == nullptr || (value->kind == tree::list && (value->items.empty() || value->items.size() > max_names))) {
      to_.error(value ? value->at : node.at, path_ + ".model", "needs the name of the model, or a list of 1 to 50");
      return out;
    }
    auto keep = [&](const tree& one) {
      if (auto name = lower(word(one, path_ + ".model")); name.find('*') != std::string::npos)
        to_.error(one.at, path_ + ".model", "names are whole, without `*`: list each one");
      else if (!name.empty())
        out.push_back(name);
    };
    if (value->kind == tree::list)
      for (const auto& e : value->items)
        keep(*e.value);
    else
      keep(*value);
    return out;
  }

  void read_number(const tree& node, const std::string& key, std::int64_t& out) {
    const auto* value = node.find(key);
    if (value && (!loader::to_integer(*value, out) || out < 1 || out > max_window))
      to_.error(value->at, path_ + "." + key, "expected a whole number from 1 to " + std::to_string(max_window));
  }

  void read_end(const tree& node, model_row& row) {
    if (const auto* value = node.find("ends")) {
      row.ends = value->kind == tree::scalar && value->text != "never" ? read_day(value->text) : 0;
      if (row.ends == 0 && (value->kind != tree::scalar || value->text != "never"))
        to_.error(value->at, path_ + ".ends", "expected a day such as 2027-01-31, or never");
    }
    if (auto name = text_of(node, "successor"); !name.empty())
      row.successor = name;
  }

  void read_price(const tree& node, model_row& row) {
    auto at = path_ + ".price";
    if (node.kind != tree::map) {
      to_.error(node.at, at, "expected a map: input and output, in USD per million tokens");
      return;
    }
    std::vector<std::string> known;
    price value;
    for (const auto& key : price_keys) {
      known.emplace_back(key.name);
      const auto* given = node.find(key.name);
      double usd = 0;
      if (given == nullptr)
        continue;
      if (!loader::to_number(*given, usd) || usd < 0 || usd > max_usd)
        to_.error(given->at, at + "." + key.name, "expected USD, from 0 to 1,000,000");
      else if (usd > 0 && usd * key.nano < 0.5) // a budget would hold next to nothing against it
        to_.error(given->at, at + "." + key.name,
                  key.nano == per_million ? "is less than 0.001: write USD per million tokens, not per token"
                                          : "is less than 0.000001");
      else
        value.*key.member = static_cast<std::int64_t>(std::ceil(usd * key.nano - 1e-6)); // 0.3 * 1000 is a little more than 300
    }
    check_keys(node, known, at);
    if (!node.find("input") || !node.find("output"))
      to_.error(node.at, at, "needs input and output, in USD per million tokens");
    row.prices = {{0, 0, 0, 0, value}};
  }

  report& to_;
  std::string path_;
};

} // namespace

namespace {

bool only_comments(const std::string& text) {
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);)
    if (auto first = line.find_first_not_of(" \t\r\xEF\xBB\xBF"); first != std::string::npos && line[first] != '#')
      return false;
  return true;
}

} // namespace

std::string own_models_file() {
  std::error_code ignored;
  for (const auto& folder : config_dirs())
    if (auto path = folder + "/models.yaml"; std::filesystem::exists(path, ignored))
      return path;
  return "";
}

std::vector<model_row> load_models(const std::string& path, std::vector<problem>& problems) {
  if (path.empty())
    return {};
  std::vector<problem> found;
  report to{path, found};
  std::string text, error;
  std::vector<model_row> out;
  if (!loader::read_text(path, text, error))
    to.error({}, "", error);
  else if (only_comments(text))
    return {}; // it says nothing yet
  else if (auto root = loader::read_tree(text, to))
    out = reader{to}.read(*root);
  to.finish();
  problems.insert(problems.end(), found.begin(), found.end());
  return to.failed() ? std::vector<model_row>{} : out;
}

std::vector<problem> ending_models(const run_config& c, std::int64_t now_unix_ms) {
  std::vector<problem> out;
  for (std::size_t i = 0; i < c.agents.size(); ++i)
    each_backend(c.agents[i], [&](const backend_config& b, const std::string& which) {
      const auto* row = find_model(provider_of(b), b.model, c.models);
      auto text = row ? ending_notice(*row, b.model, now_unix_ms) : std::string{};
      if (text.empty())
        return;
      auto at = place_of(c.places, "agents[" + std::to_string(i) + "]." + which + ".model");
      out.push_back({severity::warning, c.source, at.line, at.path, text, false, at.column});
    });
  return out;
}

} // namespace conclave
