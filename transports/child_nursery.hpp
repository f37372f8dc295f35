// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// All children of the process: who must have ended before it may, and which groups the reaper has to know. Internal to
/// transports/; reactor thread only, but end_all().

#include "transports/child_process.hpp"

#include <future>
#include <map>
#include <memory>

namespace conclave {

class child_nursery {
public:
  /// That of the process. Never destroyed, like the reactor.
  static child_nursery& get();

  bool is_open() const { return open_; } ///< false once the process ends: nobody is started any more

  /// A child that leads this group. Held until it leaves.
  void enter(const std::shared_ptr<child_process>& who, int group);

  /// Nobody of its group lives, and its number is given away from now on.
  void group_ended(const std::shared_ptr<child_process>& who);

  /// The end of the child has been told. It stays for as long as somebody of its group lives.
  void leave(const std::shared_ptr<child_process>& who);

  /// As child_process::end_all().
  void end_all();

private:
  void close();
  void tell_groups() const;

  bool open_ = true;
  std::map<std::shared_ptr<child_process>, int> living_; ///< with its group; 0 = that has ended
  std::promise<void> emptied_;
  std::shared_future<void> empty_ = emptied_.get_future().share();
};

} // namespace conclave
