// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What an agent's tool sources offer: at its start, and again where one of them has another list by now.

#include "actors/agent_state.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/run_results.hpp"
#include "protocols/tool_waits.hpp"
#include "protocols/wire/verdict.hpp"

#include <caf/all.hpp>

#include <memory>
#include <utility>

namespace conclave {

namespace {

constexpr std::size_t max_gone = 1'000; ///< names remembered: as many as one server may list
constexpr std::size_t max_named = 3;    ///< tools that a notice names

/// "2 new (a, b)", each part behind `text`.
void add_part(std::string& text, const char* what, const std::vector<std::string>& names) {
  if (names.empty())
    return;
  text += (text.empty() ? "" : ", ") + std::to_string(names.size()) + " " + what + " (";
  for (std::size_t i = 0; i < names.size() && i < max_named; ++i)
    text += (i == 0 ? "" : ", ") + names[i];
  text += names.size() > max_named ? ", ...)" : ")";
}

} // namespace

/// Adds what a source offers. Returns what a person is to know of it.
std::vector<std::string> agent_state::take_tools(std::size_t i, tool_list& list) {
  std::vector<std::string> out;
  for (auto& note : list.notes)
    out.push_back(list.source + ": " + note);
  for (auto& [spec, says] : list.tools) {
    auto tool = spec.name;
    run::offered_tool offered{std::move(spec), i, says.read_only, says.idempotent};
    if (wire::is_workflow_tool(tool) || !with.tools.emplace(tool, std::move(offered)).second)
      out.push_back(list.source + ": tool '" + tool + "' is left out, the name is taken");
  }
  return out;
}

/// Asks every tool source for its tools. One that fails is told, and no failure of the agent.
caf::result<agent_ready> agent_state::get_tools() {
  auto out = std::make_shared<agent_ready>();
  out->agent = with.agent.id;
  if (parts.tools.empty())
    return *out;
  auto promise = self->make_response_promise<agent_ready>();
  auto left = std::make_shared<std::size_t>(parts.tools.size());
  auto finish = [this, out, promise, left]() mutable {
    if (--*left > 0)
      return;
    for (auto& [tool, what] : with.tools)
      out->tools.push_back(tool);
    offer_built_in();
    promise.deliver(*out);
  };
  listed.assign(parts.tools.size(), 0);
  for (std::size_t i = 0; i < parts.tools.size(); ++i)
    self->request(parts.tools[i].actor, tool_waits::agent_list(parts.tools[i].start_limit), list_tools{})
        .then(
            [this, i, out, finish](tool_list& list) mutable {
              for (auto& note : take_tools(i, list))
                out->notes.push_back(std::move(note));
              finish();
            },
            [this, i, out, finish](const caf::error& e) mutable {
              out->missing.push_back({parts.tools[i].name, text_of(e)});
              finish();
            });
  return caf::delegated<agent_ready>{};
}

/// Whoever has tools can read their long results.
void agent_state::offer_built_in() {
  if (!with.tools.empty())
    with.tools.emplace(run::read_result_name, run::read_result_tool());
}

bool agent_state::is_stale() const {
  for (std::size_t i = 0; i < listed.size(); ++i)
    if (parts.tools[i].version && parts.tools[i].version->load(std::memory_order_relaxed) != listed[i])
      return true;
  return listing > 0;
}

/// Each source is asked once, whoever waits for it: a run that is cancelled leaves its listing to the next.
void agent_state::carry_out(const run::list_again&) {
  for (std::size_t i = 0; i < listed.size(); ++i) {
    auto now = parts.tools[i].version ? parts.tools[i].version->load(std::memory_order_relaxed) : listed[i];
    if (std::exchange(listed[i], now) != now)
      list_source(i);
  }
  if (listing == 0) // all were listed meanwhile
    self->send(self, agent_input{run::tools_changed{}});
}

void agent_state::list_source(std::size_t i) {
  auto finish = [this] {
    if (--listing == 0)
      input(run::tools_changed{});
  };
  ++listing;
  auto limit = tool_waits::list_again(parts.tools[i].start_limit);
  self->request(parts.tools[i].actor, limit, list_tools{})
      .then(
          [this, i, finish](tool_list& list) {
            replace_tools(i, list);
            finish();
          },
          [this, i, finish, limit](const caf::error& e) {
            auto why = e == caf::sec::request_timeout // it goes on, and its list is another once it is there
                           ? " has not listed them again within " + std::to_string(limit.count() / 1000) + " s"
                           : " could not list them again: " + text_of(e);
            run::tell notice{"its tools are offered as they were, " + parts.tools[i].name + why};
            carry_out(notice);
            finish();
          });
}

/// The tools of a source become those of its new list. A person is told once what changed for the model.
void agent_state::replace_tools(std::size_t i, tool_list& list) {
  std::map<std::string, run::offered_tool> old;
  for (auto t = with.tools.begin(); t != with.tools.end();) {
    auto next = std::next(t);
    if (t->second.source == i)
      old.insert(with.tools.extract(t));
    t = next;
  }
  auto notes = take_tools(i, list);
  offer_built_in();
  std::vector<std::string> added, changed, gone;
  for (auto& [tool, now] : with.tools) {
    auto before = old.find(tool);
    if (now.source != i)
      continue;
    with.gone.erase(tool);
    if (before == old.end())
      added.push_back(tool);
    else if (!(before->second == now))
      changed.push_back(tool);
  }
  for (auto& [tool, before] : old)
    if (with.tools.count(tool) == 0) {
      gone.push_back(tool);
      if (with.gone.size() < max_gone)
        with.gone.insert(tool);
    }
  std::string text;
  add_part(text, "new", added);
  add_part(text, "changed", changed);
  add_part(text, "gone", gone);
  if (text.empty())
    return;
  text = parts.tools[i].name + " offers other tools now: " + text;
  if (!notes.empty())
    text += "; " + notes.front() + (notes.size() > 1 ? ", and " + std::to_string(notes.size() - 1) + " more like this" : "");
  run::tell notice{std::move(text)};
  carry_out(notice);
}

} // namespace conclave
