// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// `conclave replay TASK --rules FILE`.

#include "app/commands.hpp"
#include "app/environment.hpp"
#include "app/host_io.hpp"
#include "app/load_config.hpp"
#include "app/plain_text.hpp"
#include "app/stored_tasks.hpp"
#include "app/what_if_text.hpp"
#include "protocols/opening.hpp"
#include "protocols/replay.hpp"
#include "protocols/workspace_paths.hpp"

#include <algorithm>
#include <map>

namespace conclave {

namespace {

constexpr int wrong_usage = static_cast<int>(exit_code::usage);

/// Reads the file with the other rules, as a run would; what is wrong with them is told as `validate` tells it. Returns false if it
/// has an error.
bool read_rules(const std::string& file, const opening& then, load_result& out) {
  std::vector<problem> ignored; // of the environment: nothing here needs a key
  auto env = environment::load(ignored);
  out = load_config(file, {.env = env.lookup(), .unset = severity::warning, .sources = env.sources(), .amended = &then});
  for (const auto& p : out.problems)
    if (p.severity == severity::error || !p.path.starts_with("agent")) // nobody is asked: notes on agents say nothing here
      write_all(2, problem_text(p));
  return out.ok();
}

/// The ids in whose order ties break: those of the file, if the task knows one of them. One that names some agents for their
/// budgets says nothing of an order.
std::vector<std::string> order_of(const load_result& given, const opening& o, std::vector<std::string>& strangers) {
  std::vector<std::string> ids;
  for (const auto& a : given.config.agents) {
    auto known = std::any_of(o.agents.begin(), o.agents.end(), [&](const agent_config& x) { return x.id == a.id; });
    (known ? ids : strangers).push_back(a.id);
  }
  return given.amends && ids.size() < o.agents.size() ? std::vector<std::string>{} : ids;
}

/// No task was played with what a run refuses: such a key is another than the task's, and nobody judges it.
void add_unavailable(const std::vector<problem>& found, ledger::rule_changes& to) {
  for (const auto& p : found) {
    auto known = std::find(to.unjudged.begin(), to.unjudged.end(), p.path) != to.unjudged.end();
    if (p.severity == severity::unavailable && !p.path.empty() && !known)
      to.unjudged.push_back(p.path);
  }
}

} // namespace

int command_what_if(const replay_options& o) {
  stored_tasks s;
  task_row row;
  if (auto code = s.open(o.tasks.front(), row))
    return code;
  if (row.live && row.outcome.empty()) { // else somebody has its files in hand
    complain(in_use_text(row.task, row.owner, false) + "; ask again when it has ended");
    return wrong_usage;
  }
  std::vector<event> events;
  std::map<std::string, std::string> bodies;
  if (auto code = s.read(row.task, events))
    return code;
  if (auto code = s.read_bodies(row.task, bodies))
    return code;
  auto stored = ledger::restore(events);
  if (!stored.error.empty()) {
    complain("task " + row.task + ": its log cannot tell what would have been: " + stored.error);
    return wrong_usage;
  }
  load_result given;
  if (!read_rules(o.rules, stored.opening, given))
    return wrong_usage;
  workspace_paths::without_presenter(given.config); // as in what is stored
  const auto& config = given.config;
  what_if_report r{row.task, o.rules, {}, {}, {}, {}, {}};
  for (const auto& a : stored.opening.agents)
    r.then_order.push_back(a.id);
  r.order = order_of(given, stored.opening, r.strangers);
  auto find = [&](const std::string& sha) -> const std::string* {
    auto i = bodies.find(sha);
    return i == bodies.end() ? nullptr : &i->second;
  };
  std::vector<problem> ignored; // said when the file was read
  auto known = environment::load(ignored).known_secrets();
  r.changes = ledger::changes_between(stored.opening, config, &known);
  add_unavailable(given.problems, r.changes);
  ledger::other_rules other{config.rules, r.order};
  for (const auto& a : config.agents)
    other.budgets[a.id] = a.budget;
  r.result = ledger::ask_what_if(events, find, other);
  if (!r.result.error.empty()) {
    complain("task " + row.task + ": its log cannot tell what would have been: " + r.result.error);
    return wrong_usage;
  }
  for (const auto& id : r.then_order) // who is not named stands behind, as before
    if (std::find(r.order.begin(), r.order.end(), id) == r.order.end())
      r.order.push_back(id);
  return print(o.json ? what_if_json(r) : what_if_text(r));
}

} // namespace conclave
