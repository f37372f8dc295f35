// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/delivery_log.hpp"

#include "app/task_changes.hpp"
#include "app/task_hold.hpp"
#include "protocols/events.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"
#include "transports/event_store.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <future>
#include <system_error>
#include <thread>
#include <utility>

namespace conclave {

namespace {

constexpr int tries = 50; ///< where another process writes to the same log: as long as the store waits for locks
constexpr auto pause = std::chrono::milliseconds(100);
constexpr std::uint64_t first_read = 16; ///< events from the end of the log

/// Where a log stands.
struct log_end {
  std::uint64_t seq = 0;
  std::int64_t last_ms = 0;
  std::vector<event> deliveries; ///< behind the end of the task
};

/// What the log lacks, in order; seq and time (if it is earlier than the log's last) are set by whoever appends it.
using lacking = std::function<std::vector<event>(const std::vector<event>& told)>;

enum class ending : std::uint8_t { told, not_here, not_ended, unreadable, unwritable };

bool failed(ending how) {
  return how == ending::unreadable || how == ending::unwritable;
}

bool holds(const std::vector<event>& told, const event& e) {
  return std::any_of(told.begin(), told.end(), [&e](auto& x) { return x.type == e.type && x.label == e.label; });
}

/// Reads the end of a log of `seq` events: from its last ones on, farther back until that of the task is there.
ending read_end(event_store& store, const std::string& task, std::uint64_t seq, log_end& out, std::string& error) {
  for (auto back = first_read;; back *= 4) {
    auto after = seq > back ? seq - back : 0;
    auto ended = false;
    out = {};
    for (auto& stored : store.read(task, after, error)) {
      event e;
      if (!wire::from_json(stored.json, e)) {
        error = "event " + std::to_string(stored.seq) + " cannot be read";
        return ending::unreadable;
      }
      ended = ended || e.type == event_type::task_ended;
      out.seq = stored.seq;
      out.last_ms = std::max(out.last_ms, e.time_ms);
      if (is_delivery(e.type))
        out.deliveries.push_back(std::move(e));
    }
    if (!error.empty())
      return ending::unreadable;
    if (ended)
      return ending::told;
    if (after == 0)
      return ending::not_ended;
  }
}

/// Appends, as the owner of the task with this fence. `last_ms`: of the row, which stays as the task left it.
bool append(event_store& store, const std::string& task, std::uint64_t fence, const log_end& at, std::int64_t last_ms,
            std::vector<event>& events, std::string& error) {
  append_batch batch;
  batch.note.time_ms = last_ms;
  auto seq = at.seq;
  auto time = at.last_ms;
  for (auto& e : events) {
    e.seq = ++seq;
    e.time_ms = time = std::max(time, e.time_ms);
    batch.events.push_back(wire::to_json(e));
    e.task = task;
  }
  auto reply = std::make_shared<std::promise<append_result>>();
  auto result = reply->get_future();
  store.append(task, fence, at.seq, std::move(batch), [reply](append_result r) { reply->set_value(std::move(r)); });
  auto got = result.get();
  error = got.error;
  return got.code == ec::none;
}

/// Appends what the log lacks: as the task's owner, for nobody else adds to it then.
ending append_lacking(event_store& store, const std::string& task, const lacking& of, std::vector<event>* told,
                      std::string& error) {
  for (auto n = 0; n < tries; ++n) {
    if (n > 0)
      std::this_thread::sleep_for(pause); // the other one is about to let go
    error.clear();
    auto row = store.find(task, error);
    if (!error.empty())
      return ending::unreadable;
    if (!row)
      return ending::not_here;
    if (row->outcome.empty())
      return ending::not_ended;
    log_end at;
    if (auto how = read_end(store, task, row->events, at, error); how != ending::told)
      return how;
    if (of(at.deliveries).empty())
      return ending::told;
    task_hold hold(store, task);
    auto& own = hold.claim();
    error = own.error;
    if (own.code == ec::denied)
      continue;
    if (own.code != ec::none)
      return ending::unwritable;
    auto how = read_end(store, task, own.seq, at, error);
    auto events = how == ending::told ? of(at.deliveries) : std::vector<event>{};
    if (!events.empty() && !append(store, task, own.fence, at, row->last_ms, events, error))
      how = ending::unwritable;
    hold.release();
    if (how == ending::told && told != nullptr)
      *told = std::move(events);
    return how;
  }
  return ending::unwritable;
}

std::vector<event> lacking_of(const std::vector<delivery::past>& all, const std::vector<event>& told) {
  std::vector<event> out;
  auto add = [&](event e, std::int64_t time_ms) {
    e.time_ms = time_ms;
    if (!holds(told, e))
      out.push_back(std::move(e));
  };
  for (auto& p : all) {
    add(events::changes_applied({p.target, p.paths, p.id}), p.applied_ms);
    if (p.undone())
      add(events::changes_undone({p.target, p.paths_undone, p.id}), p.undone_ms);
  }
  std::stable_sort(out.begin(), out.end(), [](auto& a, auto& b) { return a.time_ms < b.time_ms; });
  return out;
}

std::string fault_text(const std::string& task, const std::string& why, const char* next) {
  return "what was written stands, but the log of task " + task + " does not tell of it: " + why + "; " + next;
}

/// Of one task. What the log tells is marked in the journal.
ending log_journal(event_store& store, const std::string& journal, const std::string& task, std::vector<event>* told,
                   std::string& error) {
  auto all = delivery::history(journal);
  if (all.empty())
    return ending::told;
  auto how = append_lacking(
      store, task, [&all](auto& known) { return lacking_of(all, known); }, told, error);
  if (how == ending::told)
    delivery::mark_noted(journal, all);
  return how;
}

constexpr const char* told_later = "the next run, apply or undo adds it";

} // namespace

std::string log_deliveries(event_store& store, const std::string& home, const std::string& task, std::vector<event>* told) {
  std::string error;
  auto how = log_journal(store, journal_of(home, task), task, told, error);
  if (failed(how))
    return fault_text(task, error, told_later); // those of others could not be told either
  log_left_deliveries(store, home);
  return how == ending::not_ended ? fault_text(task, "it has not ended", told_later) : std::string{};
}

std::string log_left_deliveries(event_store& store, const std::string& home) {
  std::string first;
  std::error_code e;
  for (std::filesystem::directory_iterator at{home + "/deliveries", e}, end; !e && at != end; at.increment(e)) {
    auto journal = at->path().string(), task = at->path().filename().string();
    std::string error;
    auto how = delivery::has_unnoted(journal) ? log_journal(store, journal, task, nullptr, error) : ending::told;
    if (failed(how) && first.empty())
      first = fault_text(task, error, told_later);
    if (how == ending::unwritable) // nor can others, each after its wait
      break;
  }
  return first;
}

std::string log_branches(event_store& store, const std::string& task, const std::string& branch,
                         const std::vector<committed_folder>& made, std::int64_t now_ms) {
  if (made.empty())
    return {};
  auto of = [&](const std::vector<event>& told) {
    std::vector<event> out;
    for (auto& m : made) {
      auto e = events::changes_applied({m.folder, m.paths.size(), m.commit, branch});
      e.time_ms = now_ms;
      if (!holds(told, e))
        out.push_back(std::move(e));
    }
    return out;
  };
  std::string error;
  auto how = append_lacking(store, task, of, nullptr, error);
  if (how == ending::told || how == ending::not_here)
    return {};
  return fault_text(task, failed(how) ? error : "it has not ended", "git log tells of the branch");
}

} // namespace conclave
