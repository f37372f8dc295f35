// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// How an engine goes on with a task that was cut off.

#include "actors/resumer.hpp"
#include "app/attachments.hpp"
#include "app/carried_files.hpp"
#include "app/engine_core.hpp"
#include "app/start_folder.hpp"
#include "app/task_hold.hpp"
#include "protocols/replay.hpp"
#include "protocols/text.hpp"
#include "protocols/workspace_paths.hpp"
#include "transports/event_store.hpp"
#include "transports/event_store_names.hpp"
#include "transports/process_owner.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

namespace conclave {

namespace {

constexpr auto node_limit = std::chrono::seconds(20);
constexpr auto node_pause = std::chrono::seconds(1);

bool is_away(const ledger::state& s, const placed_agent& a) {
  auto* m = ledger::find(s, a.config.id);
  return !a.node && m != nullptr && m->live;
}

} // namespace

/// A node that is away while others are there may be on its way back, as after a power cut: without it its agents would be out for
/// good.
void engine_core::await_nodes(const ledger::state& s, arrival& a) {
  auto& agents = a.parts.agents;
  auto away = [&s](auto& x) { return is_away(s, x); };
  auto began = outside_->now_steady();
  auto first = std::find_if(agents.begin(), agents.end(), away);
  if (first != agents.end() && a.tell)
    a.tell("waiting " + std::to_string(node_limit.count()) + " s at most for node '" + shown_text(first->node_name) + "' of agent '"
           + shown_text(first->config.id) + "': " + first->reason);
  while (std::any_of(agents.begin(), agents.end(), away) && outside_->now_steady() - began < node_limit) {
    {
      std::unique_lock lock(register_->mutex);
      if (register_->idle.wait_for(lock, node_pause, [&] { return stopped_ || a.arriving->second; }))
        return;
    }
    auto missing = a.config;
    std::erase_if(missing.agents, [&](auto& x) {
      return std::none_of(agents.begin(), agents.end(), [&](auto& y) { return y.config.id == x.id && away(y); });
    });
    for (auto& found : place_agents(missing, node_, find_, *outside_))
      if (auto at = std::find_if(agents.begin(), agents.end(), [&](auto& x) { return x.config.id == found.config.id; });
          at != agents.end())
        *at = std::move(found);
  }
  for (auto& x : agents)
    if (away(x))
      x.reason += " (waited " + std::to_string(node_limit.count()) + " s for it)";
}

void engine_core::go_on(arrival& a, resumed_task& t) {
  auto& parts = a.parts;
  if (t.code != ec::none)
    return a.done(register_->refusal(a.arriving, t.code, std::move(t.error)));
  if (auto why = unreachable(t.from.log, parts.agents); !why.empty()) {
    store_->release(parts.task);
    return a.done(register_->refusal(a.arriving, ec::unavailable, std::move(why)));
  }
  if (auto why = damaged_files(home_, parts.task, answers_of(t.from.log), true); !why.empty()) {
    store_->release(parts.task);
    return a.done(register_->refusal(a.arriving, ec::bad_config, std::move(why)));
  }
  await_nodes(t.from.log, a);
  parts.fence = t.fence;
  question q{t.from.log.question, std::move(t.opening.history)};
  parts.attachments = std::move(t.opening.attachments);
  parts.revived = std::make_shared<revived_task>(std::move(t.from));
  auto task = parts.task;
  if (std::any_of(parts.agents.begin(), parts.agents.end(),
                  [](auto& x) { return workspace_paths::written_in_place(x.config.backend.workspace); }))
    a.done = telling_in_place(store_, std::move(a.done));
  if (auto to = open_lanes(task, q.text, std::move(a.listener), std::move(a.done), std::move(t.log)); to.host)
    begin(std::move(parts), q, std::move(to));
  else
    store_->release(task);
}

std::string engine_core::resume(resume_request request, const opening& o, listener l, std::function<void(outcome)> done) {
  if (on_.turns) {
    done(refused(ec::bad_request, "an engine that records begins a task of its own; one that goes on cannot be recorded"));
    return {};
  }
  if (!enter(done))
    return {};
  run_config config;
  config.agents = agents_at_start(o);
  config.rules = o.rules;
  config.cluster = o.cluster;
  config.source = o.config_path;
  config.on_unknown = request.on_unknown.empty() ? o.on_unknown : request.on_unknown;
  auto ended = ended_task(*store_, request.task, request.log);
  if (ended) {
    struct mark {
      engine_core& of;
      ~mark() { of.leave(); }
    } until_started{*this};
    if (ended->error.empty() && ended->state.outcome != outcome_kind::answered) {
      struct held { // until the new task has ended: each other one would begin one of its own, and pay for it
        std::shared_ptr<event_store> store;
        std::unique_ptr<task_hold> hold;
      };
      auto from = std::make_shared<held>(held{store_, nullptr});
      std::string in_use;
      from->hold = task_hold::of_ended(*store_, request.task, in_use, false); // who has it may be doing the same
      if (!in_use.empty()) {
        done(refused(ec::denied, std::move(in_use)));
        return request.task;
      }
      done = [from, done = std::move(done)](outcome end) {
        from->hold.reset();
        done(std::move(end));
      };
      opening next;
      next.continues = request.task;
      next.answers = answers_of(ended->state);
      if (auto why = damaged_files(home_, request.task, next.answers, false); !why.empty()) {
        done(refused(ec::bad_config, std::move(why)));
        return request.task;
      }
      question again{ended->state.question, o.history, o.attachments};
      if (auto why = bring_files(*store_, request.task, again.attachments); !why.empty()) {
        done(refused(ec::bad_request, std::move(why)));
        return request.task;
      }
      if (auto why = settle(config); !why.empty()) {
        done(refused(ec::bad_config, std::move(why)));
        return request.task;
      }
      if (request.begins)
        request.begins();
      return launch(config, again, std::move(l), std::move(done), std::move(next), request.tell);
    }
    done(ended->error.empty() ? ledger::to_outcome(ended->state, request.task) : refused(ec::bad_request, ended->error));
    return request.task;
  }
  auto arriving = [&] {
    std::lock_guard guard(register_->mutex);
    return register_->arriving.emplace(request.task, std::nullopt);
  }();
  orchestrator_parts parts;
  parts.outside = outside_;
  parts.task = request.task;
  parts.rules = o.rules;
  if (request.team != nullptr)
    parts.price = prices_of(request.team->models);
  parts.on_unknown = config.on_unknown;
  parts.seed = o.seed;
  parts.owner = owner_text(this_process());
  find_sandbox(config.agents); // where there is none its commands say so
  done = warning_unconfined(config.agents, std::move(done));
  parts.agents = place_agents(config, node_, find_, *outside_); // before the claim: joining nodes takes its time
  resumer_parts r;
  r.task = request.task;
  r.store = store_;
  r.owner = this_process();
  r.log = std::move(request.log);
  r.bodies = std::move(request.bodies);
  r.opening = std::make_shared<opening>(o);
  // On a thread of its own: files are made, a node may be waited for, and the host is called back.
  auto work = std::make_shared<arrival>(
      arrival{std::move(config), std::move(parts), std::move(l), std::move(done), std::move(request.tell), arriving});
  r.done = [this, work](resumed_task t) {
    auto task = std::make_shared<resumed_task>(std::move(t));
    auto act = [this, work, task] {
      auto kept = register_; // once this has left nobody waits for it
      go_on(*work, *task);
      kept->arrived(work->arriving);
      leave();
    };
    if (!outside_->start_thread("resuming", act))
      act();
  };
  spawn_resumer(sys_, std::move(r));
  return request.task;
}

void engine_core::register_of_tasks::arrived(std::multimap<std::string, std::optional<std::string>>::iterator which) {
  std::lock_guard guard(mutex);
  auto [task, asked] = *which;
  arriving.erase(which);
  if (asked)
    cancel(task, *asked);
}

outcome engine_core::register_of_tasks::refusal(std::multimap<std::string, std::optional<std::string>>::iterator which, ec code,
                                                std::string why) {
  std::lock_guard guard(mutex);
  auto o = refused(code, std::move(why));
  if (which->second) { // it was to end anyway
    o.kind = outcome_kind::interrupted;
    o.code = ec::cancelled;
  }
  return o;
}

} // namespace conclave
