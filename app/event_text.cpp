// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/event_text.hpp"

#include "app/plain_text.hpp"
#include "app/usage_text.hpp"
#include "protocols/events.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

namespace conclave {

namespace {

constexpr std::size_t longest_reason = 160; // of a model's own, on an event's line

std::string name(const std::string& id) {
  return one_line(id, longest_name);
}

std::string tool(const event& e) {
  return one_line(e.target, longest_name * 2);
}

std::string trouble(const event& e) {
  return e.code == ec::none ? shortened(e.reason, longest_error) : to_string(e.code) + because(e.reason);
}

std::string end_of_call(const event& e) {
  return e.reason == events::unknown_status ? "was cut off" : one_line(e.reason, 40);
}

std::string pause_text(std::int64_t ms) {
  return ms <= 0 ? "a break" : "a break of " + seconds(ms);
}

std::string delivery_text(const event& e) {
  auto d = events::delivery_of(e);
  auto paths = count_of(d.paths, "path");
  return !d.branch.empty() ? paths + " in " + one_line(d.folder) + " went to the branch " + one_line(d.branch, 80)
         : e.type == event_type::changes_applied ? paths + " written in " + one_line(d.folder)
                                                 : paths + " put back in " + one_line(d.folder);
}

/// What answers for an agent, and where: "chatcompletion gpt-5 on mars"; empty if that is not known.
std::string place_text(const std::string& id, const task_view& v) {
  auto i = v.placed.find(id);
  if (i == v.placed.end() || i->second.backend.empty())
    return {};
  auto& p = i->second;
  return name(p.backend) + (p.model.empty() || p.model == p.backend ? "" : " " + name(p.model))
         + (p.node.empty() || p.node == "local" ? "" : " on " + name(p.node));
}

std::string cast_begin(const std::vector<std::string>& ids, const task_view& v) {
  constexpr std::size_t most_places = 8; // of a larger team only what they all have in common
  std::vector<std::string> places;
  places.reserve(ids.size());
  for (auto& id : ids)
    places.push_back(place_text(id, v));
  auto same = !places.empty() && std::all_of(places.begin(), places.end(), [&](auto& p) { return p == places.front(); });
  std::string out = count_of(ids.size(), "agent") + ": ";
  for (std::size_t i = 0; i < ids.size(); ++i) {
    auto shown = "agent" + std::to_string(i + 1);
    auto more = ids.size() > 1 && ids[i] != shown ? shown : std::string{};
    if (!same && !places[i].empty() && ids.size() <= most_places)
      more += (more.empty() ? "" : ", ") + places[i];
    out += (i > 0 ? ", " : "") + name(ids[i]) + (more.empty() ? "" : " (" + more + ")");
  }
  return out + (same && !places.front().empty() ? "; " + std::string(ids.size() > 1 ? "each " : "") + places.front() : "");
}

} // namespace

std::string names_text(const std::vector<std::string>& names, const char* nothing) {
  std::string out;
  for (const auto& n : names)
    out += (out.empty() ? "" : ", ") + name(n);
  return out.empty() ? nothing : out;
}

std::string because(const std::string& reason, std::size_t width) {
  return reason.empty() ? "" : ": " + (width > 0 ? one_line(reason, width) : shortened(reason, longest_error));
}

std::string answers_text(const std::vector<std::string>& labels, const task_view& v) {
  std::size_t answered = 0, newest = 0;
  for (const auto& a : v.agents) {
    answered += !a.answers.empty();
    newest += !a.answers.empty() && std::find(labels.begin(), labels.end(), a.answers.back().label) != labels.end();
  }
  if (labels.size() > 1 && newest == labels.size() && newest == answered)
    return newest == 2 ? "both answers" : "all " + std::to_string(newest) + " answers";
  std::string out;
  for (const auto& l : labels)
    out += (out.empty() ? "" : ", ") + v.answer_name(l);
  return out.empty() ? "no answers" : out;
}

std::string who_text(const std::vector<std::string>& agents, const task_view& v) {
  if (agents.size() > 1 && agents.size() == v.agents.size())
    return agents.size() == 2 ? "both agents" : "all " + std::to_string(agents.size()) + " agents";
  return names_text(agents, "");
}

std::string plural(std::string text) {
  auto blank = text.rfind(' ', 0) == 0 ? 1u : 0u;
  for (auto [one, many] : {std::pair{"starts", "start"}, std::pair{"is out", "are out"}, std::pair{"fails,", "fail,"}})
    if (text.compare(blank, std::string_view(one).size(), one) == 0)
      text.replace(blank, std::string_view(one).size(), many);
  if (auto at = text.find(", sees "); at != std::string::npos && text.compare(blank, 5, "start") == 0)
    text.erase(at + 5, 1);
  return text;
}

std::string event_text(const event& e, const task_view& v, std::string_view said) {
  switch (e.type) {
  case event_type::session_start:
    return cast_begin(e.labels, v);
  case event_type::round_started:
    return "round " + std::to_string(e.round);
  case event_type::run_started:
    return (events::attempt_of(e) > 1 ? "starts again (attempt " + std::to_string(events::attempt_of(e)) + ")"
                                      : std::string("starts"))
           + (e.labels.empty() ? "" : ", sees " + answers_text(e.labels, v));
  case event_type::call_started:
    return events::call_of(e).model ? "" : "uses " + tool(e);
  case event_type::call_ended:
    return events::call_of(e).model || e.reason == "finished" || e.reason == "ok" ? "" : tool(e) + " " + end_of_call(e);
  case event_type::new_answer: {
    auto* a = v.find(e.agent);
    auto size = count_of(characters(e.text), "character");
    return a && a->answers.size() > 1 ? "answered again (answer " + std::to_string(a->answers.size()) + ", " + size + ")"
                                      : "answered (" + size + ")";
  }
  case event_type::snapshot_taken:
    return (e.number <= 0
                ? std::string{}
                : count_of(static_cast<std::size_t>(e.number), "file") + (e.number == 1 ? " goes" : " go") + " with the answer")
           + (e.reason.empty() ? "" : (e.number <= 0 ? "" : "; ") + one_line(e.reason, longest_error));
  case event_type::snapshot_failed:
    return "the answer goes without its files" + because(e.reason, longest_reason);
  case event_type::changes_proposed:
    return "changes " + count_of(static_cast<std::size_t>(std::max<std::int64_t>(e.number, 0)), "file") + " in "
           + one_line(e.target) + ", once you apply that";
  case event_type::changes_applied:
  case event_type::changes_undone:
    return delivery_text(e);
  case event_type::vote_cast:
    return "voted for " + (e.target_label.empty() ? name(e.target) : v.answer_name(e.target_label))
           + because(e.reason, longest_reason);
  case event_type::vote_ignored:
    return "vote ignored: newer answers exist";
  case event_type::restart_triggered:
    return "has changed the answers: " + names_text(e.labels, "nobody") + " to look again";
  case event_type::agent_error:
    return said.empty() ? "failed, " + trouble(e) : "failed" + std::string(said);
  case event_type::agent_notice:
    return "notice, " + trouble(e);
  case event_type::agent_timeout:
    return "ran out of time" + (said.empty() ? because(e.reason) : std::string(said));
  case event_type::agent_out:
    return "is out" + (said.empty() ? ", " + trouble(e) : std::string(said));
  case event_type::node_lost:
    return "node " + name(e.target) + " lost (" + names_text(e.labels, "no agents") + ")" + because(e.reason);
  case event_type::round_timeout:
    return "the round closes without " + names_text(e.labels, "anybody") + because(e.reason);
  case event_type::coordination_timeout:
    return "the time to decide is over";
  case event_type::final_agent_selected:
    return "wins with " + count_of(events::votes_of(e), "vote") + (events::is_tie(e) ? " (a tie)" : "") + because(e.reason);
  case event_type::presentation_started:
    return "presents";
  case event_type::presentation_retried:
    return "presents once more" + because(e.reason);
  case event_type::presentation_fallback:
    return "the stored answer is delivered instead" + because(e.reason);
  case event_type::final_answer:
    return "final answer (" + count_of(characters(e.text), "character")
           + (events::is_truncated(e) ? ", cut by the token limit)" : ")");
  case event_type::cancel_requested:
    return "ending early" + because(e.reason);
  case event_type::task_resumed:
    return "goes on after " + pause_text(events::resumed_of(e).pause_ms);
  default:
    return "";
  }
}

std::string event_detail(const event& e, const task_view& v) {
  switch (e.type) {
  case event_type::context_received:
    return "was shown " + answers_text(e.labels, v);
  case event_type::call_started:
    return "model call " + std::to_string(events::call_of(e).number);
  case event_type::call_ended:
    return (events::call_of(e).model ? "model call " + std::to_string(events::call_of(e).number) : tool(e)) + " " + end_of_call(e)
           + (e.use == usage{} ? "" : ", " + tokens_text(e.use) + cost_text(e.use))
           + (e.use.requests > 1 ? " (" + std::to_string(e.use.requests) + " requests)" : "");
  case event_type::refused:
    return "refused" + because(e.reason);
  case event_type::restart_completed:
    return "looks again (restart " + std::to_string(events::restarts_of(e)) + ")";
  case event_type::run_ended:
    return "run " + std::to_string(e.run) + " ended" + because(e.reason);
  case event_type::late_text:
    return "run " + std::to_string(e.run) + " had written " + count_of(characters(e.text), "character");
  case event_type::agent_cancelled:
    return "run " + std::to_string(e.run) + " cancelled";
  case event_type::agent_placed: {
    auto p = events::placed_of(e);
    return "runs on " + name(p.node) + (p.backend.empty() ? "" : ", " + name(p.backend))
           + (p.model.empty() ? "" : ", model " + name(p.model));
  }
  case event_type::run_continued:
    return "run " + std::to_string(events::continued_of(e).old_run) + " goes on as run " + std::to_string(e.run);
  case event_type::task_closing:
    return "waits for calls under way to end";
  case event_type::unknown:
    return "event of a newer version";
  default:
    return "";
  }
}

} // namespace conclave
