// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What survives a crash in the simulator: chance, the plan of a seed, what models and tools were sent, what they did, and the
/// first promise that was broken. One thread; a seed decides everything.

#include "protocols/coordination.hpp"
#include "protocols/internal.hpp"
#include "protocols/ledger.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace conclave::sim {

/// A stream of random numbers that is the same everywhere.
class dice {
public:
  explicit dice(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ULL + 1) {}
  std::uint64_t next() {
    auto z = (state_ += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  std::size_t below(std::size_t n) { return n == 0 ? 0 : static_cast<std::size_t>(next() % n); }
  std::int64_t between(std::int64_t a, std::int64_t b) {
    return a + static_cast<std::int64_t>(below(static_cast<std::size_t>(b - a + 1)));
  }
  bool chance(std::size_t permille) { return below(1000) < permille; }

private:
  std::uint64_t state_;
};

/// A process: what it says to the outside once it is cut counts for nothing.
struct process {
  int number = 0;
  bool cut = false;
};
using process_ptr = std::shared_ptr<process>;

/// What a seed plays.
struct plan {
  std::size_t agents = 2;
  std::size_t far_nodes = 0;
  std::vector<std::size_t> at; ///< by agent: 0 = the engine's own node, else a far one
  ledger::rules rules;
  std::string on_unknown = "tell";
  int crashes = 0;
  std::size_t crash_permille = 0;      ///< at any step
  std::size_t sync_crash_permille = 0; ///< when something has just become durable
  std::size_t node_death_permille = 0; ///< at any step, at most one
  std::size_t cancel_permille = 0;     ///< at any step, at most one
  std::size_t stale_permille = 0;      ///< a message of a dead engine arrives late
  std::size_t timer_permille = 20;     ///< a timer that is due soon fires before what could run
  std::size_t bad_model = 0;           ///< permille of replies that bring nothing
  std::size_t hang = 0;                ///< permille of calls that never end by themselves
  std::size_t tool_use = 0;            ///< permille of replies that call tools
  std::size_t bad_tool = 0;
  std::size_t lost_source = 0; ///< permille of calls after which the model connection or tool source is dead
  std::vector<budget> budgets; ///< of the agents, if there are any; that of the task is in the rules
  std::size_t above = 0;       ///< permille of replies that take more than their reserve
  std::size_t uncounted = 0;   ///< permille of replies that nobody counts
  bool has_budgets() const { return !budgets.empty(); }
};
plan draw(dice& d);
void draw_budgets(dice& d, plan& p); ///< from a stream of their own: all else is as without them
std::string to_string(const plan& p);

/// A model call that was sent.
struct sent_call {
  std::string agent;
  std::uint64_t run = 0, call = 0;
  std::string hash;        ///< of the conversation
  std::uint64_t fence = 0; ///< of the engine that wanted it
  bool open = true;
  bool finished = false;
  usage said = {}; ///< as it was delivered
};

struct world {
  explicit world(std::uint64_t s) : seed(s), chance(s), money(s + 0x6D6F6E6579), what(draw(chance)) { draw_budgets(money, what); }

  std::uint64_t seed;
  dice chance;
  dice money;
  plan what;
  bool tracing = false;
  std::string broken;      ///< the first finding; empty = none
  std::int64_t now_ms = 0; ///< virtual time, for the trace
  int engines = 0;
  std::size_t steps = 0;

  std::vector<sent_call> models;
  std::map<std::string, int> effects; ///< of the tool that must not be repeated, by its arguments
  std::map<std::tuple<std::string, std::uint64_t, std::string>, int> tool_calls; ///< sent, by agent, run, tool
  std::map<std::pair<std::string, std::uint64_t>, std::size_t> open_tools; ///< sent and neither done nor cut off, by agent and run
  std::uint64_t texts = 0;                                                 ///< makes texts and ids unique

  // What is durable.
  std::vector<event> log;
  ledger::state folded;
  std::map<std::string, std::string> bodies;
  std::map<std::pair<std::string, std::uint64_t>, std::uint64_t> begun;           ///< model calls: agent, call -> run
  std::map<std::pair<std::string, std::uint64_t>, std::string> ended;             ///< agent, call -> status
  std::map<std::tuple<std::string, std::uint64_t, std::string>, int> begun_tools; ///< agent, run, tool
  std::map<std::uint64_t, std::uint64_t> before;                                  ///< run -> the run it goes on with
  std::map<std::uint64_t, std::uint64_t> owned;                       ///< run -> fence of who began it or goes on with it
  std::map<std::pair<std::string, std::uint64_t>, std::string> asked; ///< tool calls: agent, call -> arguments
  std::set<std::string> done;                                         ///< arguments of those whose end is known
  ledger::state at_crash;
  bool resumed_since = true;

  void find(std::string what_is_wrong);
  void trace(const std::string& line);
  void forget_log(); ///< nothing of the task is durable: the question is asked again

  /// One decision has become durable.
  void take(std::vector<event> decision);

  void check_budgets(const event& e);
  void check_spent();
  void check_continued(const ledger::state& was, const std::string& agent);
  std::uint64_t root(std::uint64_t run) const;

  /// A model was sent a request. Returns its place in `models`.
  std::size_t on_model(std::uint64_t fence, const model_request& r, std::string hash);
  void check_talk(const model_request& r);
  void on_tool(const tool_invocation& x, const std::string& tool);
  bool works(const std::string& agent, std::uint64_t run) const; ///< a call of it is under way outside
  void on_effect(const std::string& arguments);

  /// Everything that must hold once the task has ended.
  void check_end();
};

} // namespace conclave::sim
