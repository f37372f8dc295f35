// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/sources.hpp"

#include "protocols/text.hpp"
#include "protocols/wire/response_items.hpp"
#include "protocols/wire/turn_sources.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace conclave::wire {

namespace {

constexpr std::size_t most = 32, longest = 300;

template <class F>
void each(const json& v, const char* list, F&& f) {
  if (auto* all = member(v, list); all != nullptr && all->is_array())
    for (auto& x : *all)
      f(x);
}

} // namespace

void each_listed_source(const json& list, const source_use& use) {
  if (!list.is_array())
    return;
  for (auto& s : list) {
    auto* cited = member(s, "url_citation");
    auto& from = cited == nullptr ? s : *cited;
    auto address = from.is_string() ? from.get<std::string>() : string_at(from, "url");
    use(string_at(from, "title"), address.empty() ? string_at(from, "link") : address);
  }
}

void each_grounding_source(const json& metadata, const source_use& use) {
  auto one = [&](const json& source, const char* address) {
    auto uri = string_at(source, address);
    use(string_at(source, "title"), uri.empty() ? string_at(source, "sourceUri") : uri); // the latter of an image
  };
  each(metadata, "groundingChunks", [&](const json& s) {
    for (auto* kind : {"web", "image", "maps", "retrievedContext"})
      if (auto* source = member(s, kind))
        one(*source, "uri");
  });
  each(metadata, "urlMetadata", [&](const json& s) { one(s, "retrievedUrl"); });
  for (auto* list : {"citationSources", "citations"})
    each(metadata, list, [&](const json& s) { one(s, "uri"); });
}

void cited_source(const json& citation, const source_use& use) {
  auto title = string_at(citation, "title");
  use(title.empty() ? string_at(citation, "document_title") : title, string_at(citation, "url"));
}

std::string source_text(const std::string& title, const std::string& address) {
  return title + (title.empty() || address.empty() || title == address ? "" : ", ") + (title == address ? "" : address);
}

std::vector<std::string> sources_of(const std::string& opaque, const std::string& dialect) {
  std::vector<std::string> out, alone; // `alone`: the address of those without a title, else empty
  std::set<std::string> titled;        // the addresses of the others
  auto use = [&](const std::string& title, const std::string& address) {
    auto text = shown_text(source_text(title, address), longest);
    if (text.empty() || out.size() >= most || std::find(out.begin(), out.end(), text) != out.end())
      return;
    auto has_title = !title.empty() && title != address;
    if (!has_title && titled.count(address) > 0)
      return;
    if (has_title && !address.empty())
      titled.insert(address);
    if (auto i = std::find(alone.begin(), alone.end(), address); has_title && !address.empty() && i != alone.end()) {
      out[static_cast<std::size_t>(i - alone.begin())] = std::move(text);
      i->clear();
      return;
    }
    out.push_back(std::move(text));
    alone.push_back(has_title ? std::string{} : address);
  };
  auto v = opaque.empty() ? std::nullopt : parse(opaque);
  if (!v)
    return out;
  if (dialect == "openai_chat") {
    if (auto* list = member(*v, "annotations"))
      each_listed_source(*list, use);
  } else if (dialect == "gemini") {
    for (auto* key : {"groundingMetadata", "urlContextMetadata", "citationMetadata"})
      if (auto* metadata = member(*v, key))
        each_grounding_source(*metadata, use);
  } else if (v->is_array()) {
    for (auto& item : *v)
      if (dialect == "openai_responses")
        each_source(item, use);
      else
        each(item, "citations", [&](const json& c) { cited_source(c, use); });
  }
  return out;
}

} // namespace conclave::wire
