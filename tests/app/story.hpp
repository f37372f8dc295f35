// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Event lists for the tests of what people are shown: a small language to write them by hand, and one whole task.

#include "protocols/coordination.hpp"

#include <string>
#include <vector>

namespace story {

using namespace conclave;

inline constexpr std::int64_t start_ms = 1'790'000'000'000; // 2026-09-21 14:13:20 UTC

/// Appends events with running sequence numbers, each some milliseconds after the one before.
struct teller {
  std::vector<event> events;
  std::int64_t now_ms = start_ms;

  event& tell(event_type type, const std::string& agent = "", std::uint64_t run = 0, std::int64_t after_ms = 100) {
    event e;
    now_ms += events.empty() ? 0 : after_ms;
    e.seq = events.size() + 1;
    e.time_ms = now_ms;
    e.type = type;
    e.agent = agent;
    e.run = run;
    events.push_back(e);
    return events.back();
  }

  void session(const std::string& question, const std::vector<std::string>& agents) {
    auto& e = tell(event_type::session_start);
    e.text = question;
    e.labels = agents;
  }

  void round(std::uint32_t n) { tell(event_type::round_started).round = n; }

  void run(const std::string& agent, std::uint64_t id, std::uint32_t round, std::uint64_t epoch,
           const std::vector<std::string>& shown) {
    auto& e = tell(event_type::run_started, agent, id);
    e.round = round;
    e.epoch = epoch;
    e.labels = shown;
    e.number = 1;
  }

  void call(const std::string& agent, std::uint64_t run, std::int64_t number, std::int64_t in, std::int64_t out,
            const std::string& target = "model", const std::string& status = "finished") {
    auto& begun = tell(event_type::call_started, agent, run);
    begun.number = number;
    begun.target = target;
    begun.reason = "0123456789abcdef";
    auto& ended = tell(event_type::call_ended, agent, run, 1500);
    ended.number = number;
    ended.target = target;
    ended.reason = status;
    ended.use.input_tokens = in;
    ended.use.output_tokens = out;
  }

  void answer(const std::string& agent, std::uint64_t run, const std::string& label, const std::string& text, std::uint64_t epoch) {
    auto& e = tell(event_type::new_answer, agent, run);
    e.label = label;
    e.text = text;
    e.epoch = epoch;
    tell(event_type::run_ended, agent, run, 0).reason = "answered";
  }

  void vote(const std::string& agent, std::uint64_t run, const std::string& target, const std::string& label,
            const std::string& reason, std::uint64_t epoch) {
    auto& e = tell(event_type::vote_cast, agent, run);
    e.target = target;
    e.target_label = label;
    e.reason = reason;
    e.epoch = epoch;
    tell(event_type::run_ended, agent, run, 0).reason = "voted";
  }

  void select(const std::string& winner, std::int64_t votes, const std::string& reason,
              const std::vector<std::string>& candidates) {
    auto& e = tell(event_type::final_agent_selected, winner);
    e.number = votes;
    e.reason = reason;
    e.labels = candidates;
  }

  void end(const std::string& outcome, const std::string& text) {
    tell(event_type::session_end);
    auto& e = tell(event_type::task_ended, "", 0, 0);
    e.reason = outcome;
    e.text = text;
  }
};

/// Round 0: writer and critic answer, judge fails for good. Round 1: critic improves, writer votes for the old answer. Round 2:
/// both vote for critic. critic presents.
inline teller whole_task() {
  teller t;
  t.session("What is 6 x 7?", {"writer", "critic", "judge"});
  t.round(0);
  t.run("writer", 1, 0, 0, {});
  t.run("critic", 2, 0, 0, {});
  t.run("judge", 3, 0, 0, {});
  t.call("writer", 1, 1, 1200, 30);
  t.answer("writer", 1, "agent1.1", "It is 42.\nI am sure.", 1);
  auto& out = t.tell(event_type::agent_out, "judge", 3);
  out.code = ec::unauthorized;
  out.reason = "POST https://judge.example/v1: 401";
  t.call("critic", 2, 1, 1300, 40);
  t.answer("critic", 2, "agent2.1", "42", 2);
  t.round(1);
  t.run("writer", 4, 1, 2, {"agent1.1", "agent2.1"});
  t.run("critic", 5, 1, 2, {"agent1.1", "agent2.1"});
  t.call("writer", 4, 2, 100, 5);
  t.vote("writer", 4, "critic", "agent2.1", "shorter", 2);
  t.call("critic", 5, 2, 10, 1, "mcp__calc__multiply", "failed");
  t.call("critic", 5, 3, 100, 5);
  t.answer("critic", 5, "agent2.2", "6 x 7 = 42", 3);
  t.round(2);
  t.run("writer", 6, 2, 3, {"agent1.1", "agent2.2"});
  t.run("critic", 7, 2, 3, {"agent1.1", "agent2.2"});
  t.call("writer", 6, 3, 100, 5);
  t.vote("writer", 6, "critic", "agent2.2", "complete", 3);
  t.call("critic", 7, 4, 100, 5);
  t.vote("critic", 7, "critic", "agent2.2", "mine is best", 3);
  t.select("critic", 2, "most votes", {"agent1.1", "agent2.2"});
  t.tell(event_type::presentation_started, "critic", 8);
  t.call("critic", 8, 5, 200, 10);
  auto& final = t.tell(event_type::final_answer, "critic", 8);
  final.label = "agent2.final";
  final.text = "6 x 7 is 42.";
  t.end("answered", "completed");
  return t;
}

} // namespace story
