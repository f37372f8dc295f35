// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// The commands that go on with stored tasks, end them, or play them again.

#include "app/commands.hpp"
#include "app/environment.hpp"
#include "app/host_io.hpp"
#include "app/load_config.hpp"
#include "app/plain_text.hpp"
#include "app/run_session.hpp"
#include "app/stored_tasks.hpp"
#include "app/task_lookup.hpp"
#include "protocols/config_expand.hpp"
#include "protocols/config_validate.hpp"
#include "protocols/replay.hpp"

#include <algorithm>
#include <chrono>
#include <iostream>
#include <map>
#include <optional>
#include <thread>

namespace conclave {

namespace {

constexpr int wrong_usage = static_cast<int>(exit_code::usage);
constexpr int failed = static_cast<int>(exit_code::failed);
constexpr auto cancel_limit = std::chrono::seconds(60);

/// How a stored task ended, as its host was told.
outcome outcome_of(const std::string& task, const std::vector<event>& events) {
  ledger::state s;
  for (const auto& e : events)
    ledger::fold(s, e);
  auto o = ledger::to_outcome(s, task);
  if (s.phase != ledger::phase::done)
    o.kind = outcome_kind::interrupted;
  return o;
}

/// The team read again, for keys that stand in its file literally. Returns false after a complaint.
bool read_team(const resume_options& o, const opening& stored, run_config& team) {
  auto trial = stored;
  std::string error;
  if (restore_secrets(trial, team, error))
    return true; // there are none
  auto file = o.output.config.empty() ? stored.config_path : o.output.config;
  if (file.empty()) {
    complain(error + "; name the team file with --config");
    return false;
  }
  std::vector<problem> problems;
  auto env = environment::load(problems);
  auto loaded = load_config(file, {.nodes = {}, .env = env.lookup(), .sources = env.sources()});
  team = std::move(loaded.config);
  trial = stored;
  if (restore_secrets(trial, team, error))
    return true;
  for (const auto& p : blocking(loaded.problems))
    complain(to_string(p));
  complain(error + " in " + file);
  return false;
}

/// Tool calls that were under way and may have had their effect.
std::vector<std::string> unknown_calls(const std::vector<event>& events) {
  std::vector<std::string> out;
  for (const auto& run : ledger::unfinished(events))
    for (const auto& c : run.calls)
      if (!c.ended && c.target != "model" && !c.repeatable)
        out.push_back(run.agent + ": " + c.target);
  return out;
}

/// Asks the person at the terminal. Without one, or without an answer, the model is told.
std::string ask_unknown(const std::vector<std::string>& calls) {
  if (!is_terminal(0) || !is_terminal(2)) {
    complain("nobody can be asked here what to do about tool calls that may have happened: the models are told so");
    return "tell";
  }
  std::string text = "These tool calls were under way and may have happened:\n";
  for (const auto& call : calls)
    text += "  " + one_line(call, 120) + "\n";
  write_all(2, text + "[t]ell the model, [r]epeat them, or [f]ail these runs? ");
  std::string line;
  std::getline(std::cin, line);
  return line.starts_with("r") ? "repeat" : line.starts_with("f") ? "fail" : "tell";
}

} // namespace

int command_resume(const resume_options& o) {
  block_signals();
  std::optional<signal_watch> early(std::in_place);
  stored_tasks s;
  task_row row;
  if (auto code = s.open(o.task, row))
    return code;
  if (row.live) {
    complain("task " + row.task + " is under way: " + owner_text(row.owner) + " works on it; end it with: conclave cancel "
             + row.task);
    return failed;
  }
  std::vector<event> events;
  if (auto code = s.read(row.task, events))
    return code;
  if (row.outcome == to_string(outcome_kind::answered)) {
    run_output out(o.output);
    for (const auto& e : events)
      out.known(e);
    return out.finish(outcome_of(row.task, events));
  }
  auto stored = ledger::restore(events);
  if (!stored.error.empty()) {
    complain("task " + row.task + " cannot be gone on with: " + stored.error + "; see it: conclave show " + row.task);
    return wrong_usage;
  }
  run_config team;
  if (!read_team(o, stored.opening, team))
    return wrong_usage;
  resume_request request{row.task, o.on_unknown.empty() ? stored.opening.on_unknown : o.on_unknown, &team};
  if (request.on_unknown == "ask") {
    auto calls = unknown_calls(events);
    request.on_unknown = calls.empty() ? "tell" : ask_unknown(calls);
  }
  s.store.reset();
  engine eng;
  if (!eng.error().empty()) {
    complain(eng.error());
    return failed;
  }
  run_output out(o.output);
  if (row.outcome.empty()) // else a new task begins where this one ended
    for (const auto& e : events)
      out.known(e);
  early.reset();
  return run_session(
      eng, out, [&](listener l, std::function<void(outcome)> done) { return eng.resume(request, std::move(l), std::move(done)); });
}

int command_cancel(const cancel_options& o) {
  stored_tasks s;
  task_row row;
  if (auto code = s.open(o.task, row))
    return code;
  if (!row.outcome.empty())
    return print("task " + row.task + " has ended already: " + row.outcome + "\n");
  std::string error;
  auto store = event_store::open(s.path(), error);
  if (!store || !store->request_cancel(row.task, "conclave cancel", error)) {
    complain(error);
    return failed;
  }
  auto until = std::chrono::steady_clock::now() + cancel_limit;
  while (std::chrono::steady_clock::now() < until) {
    auto rows = store->list(error);
    auto now = std::find_if(rows.begin(), rows.end(), [&](const task_row& r) { return r.task == row.task; });
    if (!error.empty() || now == rows.end())
      break;
    if (!now->live || !now->outcome.empty())
      return print("task " + row.task + " has ended: " + (now->outcome.empty() ? "its process is gone" : now->outcome) + "\n");
    std::this_thread::sleep_for(std::chrono::milliseconds(100)); // a person waits, nothing else on this thread
  }
  complain(error.empty() ? "task " + row.task + " has not ended within " + std::to_string(cancel_limit.count()) + " s; "
                               + owner_text(row.owner) + " works on it"
                         : error);
  return failed;
}

int command_replay(const replay_options& o) {
  stored_tasks s;
  task_row row;
  if (auto code = s.open(o.task, row))
    return code;
  std::vector<event> events;
  if (auto code = s.read(row.task, events))
    return code;
  if (o.verify) {
    std::string error;
    std::map<std::string, std::string> bodies;
    for (auto& b : s.store->bodies(row.task, {}, error))
      bodies.emplace(std::move(b.sha), std::move(b.bytes));
    if (!error.empty()) {
      complain(error);
      return failed;
    }
    auto difference = ledger::verify(events, [&](const std::string& sha) {
      auto i = bodies.find(sha);
      return i == bodies.end() ? nullptr : &i->second;
    });
    if (difference.empty())
      return print("verified: " + count_of(events.size(), "event") + ", every decision made again, no difference\n");
    complain("task " + row.task + ": " + difference);
    return wrong_usage;
  }
  run_output out(run_options{});
  auto before = events.empty() ? 0 : events.front().time_ms;
  for (const auto& e : events) {
    if (o.speed > 0 && e.time_ms > before) // signals end the process as they would any program that waits
      std::this_thread::sleep_for(
          std::chrono::milliseconds(static_cast<std::int64_t>(static_cast<double>(e.time_ms - before) / o.speed)));
    before = e.time_ms;
    out.on(e);
  }
  auto end = outcome_of(row.task, events);
  auto code = out.finish(end);
  return end.kind == outcome_kind::answered ? code : 0; // it was shown, whatever became of it
}

} // namespace conclave
