// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/node_admission.hpp"

#include <algorithm>

namespace conclave {

node_admission::verdict node_admission::admit(const std::string& source, time now, const std::function<bool(stranger)>& spoken) {
  stranger evicted = 0;
  if (strangers_.size() >= room_ || share_of(source) >= room_ / 2) {
    auto candidates = whom_to_evict(source, now, spoken);
    if (candidates.empty())
      return {0, 0};
    evicted = candidates[random_() % candidates.size()];
    leave(evicted);
  }
  auto share = shares_.try_emplace(source, 0).first;
  ++share->second;
  strangers_[++last_] = {share, now};
  return {last_, evicted};
}

std::vector<node_admission::stranger> node_admission::whom_to_evict(const std::string& source, time now,
                                                                    const std::function<bool(stranger)>& spoken) const {
  auto mine = share_of(source);
  auto own = mine >= room_ / 2; // then the place is one of its own
  auto most = std::max_element(shares_.begin(), shares_.end(), [](auto& a, auto& b) { return a.second < b.second; });
  auto uneven = !own && most->second > mine + 1;
  auto after_grace = [&](stranger who, const waiting& w) { return now - w.came >= (spoken(who) ? spoken_grace : silent_grace); };
  std::vector<stranger> out;
  for (auto& [who, w] : strangers_)
    if (uneven ? w.source == most : (own ? w.source->first == source : w.source->second >= mine) && after_grace(who, w))
      out.push_back(who);
  return out;
}

std::size_t node_admission::share_of(const std::string& source) const {
  auto it = shares_.find(source);
  return it == shares_.end() ? 0 : it->second;
}

void node_admission::leave(stranger who) {
  auto it = strangers_.find(who);
  if (it == strangers_.end())
    return;
  if (auto share = it->second.source; --share->second == 0)
    shares_.erase(share);
  strangers_.erase(it);
}

} // namespace conclave
