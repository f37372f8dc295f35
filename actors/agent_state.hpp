// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// One agent's data and named steps. A run is a chain of requests; `turn` counts everything that makes an older reply stale, so
/// each continuation first checks that it is still wanted.
///
///   run_task -> describe backend -> prompts -> model call -> tools -> model call ... -> verdict -> ruling
///
/// A model or tool call is announced to the orchestrator first and sent only once that is durable.

#include "actors/agent.hpp"
#include "protocols/prompts.hpp"
#include "protocols/type_ids.hpp"
#include "protocols/wire/verdict.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace conclave {

struct agent_state;
using agent_ptr = agent_actor::stateful_pointer<agent_state>;

/// What the agent waits for.
enum class waiting : std::uint8_t { nothing, backend_info, note, model, tools, ruling };

/// Which reply of the decision ladder a model call is to bring.
enum class asked_for : std::uint8_t { verdict, decision, text_answer, text_verdict, presentation };

/// Replies without a usable verdict before the run fails.
constexpr std::uint32_t max_attempts = 3;

/// What the JSON of a decision takes.
constexpr std::int64_t least_decision_tokens = 64;

/// Returns `x` without white space at its ends.
std::string trim(const std::string& x);

/// Why a run ends that holds more than `max_run_bytes`.
std::string too_long(std::size_t bytes, std::int64_t most);

struct agent_state {
  static inline const char* name = "agent";

  struct known_tool {
    tool_spec spec;
    std::size_t source = 0;
    bool read_only = false;
  };

  /// Calls of one model reply under way.
  struct tool_round {
    std::vector<tool_call> calls;
    std::vector<tool_result> results; ///< same order as calls
    std::vector<std::uint8_t> stage;  ///< 0 waiting, 1 running, 2 done
    completion reply;                 ///< the completion they belong to
    std::size_t held = 0;             ///< bytes of the run with the results so far
  };

  agent_ptr self = nullptr;
  agent_parts parts;
  std::map<std::string, known_tool> tools;
  std::uint64_t turn = 0;
  std::uint64_t calls = 0; ///< model and tool calls so far; the next one is calls + 1

  // The run.
  bool active = false;
  bool cancelled = false;
  run_task task;
  std::vector<message> talk;
  prompts::ladder step = prompts::ladder::tools;
  bool ladder_fixed = false;
  bool saw_tools = false;
  std::size_t budget_bytes = 0;
  std::size_t learned_budget = 0; ///< from a provider that found a conversation too long; 0 = none did
  std::uint32_t overflows = 0;
  std::int64_t decision_room = 4096; ///< tokens of a decision: a few of JSON, the rest for a model that thinks first
  asked_for want = asked_for::verdict;
  waiting wait = waiting::nothing;
  std::uint32_t attempt = 1;
  std::uint32_t bare_replies = 0; ///< finished replies without any call, before the first step down
  std::uint32_t iterations = 0;
  std::string last_asked;       ///< hash of the tool calls of the last round
  std::uint32_t repeats = 0;    ///< how often in a row
  std::uint64_t model_call = 0; ///< number of the model call under way
  std::uint32_t pauses = 0;     ///< of the model's turn
  std::string said;             ///< text of the model's turn before its last pause
  std::string partial;          ///< text of the last broken or cancelled call
  std::string cancel_reason;    ///< why the run is cancelled, for the log
  run_end end;                  ///< what is said of it once it is over
  tool_round round;

  // The round of the task.
  std::int64_t vain = 0; ///< requests since the last reply that brought a run on
  ec vain_code = ec::none;
  std::string vain_error; ///< what came back last

  void start(run_task t);
  void cancel(const cancel_run& c);
  void shut_down();

  void begin(const backend_info& info);
  void open_talk();
  void call_model();
  void send_model(model_request req);
  void on_completion(completion c);
  void go_on(completion c);
  void on_broken(const completion& c);
  void ask_again(const completion& c);
  void report_late(const call_notice& n, completion c);
  void on_verdict_reply(completion c);
  void on_decision(const completion& c);
  void on_text(const completion& c);
  void on_presentation(completion c);
  void correct(std::vector<tool_result> results, std::string text);
  bool step_down(prompts::ladder to, const std::string& why);
  bool shorten();
  void hand_in(verdict v, std::string answers_call);
  void on_ruling(const ruling& r, const std::string& answers_call);
  void fail(ec code, std::string reason);
  void over();

  bool run_tools(const completion& c); ///< false if the reply calls none of ours
  void next_tools();
  void refuse_tools(const std::string& why);
  void send_tool(std::size_t i);
  void tool_ended(call_notice n, std::string status);
  void tool_done(std::size_t i, tool_result r);
  void tools_done();

  void add_reply(const completion& c);
  void add_result(tool_result r);
  void charge(std::uint32_t in_round, const completion& c);
  std::size_t held_bytes() const;
  bool make_room();
  wire::choice choice() const;
  std::vector<std::string> shown_ids() const;
  call_notice notice(std::uint64_t call, std::string target) const;
  bool calls_known_tool(const completion& c) const;
  std::vector<std::string> known_tools() const;    ///< of tool sources
  std::vector<std::string> callable_names() const; ///< those and the verdicts
};

} // namespace conclave
