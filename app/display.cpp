// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/display.hpp"

#include "app/event_text.hpp"
#include "app/plain_text.hpp"
#include "app/status_line.hpp"
#include "app/usage_text.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/verdict.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace conclave {

namespace {

constexpr std::size_t longest_piece = 2'000;    // columns of a line that has no end yet, where lines are not broken
constexpr std::size_t least_room = 20;          // columns a text gets beside its head
constexpr std::size_t most_told = 64;           // causes that are remembered
constexpr std::int64_t progress_every_ms = 80;  // a terminal need not be redrawn for every token
constexpr std::int64_t status_every_ms = 1'000; // nor for every tenth of a second
constexpr std::int64_t status_again_ms = 300;   // but it comes back soon after a line took its place
constexpr std::int64_t piece_ms = 1'000;        // a line that cannot be shown on its way is not held back for longer,
constexpr std::int64_t short_piece_ms = 10'000; // a few words are: a slow model would write one a line
constexpr std::size_t short_piece = 40;         // bytes
constexpr std::int64_t silence_ms = 30'000;     // without a terminal: a line when there was none for so long
constexpr std::int64_t keep_start_ms = 300;     // agents are started together
constexpr std::int64_t keep_trouble_ms = 1'500; // one outage reaches all agents, though not in the same moment
constexpr std::array<const char*, 6> colours{"36", "33", "35", "32", "34", "31"};

std::int64_t patience(event_type x) {
  switch (x) {
  case event_type::run_started:
    return keep_start_ms;
  case event_type::agent_error:
  case event_type::agent_notice:
  case event_type::agent_timeout:
  case event_type::agent_out:
    return keep_trouble_ms;
  default:
    return -1;
  }
}

} // namespace

display::display(display_options options, writer out) : options_(std::move(options)), out_(std::move(out)) {
  measure();
}

void display::measure() {
  if (options_.width_now)
    options_.width = options_.width_now();
  if (options_.width > 0)
    options_.width = std::max<std::size_t>(options_.width, 20);
  auto most = options_.width == 0 ? longest_name : std::clamp<std::size_t>(options_.width / 3, 8, longest_name);
  name_width_ = std::min(std::max<std::size_t>(longest_id_, view_.agents.size() > 1 ? 3 : 0), most); // "all"
}

void display::on(const event& e) {
  if (finished_)
    return;
  view_.on(e);
  stored_ = stored_ || e.seq > 0;
  last_ms_ = e.time_ms;
  if (e.type == event_type::session_start)
    for (const auto& a : view_.agents)
      longest_id_ = std::max(longest_id_, columns(one_line(a.id, longest_name)));
  if (e.type == event_type::presentation_started || e.type == event_type::presentation_retried)
    presenting_.insert(e.run);
  measure();
  // What has waited for its time does not wait for a clock.
  if (std::any_of(kept_.begin(), kept_.end(), [&](const kept_line& k) { return k.due_ms < e.time_ms; }))
    release();
  // That the winner presents was said.
  bool said = e.type == event_type::run_started && presenting_.count(e.run) > 0 && !options_.verbose;
  auto text = said ? std::string{} : event_text(e, view_);
  if (text.empty() && options_.verbose)
    text = event_detail(e, view_);
  // What an agent streamed belongs above the line that says what became of it.
  if (!e.agent.empty() && (!text.empty() || e.type == event_type::run_ended))
    flush(e.agent);
  if (text.empty())
    return;
  if (patience(e.type) == keep_trouble_ms)
    return trouble(e);
  if (auto wait = patience(e.type); wait >= 0 && !e.agent.empty())
    return keep({e.time_ms, e.time_ms + wait, e.type, text, {}, {e.agent}});
  bool stood = has_progress_ && says_status_;
  line(e.time_ms, e.agent, text);
  if (stood && now() - progress_ms_ >= status_again_ms)
    status(); // it does not blink with every event
}

/// A cause is written in full once. Agents that report it at about the same time share the line; later ones refer to it.
void display::trouble(const event& e) {
  auto full = event_text(e, view_);
  auto wait = e.time_ms + patience(e.type);
  auto same = std::find_if(kept_.begin(), kept_.end(), [&](const kept_line& k) { return k.type == e.type && k.text == full; });
  auto known = std::find_if(told_.rbegin(), told_.rend(),
                            [&](const told_cause& t) { return !t.reason.empty() && e.reason.ends_with(t.reason); });
  auto notice = e.type == event_type::agent_notice;
  if (same != kept_.end() || known == told_.rend() || notice) {
    if (known == told_.rend() && told_.size() < most_told && !notice)
      told_.push_back({e.reason, {e.agent}});
    else if (known != told_.rend())
      known->agents.push_back(e.agent);
    return keep({e.time_ms, wait, e.type, full, e.reason, {e.agent}});
  }
  auto text = event_text(e, view_, shorter(e, *known));
  known->agents.push_back(e.agent);
  keep({e.time_ms, wait, e.type, text, e.reason, {e.agent}});
}

