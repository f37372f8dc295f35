// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/run_output.hpp"

#include "app/answer_file.hpp"
#include "app/commands.hpp"
#include "app/host_io.hpp"
#include "app/plain_text.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"
#include "transports/home.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>

namespace conclave {

std::string taken_by_another(const outcome& o) {
  if (o.kind != outcome_kind::failed || o.code != ec::denied || o.error.find(" is under way: ") == std::string::npos)
    return {};
  return o.error + "; it goes on there, and nothing was changed here";
}

exit_code code_of_outcome(const outcome& o, bool started) {
  switch (o.kind) {
  case outcome_kind::answered:
    return exit_code::answered;
  case outcome_kind::timed_out:
    return exit_code::timed_out;
  case outcome_kind::interrupted:
    return exit_code::interrupted;
  case outcome_kind::failed:
    break;
  }
  return (o.code == ec::bad_config || o.code == ec::version_mismatch) && !started ? exit_code::usage : exit_code::failed;
}

run_output::run_output(const run_options& o, bool of_the_past) : options_(o) {
  if (o.quiet || o.automation)
    return;
  display_options d;
  d.colour = wants_colour(2);
  const auto* term = std::getenv("TERM");
  d.progress = d.colour || (is_terminal(2) && term != nullptr && std::strcmp(term, "dumb") != 0);
  d.verbose = o.verbose;
  d.width = terminal_width(2, 0);
  if (is_terminal(2))
    d.width_now = [] { return terminal_width(2, 0); };
  d.answer_follows = !o.json && is_terminal(1) && is_terminal(2);
  if (!of_the_past)
    d.now_ms = [machine = outside::of_machine()] { return machine->now_unix_ms(); };
  display_ = std::make_unique<display>(d, [this](std::string_view text) {
    if (!muted_)
      stderr_.write(text);
  });
  // No thread to be had: lines come with the next event, and nobody says that one is waited for.
  clock_ = outside::of_machine()->start_thread("display clock", [this] { run_clock(); });
}

run_output::~run_output() {
  stop_clock();
}

/// The display's clock: something is to be seen also while no model says anything.
void run_output::run_clock() {
  constexpr auto every = std::chrono::milliseconds(500);
  std::unique_lock lock(mutex_);
  while (!clock_changed_.wait_for(lock, every, [this] { return clock_stops_; }))
    display_->tick();
}

void run_output::stop_clock() {
  {
    std::lock_guard lock(mutex_);
    clock_stops_ = true;
  }
  clock_changed_.notify_all();
  if (auto clock = std::exchange(clock_, {}))
    clock->join();
}

void run_output::begin(const std::string& task) {
  std::lock_guard lock(mutex_);
  if (finished_ || task.empty())
    return;
  if (options_.verbose && display_)
    display_->note("task " + task);
  std::string error;
  auto home = options_.automation ? home_dir(error) : std::string{};
  if (home.empty())
    return;
  say("TASK: " + task);
  say("LOG_DIR: " + home + "/logs/" + task);
  say("STATUS: " + home + "/logs/" + task + "/status.json");
}

void run_output::known(const event& e) {
  std::lock_guard lock(mutex_);
  muted_ = true;
  if (display_)
    display_->on(e);
  muted_ = false;
}

bool run_output::on(const event& e) {
  std::lock_guard lock(mutex_);
  if (events_++ == 0)
    first_ms_ = e.time_ms;
  last_ms_ = e.time_ms;
  if (display_)
    display_->on(e);
  if (!options_.json || stdout_error_ != 0)
    return true;
  auto line = wire::to_json(e);
  stdout_error_ = write_unless_leaving(1, (is_terminal(1) ? for_terminal(line) : line) + "\n", leaving_);
  return stdout_error_ == 0;
}

void run_output::on(const chunk_batch& b) {
  std::lock_guard lock(mutex_);
  if (display_)
    display_->on(b);
}

void run_output::note(const std::string& text) {
  std::lock_guard lock(mutex_);
  if (finished_)
    return;
  if (display_)
    display_->note(text);
  else
    complain(text);
}

/// One line of automation on standard error.
void run_output::say(const std::string& text) {
  stderr_.write(one_line(text) + "\n");
}

void run_output::complain(const std::string& text) {
  stderr_.write("conclave: " + for_terminal(text) + "\n");
}

void run_output::report_end(const outcome& o) {
  auto seen = o.task.empty() ? std::string{} : "; see it: conclave show " + o.task;
  if (stdout_error_ == EPIPE && !options_.verbose) // the reader has what it wanted: end without a word
    return;
  auto taken = events_ == 0 ? taken_by_another(o) : std::string{};
  if (!taken.empty() && display_)
    display_->note(taken);
  else if (!taken.empty())
    complain(taken);
  else if (display_)
    display_->finish(o);
  else if (o.kind == outcome_kind::interrupted)
    complain("interrupted" + seen);
  else if (o.kind != outcome_kind::answered)
    complain(why_no_answer(o, 0) + seen);
  if (!display_) // what is said even then: the reason of the exit code, that the answer was made without tools, what a recording
                 // lacks, what was written into the user's folders, that nothing confined commands although it was not asked for
    for (const auto& w : o.warnings)
      if ((w.starts_with("script: ") && o.kind == outcome_kind::answered) || w.starts_with("tools of ")
          || w.starts_with("recording: ") || w.starts_with("in place: ") || w.starts_with("sandbox: "))
        complain(one_line(w));
  if (!options_.automation)
    return;
  say("OUTCOME: " + to_string(o.kind));
  say("FINISH_REASON: " + o.finish_reason);
  if (!o.winner.empty())
    say("WINNER: " + o.winner);
  say("DURATION: " + seconds(last_ms_ - first_ms_));
  if (!options_.output_file.empty())
    say("OUTPUT_FILE: " + options_.output_file);
}

/// Writes the answer to the file and to standard output. Returns the exit code.
int run_output::deliver(const outcome& o) {
  auto text = o.answer + (o.answer.empty() || o.answer.back() != '\n' ? "\n" : "");
  int code = static_cast<int>(exit_code::answered);
  if (!options_.output_file.empty())
    if (auto problem = write_answer(options_.output_file, text); !problem.empty()) {
      complain(problem);
      code = static_cast<int>(exit_code::failed);
    }
  if (options_.json)
    return code;
  auto width = terminal_width(1, 0);
  auto shown = width == 0 ? text : wrapped_text(for_terminal(text), width - 1);
  if (same_reader(1, 2)) // sees the display first; another one may not keep the answer waiting
    stderr_.flush(true, leaving_);
  stdout_error_ = write_unless_leaving(1, shown, leaving_);
  return code;
}

int run_output::finish(const outcome& o) {
  stop_clock();
  std::lock_guard lock(mutex_);
  report_end(o);
  finished_ = true;
  auto code = static_cast<int>(code_of_outcome(o, events_ > 0));
  if (o.kind == outcome_kind::answered) {
    if (display_ && !options_.json && is_terminal(1) && is_terminal(2))
      stderr_.write("\n"); // on one screen the answer stands apart from the display
    code = deliver(o);
  }
  // A script that was not played to its end is a mistake in the script (or in what it tests): the answer stands, the run does not
  // pass.
  if (o.kind == outcome_kind::answered
      && std::any_of(o.warnings.begin(), o.warnings.end(), [](const std::string& w) { return w.rfind("script: ", 0) == 0; }))
    code = static_cast<int>(exit_code::failed);
  if (stdout_error_ == ECANCELED) {
    complain("ended by a signal while standard output was not read: the answer is in the store");
    code = static_cast<int>(exit_code::interrupted);
  } else if (stdout_error_ != 0 && stdout_error_ != EPIPE) {
    complain(std::string("cannot write to standard output: ") + std::strerror(stdout_error_));
    code = static_cast<int>(exit_code::failed);
  }
  stderr_.flush(same_reader(1, 2), leaving_);
  return code;
}

} // namespace conclave
