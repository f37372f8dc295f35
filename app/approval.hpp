// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A host that is asked before something is done. Waits for its answer; any thread but one of an actor.

#include "transports/outside.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace conclave {

class host_question {
public:
  host_question();

  /// Asks on a thread of its own. Returns empty if the host says yes within this time, else why it is not done; a host that is late
  /// is left alone, and what it says then is dropped: what `question` uses must live until it returns. Once.
  std::string ask(outside& from, std::function<bool()> question, std::chrono::milliseconds within);

  /// The answer is no, with this reason, unless the host has answered: to what is being asked, or is asked later. Any thread.
  void give_up(const std::string& why);

private:
  struct answer;
  std::shared_ptr<answer> answer_;
};

/// Asks once.
std::string ask_host(outside& from, std::function<bool()> question, std::chrono::milliseconds within);

} // namespace conclave
