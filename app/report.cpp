// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/report.hpp"

#include "app/plain_text.hpp"
#include "app/task_view.hpp"
#include "protocols/prompts.hpp"

#include <algorithm>
#include <utility>

namespace conclave {

namespace {

constexpr std::size_t short_lines = 24;
constexpr std::size_t short_bytes = 2'000;

std::string name(const std::string& id) {
  return one_line(id, 40);
}

std::string joined(const std::vector<std::string>& names, const char* nothing) {
  std::string out;
  for (const auto& n : names)
    out += (out.empty() ? "" : ", ") + name(n);
  return out.empty() ? nothing : out;
}

std::string because(const std::string& reason) {
  return reason.empty() ? "" : ": " + one_line(reason, 300);
}

/// Writes the report; every member adds a section, or nothing if there is nothing to say.
class writer {
public:
  writer(const task_view& v, const std::vector<event>& events, const report_options& o) : v_(v), events_(events), o_(o) {}

  std::string run(const std::string& task) {
    head(task);
    agents();
    course();
    answers();
    votes();
    winner();
    partials();
    calls();
    final_answer();
    return std::move(out_);
  }

private:
  void title(const char* text) { out_ += std::string("\n") + text + "\n"; }
  void row(const std::string& text) { out_ += "  " + text + "\n"; }
  std::string at(std::int64_t ms) const {
    auto t = seconds(ms - v_.started_ms);
    return std::string(t.size() < 7 ? 7 - t.size() : 0, ' ') + t;
  }
  std::string who(const std::string& id) const {
    auto* a = v_.find(id);
    return a ? name(id) + " (agent" + std::to_string(a->number) + ")" : name(id);
  }

  /// Model text, every line prefixed. Shortened to a part of it unless the whole was asked for.
  void quote(const std::string& text, bool whole) {
    bool cut = !whole && !o_.full && text.size() > short_bytes;
    auto part = cut ? text.substr(0, whole_characters(text, short_bytes)) : text;
    auto safe = o_.raw ? part : prompts::for_terminal(part);
    std::size_t lines = 0;
    for (std::size_t from = 0; from < safe.size() || lines == 0; ++lines) {
      if (!whole && !o_.full && lines == short_lines) {
        cut = true;
        break;
      }
      auto lf = safe.find('\n', from);
      auto end = lf == std::string::npos ? safe.size() : lf;
      out_ += "    | " + safe.substr(from, end - from) + "\n";
      from = end + 1;
    }
    if (cut)
      out_ += "    ... (" + count_of(characters(text), "character") + " in all: --full)\n";
  }

  void head(const std::string& task) {
    row("task      " + name(task));
    row("question  " + one_line(v_.question, 400));
    row("started   " + utc(v_.started_ms) + ", took " + seconds(v_.last_ms - v_.started_ms));
    auto end = v_.outcome;
    if (!v_.ended)
      end = o_.running ? "running" : end + " (no end was recorded: it was killed, or its store could not be written)";
    else if (end == "answered" && !v_.finish_reason.empty())
      end += ", " + one_line(v_.finish_reason, 80);
    row("outcome   " + end + because(v_.error));
    if (!v_.cancel_reason.empty())
      row("ended by  " + one_line(v_.cancel_reason, 200));
    for (const auto& n : v_.lost_nodes)
      row("lost node " + one_line(n, 200));
  }

  void agents() {
    title("Agents");
    auto tally = v_.tally();
    for (std::size_t i = 0; i < v_.agents.size(); ++i) {
      const auto& a = v_.agents[i];
      auto text = who(a.id) + ": " + count_of(a.answers.size(), "answer") + ", " + count_of(a.votes.size(), "vote") + " cast, "
                  + count_of(i < tally.size() ? tally[i] : 0, "current vote") + " received";
      if (a.failures > 0)
        text += ", " + count_of(a.failures, "failure");
      if (a.restarts > 0)
        text += ", " + count_of(a.restarts, "restart");
      if (a.out)
        text += "; out" + because(a.out_reason);
      row(text);
    }
  }

  std::string course_of(const event& e) const {
    switch (e.type) {
    case event_type::round_started:
      return "round " + std::to_string(e.round);
    case event_type::run_started:
      return who(e.agent) + " starts run " + std::to_string(e.run) + ", shown " + joined(e.labels, "nothing");
    case event_type::new_answer:
      return who(e.agent) + " answers " + name(e.label) + " (" + count_of(characters(e.text), "character") + ")";
    case event_type::vote_cast:
      return who(e.agent) + " votes for " + name(e.target_label) + " by " + who(e.target);
    case event_type::vote_ignored:
      return who(e.agent) + "'s vote for " + who(e.target) + " is ignored: newer answers exist";
    case event_type::refused:
      return who(e.agent) + " is refused" + because(e.reason);
    case event_type::restart_triggered:
      return who(e.agent) + " changed the answers; to look again: " + joined(e.labels, "nobody");
    case event_type::agent_error:
      return who(e.agent) + (e.flag ? " has trouble" : " fails, " + to_string(e.code)) + because(e.reason);
    case event_type::agent_timeout:
      return who(e.agent) + " ran out of time" + because(e.reason);
    case event_type::agent_cancelled:
      return who(e.agent) + "'s run " + std::to_string(e.run) + " is cancelled";
    case event_type::agent_out:
      return who(e.agent) + " is out, " + to_string(e.code) + because(e.reason);
    case event_type::node_lost:
      return "node " + name(e.target) + " is lost with " + joined(e.labels, "nobody") + because(e.reason);
    case event_type::round_timeout:
      return "the round closes without " + joined(e.labels, "anybody") + because(e.reason);
    case event_type::coordination_timeout:
      return "the time to decide is over";
    case event_type::final_agent_selected:
      return who(e.agent) + " is chosen";
    case event_type::presentation_started:
      return who(e.agent) + " presents (run " + std::to_string(e.run) + ")";
    case event_type::presentation_retried:
      return who(e.agent) + " presents once more" + because(e.reason);
    case event_type::presentation_fallback:
      return "the stored answer is delivered instead" + because(e.reason);
    case event_type::final_answer:
      return "final answer (" + count_of(characters(e.text), "character") + ")";
    case event_type::cancel_requested:
      return "ending early" + because(e.reason);
    case event_type::task_ended:
      return "end: " + one_line(e.reason, 80);
    case event_type::unknown:
      return "an event of a newer version";
    default:
      return "";
    }
  }

