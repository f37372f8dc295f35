// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to what_if*.cpp: a log's decisions, one by one, as they went and as other rules would have them.

#include "protocols/opening.hpp"
#include "protocols/text.hpp"
#include "protocols/what_if.hpp"

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace conclave::ledger {

/// An id in a sentence.
inline std::string quoted(const std::string& id) {
  return "'" + shown_text(id) + "'";
}

class other_way {
public:
  other_way(const opening& o, const other_rules& other);

  /// Takes the next decision of the log: what caused it, and its events.
  void take(command c, const std::vector<event>& decision);

  /// Whether the log's coordination is over, or that of the other rules: nothing that follows says who wins.
  bool over() const { return over_; }

  /// Where the text behind a label of `would` stands in the log.
  struct source {
    std::string label; ///< empty = the log refused it
    std::uint64_t seq = 0;
  };
  source source_of(const std::string& label) const;

  /// From the newest event on the log can tell no more.
  void gap(std::string text) { note(seq_, std::move(text), true); }

  state& would() { return would_; }
  const state& was() const { return was_; }
  const std::vector<what_if_note>& notes() const { return notes_; }

private:
  /// A run of the log.
  struct run {
    std::string agent;
    std::uint64_t ours = 0;         ///< its number in `would`, 0 = these rules do not have it
    std::vector<std::string> shown; ///< labels of the log
  };
  /// A run that the other rules want and the log has not begun at that time.
  struct wait {
    std::uint64_t seq = 0;
    std::vector<std::string> shown; ///< labels of `would`, sorted
  };

  void note(std::uint64_t seq, std::string text, bool gap);
  decision apply(command c);
  void fire_due(std::int64_t until);
  bool log_has(const timer_key& t) const;
  void tell_timer(const timer_key& t, const std::vector<event>& events);

  void begin(command c, const std::vector<event>& decision);
  void begin_as(const std::string& agent, run& r);
  void hand_in(command c, const std::vector<event>& decision);
  void judge_answer(const command& c, const event* there, const decision& d);
  void judge_vote(const command& c, const event* there, const decision& d);
  bool names_what_stands(const command& c, const event& there);
  void skip_verdict(const std::string& agent, const event* there);
  void fail(command c, const std::vector<event>& decision);

  void begin_call(command c, const std::vector<event>& decision);
  void end_call(command c);
  void refuse_call(const command& c, const decision& d);
  void ask_again();
  void go_on(const std::vector<event>& decision);

  void follow(const std::vector<event>& decision);
  void follow_ends(const std::vector<event>& decision);
  void follow_rounds(const std::vector<event>& decision);
  void follow_waits();
  bool follow_wait(const std::string& agent);
  bool log_asks(const std::string& agent) const;
  bool adopt(const std::string& agent);
  void abstain(const std::string& agent);
  void tell_end();
  void end();

  run* run_of(const command& c);
  std::vector<std::string> translated(const std::vector<std::string>& labels) const;
  std::vector<std::string> shown_now(const std::string& agent) const;

  state was_, would_;
  std::map<std::uint64_t, run> runs_;
  std::map<std::string, std::string> labels_; ///< of the log -> of `would`; a label that is not here is of no answer there
  std::map<std::string, source> sources_;     ///< of `would`
  std::map<std::string, wait> waits_;
  std::map<std::pair<std::string, std::uint64_t>, std::uint64_t>
      calls_;                 ///< agent and number of a call of the log -> run of `would`
  std::vector<command> held_; ///< calls of the log that a budget of `would` lets wait, with runs of `would`
  bool other_budgets_ = false;
  std::set<std::string> has_failover_; ///< agents
  std::vector<what_if_note> notes_;
  std::uint64_t seq_ = 0;
  bool over_ = false;
};

} // namespace conclave::ledger
