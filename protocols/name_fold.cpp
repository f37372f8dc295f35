// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/name_fold.hpp"

#include "protocols/invisible.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/surrogates.hpp"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <utility>
#include <vector>

namespace conclave {

namespace {

struct folding {
  std::uint32_t from;
  std::uint32_t to[4]; ///< 0 = there are no more
};
struct ordering {
  std::uint32_t first, last;
  int order;
};

#include "protocols/name_fold_data.inc"

// The syllables of Hangul are sums. Source: The Unicode Standard 15.0, section 3.12, read 2026-11-27.
constexpr std::uint32_t syllables = 0xAC00, leads = 0x1100, vowels = 0x1161, trails = 0x11A7;
constexpr std::uint32_t vowel_count = 21, trail_count = 28, syllable_count = 11172;

int order_of(std::uint32_t c) {
  auto found = std::upper_bound(std::begin(orderings), std::end(orderings), c,
                                [](std::uint32_t x, const ordering& o) { return x < o.first; });
  return found != std::begin(orderings) && c <= std::prev(found)->last ? std::prev(found)->order : 0;
}

void decompose(std::uint32_t c, std::vector<std::uint32_t>& out) {
  if (c < 0x80) {
    out.push_back(static_cast<unsigned char>(lower(static_cast<char>(c))));
    return;
  }
  if (c >= syllables && c < syllables + syllable_count) {
    auto n = c - syllables;
    out.push_back(leads + n / (vowel_count * trail_count));
    out.push_back(vowels + n % (vowel_count * trail_count) / trail_count);
    if (n % trail_count != 0)
      out.push_back(trails + n % trail_count);
    return;
  }
  auto found =
      std::lower_bound(std::begin(foldings), std::end(foldings), c, [](const folding& f, std::uint32_t x) { return f.from < x; });
  if (found == std::end(foldings) || found->from != c) {
    out.push_back(c);
    return;
  }
  for (auto to : found->to)
    if (to != 0)
      out.push_back(to);
}

} // namespace

std::string folded_name(std::string_view name) {
  std::string out;
  std::vector<std::uint32_t> run; // characters up to where bytes come that are none
  auto flush = [&] {
    for (auto first = run.begin(); first != run.end();) { // those behind one letter, in their order
      if (order_of(*first) == 0) {
        ++first;
        continue;
      }
      auto last = std::find_if(first, run.end(), [](std::uint32_t c) { return order_of(c) == 0; });
      std::stable_sort(first, last, [](std::uint32_t a, std::uint32_t b) { return order_of(a) < order_of(b); });
      first = last;
    }
    for (auto c : run)
      wire::append_utf8(out, c);
    run.clear();
  };
  for (std::size_t i = 0; i < name.size();) {
    std::uint32_t c = 0;
    auto n = decode_utf8(name, i, c);
    if (n == 0) {
      flush();
      out += name[i++];
    } else {
      if (!is_invisible(c)) // such file systems leave them out, too
        decompose(c, run);
      i += n;
    }
  }
  flush();
  return out;
}

} // namespace conclave
