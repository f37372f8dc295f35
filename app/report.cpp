// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/report.hpp"

#include "app/event_text.hpp"
#include "app/plain_text.hpp"
#include "app/task_view.hpp"
#include "app/usage_text.hpp"
#include "protocols/events.hpp"
#include "protocols/text.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

namespace conclave {

namespace {

constexpr std::size_t short_lines = 24;
constexpr std::size_t longest_arguments = 500; ///< columns of a tool call's arguments
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

/// Troubles of several agents are one line if they say the same within this time.
constexpr std::int64_t same_outage_ms = 3'000;

bool is_trouble(event_type x) {
  return x == event_type::agent_error || x == event_type::agent_notice || x == event_type::agent_timeout
         || x == event_type::agent_out;
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
    sources();
    deliveries();
    final_answer();
    return std::move(out_);
  }

private:
  void title(const char* text) { out_ += std::string("\n") + text + "\n"; }
  /// A row; where it is broken, its further lines are set in.
  void row(const std::string& text, std::size_t indent = 6) { out_ += "  " + wrapped(text, room(), 2, indent) + "\n"; }
  std::size_t room() const { return o_.width == 0 ? 0 : std::max<std::size_t>(o_.width, 20) - 1; }
  std::string at(std::int64_t ms) const {
    auto t = seconds(ms - v_.started_ms);
    return std::string(t.size() < 7 ? 7 - t.size() : 0, ' ') + t;
  }
  std::string answers_of(const std::vector<std::string>& labels, const char* nothing) const {
    std::string out;
    for (const auto& l : labels)
      out += (out.empty() ? "" : ", ") + v_.answer_name(l);
    return out.empty() ? nothing : out;
  }

  /// Model text, every line prefixed. Shortened to a part of it unless the whole was asked for.
  void quote(const std::string& text, bool whole) {
    bool cut = !whole && !o_.full && text.size() > short_bytes;
    auto part = cut ? text.substr(0, whole_characters(text, short_bytes)) : text;
    auto safe = o_.raw ? part : for_terminal(part);
    if (room() > 6)
      safe = wrapped_text(safe, room() - 6);
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
    row("question  " + one_line(v_.question, 400), 12);
    for (const auto& f : v_.files)
      row("file      " + one_line(f.name, 200) + " (" + f.media_type + ", " + count_of(f.bytes, "byte") + ")"
              + (f.agent.empty() ? "" : ", for " + name(f.agent)),
          12);
    row("started   " + utc(v_.started_ms) + ", took " + seconds(v_.last_ms - v_.started_ms));
    auto end = v_.outcome;
    if (!v_.ended)
      end = o_.running ? "running" : end + " (no end was recorded: it was killed, or its store could not be written)";
    else if (end == "answered" && !v_.finish_reason.empty())
      end += ", " + one_line(v_.finish_reason, 80);
    // "interrupted: SIGINT" is the reason of what is interrupted: said once
    row("outcome   " + (v_.error.starts_with(end + ": ") ? shortened(v_.error, longest_error) : end + because(v_.error)), 12);
    if (!v_.ended && !o_.running && o_.resumable)
      row("go on     conclave resume " + name(task));
    if (!v_.cancel_reason.empty())
      row("ended by  " + shortened(v_.cancel_reason, longest_error), 12);
    for (const auto& n : v_.lost_nodes)
      row("lost node " + shortened(n, longest_error), 12);
  }

  void agents() {
    title("Agents");
    auto tally = v_.tally();
    std::map<std::string, std::string> told; // cause -> whose line has it
    for (std::size_t i = 0; i < v_.agents.size(); ++i) {
      const auto& a = v_.agents[i];
      auto shown = "agent" + std::to_string(a.number);
      auto text = name(a.id) + (a.id == shown ? "" : " (" + shown + ")") + ": " + count_of(a.answers.size(), "answer") + ", "
                  + count_of(a.votes.size(), "vote") + " cast, " + count_of(i < tally.size() ? tally[i] : 0, "current vote")
                  + " received";
      if (!a.placed.backend.empty())
        text += "; " + name(a.placed.backend) + (a.placed.model.empty() ? "" : " " + name(a.placed.model))
                + (a.placed.node == "local" ? "" : " on " + name(a.placed.node));
      for (auto p = a.earlier.rbegin(); p != a.earlier.rend(); ++p)
        text +=
            (p == a.earlier.rbegin() ? ", before that " : ", ") + name(p->backend) + (p->model.empty() ? "" : " " + name(p->model));
      if (a.failures > 0)
        text += ", " + count_of(a.failures, "failure");
      if (a.restarts > 0)
        text += ", " + count_of(a.restarts, "restart");
      if (a.out) {
        auto [known, is_new] = told.emplace(a.out_reason, name(a.id));
        text += "; out" + (is_new ? because(a.out_reason) : ", for the same reason as " + known->second);
      }
      row(text);
    }
    if (v_.agents.size() > 1)
      row("(agent1 and so on is what the agents call each other)");
  }

