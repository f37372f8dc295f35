// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/tool_result.hpp"

#include "protocols/prompts.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

namespace conclave {

namespace {

/// A result that was cut carries a mark of at most this size.
constexpr std::size_t mark_bytes = 128;

constexpr const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Takes the secrets out, then cuts: the other way round, half a secret could stay at the end. What is far behind the end is not
/// searched. Returns how much of `most` is used.
std::size_t admit_text(std::string& text, const secrets& hidden, std::size_t most) {
  auto whole = text.size();
  auto margin = hidden.longest();
  if (whole > most + mark_bytes + margin) {
    text.resize(most + mark_bytes + margin);
    hidden.hide(text);
    // What is last may be the first half of one.
    prompts::cut(text, std::min(most, text.size() - std::min(margin, text.size())), whole);
  } else {
    hidden.hide(text);
    if (text.size() > most + mark_bytes)
      prompts::cut(text, most);
  }
  return std::min(text.size(), most);
}

} // namespace

void admit(tool_result& r, const secrets& hidden, std::size_t most) {
  admit_text(r.text, hidden, most);
  auto text = most, data = max_result_data;
  for (auto& p : r.parts) {
    text -= admit_text(p.text, hidden, text);
    for (auto* name : {&p.media_type, &p.uri})
      admit_text(*name, hidden, 4096);
    auto unfit = p.data.size() > data;
    if (!unfit && !hidden.empty() && p.kind == content_kind::resource && !p.data.empty()) {
      // As base64, too: what stands in for a secret there may have other first and last digits.
      unfit = !hidden.find_in(p.data).empty() || !hidden.find_in(decode_base64(p.data)).empty();
    }
    if (unfit)
      p.data.clear();
    data -= p.data.size();
  }
}

std::string decode_base64(const std::string& data) {
  std::string out;
  out.reserve(data.size() / 4 * 3);
  std::uint32_t bits = 0;
  int count = 0;
  for (auto c : data) {
    if (c == '=')
      break;
    auto value = c >= 'a' ? c - 'a' + 26 : c >= 'A' ? c - 'A' : c >= '0' ? c - '0' + 52 : c == '+' ? 62 : 63;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    if (++count % 4 != 1)
      out += static_cast<char>(bits >> (6 - 2 * ((count - 1) % 4)) & 0xFF);
  }
  return out;
}

bool is_base64(const std::string& data) {
  static const auto known = [] {
    std::array<bool, 256> out{};
    for (auto* d = digits; *d != '\0'; ++d)
      out[static_cast<unsigned char>(*d)] = true;
    return out;
  }();
  auto padding = data.size() - std::min(data.size(), data.find_last_not_of('=') + 1);
  return !data.empty() && data.size() % 4 == 0 && padding <= 2
         && std::all_of(data.begin(), data.end() - static_cast<std::ptrdiff_t>(padding), [](unsigned char c) { return known[c]; });
}

} // namespace conclave
