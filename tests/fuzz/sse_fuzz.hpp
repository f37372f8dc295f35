// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Any bytes, any split: the same events, also where a bound is hit.

#include "fuzz/fuzz.hpp"
#include "protocols/wire/sse.hpp"

#include <algorithm>

namespace conclave::fuzz {

struct seen_events {
  std::vector<wire::sse_event> events;
  bool whole = true;
};

inline seen_events read_events(std::string_view bytes, const std::vector<std::size_t>& sizes, std::size_t bound) {
  seen_events out;
  wire::sse_decoder d(bound);
  auto keep = [&](wire::sse_event& e) { out.events.push_back(e); };
  std::size_t turn = 0;
  while (!bytes.empty()) {
    auto n = sizes.empty() ? bytes.size() : std::min(sizes[turn++ % sizes.size()], bytes.size());
    out.whole = d.feed(bytes.substr(0, n), keep);
    bytes.remove_prefix(n);
  }
  d.finish(keep);
  return out;
}

inline void same_events(const seen_events& a, const seen_events& b) {
  FUZZ_REQUIRE(a.whole == b.whole && a.events.size() == b.events.size());
  for (std::size_t i = 0; i < a.events.size(); ++i)
    FUZZ_REQUIRE(a.events[i].name == b.events[i].name && a.events[i].data == b.events[i].data && a.events[i].id == b.events[i].id);
}

inline int run_sse(std::string_view bytes) {
  for (std::size_t bound : {std::size_t{16} << 20, std::size_t{40}}) {
    auto whole = read_events(bytes, {}, bound);
    for (auto& e : whole.events) {
      FUZZ_REQUIRE(!e.data.empty() && e.data.size() <= bound);
      FUZZ_REQUIRE(e.data.find('\r') == std::string::npos && e.name.find('\n') == std::string::npos);
    }
    same_events(whole, read_events(bytes, pieces_of(bytes), bound));
    same_events(whole, read_events(bytes, {1}, bound));
  }
  return 0;
}

} // namespace conclave::fuzz
