// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What random lives of a run are made of.

#include "support/run_driver.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace conclave::test {

struct dice {
  std::uint64_t word;
  std::uint32_t roll(std::uint32_t sides) {
    auto x = static_cast<std::uint32_t>(word % sides);
    word /= sides;
    return x;
  }
};

/// What is durable.
struct log_of_run {
  std::map<std::uint64_t, known_end> calls;
  std::map<std::uint64_t, int> outcomes; ///< by run: accepted verdicts and failures
  bool has_state = false;
  bool superseded = false;
  std::string state;
  std::vector<std::string> talk; ///< names of messages
  ruling by;                     ///< of the report the state came with
};

/// Somebody decides about some of the model calls, of the calls of `write` and of the long results; beside the rules of the
/// product.
inline run::policy_ruling model_on_hold(const run::setting&, const run::state& s) {
  return s.talk.size() % 4 == 3 ? run::policy_ruling{run::policy_answer::wait, "the next call"} : run::policy_ruling{};
}
inline run::policy_ruling call_on_hold(const run::setting&, const run::state&, const tool_call& c) {
  return c.name == "write" ? run::policy_ruling{run::policy_answer::wait, c.id} : run::policy_ruling{};
}
inline run::policy_ruling result_on_hold(const run::setting&, const run::state&, const tool_call& c, tool_result& r) {
  return r.text.size() > 20'000 ? run::policy_ruling{run::policy_answer::wait, "result of " + c.id} : run::policy_ruling{};
}
inline run::policy_ruling edited(const run::setting&, const run::state&, const tool_call&, tool_result& r) {
  if (r.text.size() > 20'000 && !r.text.ends_with("!"))
    r.text += "!";
  return {};
}

inline const std::vector<run::policy>& waiting_policies() {
  static const auto all = [] {
    auto out = run::policies();
    out.insert(out.begin() + 1, {"first", model_on_hold, call_on_hold, result_on_hold});
    out.push_back({"second", nullptr, call_on_hold, edited});
    return out;
  }();
  return all;
}

} // namespace conclave::test