/// What a stream says about itself, often the cause of a wait: "...: connection refused; trying again in 500 ms". That the next try
/// ended like the one before is told only when everything is.
void display::hint(const std::string& agent, const std::string& text) {
  auto shown = shortened(text, longest_error);
  auto same = std::any_of(kept_.begin(), kept_.end(), [&](const kept_line& k) { return k.text == shown; });
  auto cause = text.substr(0, text.rfind("; "));
  auto known = std::find_if(told_.begin(), told_.end(), [&](const told_cause& t) { return t.reason == cause; });
  if (!same && known != told_.end()) {
    if (!options_.verbose || cause == text)
      return;
    shown = shortened(text.substr(cause.size() + 2), longest_error);
  } else if (!same && cause != text && told_.size() < most_told) {
    told_.push_back({cause, {agent}});
  } else if (known != told_.end()) {
    known->agents.push_back(agent);
  }
  keep({now(), now() + keep_start_ms, event_type::unknown, shown, {}, {agent}});
}

/// What is said of a trouble whose cause stands above.
std::string display::shorter(const event& e, const told_cause& known) const {
  auto rest = e.reason.substr(0, e.reason.size() - known.reason.size());
  constexpr std::string_view joint = ", the last: ";
  if (rest.ends_with(joint))
    rest.resize(rest.size() - joint.size());
  bool own = std::find(known.agents.begin(), known.agents.end(), e.agent) != known.agents.end();
  if (!rest.empty())
    return because(rest);
  if (own)
    return e.type == event_type::agent_out ? ", see above" : ", for the same reason";
  return ", for the same reason as " + one_line(known.agents.front(), longest_name);
}

void display::keep(kept_line x) {
  auto k = std::find_if(kept_.begin(), kept_.end(), [&](const kept_line& l) { return l.type == x.type && l.text == x.text; });
  if (k == kept_.end())
    k = kept_.insert(k, std::move(x));
  else if (std::find(k->agents.begin(), k->agents.end(), x.agents.front()) == k->agents.end())
    k->agents.push_back(x.agents.front());
  // That somebody is out stands below why: all causes that came meanwhile go first.
  if (k->type == event_type::agent_out)
    k = std::rotate(k, k + 1, kept_.end());
  // Nobody is left to say the same. What others may still say waits on.
  if (k->agents.size() == view_.agents.size() || view_.agents.size() < 2) {
    std::vector<kept_line> later(k + 1, kept_.end());
    kept_.erase(k + 1, kept_.end());
    release();
    kept_ = std::move(later);
  }
}

void display::release() {
  for (auto& k : std::exchange(kept_, {}))
    line(k.time_ms, k.agents.size() == 1 ? k.agents.front() : who_text(k.agents, view_),
         k.agents.size() == 1 ? k.text : plural(k.text));
}

void display::on(const chunk_batch& b) {
  if (finished_)
    return;
  measure();
  bool final_text = presenting_.count(b.run) > 0;
  bool muted = final_text ? options_.answer_follows : view_.agents.size() > most_streams && !options_.verbose;
  for (const auto& c : b.chunks)
    if (!muted || c.kind == chunk_kind::tool_call || c.kind == chunk_kind::status)
      feed(b.agent, b.run, c);
  if (!muted)
    progress(b.agent);
}

