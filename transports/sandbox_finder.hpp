// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// How commands are confined on this machine, found out once per mode and process. Any thread.

#include "transports/sandbox_self_test.hpp"

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace conclave {

class sandbox_finder {
public:
  /// `folder`: where canaries are made, one below it at a time; made when first needed, its parent must be there.
  sandbox_finder(std::shared_ptr<outside> world, std::string folder)
      : world_(std::move(world)), folder_(std::move(folder)), launcher_(find_sandbox_launcher()) {}

  /// Waits until it is known, which takes some ms the first time. Never on the thread of an actor.
  sandbox_choice find(sandbox_mode mode);

  /// What `find` found; nothing before.
  std::optional<sandbox_choice> known(sandbox_mode mode) const;

  const std::string& launcher() const { return launcher_; }

private:
  struct book {
    mutable std::mutex mutex;
    std::condition_variable changed;
    std::map<sandbox_mode, std::optional<sandbox_choice>> found; ///< nothing = being found out
  };

  std::shared_ptr<outside> world_;
  std::string folder_;
  std::string launcher_;
  std::shared_ptr<book> book_ = std::make_shared<book>(); ///< outlives this for a late callback
};

/// "required", "auto", "off" of a configuration.
sandbox_mode sandbox_mode_of(const std::string& word);

} // namespace conclave
