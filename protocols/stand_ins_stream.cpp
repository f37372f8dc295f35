// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Secrets in streams of JSON texts.

#include "protocols/secret_parts.hpp"
#include "protocols/split_secrets.hpp"
#include "protocols/stand_ins.hpp"
#include "protocols/text.hpp"
#include "protocols/tool_result.hpp"
#include "protocols/wire/attachments.hpp"
#include "protocols/wire/http_reply.hpp"
#include "protocols/wire/json.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

namespace conclave {

namespace {

/// As long as the text of a leaf, and says nothing.
std::string blank(const wire::json_leaf& leaf, const std::string& all) {
  return leaf.is_number() ? std::string(leaf.end - leaf.begin, '1') : std::string(said_by(leaf, all).size(), 'x');
}

void blank_out(const wire::json_leaves& leaves, const std::vector<wire::text_span>& where, const std::string& all,
               std::vector<text_edit>& edits) {
  auto leaf = leaves.all.begin();
  for (auto& [begin, end] : where) {
    while (leaf != leaves.all.end() && leaf->begin < begin)
      ++leaf;
    for (; leaf != leaves.all.end() && leaf->begin < end; ++leaf)
      if (leaf->base != wire::json_leaf::of_name && leaf->begin != leaf->end)
        edits.push_back({leaf->begin, leaf->end, blank(*leaf, all)});
  }
}

/// Leaves of several that overlap the first: a string, not the numbers in it.
void keep_apart(std::vector<text_edit>& edits) {
  std::stable_sort(edits.begin(), edits.end(), [](auto& a, auto& b) { return a.begin < b.begin; });
  std::size_t kept = 0;
  for (auto& e : edits)
    if (kept == 0 || e.begin >= edits[kept - 1].end)
      std::swap(edits[kept++], e);
  edits.resize(kept);
}

/// Where a secret is in what is said beside a text nothing stays of that: it may be told there more than once, between other words.
void widen(const wire::json_leaves& leaves, const std::string& all, std::vector<text_edit>& edits) {
  std::vector<wire::text_span> touched;
  for (auto& aside : leaves.asides)
    if (std::any_of(edits.begin(), edits.end(), [&](auto& e) { return e.begin >= aside.first && e.end <= aside.second; }))
      touched.push_back(aside);
  if (touched.empty())
    return;
  edits.erase(std::remove_if(edits.begin(), edits.end(),
                             [&](auto& e) {
                               return std::any_of(touched.begin(), touched.end(),
                                                  [&](auto& t) { return e.begin >= t.first && e.end <= t.second; });
                             }),
              edits.end());
  blank_out(leaves, touched, all, edits);
}

/// What the strings of a run say together.
std::string said_by(const wire::string_run& run, const std::string& all) {
  std::string out;
  for (auto [begin, end] : run)
    out += conclave::said_by({begin, end}, all);
  return out;
}

std::string number_of(unsigned char byte, int base) {
  constexpr std::string_view hex = "0123456789abcdef";
  return base == 16 ? std::string{hex[byte >> 4], hex[byte & 15]} : std::to_string(byte);
}

} // namespace

bool stand_ins::put_in_stream(const std::vector<std::string*>& pieces, bool is_reply) const {
  if (known_.empty())
    return false;
  auto in_parts = false;
  auto whole = put_in(pieces, &in_parts);
  for (auto by_index : {true, false}) // side by side, then one after the other
    in_parts = edit_runs(pieces, by_index) || in_parts;
  constexpr int most = 8;
  auto again = true;
  for (int n = 0; n < most && again; ++n) {
    auto all = joined(pieces);
    again = edit_split(pieces, all, wire::leaves_of(all, true));
    in_parts = in_parts || again;
  }
  whole = edit_data(pieces, in_parts) || whole;
  if (whole || in_parts)
    edit_rest(pieces, is_reply);
  return in_parts;
}

bool stand_ins::is_needed_in_stream(const std::string& text) const {
  if (is_needed(text))
    return true;
  auto copy = text;
  return put_in_stream({&copy}) || copy != text;
}

bool stand_ins::edit_runs(const std::vector<std::string*>& pieces, bool by_index) const {
  auto all = joined(pieces);
  auto leaves = wire::leaves_of(all, by_index);
  std::vector<text_edit> edits;
  for (auto& run : wire::string_runs(leaves))
    if (run.size() > 1)
      edit_run(all, run, edits);
  if (edits.empty())
    return false;
  widen(leaves, all, edits);
  splice(pieces, all, std::move(edits));
  return true;
}

void stand_ins::edit_run(const std::string& all, const wire::string_run& run, std::vector<text_edit>& edits) const {
  std::vector<std::string> texts;
  std::vector<std::string*> pieces;
  texts.reserve(run.size());
  for (auto [begin, end] : run)
    pieces.push_back(&texts.emplace_back(all, begin, end - begin));
  put_in(pieces);
  for (std::size_t i = 0; i < run.size(); ++i)
    if (auto [begin, end] = run[i]; all.compare(begin, end - begin, texts[i]) != 0)
      edits.push_back({begin, end, std::move(texts[i])});
}

/// What the secrets may be told as, where pieces of them stand alone.
std::vector<std::string> stand_ins::all_forms() const {
  std::vector<std::string> out;
  for (auto& secret : known_.values()) {
    if (secret.size() < usual)
      continue;
    out.push_back(secret);
    if (auto escaped = wire::percent_encoded(secret); escaped != secret)
      out.push_back(std::move(escaped));
    for (auto form : encoded_forms)
      out.push_back(in_form(form, secret));
    auto large = out.back();
    for (auto& c : large)
      c = c >= 'a' && c <= 'f' ? static_cast<char>(c - 'a' + 'A') : c;
    out.push_back(std::move(large));
  }
  return out;
}

bool stand_ins::put_in_list(const std::vector<std::string*>& texts) const {
  if (known_.empty())
    return false;
  for (auto* text : texts)
    put_in(*text);
  auto all = joined(texts);
  wire::json_leaves leaves;
  auto places = static_cast<std::uint32_t>(texts.size());
  for (std::size_t i = 0, begin = 0; i < texts.size(); begin += texts[i++]->size()) {
    auto place = static_cast<std::uint32_t>(i + 1);
    leaves.all.push_back({begin, begin + texts[i]->size(), place, 0, place, 0});
    for (auto base : {std::uint8_t{10}, std::uint8_t{16}})
      if (wire::is_byte(*texts[i], base))
        leaves.all.push_back({begin, begin + texts[i]->size(), place, 0, places + base, base});
  }
  return edit_split(texts, all, leaves);
}

bool stand_ins::edit_split(const std::vector<std::string*>& pieces, const std::string& all, const wire::json_leaves& leaves) const {
  std::vector<text_edit> edits;
  std::vector<bool> taken(leaves.all.size());
  for (auto& split : find_split(leaves.all, all, all_forms())) {
    if (std::any_of(split.leaves.begin(), split.leaves.end(), [&](auto i) { return taken[i]; }))
      continue; // another turn
    std::vector<std::string> texts;
    std::vector<std::string*> parts;
    texts.reserve(split.leaves.size());
    for (std::size_t n = 0; n < split.leaves.size(); ++n) {
      auto& leaf = leaves.all[split.leaves[n]];
      auto [from, to] = split.parts[n];
      parts.push_back(&texts.emplace_back(leaf.is_number() ? said_by(leaf, all) : all.substr(leaf.begin + from, to - from)));
    }
    put_in(parts);
    auto replace = [&](std::size_t i, const std::string& text, wire::text_span part) {
      auto& leaf = leaves.all[i];
      auto begin = leaf.begin + part.first, end = std::min(leaf.begin + part.second, leaf.end);
      auto now = !leaf.is_number() ? text : number_of(text.empty() ? ' ' : static_cast<unsigned char>(text[0]), leaf.base);
      taken[i] = true;
      if (all.compare(begin, end - begin, now) != 0)
        edits.push_back({begin, end, std::move(now)});
    };
    for (std::size_t n = 0; n < texts.size(); ++n)
      replace(split.leaves[n], texts[n], split.parts[n]);
    for (auto [i, n] : split.doubles)
      replace(i, texts[n], split.parts[n]);
  }
  if (edits.empty())
    return false;
  widen(leaves, all, edits);
  keep_apart(edits);
  splice(pieces, all, std::move(edits));
  return true;
}

/// What is binary and tells a secret in another way than base64 does: a file with an address in it, say.
/// Returns whether there was one; `inexact` is set where the data has another length now.
bool stand_ins::edit_data(const std::vector<std::string*>& pieces, bool& inexact) const {
  constexpr std::size_t least = 16;
  auto all = joined(pieces);
  std::vector<text_edit> edits;
  for (auto& leaf : wire::leaves_of(all, false).all)
    if (auto said = leaf.is_string() && leaf.end - leaf.begin >= least ? said_by(leaf, all) : std::string{}; is_base64(said))
      if (auto bytes = decode_base64(said), now = of_same_length(bytes); now != bytes) {
        inexact = inexact || now.size() != bytes.size();
        edits.push_back({leaf.begin, leaf.end, wire::encode_base64(now)});
      }
  splice(pieces, all, edits);
  return !edits.empty();
}

/// Once a secret was told: strings that have a part of it (a text that grows, each time it is told again), and what is said beside
/// the text.
void stand_ins::edit_rest(const std::vector<std::string*>& pieces, bool is_reply) const {
  auto all = joined(pieces);
  auto leaves = wire::leaves_of(all, false);
  std::vector<text_edit> edits;
  if (is_reply)
    blank_out(leaves, leaves.unread, all, edits);
  secret_parts parts(known_.values(), names_);
  for (auto& leaf : leaves.all)
    if (leaf.is_string())
      parts.learn(said_by(leaf, all));
  for (auto& run : wire::string_runs(wire::leaves_of(all, true)))
    if (run.size() > 1)
      parts.learn(said_by(run, all));
  for (auto& leaf : leaves.all) {
    if (leaf.is_number() || leaf.end - leaf.begin < secret_parts::least)
      continue;
    if (auto said = said_by(leaf, all); parts.put_in(said)) {
      auto quoted = wire::quote(said);
      edits.push_back({leaf.begin, leaf.end, quoted.substr(1, quoted.size() - 2)});
    }
  }
  keep_apart(edits);
  splice(pieces, all, std::move(edits));
}

} // namespace conclave
