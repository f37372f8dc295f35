// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/agent_state.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/wire/json.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace conclave {

using prompts::ladder;

namespace {

constexpr auto boss_limit = std::chrono::seconds(60);
constexpr auto info_limit = std::chrono::seconds(10);

ladder from_name(const std::string& x) {
  return x == "schema" ? ladder::schema : x == "text" ? ladder::text : ladder::tools;
}

/// Names the request in the log; what is hashed is what the model is told.
std::string hash_of(const model_request& r) {
  std::string all = r.model + '\n' + r.params + '\n' + r.schema;
  for (auto& t : r.tools)
    all += t.name + t.parameters;
  all = wire::hash(all);
  for (auto& m : r.messages) { // one after the other: a second copy of a long conversation is not needed
    all += '\n' + std::to_string(static_cast<int>(m.from)) + m.text + m.tool_call_id;
    for (auto& c : m.calls)
      all += c.id + c.name + c.arguments;
    all = wire::hash(all);
  }
  return all;
}

} // namespace

std::string too_long(std::size_t bytes, std::int64_t most) {
  return "the conversation of this run takes " + std::to_string(bytes) + " bytes with its tool results shortened, the limit is "
         + std::to_string(most) + ": raise `max_run_bytes`, or let the tools return less";
}

std::string trim(const std::string& x) {
  auto a = x.find_first_not_of(" \t\r\n");
  return a == std::string::npos ? std::string{} : x.substr(a, x.find_last_not_of(" \t\r\n") - a + 1);
}

void agent_state::start(run_task t) {
  if (active)
    cancel(cancel_run{task.task, task.agent, task.run, "a newer run"});
  if (active && parts.watcher) // its call is still being cancelled, nobody waits for that
    parts.watcher->ended({"failed", ec::cancelled, "a newer run"});
  ++turn;
  active = true;
  cancelled = false;
  attempt = 1;
  bare_replies = iterations = overflows = repeats = 0;
  last_asked.clear();
  model_call = pauses = 0;
  said.clear();
  partial.clear();
  cancel_reason.clear();
  end = {};
  round = {};
  talk.clear();
  calls = std::max(calls, t.first_call > 0 ? t.first_call - 1 : 0);
  if (t.round != task.round || t.kind != task.kind) {
    vain = 0;
    vain_code = ec::none;
    vain_error.clear();
  }
  task = std::move(t);
  if (parts.watcher)
    parts.watcher->began(task);
  wait = waiting::backend_info;
  self->request(parts.backend, info_limit, describe_backend{parts.order.agent.backend.model})
      .then(
          [this, now = turn](const backend_info& info) {
            if (now == turn)
              begin(info);
          },
          [this, now = turn](const caf::error& e) {
            if (now == turn)
              fail(code_of(e), "the model connection is gone: " + text_of(e));
          });
}

void agent_state::begin(const backend_info& info) {
  auto& config = parts.order.agent.backend;
  ladder_fixed = config.decision != "auto" && !config.decision.empty();
  step = from_name(ladder_fixed ? config.decision : info.step);
  saw_tools = info.saw_tools;
  // Three bytes a token is a careful mean over languages; half of the window stays for the conversation's growth and the reply.
  budget_bytes = info.context_tokens > 0 ? static_cast<std::size_t>(info.context_tokens) * 3 / 2 : 0;
  if (learned_budget > 0 && (budget_bytes == 0 || learned_budget < budget_bytes))
    budget_bytes = learned_budget;
  open_talk();
  call_model();
}

/// The first messages of the run for the ladder's step.
void agent_state::open_talk() {
  auto& system = parts.order.agent.system_message;
  if (task.kind == run_kind::present) {
    want = asked_for::presentation;
    talk = prompts::presentation(task, system, budget_bytes);
  } else if (step == ladder::tools) {
    want = asked_for::verdict;
    talk = prompts::coordination(task, system, step, budget_bytes);
  } else if (step == ladder::schema && task.may_vote) {
    want = asked_for::decision;
    talk = prompts::decision(task, system, budget_bytes);
  } else {
    // Where only an answer is possible no decision is asked for: one text request.
    want = step == ladder::schema ? asked_for::text_answer : asked_for::text_verdict;
    talk = prompts::coordination(task, system, step, budget_bytes);
  }
}

std::vector<std::string> agent_state::shown_ids() const {
  std::vector<std::string> out;
  for (auto& a : task.answers)
    out.push_back(a.id);
  return out;
}

wire::choice agent_state::choice() const {
  return {task.may_answer, task.may_vote ? shown_ids() : std::vector<std::string>{}};
}