  void course() {
    title("What happened");
    for (const auto& e : events_)
      if (auto text = course_of(e); !text.empty())
        row(at(e.time_ms) + "  " + text);
  }

  void answers() {
    std::vector<std::pair<std::int64_t, std::pair<const agent_view*, const answer_view*>>> all;
    for (const auto& a : v_.agents)
      for (const auto& x : a.answers)
        all.push_back({x.time_ms, {&a, &x}});
    if (all.empty())
      return;
    std::stable_sort(all.begin(), all.end(), [](const auto& x, const auto& y) { return x.first < y.first; });
    title("Answers");
    for (const auto& [time, entry] : all) {
      const auto& [a, x] = entry;
      row(name(x->label) + " by " + name(a->id) + ", round " + std::to_string(x->round) + ", " + seconds(x->time_ms - v_.started_ms)
          + (x == &a->answers.back() ? "" : ", replaced by " + name(a->answers.back().label)));
      quote(x->text, false);
    }
  }

  void votes() {
    bool any = std::any_of(v_.agents.begin(), v_.agents.end(), [](const agent_view& a) { return !a.votes.empty(); });
    if (!any)
      return;
    title("Votes");
    for (const auto& a : v_.agents)
      for (const auto& x : a.votes) {
        auto* m = ledger::find(v_.state, a.id);
        bool current = &x == &a.votes.back() && m && !m->vote.target.empty() && m->vote.epoch == v_.state.epoch;
        row(who(a.id) + " for " + name(x.target_label) + " by " + who(x.target) + ", round " + std::to_string(x.round)
            + (current ? "" : ", void: answers came after it") + because(x.reason));
      }
  }

  void winner() {
    if (!v_.selected)
      return;
    title("Why the winner won");
    std::uint32_t all = 0;
    for (auto n : v_.tally())
      all += n;
    row(who(v_.winner) + " has " + std::to_string(v_.winner_votes) + " of " + count_of(all, "current vote")
        + because(v_.win_reason));
    if (!v_.candidates.empty())
      row("candidates: " + joined(v_.candidates, "none") + (v_.tie ? "; a tie, decided by the order of registration" : ""));
    if (v_.deadline)
      row("the time to decide was over before everybody had voted");
    if (v_.fallback)
      row("the presentation failed and the stored answer was delivered" + because(v_.fallback_reason));
  }

  void partials() {
    bool first = true;
    for (const auto& a : v_.agents)
      for (const auto& r : a.runs) {
        if (r.partial.empty())
          continue;
        if (std::exchange(first, false))
          title("Partial texts");
        row(who(a.id) + ", run " + std::to_string(r.id) + (r.presents ? " (presentation)" : "") + ", "
            + (r.end.empty() ? "no end" : one_line(r.end, 80)));
        quote(r.partial, false);
      }
  }

  static std::string statuses(const call_view& c) {
    std::string out;
    for (const auto& [status, n] : c.statuses)
      out += (out.empty() ? " (" : ", ") + std::to_string(n) + " " + one_line(status, 40);
    if (c.started > c.ended)
      out += (out.empty() ? " (" : ", ") + std::to_string(c.started - c.ended) + " without an end";
    return out.empty() ? "" : out + ")";
  }

  void calls() {
    title("Calls and tokens");
    usage sum;
    std::uint64_t calls = 0;
    for (const auto& a : v_.agents) {
      auto text = who(a.id) + ": " + count_of(a.model.started, "model call") + statuses(a.model) + ", " + tokens(a.use);
      row(text);
      for (const auto& [tool, c] : a.tools)
        row("  " + one_line(tool, 60) + ": " + count_of(c.started, "call") + statuses(c));
      calls += a.model.started;
      add(sum, a.use);
    }
    row("all: " + count_of(calls, "model call") + ", " + tokens(sum));
  }

  static std::string tokens(const usage& u) {
    auto text = with_commas(u.input_tokens) + " tokens in";
    if (u.cached_input_tokens > 0)
      text += " (" + with_commas(u.cached_input_tokens) + " cached)";
    text += ", " + with_commas(u.output_tokens) + " out";
    if (u.reasoning_tokens > 0)
      text += " (" + with_commas(u.reasoning_tokens) + " reasoning)";
    return text;
  }

  void final_answer() {
    if (!v_.has_final)
      return;
    title(v_.truncated ? "Final answer (cut by the token limit)" : "Final answer");
    quote(v_.final_text, true);
  }

  const task_view& v_;
  const std::vector<event>& events_;
  const report_options& o_;
  std::string out_;
};

} // namespace

std::string report(const std::string& task, const std::vector<event>& events, const report_options& options) {
  if (events.empty())
    return "  task      " + name(task) + "\n  no events are stored\n";
  auto view = view_of(events);
  return writer(view, events, options).run(task);
}

} // namespace conclave
