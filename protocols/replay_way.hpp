// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to replay_*.cpp: one way in which a run of a log may have gone, as this build's run machine goes it.

#include "protocols/run_machine.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace conclave::ledger {

/// A run machine that is given what a log has. Tools are called in the log's own order, whatever order the machine would call them
/// in: which sources they come from is not stored.
class run_way {
public:
  explicit run_way(std::shared_ptr<const run::setting> with) : all_(with), with_(std::move(with)) {}

  /// From here on it has the tools it was made with, but for those that are `gone` and those that are `unknown`: a log tells what
  /// was called, not what was offered when.
  void offer(const std::set<std::string>& unknown, const std::set<std::string>& gone);
  std::vector<std::string> tools() const; ///< that it was made with
  /// No calls of these, which its next reply asks for, are in the log: what is refused of them has no end there, as it was once.
  void without(std::set<std::string> not_made) { not_made_ = std::move(not_made); }

  /// It begins as the run whose first stored state is `first`.
  void start(start_run task, const run::state& first);
  /// It goes on after a crash.
  void go_on(start_run task, run::state stored, std::vector<known_end> ends, bool refused, ruling refusal);

  bool announces_model() const { return report_ && !report_->begun.empty() && report_->begun.front().target == "model"; }
  /// What it hands in and waits for the ruling of, or what it failed with; nullptr if neither.
  const verdict* handed_in() const { return report_ && report_->has_verdict ? &report_->handed_in : nullptr; }
  const verdict* failed() const { return failed_ ? &*failed_ : nullptr; }

  /// The files that go with what it hands in, if it waits for them.
  void keep_files(const kept_files& files);
  /// The ruling on what it announces or hands in.
  void rule(ruling by);
  void end_model(std::optional<completion> reply, ec without);
  /// Call `number` of the log begins. Returns whether this run wants such a call.
  bool begin_tool(std::uint64_t number, const std::string& name, const std::string& arguments);
  void end_tool(std::uint64_t number, tool_result result);

  const std::vector<message>& talk() const { return state_.talk; }
  /// SHA-256 of each message of the conversation, as it would be kept.
  const std::vector<std::string>& names() const { return names_; }
  const run::state& state() const { return state_; }
  /// The model call that it announces has this number in the log: an agent also counts calls that nobody ruled on.
  void number(std::uint64_t call) { state_.model_call = state_.calls = call; }
  /// From here on the conversation is this one, and
  void adopt(std::vector<message> talk, std::vector<std::string> names);
  /// the rest of the state as it was stored with the report that awaits its ruling.
  void adopt(const run::state& stored);
  /// A model call of an earlier run of the agent, in that round, ends.
  void end_late(std::uint64_t run, std::uint64_t number, std::uint32_t round, completion reply);

  /// What the calls of a stored state, with which call `number` of the log begins, have other than this run's reply; empty if
  /// nothing. In which order they were numbered, and what of them had ended, is not compared: that hung on who was faster.
  std::string unlike_calls(const run::state& stored, std::uint64_t number) const;

  /// What it does now, for people.
  std::string doing() const;

  bool operator==(const run_way& x) const { return state_ == x.state_ && failed_ == x.failed_; }

private:
  void feed(run::input in);
  void take(run::report& r);
  void take(run::send_tool& t);
  void take(run::refuse_tool& t);
  void rename();
  void bring(std::uint32_t place);

  std::shared_ptr<const run::setting> all_, with_;
  run::state state_;
  std::vector<std::string> names_;
  std::optional<run::report> report_; ///< awaits its ruling; of tool calls none does
  std::optional<verdict> failed_;
  std::vector<run::input> next_;
  std::set<std::string> not_made_;
  std::map<std::uint64_t, std::uint32_t> begun_; ///< number in the log -> place in the reply
  std::map<std::uint32_t, std::uint64_t> sent_;  ///< place in the reply -> number with the machine
  std::map<std::uint32_t, tool_result> results_; ///< of calls the machine has not sent yet
};

} // namespace conclave::ledger
