// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/answer_file.hpp"
#include "app/attachments.hpp"
#include "app/commands.hpp"
#include "app/delivery_log.hpp"
#include "app/display.hpp"
#include "app/engine.hpp"
#include "app/environment.hpp"
#include "app/host_io.hpp"
#include "app/left_logs.hpp"
#include "app/load_config.hpp"
#include "app/local_servers.hpp"
#include "app/question.hpp"
#include "app/question_paths.hpp"
#include "app/run_session.hpp"
#include "app/task_changes.hpp"
#include "app/task_lookup.hpp"
#include "app/user_folders.hpp"
#include "protocols/config_expand.hpp"
#include "protocols/config_validate.hpp"
#include "protocols/text.hpp"
#include "transports/cassette_recorder.hpp"
#include "transports/event_store.hpp"
#include "transports/home.hpp"
#include "transports/outside.hpp"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>

namespace conclave {

namespace {

constexpr int usage_code = static_cast<int>(exit_code::usage);
constexpr std::size_t most_agents_named = 5; ///< in one line

/// Prints what is wrong with a configuration. Returns whether it can run.
bool judge(const std::vector<problem>& problems, bool quiet) {
  auto stops = blocking(problems);
  for (const auto& p : stops)
    complain(to_string(p));
  if (!stops.empty())
    return false;
  for (const auto& p : problems)
    if (p.severity == severity::warning && !quiet)
      complain("warning: " + to_string(p));
  return true;
}

/// Says what must be known before the first call: what redirects calls and keys, also when quiet (the display shows it as notices
/// of the agents), and which host gets no key: without it the refusal of that host would look like a wrong key.
void note_keys(const run_options& o, const run_config& config, const environment& env) {
  auto quiet = o.quiet || o.automation;
  auto notes = key_notes_of(config, env.lookup(), env.sources());
  if (quiet)
    for (const auto& text : notes.redirects)
      complain("notice: " + text);
  for (auto& p : notes.withheld) {
    if (config.source.empty())
      p.text.replace(p.text.rfind("; name"), std::string::npos, "; name one by --api-key-env");
    complain("warning: " + to_string(p));
  }
}

/// Sends the calls of types elsewhere (--base-url TYPE=URL).
void redirect_types(const run_options& o, run_config& config) {
  for (auto& a : config.agents)
    each_backend(a, [&](backend_config& b, const std::string&) { b.key_goes_along = o.send_keys; });
  for (const auto& [type, url] : o.base_urls) {
    bool used = false;
    for (auto& a : config.agents)
      each_backend(a, [&, &type = type, &url = url](backend_config& b, const std::string&) {
        if (b.type == type) {
          b.sent_to = url;
          used = true;
        }
      });
    if (!used && !o.quiet && !o.automation)
      complain("warning: --base-url " + type + "=...: no agent has this backend type");
  }
}

/// The agents of the team file that have this path with the other permission, named; `all` says whether that is everyone with a
/// workspace.
std::string otherwise_given(const run_config& config, const context_path& x, bool& all) {
  std::string out;
  std::size_t named = 0, more = 0;
  all = true;
  for (auto& a : config.agents) {
    auto& w = a.backend.workspace;
    auto differs = std::any_of(w.context.begin(), w.context.end(), [&](auto& y) { return y.path == x.path && y.write != x.write; });
    all = all && (differs || w.cwd.empty());
    if (differs && named++ < most_agents_named)
      out += (out.empty() ? "'" : ", '") + shown_text(a.id, 64) + "'";
    else if (differs)
      ++more;
  }
  all = all && named > 0;
  return out + (more > 0 ? " and " + std::to_string(more) + " more" : "");
}

/// Adds the paths of the command line, and those that its question names, for every agent with a workspace; an agent of the quick
/// mode gets one with them.
bool add_paths(run_options& o, run_config& config) {
  auto quick = !o.model.empty() || !o.backend.empty();
  auto usable =
      quick || std::any_of(config.agents.begin(), config.agents.end(), [](auto& a) { return !a.backend.workspace.cwd.empty(); });
  auto in_place =
      std::any_of(config.agents.begin(), config.agents.end(), [](auto& a) { return a.backend.workspace.write_mode == "legacy"; });
  std::vector<context_path> all;
  for (const auto& given : o.paths) {
    std::string error;
    auto x = read_path(given, error);
    if (error.empty() && !usable)
      error = "no agent has a workspace; give one `cwd` in the team file";
    if (!error.empty()) {
      complain("--path " + shown_text(given, 300) + ": " + error);
      return false;
    }
    auto same = std::find_if(all.begin(), all.end(), [&](auto& y) { return y.path == x.path; });
    if (same == all.end())
      all.push_back(std::move(x));
    else
      same->write = same->write || x.write; // as in a question
  }
  auto typed = o.has_question && o.question != "-";
  if (typed && !usable && !o.quiet && !o.automation) {
    auto named = paths_in(o.question);
    for (auto& x : named.paths)
      complain("the question names " + shown_text(x.path, 4'096)
               + ", but no agent has a workspace: it stays text, and nobody can read it; give agents `cwd` in the team file");
    for (auto& word : named.missing)
      if (word.find_first_not_of("@.") != std::string::npos) // a mere end of a sentence
        complain(shown_text(word, 300)
                 + " in the question names no file or folder here, and no agent has a workspace: it stays text");
  }
  if (typed && usable) {
    auto named = paths_in(o.question);
    if (!named.error.empty()) {
      complain(named.error);
      return false;
    }
    o.question = std::move(named.text);
    for (auto& word : named.missing)
      if (!o.quiet && !o.automation)
        complain(
            shown_text(word, 300) + " in the question "
            + (word.starts_with("@./") || word.starts_with("@../") || !word.starts_with("@.")
                   ? "names no file or folder here: agents are given no path for it"
                   : "stays text, as at the end of a sentence: write @./ for the folder you are in, @../ for the one around it"));
    for (auto& x : named.paths) {
      auto same = std::find_if(all.begin(), all.end(), [&](auto& y) { return y.path == x.path; });
      x.write = x.write || (same != all.end() && same->write);
      auto read_by_all = false;
      otherwise_given(config, x, read_by_all);
      auto writes = x.write && !read_by_all;
      if (!o.quiet && !o.automation)
        complain(
            (writes && in_place ? "who presents may change " : "agents may " + std::string{writes ? "change a copy of " : "read "})
            + shown_text(x.path, 4'096) + ", which the question names");
      if (same == all.end())
        all.push_back(std::move(x));
      else
        same->write = same->write || x.write;
    }
  }
  for (auto& x : all)
    if (auto everyone = false; !o.quiet && !o.automation)
      if (auto agents = otherwise_given(config, x, everyone); !agents.empty())
        complain(shown_text(x.path, 4'096) + ": "
                 + (x.write ? "`:w` here, but the team file gives it to be read alone"
                            : "given here to be read alone, but by the team file with `permission: write`")
                 + (everyone ? "" : ", to " + agents) + ": it is read alone; for the other, say the same in both");
  for (std::size_t i = 0; i < config.agents.size() && !all.empty(); ++i)
    config.places.emplace("agents[" + std::to_string(i) + "].backend.context_paths",
                          place{"", o.paths.empty() ? "@ in the question" : "--path"});
  for (std::size_t i = 0; i < config.agents.size(); ++i) {
    auto& w = config.agents[i].backend.workspace;
    if (w.cwd.empty() && quick && !all.empty())
      w.cwd = "workspace";
    auto given = w.context.size();
    for (const auto& x : all)
      if (!w.cwd.empty())
        add_context(w.context, x);
    for (; given < w.context.size(); ++given) // what is wrong with them is told by how they were given
      config.places["agents[" + std::to_string(i) + "].backend.context_paths[" + std::to_string(given) + "]"] =
          place{"", o.paths.empty() ? "@ in the question" : "--path"};
  }
  return true;
}

bool configure(run_options& o, run_config& config) {
  std::vector<problem> problems;
  auto env = environment::load(problems);
  auto astray = env.target_faults();
  problems.insert(problems.end(), astray.begin(), astray.end());
  if (!o.model.empty() || !o.backend.empty()) {
    config = quick_config(o.model, o.backend, o.base_url, o.system_message, problems, o.api_key_env);
    add_nodes(config, o.nodes);
  } else {
    auto file = o.config.empty() ? default_config() : o.config;
    if (file.empty()) {
      complain("no configuration: name one with --config FILE, ask one model with --model NAME, or make ./conclave.yaml\n"
               "A first team in one step: scripts/quickstart");
      return false;
    }
    auto loaded = load_config(file, {.nodes = o.nodes, .env = env.lookup(), .sources = env.sources()});
    config = std::move(loaded.config);
    problems.insert(problems.end(), loaded.problems.begin(), loaded.problems.end());
  }
  config.models = load_models(own_models_file(), problems);
  auto ending = ending_models(config, outside::of_machine()->now_unix_ms());
  problems.insert(problems.end(), ending.begin(), ending.end());
  auto small = small_budgets(config, outside::of_machine()->now_unix_ms());
  problems.insert(problems.end(), small.begin(), small.end());
  if (!judge(problems, o.quiet || o.automation))
    return false;
  if (o.timeout_ms > 0) {
    config.rules.coordination_ms = o.timeout_ms;
    config.places["timeout_settings.orchestrator_timeout_seconds"] = {"", "--timeout"};
  }
  if (o.insecure_loopback) {
    config.cluster.tls.insecure_loopback = true;
    config.places["cluster.tls.insecure_loopback"] = {"", "--insecure-loopback"};
  }
  if (!add_paths(o, config))
    return false;
  redirect_types(o, config);
  // Agents without a node of their own go round the nodes of the command line (docs/cluster.md).
  std::size_t next = 0;
  for (auto& a : config.agents)
    if (a.node.empty() && !o.nodes.empty())
      a.node = o.nodes[next++ % o.nodes.size()].first;
  note_keys(o, config, env);
  if (!judge(validate(config), true))
    return false;
  if (!o.quiet && !o.automation) {
    auto found = missing_servers(config, env.lookup(), env.sources(), *outside::of_machine());
    auto closed = unwritable_folders(config);
    found.insert(found.end(), closed.begin(), closed.end());
    for (const auto& p : found)
      complain("warning: " + to_string(p));
  }
  return true;
}

} // namespace

std::string default_config() {
  std::error_code ignored;
  std::vector<std::string> places{"conclave.yaml"};
  for (const auto& folder : config_dirs())
    places.push_back(folder + "/config.yaml");
  for (const auto& p : places)
    if (std::filesystem::is_regular_file(p, ignored))
      return p;
  return {};
}

int command_run(const run_options& given) {
  auto o = given;
  block_signals(); // before threads start: they inherit it
  // Reading a question or opening the store may take its time; nothing is kept of a run that has not begun.
  std::optional<signal_watch> early(std::in_place);
  if (!o.has_question && is_terminal(0)) {
    complain("no question. Try: conclave \"What is the capital of France?\"\nSee: conclave --help");
    return usage_code;
  }
  run_config config;
  if (std::string ignored, home = home_path(ignored); !home.empty())
    finish_broken_deliveries(home, [&o](const std::string& text) {
      if (!o.quiet && !o.automation)
        complain("notice: " + text);
    });
  if (!configure(o, config))
    return usage_code;
  if (auto error = output_problem(o.output_file); !error.empty()) {
    complain(error);
    return usage_code;
  }
  if (auto error = output_folder_problem(o.output_dir, config); !error.empty()) {
    complain("--output-dir " + shown_text(o.output_dir, 4'096) + ": " + error);
    return usage_code;
  }
  question asked;
  if (auto code = read_question(o, asked))
    return code;
  file_access by{[] { return outside::of_machine()->open_http({}); },
                 o.loopback_files ? reachable::public_and_self : reachable::public_only};
  if (auto why = read_attachments(config, asked, by); !why.empty()) {
    complain(why);
    return usage_code;
  }
  if (!o.record.empty() && std::any_of(config.agents.begin(), config.agents.end(), [](auto& a) { return !a.node.empty(); })) {
    complain("a run with agents on nodes cannot be recorded: what happens on another machine is not seen here");
    return usage_code;
  }
  if (!o.record.empty()
      && std::any_of(config.agents.begin(), config.agents.end(), [](auto& a) { return !a.backend.workspace.cwd.empty(); })) {
    complain(no_tape_of_workspaces);
    return usage_code;
  }
  engine_options options;
  options.record_path = o.record;
  engine eng(std::move(options));
  if (!eng.error().empty()) {
    complain(eng.error());
    return eng.error().starts_with(cannot_record) ? usage_code : static_cast<int>(exit_code::failed);
  }
  auto shown = o;
  shown.quiet = o.quiet || (config.ui.display_type == "silent" && !o.verbose);
  run_output out(shown);
  std::string ignored;
  auto rows = eng.store().list(ignored);
  if (auto home = home_dir(ignored); !home.empty()) {
    mend_left_logs(home, rows, eng.store());
    if (auto fault = log_left_deliveries(eng.store(), home); !fault.empty() && !shown.quiet && !o.automation)
      out.note(fault);
  }
  if (auto hint = cut_off_notice(rows); !hint.empty() && !shown.quiet && !o.automation)
    out.note(hint);
  eng.store().keep_ended(may_deliver(o));
  early.reset(); // a signal from here on waits for the next line
  auto recorded = o.record.empty(), told = false, has_stand_ins = false;
  outcome ended;
  auto code = run_session(eng, out, [&](listener l, std::function<void(outcome)> done) {
    return eng.start(config, asked, std::move(l), [&, done = std::move(done)](outcome end) {
      told = std::any_of(end.warnings.begin(), end.warnings.end(), [](auto& w) { return w.starts_with(not_recorded); });
      has_stand_ins = std::any_of(end.warnings.begin(), end.warnings.end(), [](auto& w) { return w.starts_with(stands_in); });
      std::error_code unknown;
      recorded = recorded || (!told && std::filesystem::exists(o.record, unknown));
      ended = end;
      done(std::move(end));
    });
  });
  if (!recorded && !told)
    complain("the run is not recorded: there is no " + o.record);
  if (auto fault = recorded && !o.record.empty() ? fault_of_replay(o.record) : std::string{}; !fault.empty())
    complain("warning: a replay of " + o.record + " ends early, with exit code 1"
             + (has_stand_ins ? ", for it has other texts than the run had: " : ": ") + fault);
  if (!recorded && code == static_cast<int>(exit_code::answered))
    code = static_cast<int>(exit_code::failed); // what was asked for is not there
  return deliver_files(o, ended, code, &eng.store());
}

} // namespace conclave
