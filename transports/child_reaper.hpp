// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A small process that outlives ours. When our end of its pipe closes, as it does at a kill -9, it takes what is left of the
/// groups of our children through the teardown ladder (their input has just ended): 2 s, SIGTERM, 2 s, SIGKILL. Then it ends
/// itself.
///
/// It is a shell and not a fork of us: a fork would keep our memory, and a `killall` that ends us would end it too. Internal to
/// transports/; reactor thread only.

#include "transports/child_reactor.hpp"

#include <set>

namespace conclave {

class child_reaper {
public:
  /// Names a group. The first one starts the reaper, as does one that finds it dead. Without a shell nothing happens: the
  /// parent-death signal still ends the children themselves.
  void add(int group);

  /// Forgets a group: before its number can be reused.
  void remove(int group);

private:
  bool tell(char sign, int group);

  std::set<int> groups_;
  unique_fd pipe_;
};

} // namespace conclave
