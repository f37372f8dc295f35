// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/replay_way.hpp"

#include "protocols/run_state.hpp"
#include "protocols/wire/sha256.hpp"

#include <algorithm>
#include <utility>
#include <variant>

namespace conclave::ledger {

namespace {

/// What the connection said it could, as the run's first state shows it.
backend_info info_of(const run::state& first) {
  backend_info out;
  out.step = prompts::to_string(first.step);
  out.saw_tools = first.memory.saw_tools;
  // The machine makes a budget of n * 3 / 2 of n tokens; this is the n that leads to it, or to the least budget above it.
  constexpr std::size_t most = std::size_t{1} << 30;
  out.context_tokens = static_cast<std::int32_t>((std::min(first.budget_bytes, most) * 2 + 2) / 3);
  return out;
}

} // namespace

void run_way::start(start_run task, const run::state& first) {
  state_.memory = first.memory;
  auto run = task.run;
  feed(run::started{std::move(task)});
  feed(run::prepared{run, info_of(first), first.workspace});
}

void run_way::keep_files(const kept_files& f) {
  if (state_.stage == run::stage::snapshot)
    feed(run::snapshot_taken{state_.task.run, f.snapshot, f.why, f.files, f.bytes, f.changes, f.mend, f.left});
}

void run_way::go_on(start_run task, run::state stored, std::vector<known_end> ends, bool refused, ruling refusal) {
  state_ = std::move(stored);
  feed(run::continued{std::move(task), std::move(ends), refused, std::move(refusal)});
}

void run_way::offer(const std::set<std::string>& unknown, const std::set<std::string>& gone) {
  with_ = all_;
  if (!all_ || (unknown.empty() && gone.empty()))
    return;
  auto changed = std::make_shared<run::setting>(*all_);
  for (const auto* names : {&unknown, &gone})
    for (const auto& name : *names)
      changed->tools.erase(name);
  changed->gone = gone;
  with_ = std::move(changed);
}

std::vector<std::string> run_way::tools() const {
  std::vector<std::string> out;
  if (all_)
    for (const auto& [name, tool] : all_->tools)
      out.push_back(name);
  return out;
}

void run_way::rule(ruling by) {
  if (!report_)
    return;
  auto number = std::exchange(report_, std::nullopt)->number;
  feed(run::ruled{number, std::move(by)});
}

void run_way::end_model(std::optional<completion> reply, ec without) {
  if (state_.stage != run::stage::model)
    return;
  if (reply)
    feed(run::model_done{state_.model_call, std::move(*reply)});
  else
    feed(run::model_failed{state_.model_call, without, to_string(without)});
}

bool run_way::begin_tool(std::uint64_t number, const std::string& name, const std::string& arguments) {
  for (const auto& p : state_.pending) {
    auto taken = std::any_of(begun_.begin(), begun_.end(), [&](const auto& b) { return b.second == p.at; });
    if (taken || p.stage == run::call_stage::done || p.call.name != name || p.call.arguments != arguments)
      continue;
    begun_[number] = p.at;
    return true;
  }
  return false;
}

void run_way::end_tool(std::uint64_t number, tool_result result) {
  auto i = begun_.find(number);
  if (i == begun_.end())
    return;
  auto place = i->second;
  results_[place] = std::move(result);
  bring(place);
}

/// The result of a call goes to the machine once that has sent it.
void run_way::bring(std::uint32_t place) {
  auto sent = sent_.find(place);
  auto result = results_.find(place);
  if (sent == sent_.end() || result == results_.end())
    return;
  run::tool_done done{sent->second, std::move(result->second), "", {}};
  sent_.erase(sent);
  results_.erase(result);
  feed(std::move(done));
}

void run_way::adopt(std::vector<message> talk, std::vector<std::string> names) {
  state_.talk = std::move(talk);
  state_.kept = std::min(state_.kept, state_.talk.size());
  names_ = std::move(names);
}

void run_way::adopt(const run::state& stored) {
  auto own = std::exchange(state_, stored);
  state_.task = std::move(own.task);
  state_.talk = std::move(own.talk);
  state_.kept = std::min(state_.kept, state_.talk.size());
  state_.touched = own.touched;
  state_.reply = std::move(own.reply);
  state_.held = own.held;
  state_.reports = own.reports;
  state_.awaited = own.awaited;
}

void run_way::end_late(std::uint64_t run, std::uint64_t number, std::uint32_t round, completion reply) {
  state_.late.push_back({number, run, round, "model", true});
  feed(run::model_done{number, std::move(reply)});
}

std::string run_way::unlike_calls(const run::state& stored, std::uint64_t number) const {
  auto call = "call " + std::to_string(number);
  auto begins = [&](const auto& p) { return p.number == number && p.stage == run::call_stage::announced; };
  auto p = std::find_if(stored.pending.begin(), stored.pending.end(), begins);
  if (stored.stage != run::stage::announced || p == stored.pending.end())
    return call + " does not begin in it";
  auto alike = [](const auto& a, const auto& b) { return a.at == b.at; };
  const auto& made = state_.pending;
  if (!std::equal(stored.pending.begin(), stored.pending.end(), made.begin(), made.end(), alike) || stored.calls < number)
    return "its calls are others than those of the reply";
  auto here = begun_.find(number);
  auto at = [&](std::uint32_t place) { return std::find_if(made.begin(), made.end(), [&](auto& c) { return c.at == place; }); };
  if (here == begun_.end() || at(here->second) == made.end() || at(here->second)->call.name != at(p->at)->call.name
      || at(here->second)->call.arguments != at(p->at)->call.arguments)
    return call + " is another in it";
  return {};
}

std::string run_way::doing() const {
  if (failed_)
    return "the run fails: " + failed_->reason;
  if (handed_in() != nullptr) {
    auto& v = *handed_in();
    return v.kind == verdict_kind::vote ? "the run votes for '" + v.target + "'"
                                        : "the run hands in \"" + v.text.substr(0, 200) + "\"";
  }
  if (announces_model())
    return "the run calls its model";
  for (const auto& p : state_.pending)
    if (p.stage != run::call_stage::done)
      return "the run calls the tool '" + p.call.name + "'";
  return state_.stage == run::stage::model ? "the run waits for its model" : "the run does nothing";
}

void run_way::feed(run::input in) {
  next_.push_back(std::move(in));
  if (next_.size() > 1)
    return; // within the loop below
  for (std::size_t i = 0; i < next_.size(); ++i) {
    auto actions = run::step(*with_, state_, std::move(next_[i]));
    for (auto& a : actions) {
      if (auto* r = std::get_if<run::report>(&a))
        take(*r);
      else if (auto* t = std::get_if<run::send_tool>(&a))
        take(*t);
      else if (auto* no = std::get_if<run::refuse_tool>(&a))
        take(*no);
    }
  }
  next_.clear();
}

void run_way::take(run::report& r) {
  if (!r.ask) {
    if (r.has_verdict && r.run == state_.task.run)
      failed_ = std::move(r.handed_in);
    return;
  }
  rename();
  if (r.has_verdict || (!r.begun.empty() && r.begun.front().target == "model")) {
    begun_.clear(); // the tools of its last reply are done with
    report_ = std::move(r);
    return;
  }
  next_.push_back(run::ruled{r.number, {ruling_kind::accepted, "", {}}});
}

void run_way::take(run::send_tool& t) {
  auto p = std::find_if(state_.pending.begin(), state_.pending.end(), [&](const auto& c) { return c.number == t.call; });
  if (p == state_.pending.end())
    return;
  auto place = p->at;
  sent_[place] = t.call;
  bring(place);
}

/// Its end is in the log as that of a call that was made, unless it is of a time when it was not.
void run_way::take(run::refuse_tool& t) {
  auto p = std::find_if(state_.pending.begin(), state_.pending.end(), [&](const auto& c) { return c.number == t.call; });
  if (p == state_.pending.end())
    return;
  if (not_made_.contains(p->call.name)) {
    next_.push_back(run::tool_done{t.call, std::move(t.result), std::move(t.status), {}});
    return;
  }
  auto place = p->at;
  sent_[place] = t.call;
  bring(place);
}

void run_way::rename() {
  run::keeper keep = [](std::string bytes) { return wire::sha256(bytes); };
  auto& talk = state_.talk;
  names_.resize(std::min({state_.kept, names_.size(), talk.size()}));
  for (auto i = names_.size(); i < talk.size(); ++i)
    names_.push_back(run::keep_message(talk[i], keep));
}

} // namespace conclave::ledger
