// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/task_files.hpp"

#include "app/json_object.hpp"
#include "app/plain_text.hpp"
#include "app/usage_text.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"
#include "transports/home.hpp"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <mutex>
#include <sys/stat.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>

namespace conclave {

namespace {

using object = json_object;

/// What is read of the end of an events.jsonl, to find its last whole line: at first, and at most, which is more than an event can
/// be.
constexpr off_t first_read = off_t{64} << 10;
constexpr off_t most_read = off_t{64} << 20;

/// The end of a file from its last whole line on.
struct file_end {
  std::string error;
  std::string line;      ///< without its line feed
  off_t whole = 0;       ///< the file's size without what stands behind that line
  bool too_long = false; ///< no line ends, or none begins, in the part that may be read
};

file_end end_of(int fd, off_t size) {
  file_end out;
  for (auto wanted = first_read;; wanted *= 4) {
    auto from = std::max<off_t>(size - std::min(wanted, most_read), 0);
    std::string text(static_cast<std::size_t>(size - from), '\0');
    for (std::size_t done = 0; done < text.size();) {
      auto n = ::pread(fd, text.data() + done, text.size() - done, from + static_cast<off_t>(done));
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return {n < 0 ? std::strerror(errno) : "it became shorter", "", 0, false};
      done += static_cast<std::size_t>(n);
    }
    auto end = text.rfind('\n');
    auto before = end == std::string::npos || end == 0 ? std::string::npos : text.rfind('\n', end - 1);
    if (before == std::string::npos && from > 0) {
      out.too_long = wanted >= most_read;
      if (out.too_long)
        return out;
      continue;
    }
    if (end == std::string::npos)
      return out;
    auto begin = before == std::string::npos ? 0 : before + 1;
    out.line = text.substr(begin, end - begin);
    out.whole = from + static_cast<off_t>(end) + 1;
    return out;
  }
}

std::string or_null(const std::string& value) {
  return value.empty() ? "null" : wire::quote(value);
}

/// Returns the beginning of a text, cut at a character.
std::string preview(const std::string& text, std::size_t limit) {
  auto part = text.substr(0, 4 * limit + 4);
  std::size_t bytes = 0;
  for (std::size_t n = 0; n < limit && bytes < part.size(); ++n)
    bytes += prefix_within(std::string_view(part).substr(bytes), 0);
  return part.substr(0, bytes);
}

std::string seconds_json(std::int64_t ms) {
  char text[40];
  std::snprintf(text, sizeof text, "%lld.%03lld", static_cast<long long>(std::max<std::int64_t>(ms, 0) / 1000),
                static_cast<long long>(std::max<std::int64_t>(ms, 0) % 1000));
  return text;
}

std::string usd_json(std::int64_t nano) {
  char text[40];
  std::snprintf(text, sizeof text, "%lld.%09lld", static_cast<long long>(nano / 1'000'000'000),
                static_cast<long long>(nano % 1'000'000'000));
  return text;
}

/// Money, and what is counted apart of the tokens.
void add_costs(object& o, const usage& u) {
  o.number("cached_input_tokens", u.cached_input_tokens).number("cache_write_tokens", u.cache_write_tokens);
  o.number("cache_write_1h_tokens", u.cache_write_1h_tokens);
  o.number("reasoning_tokens", u.reasoning_tokens).number("audio_input_tokens", u.audio_input_tokens);
  o.number("audio_output_tokens", u.audio_output_tokens).number("hosted_calls", u.hosted_calls);
  o.add("cost_usd", u.cost_nano_usd <= 0 && u.unpriced > 0 ? "null" : usd_json(u.cost_nano_usd));
  o.number("unpriced_calls", u.unpriced);
}

/// Of a budget that limits something: its limits, what is spent and what is reserved for calls under way.
void add_budget(object& to, const budget& b, const amount& spent, const amount& reserved) {
  if (!b.limits())
    return;
  object o;
  for (auto u : {budget_unit::tokens, budget_unit::usd})
    if (auto limit = limit_of(b, u); limit > 0) {
      auto figure = [u](std::int64_t n) { return u == budget_unit::tokens ? std::to_string(n) : usd_json(n); };
      object of;
      of.add("limit", figure(limit)).add("spent", figure(in(spent, u))).add("reserved", figure(in(reserved, u)));
      o.add(to_string(u).c_str(), of.str());
    }
  to.add("budget", o.str());
}

std::string agent_json(const agent_view& a, const ledger::member* m) {
  object o;
  o.text("status", a.status).number("answer_count", static_cast<std::int64_t>(a.answers.size()));
  o.add("latest_answer_label", a.answers.empty() ? "null" : wire::quote(a.answers.back().label));
  if (a.votes.empty()) {
    o.add("vote_cast", "null");
  } else {
    const auto& x = a.votes.back();
    object vote;
    vote.text("voted_for_agent", x.target).text("voted_for_label", x.target_label).text("reason_preview", preview(x.reason, 100));
    o.add("vote_cast", vote.str());
  }
  o.number("times_restarted", a.restarts).add("last_activity", a.last_ms == 0 ? "null" : wire::quote(iso8601(a.last_ms)));
  if (a.error_ms == 0) {
    o.add("error", "null");
  } else {
    object error;
    error.text("type", to_string(a.error_code)).text("message", a.error).text("timestamp", iso8601(a.error_ms));
    o.add("error", error.str());
  }
  o.number("model_calls", static_cast<std::int64_t>(a.model.started));
  o.number("requests", a.use.requests).number("uncounted_calls", static_cast<std::int64_t>(a.model.without_requests()));
  // What nobody counted is unknown; 0 would say that it was for nothing.
  auto count = [&](const char* key, std::int64_t n) { o.add(key, is_unknown(n, a.use) ? "null" : std::to_string(n)); };
  count("input_tokens", a.use.input_tokens);
  count("output_tokens", a.use.output_tokens);
  o.number("unreported_calls", a.use.unreported);
  add_costs(o, a.use);
  if (m != nullptr)
    add_budget(o, m->budget, m->spent, ledger::reserved(*m));
  return o.str();
}

/// What the whole task cost.
std::string usage_json(const task_view& v) {
  object o;
  auto use = v.cost();
  std::uint64_t calls = 0, uncounted = 0;
  for (const auto& a : v.agents) {
    calls += a.model.started;
    uncounted += a.model.without_requests();
  }
  o.number("model_calls", static_cast<std::int64_t>(calls)).number("requests", use.requests);
  o.number("uncounted_calls", static_cast<std::int64_t>(uncounted));
  o.add("input_tokens", is_unknown(use.input_tokens, use) ? "null" : std::to_string(use.input_tokens));
  o.add("output_tokens", is_unknown(use.output_tokens, use) ? "null" : std::to_string(use.output_tokens));
  o.number("unreported_calls", use.unreported);
  add_costs(o, use);
  add_budget(o, v.state.rules.budget, ledger::spent(v.state), ledger::reserved(v.state));
  return o.str();
}

std::string coordination_json(const task_view& v) {
  object o;
  bool presenting = v.selected || v.presenting || v.has_final;
  o.text("phase", presenting ? "presentation" : v.state.round == 0 ? "initial_answer" : "enforcement");
  std::string active;
  std::size_t steps = 0;
  for (const auto& a : v.agents) {
    if (a.status == "streaming" && active.empty())
      active = a.id;
    // An answer is half of an agent's way, its vote (or being out) the other half; the last tenth is the presentation.
    steps += a.out || a.status == "voted" ? 2 : a.answers.empty() ? 0 : 1;
  }
  std::size_t percent = v.agents.empty() ? 0 : steps * 90 / (2 * v.agents.size());
  o.add("active_agent", or_null(active));
  o.number("completion_percentage", v.ended ? 100 : presenting ? 90 : static_cast<std::int64_t>(percent));
  o.number("round", v.state.round);
  o.flag("is_final_presentation", presenting && !v.ended);
  return o.str();
}

std::string results_json(const task_view& v) {
  object votes;
  auto tally = v.tally();
  for (std::size_t i = 0; i < v.agents.size() && i < tally.size(); ++i)
    if (tally[i] > 0 && !v.agents[i].answers.empty())
      votes.number(v.agents[i].answers.back().label, tally[i]);
  object o;
  o.add("votes", votes.str()).add("winner", or_null(v.winner));
  o.add("final_answer_preview", v.has_final ? wire::quote(preview(v.final_text, 200)) : "null");
  object files;
  for (const auto& a : v.agents)
    for (const auto& f : a.files)
      files.add(f.label, object{}.number("files", f.files).number("bytes", f.bytes).str());
  std::string changes;
  for (const auto& c : v.state.changes)
    changes += (changes.empty() ? "" : ", ") + object{}.text("folder", shown_text(c.folder, 4'096)).number("files", c.files).str();
  o.add("files", files.str()).add("changes", "[" + changes + "]");
  return o.str();
}

} // namespace

std::string status_json(const task_view& v, const std::string& task, const std::string& log_dir, std::int64_t now_ms) {
  object meta;
  meta.text("last_updated", iso8601(now_ms)).text("session_id", task).text("log_dir", log_dir).text("question", v.question);
  meta.text("start_time", iso8601(v.started_ms))
      .add("elapsed_seconds", seconds_json((v.ended ? v.last_ms : now_ms) - v.started_ms));
  object agents;
  for (const auto& a : v.agents)
    agents.add(a.id, agent_json(a, ledger::find(v.state, a.id)));
  auto finish = !v.ended                     ? "in_progress"
                : v.outcome == "answered"    ? (v.deadline ? "timeout" : "completed")
                : v.outcome == "timed_out"   ? "timeout"
                : v.outcome == "interrupted" ? "interrupted"
                                             : "error";
  auto details = !v.error.empty() ? v.error : v.finish_reason;
  object o;
  o.add("meta", meta.str()).add("coordination", coordination_json(v)).add("agents", agents.str()).add("results", results_json(v));
  o.add("usage", usage_json(v));
  o.flag("is_complete", v.ended).text("finish_reason", finish).add("finish_reason_details", or_null(details));
  o.add("outcome", v.ended ? wire::quote(v.outcome) : "null");
  return o.str() + "\n";
}

struct task_files::impl {
  impl(std::string d, std::string t, std::chrono::milliseconds e, std::shared_ptr<outside> o)
      : world(std::move(o)), dir(std::move(d)), task(std::move(t)), every(e) {}

  void fail(const std::string& text) {
    if (error.empty())
      error = text;
  }

  /// Opens the file behind its last whole line, whose number is `written`.
  void open_events() {
    auto path = dir + "/events.jsonl";
    auto give_up = [&](const std::string& why) {
      fail(why);
      ::close(std::exchange(fd, -1));
    };
    fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
      return fail("cannot open " + path + ": " + std::strerror(errno));
    auto size = ::lseek(fd, 0, SEEK_END);
    if (size < 0)
      return give_up("cannot read " + path + ": " + std::strerror(errno));
    auto end = end_of(fd, size);
    if (!end.error.empty())
      return give_up("cannot read " + path + ": " + end.error);
    event last;
    if (end.too_long || (end.whole > 0 && !wire::from_json(end.line, last)))
      return give_up(path + " ends in a line that is no event: nothing is added to it; move it away for a new one");
    written = last.seq;
    if (end.whole < size && ::ftruncate(fd, end.whole) != 0)
      give_up("cannot cut " + path + ": " + std::strerror(errno));
  }

  void append(const event& e) {
    if (fd < 0 && error.empty())
      open_events();
    if (e.seq <= written)
      return;
    auto line = wire::to_json(e) + "\n";
    for (std::size_t done = 0; fd >= 0 && done < line.size();) {
      auto n = ::write(fd, line.data() + done, line.size() - done);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0) {
        fail("cannot write " + dir + "/events.jsonl: " + std::strerror(errno));
        ::close(fd); // half a line is the last one: readers skip it
        fd = -1;
        return;
      }
      done += static_cast<std::size_t>(n);
    }
  }

  /// The thread: waits until something changed, writes, waits `every`. So a burst of events costs one write, and the last one is
  /// never older than `every`.
  void work() {
    std::unique_lock lock(mutex);
    while (!stopping) {
      changed.wait(lock, [this] { return dirty || stopping; });
      if (stopping)
        break;
      write(lock);
      changed.wait_for(lock, every, [this] { return stopping; });
    }
  } // finish() writes the last one

  void write(std::unique_lock<std::mutex>& lock) {
    dirty = false;
    auto text = status_json(view, task, dir, world->now_unix_ms());
    auto labels = std::exchange(new_labels, false) ? snapshot_mappings_json(view) : std::string{};
    lock.unlock(); // the disk may be slow; events go on meanwhile
    auto problem = write_atomically(dir + "/status.json", text);
    if (problem.empty() && !labels.empty())
      problem = write_atomically(dir + "/snapshot_mappings.json", labels);
    lock.lock();
    if (!problem.empty())
      fail(problem);
  }

  const std::shared_ptr<outside> world;
  const std::string dir, task;
  const std::chrono::milliseconds every;
  mutable std::mutex mutex;
  std::condition_variable changed;
  task_view view;
  std::string error;
  int fd = -1;
  std::uint64_t written = 0; ///< number of the last event in the file
  bool dirty = false, stopping = false;
  bool new_labels = false; ///< of answers or votes, since they were written
  bool seen = false;       ///< an event
  bool stored = false;     ///< an event of the task is in the store
  std::unique_ptr<host_thread> thread;
};

task_files::task_files(std::string dir, std::string task, std::chrono::milliseconds every, std::shared_ptr<outside> from)
    : impl_(std::make_unique<impl>(std::move(dir), std::move(task), every, std::move(from))) {
  if (impl_->dir.empty()) {
    impl_->error = "there is no log folder";
    impl_->stopping = true;
    return;
  }
  // A host may name a folder for its logs that is not there yet.
  for (auto slash = impl_->dir.find('/', 1); slash != std::string::npos; slash = impl_->dir.find('/', slash + 1))
    ::mkdir(impl_->dir.substr(0, slash).c_str(), 0700);
  if (::mkdir(impl_->dir.c_str(), 0700) != 0 && errno != EEXIST)
    impl_->fail("cannot make " + impl_->dir + ": " + std::strerror(errno));
  // No thread to be had: status.json is written once, by finish().
  impl_->thread = impl_->world->start_thread("task files", [i = impl_.get()] { i->work(); });
}

task_files::~task_files() {
  finish();
}

void task_files::on(const event& e) {
  std::lock_guard lock(impl_->mutex);
  if (impl_->stopping || is_delivery(e.type))
    return;
  impl_->view.on(e);
  impl_->new_labels = impl_->new_labels || e.type == event_type::snapshot_taken || e.type == event_type::vote_cast;
  impl_->seen = true;
  impl_->stored = impl_->stored || e.seq > 0;
  impl_->append(e);
  impl_->dirty = true;
  impl_->changed.notify_one();
}

void task_files::finish() {
  std::unique_lock lock(impl_->mutex);
  impl_->stopping = true;
  impl_->changed.notify_one();
  if (auto thread = std::exchange(impl_->thread, {})) {
    lock.unlock();
    thread->join();
    lock.lock();
  }
  if (impl_->dirty)
    impl_->write(lock);
  if (impl_->fd >= 0)
    ::close(std::exchange(impl_->fd, -1));
  // A run the store could not even begin: no command would ever name the folder, or delete it.
  std::error_code ignored;
  if (!impl_->dir.empty() && !impl_->stored && impl_->seen && impl_->written == 0)
    std::filesystem::remove_all(impl_->dir, ignored);
}

std::string task_files::error() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->error;
}

} // namespace conclave
