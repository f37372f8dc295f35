// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/display.hpp"

#include "app/plain_text.hpp"
#include "protocols/prompts.hpp"
#include "protocols/wire/verdict.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace conclave {

namespace {

constexpr std::size_t max_name = 24;           // columns an agent's name may take
constexpr std::size_t max_error = 1000;        // of the cause, where it is said last
constexpr std::size_t max_reason = 160;        // columns of a reason on an event's line
constexpr std::int64_t progress_every_ms = 80; // a terminal need not be redrawn for every token
constexpr std::array<const char*, 6> colours{"36", "33", "35", "32", "34", "31"};

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const auto& n : names)
    out += (out.empty() ? "" : ", ") + one_line(n, max_name);
  return out.empty() ? "none" : out;
}

std::string because(const std::string& reason) {
  return reason.empty() ? "" : ": " + one_line(reason, max_reason);
}

std::string trouble(const event& e) {
  return e.code == ec::none ? one_line(e.reason, max_reason) : to_string(e.code) + because(e.reason);
}

bool is_model(const event& e) {
  return e.target.empty() || e.target == "model";
}

} // namespace

display::display(display_options options, writer out) : options_(std::move(options)), out_(std::move(out)) {
  options_.width = std::max<std::size_t>(options_.width, 20);
}

void display::on(const event& e) {
  if (finished_)
    return;
  view_.on(e);
  last_ms_ = e.time_ms;
  if (e.type == event_type::session_start) {
    name_width_ = 0;
    for (const auto& a : view_.agents)
      name_width_ = std::max(name_width_, columns(one_line(a.id, max_name)));
  }
  auto text = describe(e);
  if (text.empty() && options_.verbose)
    text = describe_more(e);
  // What an agent streamed belongs above the line that says what became of it.
  if (!e.agent.empty() && (!text.empty() || e.type == event_type::run_ended))
    flush(e.agent);
  if (!text.empty())
    line(e.time_ms, e.agent, text);
  if (e.type == event_type::agent_error && !e.flag)
    last_trouble_[e.agent] = e.reason;
}

void display::on(const chunk_batch& b) {
  if (finished_)
    return;
  if (options_.width_now)
    options_.width = std::max<std::size_t>(options_.width_now(), 20);
  for (const auto& c : b.chunks)
    feed(b.agent, b.run, c);
  progress(b.agent);
}

void display::feed(const std::string& agent, std::uint64_t run, const chunk& c) {
  if (c.kind == chunk_kind::tool_call || c.kind == chunk_kind::status) {
    // A verdict has an event of its own, which says what became of it.
    if (c.text.empty() || (c.kind == chunk_kind::tool_call && !options_.verbose && wire::is_workflow_tool(c.text)))
      return;
    flush(agent);
    line(options_.now_ms ? options_.now_ms() : last_ms_, agent,
         c.kind == chunk_kind::tool_call ? "calls " + one_line(c.text, max_name * 2) : one_line(c.text, max_reason));
    return;
  }
  bool reasoning = c.kind == chunk_kind::reasoning;
  if (reasoning && !options_.verbose)
    return;
  auto& s = streams_[agent];
  if (s.run != run || s.reasoning != reasoning)
    flush(agent);
  s.run = run;
  s.reasoning = reasoning;
  // Short lines keep their shape; a longer one breaks at a space where there is one.
  std::size_t limit =
      std::max<std::size_t>(20, std::min<std::size_t>(80, options_.width - std::min(options_.width, name_width_ + 14)));
  for (std::size_t from = 0; from < c.text.size();) {
    auto lf = c.text.find('\n', from);
    auto part = std::min(lf == std::string::npos ? c.text.size() : lf, from + 4 * limit);
    s.text.append(c.text, from, part - from);
    from = part;
    while (columns(s.text) > limit) {
      auto cut = prefix_within(s.text, limit);
      auto space = s.text.rfind(' ', cut);
      bool at_space = space != std::string::npos && space > cut / 2;
      stream_line(agent, s, std::string_view(s.text).substr(0, at_space ? space : cut));
      s.text.erase(0, at_space ? space + 1 : cut);
    }
    if (from == lf && lf != std::string::npos) {
      stream_line(agent, s, s.text);
      s.text.clear();
      ++from;
    }
  }
}

void display::flush(const std::string& agent) {
  auto i = streams_.find(agent);
  if (i == streams_.end() || i->second.text.empty())
    return;
  stream_line(agent, i->second, i->second.text);
  i->second.text.clear();
}

