// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/attachments.hpp"
#include "app/commands.hpp"
#include "app/config_view.hpp"
#include "app/environment.hpp"
#include "app/host_io.hpp"
#include "app/load_config.hpp"
#include "app/local_servers.hpp"
#include "app/plain_text.hpp"
#include "app/user_folders.hpp"
#include "protocols/config_expand.hpp"
#include "protocols/config_validate.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"
#include "transports/outside.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace conclave {

namespace {

const char* name_of(severity s) {
  return s == severity::error ? "error" : s == severity::warning ? "warning" : "unavailable";
}

/// A problem as one line, and below it the place in the file where its text has one.
std::string problem_lines(const problem& p, const std::string& mark) {
  auto text = to_string(p);
  auto end = std::min(text.find('\n'), text.size());
  return one_line(text.substr(0, end)) + mark + for_terminal(text.substr(end)) + "\n";
}

const char* mark_of(severity s) {
  return s == severity::error ? "" : s == severity::warning ? " [warning]" : " [unavailable]";
}

problem said_to_stop(problem p) {
  p.text = "will not run here: " + p.text;
  return p;
}

} // namespace

void complain(const std::string& text) {
  write_all(2, "conclave: " + for_terminal(text) + "\n");
}

int print(const std::string& text, int code) {
  auto problem = write_all(1, is_terminal(1) ? for_terminal(text) : text);
  if (problem == 0 || problem == EPIPE)
    return code;
  complain(std::string("cannot write to standard output: ") + std::strerror(problem));
  return static_cast<int>(exit_code::failed);
}

std::string problem_text(const problem& p) {
  return problem_lines(p, mark_of(p.severity));
}

std::string validation_text(const std::string& file, const std::vector<problem>& problems, bool json) {
  std::string out;
  std::size_t errors = 0, warnings = 0, unavailable = 0;
  for (const auto& p : problems) {
    auto kind = std::string(name_of(p.severity));
    auto stops = p.stops_here || p.severity == severity::unavailable;
    if (json)
      out += (out.empty() ? "[\n  " : ",\n  ") + std::string("{\"severity\":") + wire::quote(kind) + ",\"file\":"
             + wire::quote(p.file) + ",\"line\":" + std::to_string(p.line) + ",\"column\":" + std::to_string(p.column)
             + ",\"path\":" + wire::quote(p.path) + ",\"text\":" + wire::quote(p.text) + (stops ? ",\"runs_here\":false}" : "}");
    else
      out += problem_lines(stops ? said_to_stop(p) : p, mark_of(p.severity));
    ++(p.severity == severity::error ? errors : p.severity == severity::warning ? warnings : unavailable);
  }
  if (json)
    return out.empty() ? "[]\n" : out + "\n]\n";
  out += one_line(file) + ": ";
  if (errors + warnings + unavailable == 0)
    return out + "no problems\n";
  out += count_of(errors, "error") + ", " + count_of(warnings, "warning");
  if (unavailable > 0)
    out += ", " + count_of(unavailable, "key") + " not available yet";
  return out + "\n";
}

namespace {

/// What is found in one file.
struct judged_file {
  std::vector<problem> problems;
  std::string notices, explained;
  exit_code code = exit_code::answered;
};

judged_file judge_file(const std::string& file, const validate_options& o) {
  judged_file out;
  auto& problems = out.problems;
  std::vector<problem> of_environment;
  auto env = environment::load(of_environment);
  // The file is judged, not this machine: what is not set here may be set where it runs.
  auto loaded = load_config(file, {.env = env.lookup(), .unset = severity::warning, .sources = env.sources()});
  problems = loaded.problems;
  auto also = [&problems](std::vector<problem> more) { problems.insert(problems.end(), more.begin(), more.end()); };
  also(env.target_faults());
  if (loaded.ok()) {
    for (const auto& text : key_notes_of(loaded.config, env.lookup(), env.sources()).redirects)
      out.notices += "notice: " + one_line(text) + "\n";
    also(of_environment);
    loaded.config.models = load_models(own_models_file(), problems);
    auto now = outside::of_machine()->now_unix_ms();
    also(ending_models(loaded.config, now));
    also(small_budgets(loaded.config, now));
    also(environment_problems(loaded.config, env.lookup(), env.sources()));
    also(missing_servers(loaded.config, env.lookup(), env.sources(), *outside::of_machine()));
    also(unfit_files(loaded.config));
    also(unwritable_folders(loaded.config));
    if (o.explain) {
      auto known = env.known_secrets();
      out.explained = effective_text(loaded.config, &known);
    }
  }
  if (std::any_of(problems.begin(), problems.end(), [](const problem& p) { return p.severity == severity::error; }))
    for (auto& p : problems)
      p.stops_here = false; // a file with errors is not run at all
  bool errors = false, others = false, stops = false;
  for (const auto& p : problems) {
    (p.severity == severity::error ? errors : others) = true;
    stops = stops || p.stops_here || p.severity == severity::unavailable;
  }
  out.code = errors || (o.strict && others) || (o.here && stops) ? exit_code::usage : exit_code::answered;
  return out;
}

} // namespace

int command_validate(const validate_options& o) {
  std::string text;
  std::vector<problem> all;
  auto code = exit_code::answered;
  for (const auto& file : o.files) {
    auto one = judge_file(file, o);
    code = std::max(code, one.code);
    if (o.json) {
      for (auto& p : one.problems)
        if (p.file.empty() && o.files.size() > 1)
          p.file = file; // whose it is
      all.insert(all.end(), one.problems.begin(), one.problems.end());
    } else {
      text += one.notices + one.explained + validation_text(file, one.problems, false);
    }
  }
  return print(o.json ? validation_text("", all, true) : text, static_cast<int>(code));
}

} // namespace conclave