call_notice agent_state::notice(std::uint64_t call, std::string target) const {
  call_notice n;
  n.task = task.task;
  n.fence = task.fence;
  n.agent = task.agent;
  n.run = task.run;
  n.call = call;
  n.target = std::move(target);
  return n;
}

void agent_state::call_model() {
  auto& config = parts.order.agent.backend;
  if (vain >= max_vain_requests)
    return fail(vain_code, "no usable reply to " + std::to_string(vain) + " requests in this round, so that no more are sent in it"
                               + (vain_error.empty() ? "" : "; the last: " + vain_error));
  if (!make_room())
    return fail(ec::context_overflow, too_long(held_bytes(), config.max_run_bytes));
  model_request req;
  req.task = task.task;
  req.run = task.run;
  req.epoch = task.epoch;
  req.call = ++calls;
  req.agent = task.agent;
  req.model = config.model;
  req.params = config.params;
  req.max_output_tokens = config.max_tokens;
  req.first_token_timeout_ms = config.first_token_timeout_ms;
  req.idle_timeout_ms = config.idle_timeout_ms;
  req.total_timeout_ms = config.timeout_ms;
  req.max_requests = max_vain_requests - vain;
  req.messages = talk;
  if (want == asked_for::decision) {
    req.schema = wire::decision_schema(choice());
    // The user's bound stays one, down to what the JSON alone takes.
    if (req.max_output_tokens <= 0 || req.max_output_tokens > decision_room)
      req.max_output_tokens = decision_room;
    req.max_output_tokens = std::max(req.max_output_tokens, least_decision_tokens);
  }
  if (step == ladder::tools && (want == asked_for::verdict || want == asked_for::presentation)) {
    if (iterations < static_cast<std::uint32_t>(config.max_tool_iterations))
      for (auto& [tool, known] : tools)
        req.tools.push_back(known.spec);
    if (want == asked_for::verdict)
      for (auto& spec : wire::workflow_tools(choice()))
        req.tools.push_back(spec);
  }
  auto n = notice(req.call, "model");
  n.hash = hash_of(req);
  wait = waiting::note;
  self->request(parts.boss, boss_limit, std::move(n))
      .then(
          [this, now = turn, req = std::move(req)](const noted& r) mutable {
            if (now != turn)
              return;
            if (r.go)
              send_model(std::move(req));
            else
              over(); // superseded: somebody decided that while we asked
          },
          [this, now = turn](const caf::error&) {
            if (now == turn)
              over(); // no orchestrator, no run
          });
}