  std::string course_of(const event& e) const {
    switch (e.type) {
    case event_type::round_started:
      return "round " + std::to_string(e.round);
    case event_type::run_started:
      return name(e.agent) + " starts run " + std::to_string(e.run) + ", shown " + answers_of(e.labels, "nothing");
    case event_type::new_answer:
      return name(e.agent) + " hands in answer " + name(e.label.substr(e.label.rfind('.') + 1)) + " ("
             + count_of(characters(e.text), "character") + ")";
    case event_type::snapshot_taken:
      return name(e.agent) + "'s answer comes with "
             + count_of(static_cast<std::size_t>(std::max<std::int64_t>(e.number, 0)), "file")
             + (e.reason.empty() ? "" : "; " + one_line(e.reason, 4'096));
    case event_type::snapshot_failed:
      return name(e.agent) + "'s answer comes without its files" + because(e.reason);
    case event_type::changes_proposed:
      return name(e.agent) + " changes " + count_of(static_cast<std::size_t>(std::max<std::int64_t>(e.number, 0)), "file") + " in "
             + one_line(e.target);
    case event_type::changes_applied:
    case event_type::changes_undone:
      return event_text(e, v_);
    case event_type::vote_cast:
      return name(e.agent) + " votes for " + v_.answer_name(e.target_label);
    case event_type::vote_ignored:
      return name(e.agent) + "'s vote for " + name(e.target) + " is ignored: newer answers exist";
    case event_type::refused:
      return name(e.agent) + " is refused" + because(e.reason);
    case event_type::restart_triggered:
      return name(e.agent) + " changed the answers; to look again: " + joined(e.labels, "nobody");
    case event_type::agent_error:
      return name(e.agent) + " fails, " + to_string(e.code) + because(e.reason);
    case event_type::agent_notice:
      return name(e.agent) + " gives notice" + because(e.reason);
    case event_type::run_continued:
      return name(e.agent) + " goes on with run " + std::to_string(events::continued_of(e).old_run) + " as run "
             + std::to_string(e.run);
    case event_type::task_resumed:
      return "goes on after a break of " + seconds(events::resumed_of(e).pause_ms);
    case event_type::agent_timeout:
      return name(e.agent) + " ran out of time" + because(e.reason);
    case event_type::agent_cancelled:
      return name(e.agent) + "'s run " + std::to_string(e.run) + " is cancelled";
    case event_type::agent_out:
      return name(e.agent) + " is out, " + to_string(e.code) + because(e.reason);
    case event_type::node_lost:
      return "node " + name(e.target) + " is lost with " + joined(e.labels, "nobody") + because(e.reason);
    case event_type::round_timeout:
      return "the round closes without " + joined(e.labels, "anybody") + because(e.reason);
    case event_type::coordination_timeout:
      return "the time to decide is over";
    case event_type::final_agent_selected:
      return name(e.agent) + " is chosen";
    case event_type::presentation_started:
      return name(e.agent) + " presents (run " + std::to_string(e.run) + ")";
    case event_type::presentation_retried:
      return name(e.agent) + " presents once more" + because(e.reason);
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

  /// Equal troubles of several agents, one soon after the other, are one line of all of them.
  void course() {
    title("What happened");
    struct entry {
      const event* first;
      std::string text;
      std::vector<std::string> agents;
    };
    std::vector<entry> lines;
    std::map<std::string, std::string> failed; // whose run -> why, told already
    for (const auto& e : events_) {
      auto text = course_of(e);
      if (e.type == event_type::agent_error)
        failed[e.agent] = e.reason;
      if (e.type == event_type::agent_out && !e.reason.empty() && failed[e.agent] == e.reason)
        text = name(e.agent) + " is out, " + to_string(e.code) + ", for the same reason";
      if (text.empty())
        continue;
      auto what = is_trouble(e.type) ? text.substr(name(e.agent).size()) : std::string{};
      auto same = lines.rend();
      constexpr std::ptrdiff_t most_back = 64;
      if (!what.empty())
        same = std::find_if(lines.rbegin(), lines.rbegin() + std::min(most_back, std::ssize(lines)), [&](const entry& l) {
          return l.first->type == e.type && l.text == what && l.first->reason == e.reason
                 && e.time_ms - l.first->time_ms <= same_outage_ms
                 && std::find(l.agents.begin(), l.agents.end(), e.agent) == l.agents.end();
        });
      if (what.empty() || same == lines.rbegin() + std::min(most_back, std::ssize(lines)))
        lines.push_back({&e, what.empty() ? text : what, {e.agent}});
      else
        same->agents.push_back(e.agent);
    }
    for (const auto& l : lines)
      row(at(l.first->time_ms) + "  "
              + (is_trouble(l.first->type) ? who_text(l.agents, v_) + (l.agents.size() > 1 ? plural(l.text) : l.text) : l.text),
          11);
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
      row(name(a->id) + "'s answer " + std::to_string(x - a->answers.data() + 1) + " (" + name(x->label) + "), round "
          + std::to_string(x->round) + ", " + seconds(x->time_ms - v_.started_ms)
          + (x == &a->answers.back() ? "" : ", replaced by answer " + std::to_string(a->answers.size())));
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
        row(name(a.id) + " for " + v_.answer_name(x.target_label) + ", round " + std::to_string(x.round)
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
    row(name(v_.winner) + " has " + std::to_string(v_.winner_votes) + " of " + count_of(all, "current vote")
        + because(v_.win_reason));
    if (!v_.candidates.empty())
      row("candidates: " + answers_of(v_.candidates, "none") + (v_.tie ? "; a tie, decided by the order of registration" : ""));
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
        row(name(a.id) + ", run " + std::to_string(r.id) + (r.presents ? " (presentation)" : "") + ", "
            + (r.end.empty() ? "no end" : one_line(r.end, 80)));
        quote(r.partial, false);
      }
  }

  static std::string statuses(const call_view& c) {
    std::string out;
    for (const auto& [status, n] : c.statuses)
      out += (out.empty() ? " (" : ", ") + std::to_string(n) + " " + one_line(status, 40);
    return out.empty() ? "" : out + ")";
  }

  void calls() {
    title("Calls and tokens");
    call_view all;
    for (const auto& a : v_.agents) {
      row(name(a.id) + ": " + cost_of(a.model, a.use));
      for (const auto& r : a.runs)
        if (r.model.started > 0 && a.runs.size() > 1)
          row("  run " + std::to_string(r.id) + (r.presents ? ", presentation: " : ", round " + std::to_string(r.round) + ": ")
              + cost_of(r.model, r.use));
      if (o_.full)
        each_call(a.id);
      for (const auto& [tool, c] : a.tools)
        row("  " + one_line(tool, 60) + ": " + count_of(c.started, "call") + statuses(c));
      all.started += a.model.started;
      all.ended += a.model.ended;
      all.uncounted += a.model.uncounted;
    }
    row("all: " + cost_of(all, v_.cost()));
    budgets();
  }

  /// The arguments of a tool's call are those that it was begun with.
  void each_call(const std::string& agent) {
    std::map<std::pair<std::uint64_t, std::uint64_t>, const event*> open; // by run and number
    auto line = [&](const event& begun, const event* end) {
      auto c = events::call_of(begun);
      auto text = "  call " + std::to_string(c.number) + " (run " + std::to_string(begun.run) + "): ";
      auto how = end == nullptr ? "no end is known" : one_line(end->reason, 40);
      if (c.model)
        return row(text + how
                   + (end == nullptr || end->use == usage{} ? "" : ", " + tokens_text(end->use, 0, true) + cost_text(end->use)));
      auto sent = begun.said.empty() ? o_.arguments.end() : o_.arguments.find(begun.said.back());
      row(text + one_line(begun.target, 60) + " " + how
          + (sent == o_.arguments.end() ? "" : ": " + one_line(sent->second, longest_arguments)));
    };
    for (const auto& e : events_) {
      if (e.agent != agent)
        continue;
      if (e.type == event_type::call_started)
        open[{e.run, events::call_of(e).number}] = &e;
      if (e.type != event_type::call_ended)
        continue;
      auto begun = open.extract({e.run, events::call_of(e).number});
      line(begun ? *begun.mapped() : e, &e);
    }
    for (auto& [at, begun] : open)
      line(*begun, nullptr);
  }

  /// How the budgets of the task and of its agents stand.
  void budgets() {
    auto one = [&](const std::string& whose, const budget& b, const amount& spent, const amount& reserved) {
      std::string text;
      for (auto u : {budget_unit::tokens, budget_unit::usd})
        if (auto limit = limit_of(b, u); limit > 0)
          text += (text.empty() ? "" : ", ") + share_text(in(spent, u), limit, u)
                  + (in(reserved, u) > 0 ? " (" + share_text(in(reserved, u), limit, u) + " reserved)" : "");
      if (!text.empty())
        row("budget of " + whose + ": " + text);
    };
    one("the task", v_.state.rules.budget, ledger::spent(v_.state), ledger::reserved(v_.state));
    for (const auto& m : v_.state.members)
      one(name(m.id), m.budget, m.spent, ledger::reserved(m));
  }

  static std::string cost_of(const call_view& c, const usage& use) {
    auto text = calls_text(c.started, use, "model call", c.without_requests()) + statuses(c);
    auto open = c.started - std::min(c.started, c.ended);
    return c.started == 0 ? text : text + ", " + tokens_text(use, open, true) + cost_text(use, open);
  }

  void sources() {
    for (std::size_t i = 0; i < o_.sources.size(); ++i) {
      const auto& [agent, source] = o_.sources[i];
      if (i == 0)
        title("Sources");
      if (i == 0 || agent != o_.sources[i - 1].first)
        row(name(agent) + ":");
      row("  " + one_line(source, 320));
    }
  }

  void deliveries() {
    if (!o_.deliveries.empty())
      title("Applied");
    for (const auto& line : o_.deliveries)
      row(line);
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
