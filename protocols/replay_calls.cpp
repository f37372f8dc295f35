// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/replay_calls.hpp"

#include "protocols/wire/resolve.hpp"
#include "protocols/wire/verdict.hpp"

#include <algorithm>

namespace conclave::ledger {

namespace {

constexpr std::size_t most_parts = 4; ///< of what is guessed independently: three guesses for each

void leave_out(std::string& text, const std::string& name) {
  for (std::size_t at = 0; !name.empty() && (at = text.find(name, at)) != std::string::npos;)
    text.erase(at, name.size());
}

/// What the results of each tool say, but for its names: alike for tools of which the same became.
std::map<std::string, std::string> results(const completion& meant, const completion& reply, const std::vector<message>& told) {
  constexpr std::size_t most = 2'000; // bytes of a tool
  std::map<std::string, const message*> by_call;
  for (const auto& m : told)
    if (m.from == role::tool)
      by_call.emplace(m.tool_call_id, &m);
  std::map<std::string, std::string> out;
  for (std::size_t i = 0; i < meant.calls.size(); ++i) {
    auto& said = out[meant.calls[i].name];
    auto m = by_call.find(meant.calls[i].id);
    if (m == by_call.end() || said.size() >= most)
      continue;
    auto text = m->second->text.substr(0, most);
    leave_out(text, reply.calls[i].name);
    leave_out(text, meant.calls[i].name);
    said += text + '\n';
  }
  return out;
}

} // namespace

void reply_calls::read(const std::vector<event>& log) {
  std::map<std::uint64_t, std::uint64_t> first;  // number that a run began with, by the one it has after a crash
  std::map<std::uint64_t, std::uint64_t> newest; // model call of each run
  auto run_of = [&](const event& e) {
    auto i = first.find(e.run);
    return i == first.end() ? e.run : i->second;
  };
  for (const auto& e : log) {
    if (e.type == event_type::run_continued) {
      auto names = events::continued_of(e);
      auto i = first.find(names.old_run);
      first[names.new_run] = i == first.end() ? names.old_run : i->second;
      continue;
    }
    auto c = e.type == event_type::call_started ? events::call_of(e) : events::call{};
    if (!c.model && c.number == 0 && e.type != event_type::refused)
      continue;
    auto& call = newest[run_of(e)];
    if (c.number > 0 && !c.model)
      made_[{e.agent, call}].insert(e.target);
    else
      next_.emplace(model_call{e.agent, call}, &e);
    if (c.model)
      call = c.number;
  }
}

std::vector<message> reply_calls::told_after(const model_call& of, const run::finder& find) const {
  std::vector<message> out;
  auto next = next_.find(of);
  if (next == next_.end())
    return out;
  for (const auto& name : next->second->said) {
    std::string problem; // found out where its event is compared
    message m;
    if (run::find_message(name, find, m, problem))
      out.push_back(std::move(m));
  }
  return out;
}

std::vector<tool_guess> reply_calls::guesses(const std::string& agent, std::uint64_t call, const completion& reply,
                                             std::vector<std::string> tools, const run::finder& find) const {
  auto meant = reply;
  auto offered = tools;
  offered.insert(offered.end(), {"new_answer", "vote"});
  wire::resolve_calls(meant, offered);
  std::set<std::string> missing;
  auto made = made_.find({agent, call});
  for (const auto& c : meant.calls)
    if (!wire::is_workflow_tool(c.name) && (made == made_.end() || made->second.count(c.name) == 0))
      missing.insert(c.name);
  // Of few names each is guessed by itself. Of many those whose results are alike go together.
  std::map<std::string, std::set<std::string>> parts;
  if (missing.size() <= most_parts) {
    for (const auto& name : missing)
      parts[name] = {name};
  } else {
    auto said = results(meant, reply, told_after({agent, call}, find));
    for (const auto& name : missing) {
      auto key = said[name];
      if (parts.count(key) == 0 && parts.size() == most_parts)
        key = parts.rbegin()->first;
      parts[key].insert(name);
    }
  }
  std::vector<tool_guess> out(1);
  out.front().not_made = std::move(missing);
  for (const auto& [key, names] : parts) {
    auto has =
        std::any_of(names.begin(), names.end(), [&](auto& n) { return std::find(tools.begin(), tools.end(), n) != tools.end(); });
    for (std::size_t i = 0, n = out.size(); i < n; ++i)
      for (auto what : {&tool_guess::unknown, &tool_guess::gone}) {
        if (what == &tool_guess::unknown && !has)
          continue; // it is unknown as it is
        auto guess = out[i];
        (guess.*what).insert(names.begin(), names.end());
        out.push_back(std::move(guess));
      }
  }
  return out;
}

} // namespace conclave::ledger
