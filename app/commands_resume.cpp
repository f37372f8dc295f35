// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// The commands that go on with stored tasks, or end them.

#include "app/answer_file.hpp"
#include "app/carried_files.hpp"
#include "app/commands.hpp"
#include "app/environment.hpp"
#include "app/host_io.hpp"
#include "app/left_logs.hpp"
#include "app/left_workspaces.hpp"
#include "app/load_config.hpp"
#include "app/plain_text.hpp"
#include "app/run_session.hpp"
#include "app/start_folder.hpp"
#include "app/stored_tasks.hpp"
#include "app/task_changes.hpp"
#include "app/task_lookup.hpp"
#include "app/task_opening.hpp"
#include "protocols/catalogue.hpp"
#include "protocols/config.hpp"
#include "protocols/config_expand.hpp"
#include "protocols/config_validate.hpp"
#include "protocols/events.hpp"
#include "protocols/key_route.hpp"
#include "protocols/replay.hpp"
#include "protocols/text.hpp"
#include "transports/event_store_names.hpp"
#include "transports/outside.hpp"
#include "transports/process_owner.hpp"

#include <chrono>
#include <iostream>
#include <optional>
#include <string_view>
#include <thread>
#include <unordered_map>

namespace conclave {

namespace {

constexpr int wrong_usage = static_cast<int>(exit_code::usage);
constexpr int failed = static_cast<int>(exit_code::failed);
constexpr auto cancel_limit = std::chrono::seconds(60);

/// The team read again, for keys that stand in its file literally. Returns false after a complaint.
bool read_team(const resume_options& o, const opening& stored, run_config& team) {
  auto trial = stored;
  std::string error;
  if (restore_secrets(trial, team, error))
    return true;              // there are none
  const auto lacking = error; // of a team that nobody has read yet: all of them
  auto file = o.output.config.empty() ? stored.config_path : o.output.config;
  if (file.empty() || (o.output.config.empty() && is_standard_input(file))) {
    complain(lacking
             + (file.empty() ? "; name the file that holds it with --config FILE"
                             : "; the team came from standard input: give it again, with --config FILE, or --config - for standard "
                               "input"));
    return false;
  }
  std::vector<problem> problems;
  auto env = environment::load(problems);
  auto loaded = load_config(file, {.nodes = {}, .env = env.lookup(), .sources = env.sources()});
  team = std::move(loaded.config);
  trial = stored;
  auto known = env.known_secrets();
  if (restore_secrets(trial, team, error, &known))
    return true;
  auto unread = blocking(loaded.problems);
  for (const auto& p : unread)
    complain(to_string(p));
  auto shown = is_standard_input(file) ? std::string{"the team on standard input"} : shown_text(file, 200);
  complain(unread.empty() ? error + "; " + shown
                                + " does not hold it: write it there again, or as ${NAME}, or name another file with --config FILE"
                          : lacking + "; mend " + shown + ", or say where it is now with --config FILE");
  return false;
}

/// Whether this machine has the keys, variables, authorities and folders of the agents that are to go on here. Without one its
/// agent would be out for the task, for good, or go on without its tools: that is said before anything changes.
bool has_keys(const opening& o, const ledger::state& s, bool ended) {
  std::vector<problem> ignored; // the engine tells what is wrong with .env files
  auto env = environment::load(ignored);
  auto all = true;
  for (const auto& p : env.target_faults()) {
    complain(to_string(p));
    all = false;
  }
  auto agents = agents_at_start(o);
  for (std::size_t i = 0; i < agents.size(); ++i) {
    const auto& a = agents[i];
    auto here = i >= o.nodes.size() || o.nodes[i] == "local";
    const auto* m = ledger::find(s, a.id);
    if (!here || (!ended && m != nullptr && !m->live))
      continue;
    std::string fault; // of the first; where another backend has its key, the agent goes on with that
    auto usable = false;
    each_backend(a, [&](const backend_config& b, const std::string&) {
      const auto* kind = find_backend_kind(b.type);
      auto keyless = kind == nullptr || !is_available(*kind) || b.type == "local" || b.type == "scripted";
      auto route = keyless ? key_route{} : route_key(b, env.lookup(), env.sources());
      auto why = route.error;
      if (route.code == ec::none)
        outside::of_machine()->load_trust(route.ca, why);
      usable = usable || why.empty();
      if (fault.empty())
        fault = why;
    });
    if (usable)
      fault = lack_of_tools(o, i, env.lookup());
    if (!fault.empty()) {
      complain("agent '" + shown_text(a.id) + "' cannot go on: " + fault);
      all = false;
    }
  }
  return all;
}

/// Tool calls that were under way and may have had their effect, with their arguments as far as a line takes them.
std::vector<std::string> unknown_calls(const stored_tasks& s, const std::string& task, const std::vector<event>& events) {
  std::vector<std::string> out;
  for (const auto& run : ledger::unfinished(events))
    for (const auto& c : run.calls) {
      if (!c.unsettled || c.target == events::model_target || c.effect != call_effect::once)
        continue;
      std::string ignored;
      auto sent = c.sent.empty() ? std::vector<stored_body>{} : s.store->bodies(task, c.sent, ignored);
      out.push_back(run.agent + ": " + c.target + (sent.empty() ? "" : " " + sent.front().bytes));
    }
  return out;
}

/// Asks the person at the terminal until the answer can be read. Without one, or at the end of the input, the model is told.
std::string ask_unknown(const std::vector<std::string>& calls) {
  if (!is_terminal(0) || !is_terminal(2)) {
    complain("nobody can be asked here what to do about tool calls that may have happened: the models are told so");
    return "tell";
  }
  std::string text = "These tool calls were under way and may have happened:\n";
  for (const auto& call : calls)
    text += "  " + one_line(call, 160) + "\n";
  write_all(2, text);
  for (std::string line;;) {
    write_all(2, "[t]ell the model (the default), [r]epeat them, or [f]ail these runs? ");
    if (!std::getline(std::cin, line)) {
      write_all(2, "\nno answer: the models are told\n");
      return "tell";
    }
    for (const char* choice : {"tell", "repeat", "fail"})
      if (std::string_view{choice}.starts_with(line))
        return choice;
  }
}

/// What becomes of a task whose cancel was asked for: its row, once it has ended or nobody works on it any more. Nothing if neither
/// came within the limit, with `error` if the store cannot tell.
std::optional<task_row> await_end(event_store& store, const std::string& task, std::string& error) {
  auto machine = outside::of_machine();
  auto until = machine->now_steady() + cancel_limit;
  for (auto gone = false; machine->now_steady() < until;) {
    auto now = store.find(task, error);
    if (!error.empty())
      return {};
    if (!now) {
      error = "task " + task + " is not in the store any more: somebody deleted it";
      return {};
    }
    // One that ends writes so and goes then: whoever saw it gone looks once more for what it wrote.
    if (!now->outcome.empty() || (!now->live && gone))
      return now;
    gone = !now->live;
    if (!gone)
      std::this_thread::sleep_for(std::chrono::milliseconds(100)); // a person waits, nothing else on this thread
  }
  return {};
}

/// Whether a later task began from the answers of one that ended. Both have the same question.
bool is_continued(const stored_tasks& s, const task_row& ended) {
  for (auto& r : s.rows) {
    if (r.task == ended.task)
      break; // those after it are older
    std::vector<event> log;
    if (r.question == ended.question && !r.played && s.read(r.task, log) == 0
        && ledger::restore(log).opening.continues == ended.task)
      return true;
  }
  return false;
}

} // namespace

int command_resume(const resume_options& o) {
  block_signals();
  std::optional<signal_watch> early(std::in_place);
  stored_tasks s;
  if (auto code = s.open())
    return code;
  auto unnamed = o.task == "last" && !s.rows.empty();
  std::string error;
  auto wanted =
      unnamed ? task_to_go_on_with(s.rows, [&](auto& r) { return is_continued(s, r); }) : find_task(s.rows, o.task, error);
  if (wanted.empty()) {
    complain(error);
    return wrong_usage;
  }
  auto row = s.row(wanted);
  if (auto which = unnamed ? which_task(s.rows, wanted) : std::string{}; !which.empty() && !o.output.quiet && !o.output.automation)
    complain("notice: " + which);
  if (row.outcome.empty() && row.live && !is_gone(row.owner)) { // else somebody is just taking it over: the claim names them
    complain(in_use_text(row.task, row.owner, false) + "; end it with: conclave cancel " + row.task);
    return failed;
  }
  std::vector<event> events;
  std::unordered_map<std::string, std::string> bodies;
  if (auto code = s.read(row.task, events, row.outcome.empty() ? &bodies : nullptr))
    return code;
  if (row.outcome == to_string(outcome_kind::answered)) {
    remove_left_workspaces(s.home, [&s] { return s.rows; });
    if (auto fault = mend_left_logs(s.home, row, *s.store); !fault.empty())
      complain("notice: " + fault);
    run_output out(o.output);
    out.begin(row.task);
    for (const auto& e : events)
      if (is_delivery(e.type))
        continue; // no part of what was asked
      else if (o.output.json && (e.type == event_type::final_answer || e.type == event_type::task_ended))
        out.on(e); // with --json the answer is printed as its event
      else
        out.known(e);
    auto end = outcome_of(row.task, events);
    auto code = out.finish(end);
    // What was written already is not asked about, nor said not to be.
    auto past = delivery::history(journal_of(s.home, row.task));
    if (row.played || (o.output.apply == "ask" && std::any_of(past.begin(), past.end(), [](auto& p) { return !p.undone(); })))
      end.changes.clear();
    return deliver_files(o.output, end, code);
  }
  if (row.played) {
    complain(why_not_for_real(row.task));
    return wrong_usage;
  }
  if (!row.outcome.empty() && row.live) {
    complain(in_use_text(row.task, row.owner, true) + in_use_advice);
    return failed;
  }
  auto stored = ledger::restore(events);
  if (!stored.error.empty()) {
    complain("task " + row.task + " cannot be gone on with: " + stored.error + "; see it: conclave show " + row.task);
    return wrong_usage;
  }
  run_config stored_team;
  stored_team.agents = stored.opening.agents;
  if (auto why = output_folder_problem(o.output.output_dir, stored_team); !why.empty()) {
    complain("--output-dir " + shown_text(o.output.output_dir, 4'096) + ": " + why);
    return wrong_usage;
  }
  run_config team;
  if (!read_team(o, stored.opening, team) || !has_keys(stored.opening, stored.state, !row.outcome.empty()))
    return wrong_usage;
  // The engine looks, too: here nothing was said yet of what is about to begin.
  if (auto why = damaged_files(s.home, row.task, answers_of(stored.state), row.outcome.empty()); !why.empty()) {
    complain(why);
    return wrong_usage;
  }
  std::vector<problem> problems;
  team.models = load_models(own_models_file(), problems);
  if (auto unread = blocking(problems); !unread.empty()) {
    for (const auto& p : unread)
      complain(to_string(p));
    return wrong_usage;
  }
  resume_request request{row.task, o.on_unknown.empty() ? stored.opening.on_unknown : o.on_unknown, &team, {}, {}};
  if (request.on_unknown == "ask") {
    auto calls = unknown_calls(s, row.task, events);
    request.on_unknown = calls.empty() ? "tell" : ask_unknown(calls);
  }
  s.store.reset();
  engine eng;
  if (!eng.error().empty()) {
    complain(eng.error());
    return failed;
  }
  run_output out(o.output);
  if (row.outcome.empty())
    for (const auto& e : events)
      out.known(e);
  else if (!o.output.quiet && !o.output.automation)
    request.begins = [&out, text = "task " + row.task + " has ended (" + row.outcome + "): a new task begins with "
                                   + count_of(stored.state.epoch, "answer") + " of it"] { out.note(text); };
  request.log = std::move(events);
  request.bodies = std::move(bodies);
  request.opening = std::make_shared<opening>(std::move(stored.opening));
  request.tell = [&out](const std::string& text) { out.note(text); };
  eng.store().keep_ended(may_deliver(o.output));
  early.reset();
  outcome ended;
  auto code = run_session(eng, out, [&](listener l, std::function<void(outcome)> done) {
    return eng.resume(std::move(request), std::move(l), [&ended, done = std::move(done)](outcome end) {
      ended = end;
      done(std::move(end));
    });
  });
  return deliver_files(o.output, ended, code, &eng.store());
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
  auto end = await_end(*store, row.task, error);
  if (end && !end->outcome.empty())
    return print("task " + row.task + " has ended: " + end->outcome + "\n");
  if (end)
    complain("task " + row.task + " was cut off: its process is gone, and the task has not ended; "
             + (is_resumable(*end) ? "go on with it: conclave resume " + row.task + ", or " : "") + "delete it: conclave rm "
             + row.task);
  else
    complain(error.empty() ? "task " + row.task + " has not ended within " + std::to_string(cancel_limit.count()) + " s; "
                                 + owner_text(row.owner) + " works on it"
                           : error);
  return failed;
}

} // namespace conclave
