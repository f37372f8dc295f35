// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/task_opening.hpp"

#include "app/environment.hpp"
#include "app/load_config.hpp"
#include "app/start_folder.hpp"
#include "app/task_lookup.hpp"
#include "app/version.hpp"
#include "protocols/config.hpp"
#include "protocols/run_state.hpp"
#include "protocols/secret_places.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"
#include "transports/event_store.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <filesystem>
#include <future>
#include <map>
#include <utility>

namespace conclave {

outcome refused(ec code, std::string reason) {
  outcome o;
  o.code = code;
  o.error = std::move(reason);
  return o;
}

opening opening_of(const run_config& config, const question& q, const std::vector<placed_agent>& agents, opening o) {
  o.rules = config.rules;
  o.history = q.history;
  o.attachments = q.attachments;
  for (auto& a : agents) {
    o.agents.push_back(a.config);
    o.nodes.push_back(a.node_name);
  }
  o.cluster = config.cluster;
  std::error_code ignored;
  if (!config.source.empty())
    o.config_path = is_standard_input(config.source) ? config.source : std::filesystem::absolute(config.source, ignored).string();
  o.folder = folder_of_start(o);
  if (o.build.empty())
    o.build = version;
  o.on_unknown = config.on_unknown;
  return o;
}

std::string bring_files(event_store& store, const std::string& task, std::vector<attachment>& files) {
  std::map<std::string, std::string> bodies;
  auto find = [&](const std::string& sha) -> const std::string* {
    auto known = bodies.find(sha);
    if (known == bodies.end()) {
      std::string ignored;
      for (auto& b : store.bodies(task, {sha}, ignored))
        known = bodies.emplace(b.sha, std::move(b.bytes)).first;
    }
    return known == bodies.end() ? nullptr : &known->second;
  };
  for (auto& f : files)
    if (std::string why; !run::find_file(f.sha, find, f.data, why))
      return "task " + task + " cannot be gone on with: its file '" + f.name + "': " + why;
  return {};
}

std::optional<ledger::restored> ended_task(event_store& store, const std::string& task, const std::vector<event>& known) {
  std::string error;
  auto row = store.find(task, error);
  if (!row || (row->outcome.empty() && !row->played))
    return {};
  if (row->played && row->outcome != to_string(outcome_kind::answered)) {
    ledger::restored never;
    never.error = why_not_for_real(task);
    return never;
  }
  if (known.size() == row->events)
    return ledger::restore(known);
  std::vector<event> log;
  for (auto& stored : store.read(task, 0, error)) {
    event e;
    if (wire::from_json(stored.json, e))
      log.push_back(std::move(e));
  }
  return ledger::restore(log);
}

std::vector<earlier_answer> answers_of(const ledger::state& s) {
  std::vector<earlier_answer> out;
  for (auto& m : s.members)
    for (auto& a : m.answers)
      out.push_back({m.id, a.label, a.text, a.epoch, a.snapshot, a.files, a.bytes, a.changes});
  std::sort(out.begin(), out.end(), [](auto& a, auto& b) { return a.epoch < b.epoch; });
  return out;
}

std::string unreachable(const ledger::state& s, const std::vector<placed_agent>& agents) {
  std::string first;
  for (auto& a : agents) {
    auto* m = ledger::find(s, a.config.id);
    if (m == nullptr || !m->live)
      continue;
    if (a.node)
      return {};
    if (first.empty())
      first = "'" + shown_text(a.config.id) + "': " + (a.reason.empty() ? "its node cannot be reached" : a.reason);
  }
  return first.empty() ? first : "none of its agents can be reached, so nothing was changed; " + first;
}

outcome read_opening(event_store& store, const resume_request& request, opening& out) {
  std::string error;
  auto secrets_back = [&]() -> outcome {
    std::vector<problem> ignored; // whoever read the team told them
    auto known = environment::load(ignored).known_secrets();
    if (restore_secrets(out, request.team != nullptr ? *request.team : run_config{}, error, &known))
      return {};
    return refused(ec::bad_config, error + "; the team to resume with does not hold it");
  };
  if (request.opening) {
    out = *request.opening;
    return secrets_back();
  }
  event read;
  auto readable = true;
  if (request.log.empty()) {
    std::promise<event_page> result;
    auto future = result.get_future();
    store.read(request.task, 0, 1, [&result](event_page p) { result.set_value(std::move(p)); });
    auto page = future.get();
    if (page.code != ec::none)
      return refused(page.code, page.error);
    if (page.events.empty())
      return refused(ec::bad_request, "there is no task " + request.task);
    readable = wire::from_json(page.events.front().json, read);
  }
  const auto& first = request.log.empty() ? read : request.log.front();
  if (!readable || first.type != event_type::task_opened)
    return refused(ec::bad_request, "task " + request.task
                                        + " was written by an older conclave, which did not store what is needed to go on with it; "
                                          "see it: conclave show "
                                        + request.task);
  if (!from_json(first.detail, out, error))
    return refused(ec::bad_config, error);
  return secrets_back();
}

std::shared_ptr<outside> outside_of(const engine_options& o) {
  return o.outside ? o.outside : outside::of_machine();
}

} // namespace conclave