void display::flush_all() {
  for (const auto& [agent, s] : streams_)
    flush(agent);
}

std::string display::padded(const std::string& who) const {
  auto name = one_line(who, max_name);
  auto width = columns(name);
  return name + std::string(name_width_ > width ? name_width_ - width : 0, ' ');
}

std::string display::painted(const std::string& agent, const std::string& text) const {
  auto* a = options_.colour ? view_.find(agent) : nullptr;
  return a ? std::string("\x1b[") + colours[(a->number - 1) % colours.size()] + "m" + text + "\x1b[0m" : text;
}

void display::line(std::int64_t time_ms, const std::string& who, const std::string& text) {
  auto time = seconds(time_ms - view_.started_ms);
  time.insert(0, time.size() < 7 ? 7 - time.size() : 0, ' ');
  if (options_.colour)
    time = "\x1b[2m" + time + "\x1b[0m";
  emit(time + "  " + painted(who, padded(who)) + "  " + text + "\n");
}

void display::stream_line(const std::string& agent, const stream& s, std::string_view text) {
  auto safe = prompts::for_terminal(std::string(text));
  if (options_.colour && s.reasoning)
    safe = "\x1b[2m" + safe + "\x1b[0m";
  emit("         " + painted(agent, padded(agent) + (s.reasoning ? " ~ " : " | ")) + safe + "\n");
}

void display::progress(const std::string& agent) {
  auto i = streams_.find(agent);
  if (!options_.progress || i == streams_.end() || i->second.text.empty())
    return;
  auto now = options_.now_ms ? options_.now_ms() : last_ms_;
  if (has_progress_ && now - progress_ms_ < progress_every_ms)
    return;
  progress_ms_ = now;
  has_progress_ = true;
  // One column is left free: some terminals wrap as soon as the last one is filled.
  auto head = "         " + padded(agent) + (i->second.reasoning ? " ~ " : " | ");
  auto text = one_line(i->second.text, 0);
  auto room = options_.width - std::min(options_.width - 2, columns(head) + 1);
  out_("\r\x1b[K" + (columns(head) + 2 < options_.width ? painted(agent, head) : std::string{})
       + text.substr(0, prefix_within(text, room)));
}

void display::clear_progress() {
  if (std::exchange(has_progress_, false))
    out_("\r\x1b[K");
}

void display::emit(const std::string& text) {
  clear_progress();
  out_(text);
}

void display::note(const std::string& text) {
  emit("         " + one_line(text) + "\n");
}

std::string display::describe(const event& e) const {
  switch (e.type) {
  case event_type::session_start:
    return count_of(e.labels.size(), "agent") + ": " + joined(e.labels);
  case event_type::round_started:
    return "round " + std::to_string(e.round);
  case event_type::run_started:
    return (e.number > 1 ? "starts again (attempt " + std::to_string(e.number) + ")" : std::string("starts"))
           + (e.labels.empty() ? "" : ", sees " + joined(e.labels));
  case event_type::call_started:
    return is_model(e) ? "" : "uses " + one_line(e.target, max_name * 2);
  case event_type::call_ended:
    return is_model(e) || e.reason == "finished" || e.reason == "ok"
               ? ""
               : one_line(e.target, max_name * 2) + " " + one_line(e.reason, 40);
  case event_type::new_answer:
    return "answered " + one_line(e.label, max_name) + " (" + count_of(characters(e.text), "character") + ")";
  case event_type::vote_cast:
    return "voted for " + one_line(e.target, max_name) + (e.target_label.empty() ? "" : "'s " + one_line(e.target_label, max_name))
           + because(e.reason);
  case event_type::vote_ignored:
    return "vote ignored: newer answers exist";
  case event_type::restart_triggered:
    return "has changed the answers: " + joined(e.labels) + " to look again";
  case event_type::agent_error:
    return (e.flag ? "notice, " : "failed, ") + trouble(e);
  case event_type::agent_timeout:
    return "ran out of time" + because(e.reason);
  case event_type::agent_out:
    return "is out" + what_is_new(e);
  case event_type::node_lost:
    return "node " + one_line(e.target, max_name) + " lost (" + joined(e.labels) + ")" + because(e.reason);
  case event_type::round_timeout:
    return "the round closes without " + joined(e.labels) + because(e.reason);
  case event_type::coordination_timeout:
    return "the time to decide is over";
  case event_type::final_agent_selected:
    return "wins with " + count_of(static_cast<std::size_t>(std::max<std::int64_t>(e.number, 0)), "vote")
           + (e.flag ? " (a tie)" : "") + because(e.reason);
  case event_type::presentation_started:
    return "presents";
  case event_type::presentation_retried:
    return "presents once more" + because(e.reason);
  case event_type::presentation_fallback:
    return "the stored answer is delivered instead" + because(e.reason);
  case event_type::final_answer:
    return "final answer (" + count_of(characters(e.text), "character") + (e.flag ? ", cut by the token limit)" : ")");
  case event_type::cancel_requested:
    return "ending early" + because(e.reason);
  default:
    return "";
  }
}

