// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// Who hears of a task: its host and its log files.

#include "app/engine_core.hpp"
#include "app/task_files.hpp"
#include "transports/home.hpp"

#include <memory>
#include <utility>

namespace conclave {

engine_core::readers engine_core::open_lanes(const std::string& task, const std::string& question, listener l,
                                             std::function<void(outcome)> done, std::vector<event> before) {
  auto seq = before.empty() ? 0 : before.back().seq;
  hub_->begin(task, question, seq);
  readers out;
  auto tell = std::make_shared<std::function<void(outcome)>>(std::move(done));
  auto ask = out.consent = consent::of(l, store_, outside_);
  out.host = hub_->watch({task, seq}, {std::move(l), [reg = register_, task, tell, ask](outcome o) {
                                         // The host's callback first: once a task has left the register, an engine that is being
                                         // stopped waits for it no more.
                                         struct leaving {
                                           register_of_tasks& of;
                                           const std::string& task;
                                           ~leaving() { of.finished(task); }
                                         } guard{*reg, task};
                                         o.task = task;
                                         if (ask)
                                           ask->carry_out(o);
                                         (*tell)(std::move(o));
                                       }});
  if (!out.host) {
    hub_->end(task, {});
    (*tell)(
        refused(ec::unavailable, "no thread is to be had for the readers of a task: see the limits of this process (ulimit -u)"));
    return out;
  }
  out.end = [hub = hub_, task](const outcome& o) { hub->end(task, o); };
  if (options_.write_logs)
    open_log_lane(task, seq, std::move(before), out);
  return out;
}

/// The log files have a lane of their own: a host that is slow, or blocks, keeps them from nothing. It takes the outcome first, so
/// that what went wrong with them is in it. Its thread also tells the files what a task that goes on did `before`: nobody waits for
/// that.
void engine_core::open_log_lane(const std::string& task, std::uint64_t seq, std::vector<event> before, readers& out) {
  std::string ignored;
  auto dir = options_.log_root.empty() ? log_dir(task, ignored) : options_.log_root + "/" + task;
  auto files = std::make_shared<task_files>(dir, task, task_files::usual_pace, outside_);
  auto catch_up = [files, known = std::make_shared<std::vector<event>>(std::move(before))] {
    for (auto& e : std::exchange(*known, {}))
      files->on(e);
  };
  auto on_event = [files, catch_up](const event& e) {
    catch_up();
    files->on(e);
  };
  auto lane = std::make_shared<std::weak_ptr<event_lane>>();
  auto finish = [hub = hub_, task, files, catch_up, lane, next = out.end](outcome o) {
    catch_up();
    files->finish();
    if (auto problem = files->error(); !problem.empty())
      o.warnings.push_back("logs: " + problem);
    if (auto me = lane->lock())
      hub->end_watch(me, {});
    next(std::move(o));
  };
  if (auto opened = hub_->watch({task, seq}, {{on_event, nullptr}, finish})) {
    *lane = opened;
    out.end = [opened, task](outcome o) { opened->end(task, std::move(o)); };
  } else {
    out.end = [next = out.end](outcome o) {
      o.warnings.push_back("logs: no thread is to be had, they are not written");
      next(std::move(o));
    };
  }
}

} // namespace conclave