void display::feed(const std::string& agent, std::uint64_t run, const chunk& c) {
  if (c.kind == chunk_kind::tool_call || c.kind == chunk_kind::status) {
    // A verdict has an event of its own, which says what became of it.
    if (c.text.empty() || (c.kind == chunk_kind::tool_call && !options_.verbose && wire::is_workflow_tool(c.text)))
      return;
    flush(agent);
    if (c.kind == chunk_kind::tool_call)
      return line(now(), agent, "calls " + one_line(c.text, longest_name * 2));
    return hint(agent, c.text);
  }
  bool reasoning = c.kind == chunk_kind::reasoning;
  if (reasoning && !options_.verbose)
    return;
  auto in = reasoning ? voice::thought : presenting_.count(run) > 0 ? voice::final_answer : voice::text;
  auto& s = streams_[agent];
  if (s.run != run || s.in != in)
    flush(agent);
  s.run = run;
  s.in = in;
  // Short lines keep their shape; a longer one breaks at a space where there is one.
  auto head = columns(stream_head(agent, in)) + 1;
  auto limit = options_.width == 0 ? longest_piece : std::max(least_room, options_.width - std::min(options_.width, head));
  if (s.text.empty())
    s.since_ms = now();
  for (std::size_t from = 0; from < c.text.size();) {
    auto lf = c.text.find('\n', from);
    auto part = std::min(lf == std::string::npos ? c.text.size() : lf, from + 4 * limit);
    s.text.append(c.text, from, part - from);
    from = part;
    while (s.text.size() > limit && columns(s.text) > limit) {
      auto cut = prefix_within(s.text, limit);
      auto space = s.text.rfind(' ', cut);
      bool at_space = space != std::string::npos && space > 0;
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
  auto name = view_.find(who) ? one_line(who, std::max<std::size_t>(name_width_, 4)) : one_line(who);
  auto width = columns(name);
  return name + std::string(name_width_ > width ? name_width_ - width : 0, ' ');
}

std::string display::painted(const std::string& agent, const std::string& text) const {
  auto* a = options_.colour ? view_.find(agent) : nullptr;
  return a ? std::string("\x1b[") + colours[(a->number - 1) % colours.size()] + "m" + text + "\x1b[0m" : text;
}

void display::line(std::int64_t time_ms, const std::string& who, const std::string& text) {
  if (!kept_.empty())
    release();
  auto time = seconds(time_ms - view_.started_ms);
  time.insert(0, time.size() < 7 ? 7 - time.size() : 0, ' ');
  auto name = padded(who);
  auto used = columns(time) + columns(name) + 4;
  auto indent = std::min(used, 11 + name_width_);
  indent = indent + least_room <= options_.width ? indent : 4;
  auto rest = wrapped(text, options_.width == 0 ? 0 : options_.width - 1, used, indent);
  if (options_.colour)
    time = "\x1b[2m" + time + "\x1b[0m";
  emit(time + "  " + painted(who, name) + "  " + rest + "\n");
}

/// A line without time and agent.
void display::say(const std::string& text) {
  emit("         " + wrapped(text, options_.width == 0 ? 0 : options_.width - 1, 9, 11) + "\n");
}

/// A narrow terminal spares the room below the times.
std::string display::stream_head(const std::string& agent, voice in) const {
  auto mark = in == voice::thought ? " ~ " : in == voice::final_answer ? " > " : " | ";
  return std::string(options_.width > 0 && options_.width < 60 ? 0 : 9, ' ') + padded(agent) + mark;
}

void display::stream_line(const std::string& agent, const stream& s, std::string_view text) {
  if (!kept_.empty())
    release();
  if (s.in != voice::text && !std::exchange(legend_said_, true))
    say(options_.verbose ? "(~ thoughts, | text, > the final answer)" : "(| text, > the final answer)");
  auto safe = for_terminal(std::string(text));
  if (options_.colour && s.in == voice::thought)
    safe = "\x1b[2m" + safe + "\x1b[0m";
  emit(painted(agent, stream_head(agent, s.in)) + safe + "\n");
}

void display::progress(const std::string& agent) {
  auto i = streams_.find(agent);
  if (!options_.progress || i == streams_.end() || i->second.text.empty())
    return;
  auto time = now();
  if (has_progress_ && time - progress_ms_ < progress_every_ms)
    return;
  progress_ms_ = time;
  has_progress_ = true;
  says_status_ = false;
  // One column is left free: some terminals wrap as soon as the last one is filled.
  auto head = stream_head(agent, i->second.in);
  auto text = one_line(i->second.text, 0);
  auto room = options_.width - std::min(options_.width - 2, columns(head) + 1);
  auto dim = options_.colour && i->second.in == voice::thought;
  out_("\r\x1b[K" + (columns(head) + 2 < options_.width ? painted(agent, head) : std::string{}) + (dim ? "\x1b[2m" : "")
       + text.substr(0, prefix_within(text, room)) + (dim ? "\x1b[0m" : ""));
}

void display::status() {
  auto text = status_text(view_, now());
  if (text.empty())
    return;
  if (!options_.progress) {
    line(now(), "", text);
    return;
  }
  if (columns(text) + 5 > options_.width)
    text = status_text(view_, now(), false);
  text = one_line("... " + text, options_.width - 1);
  progress_ms_ = now();
  has_progress_ = says_status_ = true;
  out_("\r\x1b[K" + (options_.colour ? "\x1b[2m" + text + "\x1b[0m" : text));
}

void display::tick() {
  if (finished_)
    return;
  measure();
  auto time = now();
  if (std::any_of(kept_.begin(), kept_.end(), [&](const kept_line& k) { return k.due_ms <= time; }))
    release();
  if (!options_.progress) {
    for (auto& [agent, s] : streams_)
      if (auto blank = s.text.rfind(' ');
          blank != std::string::npos && blank > 0 && time - s.since_ms >= (blank < short_piece ? short_piece_ms : piece_ms)) {
        stream_line(agent, s, std::string_view(s.text).substr(0, blank));
        s.text.erase(0, blank + 1);
        s.since_ms = time;
      }
    if (time - last_line_ms_ >= silence_ms)
      status();
    return;
  }
  // Text on its way keeps its place as long as it moves.
  if (time - progress_ms_ >= status_every_ms || (!has_progress_ && time - last_line_ms_ >= status_again_ms))
    status();
}

void display::clear_progress() {
  if (std::exchange(has_progress_, false))
    out_("\r\x1b[K");
}

void display::emit(const std::string& text) {
  clear_progress();
  last_line_ms_ = now();
  out_(text);
}

void display::note(const std::string& text) {
  release();
  say(one_line(text));
}

std::string why_no_answer(const outcome& o, std::size_t width) {
  auto begins = [&](const std::string& word) { return o.error.rfind(word, 0) == 0; };
  auto kind = to_string(o.kind);
  auto head = begins("no answer") ? "" : begins(kind) ? "no answer, " : "no answer, " + kind + (o.error.empty() ? "" : ": ");
  return head + (width > 0 ? shortened(o.error, width) : one_line(o.error));
}

void display::finish(const outcome& o) {
  if (finished_)
    return;
  measure();
  flush_all();
  // The end says it once more: a cause that waited for equal ones need not be said just above.
  if (o.kind != outcome_kind::answered)
    std::erase_if(kept_, [&](const kept_line& k) { return !k.reason.empty() && o.error.find(k.reason) != std::string::npos; });
  release();
  clear_progress();
  closing(o);
  finished_ = true;
}

void display::closing(const outcome& o) {
  if (o.kind == outcome_kind::answered && !o.winner.empty()) {
    auto text = "winner: " + one_line(o.winner, longest_name);
    std::uint32_t all = 0;
    for (auto n : view_.tally())
      all += n;
    if (view_.agents.size() > 1 && view_.selected)
      text += ", " + std::to_string(view_.winner_votes) + " of " + count_of(all, "vote");
    say(text);
  } else if (o.kind != outcome_kind::answered) {
    say(why_no_answer(o, longest_error));
  }
  auto cost = [](const call_view& model, const usage& use) {
    auto text = calls_text(model.started, use, "call", model.without_requests());
    auto open = model.started - std::min(model.started, model.ended);
    return model.started == 0 ? text : text + ", " + tokens_text(use, open) + cost_text(use, open);
  };
  call_view all;
  for (const auto& a : view_.agents) {
    std::uint64_t tools = 0;
    for (const auto& [name, calls] : a.tools)
      tools += calls.started;
    all.started += a.model.started;
    all.ended += a.model.ended;
    all.uncounted += a.model.uncounted;
    auto text = padded(a.id) + "  " + cost(a.model, a.use) + (tools == 0 ? "" : ", " + count_of(tools, "tool call"))
                + (a.out ? ", out" : "");
    auto shown = wrapped(text, options_.width == 0 ? 0 : options_.width - 1, 9, 11);
    auto head = std::min(shown.size(), padded(a.id).size());
    emit("         " + painted(a.id, shown.substr(0, head)) + shown.substr(head) + "\n");
  }
  if (view_.agents.size() > 1)
    say(padded("all") + "  " + cost(all, view_.cost()));
  if (o.kind == outcome_kind::answered && !o.finish_reason.empty() && o.finish_reason != "completed")
    say("finish reason: " + shortened(o.finish_reason, longest_error));
  if (o.truncated)
    say("warning: the answer was cut by the token limit");
  for (const auto& w : o.warnings)
    if (std::none_of(view_.agents.begin(), view_.agents.end(),
                     [&](const auto& a) { return a.out && w == a.id + " is out: " + a.out_reason; })) // its line says so
      say("warning: " + shortened(w, longest_error));
  if (!o.task.empty() && last_ms_ != 0 && !stored_)
    say("nothing of it is in the store: it cannot be shown or gone on with");
  else if (!o.task.empty())
    say("see it again: conclave show " + one_line(o.task, 80));
}

} // namespace conclave
