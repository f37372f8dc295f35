// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Which address the callers of a node come from, for its log: CAF knows them by their node id alone.

#include <caf/node_id.hpp>

#include <deque>
#include <mutex>
#include <string>
#include <utility>

namespace conclave {

/// The callers that came last. Thread rule: any thread.
class caller_book {
public:
  void put(const caf::node_id& id, std::string peer) {
    std::lock_guard lock{mutex_};
    std::erase_if(callers_, [&](auto& c) { return c.first == id; });
    callers_.emplace_back(id, std::move(peer));
    if (callers_.size() > most)
      callers_.pop_front();
  }

  /// Returns "10.0.0.7:41234"; empty if it is not known.
  std::string find(const caf::node_id& id) const {
    std::lock_guard lock{mutex_};
    for (auto& c : callers_)
      if (c.first == id)
        return c.second;
    return {};
  }

private:
  static constexpr std::size_t most = 256; ///< more than a node has tasks
  mutable std::mutex mutex_;
  std::deque<std::pair<caf::node_id, std::string>> callers_;
};

} // namespace conclave
