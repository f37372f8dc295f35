// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to run_*.cpp: one step of a run under way. The state is changed in place, actions are collected.

#include "protocols/run_machine.hpp"
#include "protocols/wire/verdict.hpp"

#include <string>
#include <vector>

namespace conclave::run {

/// Replies without a usable verdict before the run fails.
inline constexpr std::uint32_t max_attempts = 3;
/// What the JSON of a decision takes.
inline constexpr std::int64_t least_decision_tokens = 64;
/// A tool result is never shortened below this; of the answers of others as much is shown at least.
inline constexpr std::size_t min_result_bytes = 512, min_shown_bytes = 256;

struct mover {
  const setting& with;
  state& s;
  std::vector<action> out;
  report next; ///< the ends of this step that no report has yet

  // run_machine.cpp: inputs, announcing
  void on(started x);
  void on(prepared x);
  void on(unprepared x);
  void on(ruled x);
  void on(model_done x);
  void on(model_failed x);
  void on(cancelled x);
  void on(tools_changed);
  void open_talk();
  std::string instructions() const;
  void begin_talk(std::vector<message> talk);
  void call_model();
  void announce_model();
  void send_model();

  // run_policies.cpp: what a policy keeps on hold
  void on(policy_said x);
  void judge_model(std::size_t at);                   ///< calls it, unless a rule is against it
  usage reserve_of(const model_request& r) const;     ///< what it may use at most
  bool may_begin(pending_call& p);                    ///< it is announced; else it is on hold or settled
  bool judge_result(pending_call& p, std::size_t at); ///< else it is on hold; `at`: the first policy that is asked
  void judge_logged(pending_call& p, std::size_t at); ///< as judge_result, of a result that the log has as it is now
  std::size_t place_of(const std::string& policy) const;

  // run_reports.cpp: what leaves a run
  void flush(bool ask);
  void finish(); ///< reports what is left to report
  void hand_in(verdict v, std::string answers_call);
  void on(snapshot_taken x);
  void announce_verdict();
  void on_verdict_ruling(const ruling& r);
  void fail(ec code, std::string reason);
  void over();
  bool ended_late(std::uint64_t call, std::string status, const completion* reply, const tool_result* result,
                  const tool_trouble& trouble, const usage& use = {});
  verdict failure(ec code, std::string reason) const;

  // run_replies.cpp: what becomes of a reply
  void on_completion(completion c);
  void judge_reply(const completion& c, const std::vector<std::string>& carried_out);
  void correct(std::vector<tool_result> results, std::string text);
  void add_reply(const completion& c);
  void add_bare_reply(const completion& c);
  void add_result(tool_result r);
  void ask_user(std::string text); ///< adds what the user says next
  void charge(std::uint32_t in_round, const completion& c);
  void resolve(completion& c);
  std::string answer_of(const completion& c) const;

  // run_tools.cpp: rounds of tool calls
  void on(tool_done x);
  bool run_tools(completion& c); ///< takes the reply if it calls tools of ours
  void next_tools();
  void send_tools();
  void refuse_tools(const std::string& reason);

  // run_results.cpp: long results, and long conversations
  void shorten_result(pending_call& p);
  void find_long_results(const continued& x);
  void trim();

  // run_continue.cpp: after a crash
  void on(continued x);

  // run_failover.cpp: from one backend to the next
  const backend_config& in_use() const;
  /// Nothing of the reply was used. False: there is no other, or it would not help; `why` tells of all backends then.
  bool fall_over(ec code, std::string& why);
  void go_on_elsewhere(); ///< after that, in the middle of a run

  // run_room.cpp: what a run may hold
  std::size_t held_bytes() const;
  bool make_room();
  bool shorten();
  bool drop_images();
  bool unseal();
  void shortened(std::size_t i);
  void no_room();

  wire::choice choice() const;

private:
  void take_over();
  void refuse_begin(const ruling& r);
  void end_announced();
  void on_broken(const completion& c);
  void ask_again(const completion& c);
  void go_on(completion c);
  void on_decision(const completion& c);
  void on_text(const completion& c);
  void on_verdict_reply(completion c);
  void on_presentation(completion c);
  bool step_down(prompts::ladder to, const std::string& why);
  void settle(pending_call& p, std::string error);
  void begin_tool(pending_call& p);
  std::uint64_t hold(const policy& by, std::string what);
  void hold(pending_call& p, const policy& by, std::string what);
  bool judge_call(pending_call& p, std::size_t at);
  void tools_done();
  void go_on_with_tools(const continued& x);
  void go_on_with_verdict(const continued& x);
  void after_crash(pending_call& p, call_effect effect, std::string& fatal);
  const known_end* end_of(const continued& x, std::uint64_t call) const;
  bool take_reply(const continued& x, completion& into);
};

} // namespace conclave::run