void agent_state::send_model(model_request req) {
  wait = waiting::model;
  model_call = req.call;
  auto n = notice(req.call, "model");
  n.ended = true;
  // The breaker may try three times, after a model was loaded; its own limits end each try, this one only keeps the promise finite.
  auto limit = std::chrono::milliseconds(3 * (req.total_timeout_ms + 60'000) + req.first_token_timeout_ms + 60'000);
  auto ended = [this, n](std::string status, const usage& use) mutable {
    n.status = std::move(status);
    n.use = use;
    if (parts.watcher)
      parts.watcher->call_ended(n);
    self->request(parts.boss, boss_limit, n).then([](const noted&) {}, [](const caf::error&) {});
  };
  self->request(parts.backend, limit, std::move(req), parts.chunks)
      .then(
          [this, now = turn, ended, n, in_round = task.round](completion& c) mutable {
            ended(to_string(c.status), c.usage);
            charge(in_round, c);
            if (now == turn)
              on_completion(std::move(c));
            else
              report_late(n, std::move(c));
          },
          [this, now = turn, ended](const caf::error& e) mutable {
            ended(to_string(code_of(e)), {});
            if (now == turn)
              fail(code_of(e), text_of(e));
          });
}

/// A newer run took the place of this one while its call was being cancelled: the partial text still counts.
void agent_state::report_late(const call_notice& n, completion c) {
  if (trim(c.text).empty())
    return;
  verdict v;
  v.task = n.task;
  v.fence = n.fence;
  v.agent = n.agent;
  v.run = n.run;
  v.kind = verdict_kind::failed;
  v.code = ec::cancelled;
  v.reason = "cancelled";
  v.text = std::move(c.text);
  self->request(parts.boss, boss_limit, std::move(v)).then([](const ruling&) {}, [](const caf::error&) {});
}

void agent_state::add_reply(const completion& c) {
  message m;
  m.from = role::assistant;
  m.text = c.text;
  m.reasoning = c.reasoning;
  m.calls = c.calls;
  m.opaque = c.opaque;
  m.opaque_dialect = c.opaque_dialect;
  talk.push_back(std::move(m));
}

void agent_state::add_result(tool_result r) {
  message m;
  m.from = role::tool;
  m.tool_call_id = std::move(r.id);
  m.text = std::move(r.text);
  m.is_error = r.is_error;
  talk.push_back(std::move(m));
}

void agent_state::hand_in(verdict v, std::string answers_call) {
  v.task = task.task;
  v.fence = task.fence;
  v.agent = task.agent;
  v.run = task.run;
  v.attempt = attempt;
  wait = waiting::ruling;
  end.how = v.kind == verdict_kind::answer ? "answered" : v.kind == verdict_kind::vote ? "voted" : "presented";
  auto attempts_left = std::make_shared<int>(3);
  // The verdict is kept until there is a ruling; a second one of the same run does no harm, so a lost reply is asked for again.
  auto ask = std::make_shared<std::function<void()>>();
  *ask = [this, v = std::move(v), call = std::move(answers_call), now = turn, attempts_left, ask_again = std::weak_ptr(ask)] {
    self->request(parts.boss, boss_limit, v)
        .then(
            [this, now, call, keep = ask_again.lock()](const ruling& r) {
              if (now == turn)
                on_ruling(r, call);
            },
            [this, now, attempts_left, keep = ask_again.lock()](const caf::error& e) {
              if (now != turn)
                return;
              if (code_of(e) == ec::timeout && --*attempts_left > 0 && keep)
                (*keep)();
              else {
                end = {"failed", code_of(e), "no ruling: " + text_of(e)};
                over();
              }
            });
  };
  (*ask)();
}

void agent_state::on_ruling(const ruling& r, const std::string& answers_call) {
  wait = waiting::nothing;
  if (r.kind == ruling_kind::accepted)
    vain = 0;
  else
    end.how = run_end{}.how;
  if (cancelled || r.kind != ruling_kind::refused)
    return over();
  if (++attempt > max_attempts)
    return fail(ec::bad_reply,
                "no acceptable verdict in " + std::to_string(max_attempts) + " attempts; the last was refused: " + r.reason);
  auto text = prompts::refusal(r);
  if (!answers_call.empty())
    add_result({answers_call, text, true});
  else
    talk.push_back({role::user, std::move(text), "", {}, "", false, "", ""});
  if (want == asked_for::text_answer && task.may_vote && step == ladder::schema) {
    want = asked_for::decision; // an answer was refused: ask again what it wants
    talk = prompts::decision(task, parts.order.agent.system_message, budget_bytes);
    talk.back().text += "\n" + prompts::refusal(r);
  }
  call_model();
}

void agent_state::fail(ec code, std::string reason) {
  verdict v;
  v.task = task.task;
  v.fence = task.fence;
  v.agent = task.agent;
  v.run = task.run;
  v.attempt = attempt;
  v.kind = verdict_kind::failed;
  v.code = code;
  v.reason = std::move(reason);
  v.text = partial.empty() ? said : partial;
  v.step = prompts::to_string(step);
  end = {"failed", code, code == ec::cancelled && !cancel_reason.empty() ? cancel_reason : v.reason};
  over();
  self->request(parts.boss, boss_limit, std::move(v)).then([](const ruling&) {}, [](const caf::error&) {});
}

void agent_state::over() {
  if (wait == waiting::tools) // whatever ends the run: nobody waits for its tools any more
    for (auto& source : parts.tools)
      self->send(source.actor, cancel_tools{task.task, task.agent, task.run});
  if (active && parts.watcher)
    parts.watcher->ended(end);
  ++turn;
  active = false;
  wait = waiting::nothing;
  talk = {}; // with its memory
  round = {};
  last_asked.clear();
}

void agent_state::cancel(const cancel_run& c) {
  if (!active || cancelled || c.task != task.task || c.run != task.run)
    return;
  cancelled = true;
  cancel_reason = c.reason;
  if (wait == waiting::model) {
    // The completion brings the partial text; it comes even if the cancel finds nothing.
    self->request(parts.backend, info_limit, cancel_call{task.task, task.agent, task.run, model_call})
        .then([](const cancel_done&) {},
              [this, now = turn](const caf::error&) {
                if (now == turn)
                  fail(ec::cancelled, "cancelled");
              });
    return;
  }
  if (wait != waiting::ruling) // a verdict under way counts, in arrival order
    fail(ec::cancelled, "cancelled");
}

void agent_state::shut_down() {
  if (!active)
    return;
  if (wait == waiting::model || wait == waiting::note)
    caf::anon_send(parts.backend, cancel_call{task.task, task.agent, task.run, 0});
  end = {"failed", ec::cancelled, "its task is over"};
  over();
}

} // namespace conclave