/// The reason of an agent's end without what its last failure said a line above.
std::string display::what_is_new(const event& e) const {
  auto i = last_trouble_.find(e.agent);
  if (i == last_trouble_.end() || i->second.empty() || !e.reason.ends_with(i->second))
    return ", " + trouble(e);
  auto rest = e.reason.substr(0, e.reason.size() - i->second.size());
  constexpr std::string_view joint = ", the last: ";
  if (rest.ends_with(joint))
    rest.resize(rest.size() - joint.size());
  return rest.empty() ? "" : ": " + one_line(rest, max_reason);
}

std::string display::describe_more(const event& e) const {
  switch (e.type) {
  case event_type::context_received:
    return "was shown " + joined(e.labels);
  case event_type::call_started:
    return "model call " + std::to_string(e.number);
  case event_type::call_ended:
    return (is_model(e) ? "model call " + std::to_string(e.number) : one_line(e.target, max_name * 2)) + " "
           + one_line(e.reason, 40)
           + (e.use == usage{} ? ""
                               : ", " + with_commas(e.use.input_tokens) + " + " + with_commas(e.use.output_tokens) + " tokens");
  case event_type::refused:
    return "refused" + because(e.reason);
  case event_type::restart_completed:
    return "looks again (restart " + std::to_string(e.number) + ")";
  case event_type::run_ended:
    return "run " + std::to_string(e.run) + " ended" + because(e.reason);
  case event_type::agent_cancelled:
    return "run " + std::to_string(e.run) + " cancelled";
  case event_type::unknown:
    return "event of a newer version";
  default:
    return "";
  }
}

std::string why_no_answer(const outcome& o, std::size_t width) {
  auto begins = [&](const std::string& word) { return o.error.rfind(word, 0) == 0; };
  auto kind = to_string(o.kind);
  auto head = begins("no answer") ? "" : begins(kind) ? "no answer, " : "no answer, " + kind + (o.error.empty() ? "" : ": ");
  return head + one_line(o.error, width);
}

void display::finish(const outcome& o) {
  if (finished_)
    return;
  flush_all();
  clear_progress();
  closing(o);
  finished_ = true;
}

void display::closing(const outcome& o) {
  auto say = [&](const std::string& text) { emit("         " + text + "\n"); };
  if (o.kind == outcome_kind::answered && !o.winner.empty()) {
    auto text = "winner: " + one_line(o.winner, max_name);
    std::uint32_t all = 0;
    for (auto n : view_.tally())
      all += n;
    if (view_.agents.size() > 1 && view_.selected)
      text += ", " + std::to_string(view_.winner_votes) + " of " + count_of(all, "vote");
    say(text);
  } else if (o.kind != outcome_kind::answered) {
    say(why_no_answer(o, max_error));
  }
  for (const auto& a : view_.agents) {
    std::uint64_t tools = 0;
    for (const auto& [name, calls] : a.tools)
      tools += calls.started;
    say(painted(a.id, padded(a.id)) + "  " + count_of(a.model.started, "call") + ", " + with_commas(a.use.input_tokens)
        + " tokens in, " + with_commas(a.use.output_tokens) + " out" + (tools == 0 ? "" : ", " + count_of(tools, "tool call"))
        + (a.out ? ", out" : ""));
  }
  if (o.kind == outcome_kind::answered && !o.finish_reason.empty() && o.finish_reason != "completed")
    say("finish reason: " + one_line(o.finish_reason, max_reason));
  if (o.truncated)
    say("warning: the answer was cut by the token limit");
  for (const auto& w : o.warnings)
    if (std::none_of(view_.agents.begin(), view_.agents.end(),
                     [&](const auto& a) { return a.out && w == a.id + " is out: " + a.out_reason; })) // its line says so
      say("warning: " + one_line(w, max_reason));
  if (!o.task.empty())
    say("see it again: conclave show " + one_line(o.task, 80));
}

} // namespace conclave
