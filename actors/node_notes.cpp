// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/node_notes.hpp"

#include "protocols/key_route.hpp"
#include "protocols/run_machine.hpp"

#include <chrono>
#include <utility>

namespace conclave {

namespace {

/// Many a reason begins with the source's name.
std::string trouble_text(const tool_trouble& t) {
  return t.why.rfind(t.source, 0) == 0 ? t.why : t.source + ": " + t.why;
}

} // namespace

node_note ready_note(const spawn_agent& order, const connection_parts& c) {
  auto& b = order.agent.backend;
  return {note_weight::info,
          "agent_ready",
          {{"task", order.task},
           {"agent", order.agent.id},
           {"backend", b.type},
           {"model", b.model},
           {"at", url_place(c.parts.endpoint.base_url)}}};
}

void note_ready(const note_taker& keep, node_note ready, const agent_ready& r) {
  auto about = [&](note_weight weight, const char* type, std::string why) {
    keep({weight, type, {ready.fields[0], ready.fields[1], {"why", std::move(why)}}});
  };
  for (auto& m : r.missing)
    about(note_weight::trouble, "tools_missing", trouble_text(m));
  for (auto& n : r.notes)
    about(note_weight::info, "agent_notice", n);
  ready.fields.emplace_back("tools", r.tools.size());
  keep(std::move(ready));
}

namespace {

class watcher final : public run_watcher {
public:
  watcher(note_taker keep, std::shared_ptr<task_cost> cost, const caf::actor_clock& clock)
      : keep_(std::move(keep)), cost_(std::move(cost)), clock_(clock) {}

  void began(const start_run& t) override {
    about_ = {{"task", t.task}, {"agent", t.agent}, {"run", t.run}};
    run_ = t.run;
    since_ = clock_.now();
    use_ = {};
    calls_ = tool_calls_ = 0;
    auto fields = about_;
    fields.emplace_back("round", t.round);
    keep_({note_weight::detail, "run_started", std::move(fields)});
  }

  void call_ended(std::uint64_t run, const run::ended_call& n) override {
    auto model = n.target == "model";
    if (run == run_) {
      add(use_, n.use);
      ++(model ? calls_ : tool_calls_);
    }
    {
      std::lock_guard lock{cost_->mutex};
      add(cost_->use, n.use);
      ++(model ? cost_->calls : cost_->tool_calls);
    }
    if (!n.trouble.source.empty())
      note_lost(keep_, *cost_, about_[0].second.text, about_[1].second.text, trouble_text(n.trouble));
  }

  void ended(const run_end& e) override {
    auto cancelled = e.code == ec::cancelled;
    auto failed = e.code != ec::none && !cancelled;
    auto fields = about_;
    if (failed) {
      std::lock_guard lock{cost_->mutex};
      ++cost_->failed;
      fields.emplace_back("code", to_string(e.code));
    }
    fields.emplace_back(e.code == ec::none ? "how" : "why", e.code == ec::none ? e.how : e.why);
    auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(clock_.now() - since_).count();
    fields.emplace_back("seconds", note_value::seconds(ms));
    add_cost(fields, use_, calls_, tool_calls_);
    keep_({failed ? note_weight::trouble : note_weight::detail,
           failed      ? "run_failed"
           : cancelled ? "run_cancelled"
                       : "run_ended",
           std::move(fields)});
  }

private:
  note_taker keep_;
  std::shared_ptr<task_cost> cost_;
  const caf::actor_clock& clock_;
  note_fields about_;
  std::uint64_t run_ = 0;
  caf::actor_clock::time_point since_;
  usage use_;
  std::uint64_t calls_ = 0, tool_calls_ = 0;
};

} // namespace

void note_lost(const note_taker& keep, task_cost& cost, const std::string& task, const std::string& agent, const std::string& why) {
  {
    std::lock_guard lock{cost.mutex};
    if (std::exchange(cost.lost[agent], why) == why)
      return;
  }
  keep({note_weight::trouble, "tools_lost", {{"task", task}, {"agent", agent}, {"why", why}}});
}

void add_cost(note_fields& to, const usage& use, std::uint64_t calls, std::uint64_t tool_calls) {
  to.emplace_back("calls", calls);
  if (tool_calls > 0)
    to.emplace_back("tool_calls", tool_calls);
  auto known = use.unreported == 0 && (use.input_tokens > 0 || use.output_tokens > 0);
  for (auto [key, count] : {std::pair{"input_tokens", use.input_tokens}, {"output_tokens", use.output_tokens}})
    if (known || count > 0) // else it is unknown
      to.emplace_back(key, count);
  if (use.unreported > 0)
    to.emplace_back("calls_without_count", use.unreported);
}

std::shared_ptr<run_watcher> watch_runs(note_taker keep, std::shared_ptr<task_cost> cost, const caf::actor_clock& clock) {
  return std::make_shared<watcher>(std::move(keep), std::move(cost), clock);
}

} // namespace conclave
