// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// The command that plays stored tasks again.

#include "app/commands.hpp"
#include "app/plain_text.hpp"
#include "app/run_output.hpp"
#include "app/stored_tasks.hpp"
#include "app/task_lookup.hpp"
#include "app/version.hpp"
#include "protocols/replay.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>

namespace conclave {

namespace {

constexpr int differs = static_cast<int>(exit_code::usage);

/// What was verified, over all tasks.
struct verified {
  std::size_t tasks = 0, events = 0, prompts = 0, states = 0;
  std::size_t other = 0; ///< prompts and states that differ, of tasks of other builds
};

/// Verifies one task. Returns the exit code; complains of what differs, and prints what differs because the build is another one.
int verify(const stored_tasks& s, const std::string& task, verified& sum) {
  std::vector<event> events;
  if (auto code = s.read(task, events))
    return code;
  std::map<std::string, std::string> bodies;
  if (auto code = s.read_bodies(task, bodies))
    return code;
  auto find = [&](const std::string& sha) -> const std::string* {
    auto i = bodies.find(sha);
    return i == bodies.end() ? nullptr : &i->second;
  };
  ledger::run_check runs;
  if (auto difference = ledger::verify(events, find, &runs); !difference.empty()) {
    for (const auto& earlier : {runs.prompts.first, runs.states.first})
      if (!earlier.empty()) // what it may come from
        complain("task " + task + ": " + earlier);
    complain("task " + task + ": " + difference);
    return differs;
  }
  ++sum.tasks;
  sum.events += events.size();
  sum.prompts += runs.prompts.compared;
  sum.states += runs.states.compared;
  auto by = ledger::restore(events).opening.build;
  auto code = 0;
  for (auto [made, noun] : {std::pair{&runs.prompts, "prompt"}, std::pair{&runs.states, "run state"}}) {
    if (made->differing == 0)
      continue;
    auto text = "task " + task + ": " + std::to_string(made->differing) + " of " + count_of(made->compared, noun)
                + (made->differing == 1 ? " is" : " are") + " not what this build makes; " + made->first;
    sum.other += made->differing;
    if (by == version)
      complain(text);
    else
      print(text + "; build " + one_line(by, 40) + " played it, this one is " + version + "\n");
    code = by == version ? differs : code;
  }
  return code;
}

/// The tasks that are meant, each once. Returns 0, or the exit code after a complaint. `left_out`: such as cannot be verified, of
/// all.
int tasks_of(const stored_tasks& s, const std::vector<std::string>& wanted, std::vector<std::string>& tasks,
             std::size_t& left_out) {
  for (const auto& name : wanted) {
    if (name == "all") {
      for (const auto& r : s.rows)
        if (r.log_version > 1)
          tasks.push_back(r.task);
        else
          ++left_out;
      continue;
    }
    std::string error;
    tasks.push_back(find_task(s.rows, name, error));
    if (tasks.back().empty()) {
      complain(error);
      return differs;
    }
  }
  std::vector<std::string> once;
  for (auto& t : tasks)
    if (std::find(once.begin(), once.end(), t) == once.end())
      once.push_back(t);
  tasks = std::move(once);
  return 0;
}

int verify(const replay_options& o) {
  stored_tasks s;
  if (auto code = s.open())
    return code;
  std::vector<std::string> tasks;
  std::size_t left_out = 0;
  if (auto code = tasks_of(s, o.tasks, tasks, left_out))
    return code;
  if (tasks.empty() && left_out == 0)
    return print("no tasks are stored yet\n");
  verified sum;
  int code = 0;
  for (const auto& task : tasks)
    code = std::max(code, verify(s, task, sum));
  auto text = (tasks.size() == 1 ? std::string{} : count_of(sum.tasks, "task") + " of " + std::to_string(tasks.size()) + ", ")
              + count_of(sum.events, "event") + ", every decision made again, " + count_of(sum.states, "run state") + " and "
              + count_of(sum.prompts, "prompt") + " compared";
  if (left_out > 0)
    text += "; left out: " + count_of(left_out, "task") + " of a version that stored no causes";
  if (code != 0)
    return code;
  return print("verified: " + text + (sum.other == 0 ? ", no difference\n" : ", the decisions do not differ\n"));
}

} // namespace

int command_replay(const replay_options& o) {
  for (const auto& argument : o.tasks)
    if (names_a_cassette(argument))
      return command_play(o);
  if (o.verify)
    return verify(o);
  if (!o.rules.empty())
    return command_what_if(o);
  stored_tasks s;
  task_row row;
  if (auto code = s.open(o.tasks.front(), row))
    return code;
  std::vector<event> events;
  if (auto code = s.read(row.task, events))
    return code;
  run_output out(run_options{}, true);
  auto before = events.empty() ? 0 : events.front().time_ms;
  for (const auto& e : events) {
    if (is_delivery(e.type)) // behind the end, maybe by days
      break;
    if (o.speed > 0 && e.time_ms > before) // signals end the process as they would any program that waits
      std::this_thread::sleep_for(
          std::chrono::milliseconds(static_cast<std::int64_t>(static_cast<double>(e.time_ms - before) / o.speed)));
    before = e.time_ms;
    out.on(e);
  }
  auto end = outcome_of(row.task, events);
  if (row.live && row.outcome.empty())
    end.error = "it is under way: " + owner_text(row.owner) + " works on it";
  else if (is_resumable(row))
    end.error = "it was cut off: conclave resume " + row.task + " goes on with it";
  auto code = out.finish(end);
  return end.kind == outcome_kind::answered ? code : 0; // it was shown, whatever became of it
}

} // namespace conclave
