// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Who may wait at the door of a node. Internal to transports/; one thread. It knows no clock and no socket: the time is any that
/// does not go back, chance follows from a seed.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace conclave {

/// Strangers are peers that have not proven who they are. There is room for so many of them, half of it for one source. Who comes
/// when it is full takes the place of a random one of the source that has most; where shares are even, of one whose time of grace
/// is over and whose source has no less than the newcomer's. If there is none, the newcomer has to go.
class node_admission {
public:
  using time = std::chrono::milliseconds;
  using stranger = std::uint64_t; ///< 0 = nobody

  /// The first word of a caller comes right behind its connection; what follows may cross the world a few times.
  static constexpr time silent_grace{150};
  static constexpr time spoken_grace{1'000};

  struct verdict {
    stranger admitted; ///< the newcomer
    stranger evicted;  ///< who is to be cut off for it, and counts no more
  };

  node_admission(std::size_t room, std::uint32_t seed) : room_(room), random_(seed) {}

  /// Somebody comes from `source` (a text that is the same for all whom one owner may send). `spoken` tells of a stranger whether
  /// it has said a word.
  verdict admit(const std::string& source, time now, const std::function<bool(stranger)>& spoken);

  /// This one has proven who it is, or has gone.
  void leave(stranger who);

private:
  using shares = std::map<std::string, std::size_t>;
  struct waiting {
    shares::iterator source;
    time came;
  };

  std::vector<stranger> whom_to_evict(const std::string& source, time now, const std::function<bool(stranger)>& spoken) const;
  std::size_t share_of(const std::string& source) const;

  std::size_t room_;
  std::minstd_rand random_;
  stranger last_ = 0;
  std::map<stranger, waiting> strangers_;
  shares shares_; ///< how many of them by source
};

} // namespace conclave
