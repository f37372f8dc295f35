// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What a run wants done with its connection and its tools.

#include "actors/agent_state.hpp"
#include "actors/provider_gate.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/run_results.hpp"
#include "protocols/tool_waits.hpp"
#include "protocols/workspace_tools.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <utility>

namespace conclave {

namespace {

constexpr auto info_limit = std::chrono::seconds(10);
constexpr auto least_wait = std::chrono::milliseconds(1'000); ///< before a gate is asked again

/// Whether a call failed because of its source, which a person should know. A breaker that is open was preceded by what opened it.
bool is_lost(ec code) {
  return code == ec::unavailable || code == ec::bad_reply || code == ec::bad_config || code == ec::version_mismatch;
}

/// How a call ended, for the log.
std::string status_of(const tool_result& r) {
  if (!r.is_error)
    return "finished";
  auto code = workspace_tools::denial_in(r.text);
  return code.empty() ? "error" : "denied:" + code;
}

} // namespace

/// The connection that the run asks now.
const model_link& agent_state::model() const {
  return parts.models[run.none() ? 0 : std::min<std::size_t>(run->memory.backend, parts.models.size() - 1)];
}

void agent_state::carry_out(const run::prepare& a) {
  end = {};
  if (parts.watcher)
    parts.watcher->began(run->task);
  auto& to = model();
  if (!to.actor) // an input is not put in while the actions of another are carried out
    return self->send(self, agent_input{run::unprepared{a.run, to.code, to.error}});
  if (!parts.workspace)
    return ask_backend(a.run, {});
  prepare_workspace msg{
      {run->task.task, run->task.fence, a.run}, run->task.kind == run_kind::present, run->task.again, run->task.snapshot, {}};
  for (auto& x : run->task.answers)
    msg.shown.push_back({x.id, x.label, {}, x.snapshot});
  self->request(parts.workspace, tool_waits::workspace, std::move(msg))
      .then([this, run = a.run](workspace_ready& ready) { ask_backend(run, std::move(ready.place)); },
            [this, run = a.run](const caf::error& e) {
              input(run::unprepared{run, code_of(e), "its workspace: " + text_of(e)});
            });
}

void agent_state::ask_backend(std::uint64_t of, std::string place) {
  auto& to = model();
  self->request(to.actor, info_limit, describe_backend{backend_at(with.agent, run->memory.backend).model})
      .then(
          [this, run = of, place = std::move(place)](backend_info& info) {
            input(run::prepared{run, std::move(info), place});
          },
          [this, run = of](const caf::error& e) {
            input(run::unprepared{run, code_of(e), "the model connection is gone: " + text_of(e)});
          });
}

void agent_state::carry_out(run::send_model& a) {
  kept_back_for.clear();
  ask_model(std::move(a.request));
}

void agent_state::ask_model(model_request req) {
  kept_back = 0;
  auto& to = model();
  if (!to.actor)
    return self->send(self, agent_input{run::model_failed{req.call, to.code, to.error}});
  // The guard keeps the deadline of the call over all its waits and tries, after a model was loaded; this one only keeps the
  // promise finite.
  auto limit = std::chrono::milliseconds(3 * (req.total_timeout_ms + 60'000) + req.first_token_timeout_ms + 60'000);
  auto call = req.call;
  self->request(to.actor, limit, std::move(req), parts.chunks)
      .then(
          [this, call](completion& c) {
            input(run::model_done{call, std::move(c)});
          },
          [this, call](const caf::error& e) {
            if (!keep_back(call, e))
              input(run::model_failed{call, code_of(e), text_of(e), e.category() != error_category});
          });
}

/// A request that a rate limit kept back has not failed: who has no other backend waits until the gate may let it pass, whatever
/// its own `timeout` is, as long as its run may last. Returns whether the call waits.
bool agent_state::keep_back(std::uint64_t call, const caf::error& e) {
  auto again = again_after(e);
  auto elsewhere =
      run->pauses == 0
      && std::any_of(parts.models.begin() + std::min<std::ptrdiff_t>(run->memory.backend + 1, std::ssize(parts.models)),
                     parts.models.end(), [](auto& m) { return bool(m.actor); });
  // A presentation does not wait so long: the answer is there, and is delivered as it is stored.
  if (again < 0 || elsewhere || run->task.kind == run_kind::present || run->stage != run::stage::model || run->model_call != call
      || run->cancelled)
    return false;
  kept_back = call;
  auto why = text_of(e);
  if (std::exchange(kept_back_for, why) != why) {
    run::tell notice{"waiting: " + why};
    carry_out(notice);
  }
  self->delayed_send(self, std::max(std::chrono::milliseconds(again), least_wait), agent_asks_again{call});
  return true;
}

void agent_state::ask_again(std::uint64_t call) {
  if (kept_back == call && run->stage == run::stage::model && run->model_call == call)
    ask_model(run::request_again(with, *run));
}

void agent_state::carry_out(run::send_tool& a) {
  if (a.source == run::built_in) { // as a message: an input is not put in while the actions of another are carried out
    auto result = run::read_result(with, *run, a.what);
    auto status = status_of(result);
    self->send(self, agent_input{run::tool_done{a.call, std::move(result), status, {}}});
    return;
  }
  auto& from = parts.tools.at(a.source);
  tool_invocation msg{run->task.task, run->task.agent, a.run, std::move(a.what), with.agent.backend.tool_timeout_ms};
  if (from.call_limit.count() > 0)
    msg.timeout_ms = from.call_limit.count();
  auto limit = tool_waits::agent_call(from.start_limit, std::chrono::milliseconds(msg.timeout_ms));
  self->request(from.actor, limit, std::move(msg))
      .then(
          [this, call = a.call](tool_result& r) {
            auto status = status_of(r);
            input(run::tool_done{call, std::move(r), status, {}});
          },
          [this, call = a.call, source = from.name](const caf::error& e) {
            auto trouble = is_lost(code_of(e)) ? tool_trouble{source, text_of(e)} : tool_trouble{};
            input(run::tool_done{call, {"", "Error: " + text_of(e), true}, to_string(code_of(e)), std::move(trouble)});
          });
}

/// As a message: an input is not put in while the actions of another are carried out.
void agent_state::carry_out(run::refuse_tool& a) {
  self->send(self, agent_input{run::tool_done{a.call, std::move(a.result), std::move(a.status), {}}});
}

void agent_state::carry_out(const run::cancel_model& a) {
  if (kept_back == a.call && a.call != 0) { // nobody else knows of it
    kept_back = 0;
    return self->send(self, agent_input{run::model_failed{a.call, ec::cancelled, "cancelled"}});
  }
  auto& to = model();
  if (!to.actor) // its failure is on its way
    return;
  // The completion comes even if the cancel finds nothing.
  self->request(to.actor, info_limit, cancel_call{run->task.task, run->task.agent, a.run, a.call})
      .then([](const cancel_done&) {},
            [this, call = a.call](const caf::error&) {
              input(run::model_failed{call, ec::cancelled, "cancelled", true});
            });
}

void agent_state::carry_out(const run::cancel_all_tools& a) {
  for (auto& source : parts.tools)
    self->send(source.actor, cancel_tools{run->task.task, run->task.agent, a.run});
}

void agent_state::carry_out(run::tell& a) {
  self->send(parts.chunks, chunk_batch{run->task.task, run->task.run, run->task.agent, {{chunk_kind::status, std::move(a.text)}}});
}

void agent_state::carry_out(const run::over&) {
  if (parts.watcher)
    parts.watcher->ended(end);
  end = {};
}

/// The answer comes as a message, also at once: an input is not put in while the actions of another are carried out.
void agent_state::carry_out(const run::ask_policy& a) {
  policy_say say = [back = caf::actor_cast<caf::actor_addr>(self), run = a.run, call = a.call](bool go, std::string text) {
    if (auto strong = caf::actor_cast<caf::strong_actor_ptr>(back))
      caf::anon_send(caf::actor_cast<agent_impl>(strong), agent_input{run::policy_said{run, call, go, std::move(text)}});
  };
  if (!parts.ask)
    return say(false, "the policy '" + a.policy + "' waits for a decision, and nobody here can take it");
  try {
    parts.ask(a, say);
  } catch (const std::exception& e) {
    say(false, "who decides for the policy '" + a.policy + "' failed: " + e.what());
  }
}

void agent_state::carry_out(const run::take_snapshot& a) {
  if (!parts.workspace) // the run is of before a crash, in another process
    return self->send(self, agent_input{run::snapshot_taken{a.run, "", "this process keeps no workspaces"}});
  self->request(parts.workspace, tool_waits::workspace, keep_workspace{{run->task.task, run->task.fence, a.run}, a.final})
      .then(
          [this, run = a.run](kept_files& f) {
            input(run::snapshot_taken{run, std::move(f.snapshot), std::move(f.why), f.files, f.bytes, std::move(f.changes), f.mend,
                                      std::move(f.left)});
          },
          [this, run = a.run](const caf::error& e) {
            input(run::snapshot_taken{run, "", text_of(e)});
          });
}

void agent_state::carry_out(run::remember& a) {
  if (auto& to = model(); to.actor)
    self->send(to.actor, std::move(a.note));
}

} // namespace conclave
