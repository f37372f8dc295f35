// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to replay*.cpp: what a log says of its runs, event by event.

#include "protocols/replay.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace conclave::ledger {

/// Follows the runs of a log.
class run_book {
public:
  void take(const event& e);

  /// Returns what is known of a run that has begun and not ended, or nullptr.
  const unfinished_run* find(std::uint64_t run) const;

  std::vector<unfinished_run> open() &&;

private:
  struct entry {
    unfinished_run run;
    std::map<std::uint64_t, std::size_t> place; ///< of a call in run.calls
  };

  entry* find(const event& e);
  void begin(const event& e);
  void go_on(const event& e);
  void refuse(const event& e);
  void call(const event& e);

  std::map<std::uint64_t, entry> runs_;
  std::map<std::string, std::uint64_t> calls_;
  std::uint64_t presenting_ = 0;
};

} // namespace conclave::ledger
