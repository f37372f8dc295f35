// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/provider_gate.hpp"

#include "actors/leaving.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/text.hpp"
#include "protocols/time_text.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <list>
#include <map>
#include <set>
#include <utility>

namespace conclave {

namespace {

using std::chrono::milliseconds;
using ticket = std::pair<caf::actor_id, std::uint64_t>; ///< whose request, and its id there

/// One that waits.
struct waiting_request {
  ticket of;
  enter_gate ask;
  std::string told; ///< what it was told that it waits for; empty = nothing yet
};

/// One that is under way.
struct passed_request {
  std::uint64_t taken = 0; ///< names it for the limiter
  bool probe = false;
};

struct gate_state {
  gate_state() {} // no aggregate: CAF would hand the actor itself to the first member
  static inline const char* name = "provider_gate";
  std::string host;
  std::shared_ptr<outside> world;
  breaker gate{breaker_policy{}};
  rate_limiter limits;
  std::list<waiting_request> queue; ///< in the order in which the calls came
  std::map<ticket, passed_request> passed;
  std::set<caf::actor_id> watched;
  std::int64_t paced_until_ms = 0;
  std::int64_t last_counted_ms = 0; ///< the last call given up
  std::string last_failure;
  std::int64_t due_ms = 0; ///< when the queue is looked at again; 0 = no timer
};

using gate_ptr = provider_gate_actor::stateful_pointer<gate_state>;
using says = gate_answer::says;
using came = leave_gate::came;

std::int64_t now_ms(gate_ptr self) {
  return std::chrono::duration_cast<milliseconds>(self->clock().now().time_since_epoch()).count();
}

void answer(gate_ptr self, const waiting_request& w, says what, ec code, std::string text, std::int64_t again_ms = -1) {
  self->send(w.ask.guest, gate_answer{w.of.second, what, code, std::move(text), again_ms});
}

/// What a request waits for; 0 ms = nothing.
rate_limiter::verdict wait_of(gate_ptr self, const waiting_request& w, std::int64_t now) {
  auto& st = self->state;
  if (now < st.paced_until_ms)
    return {st.paced_until_ms - now, "", false};
  return st.limits.wait(w.ask.model, w.ask.tokens, now, st.gate.policy().retry_after_cap_ms);
}

/// When a wait is over, for people: it stays the same however often somebody asks meanwhile, so that it is told once.
std::string end_of(gate_ptr self, std::int64_t wait_ms) {
  if (!self->state.world)
    return "in " + wait_text(wait_ms);
  auto& world = *self->state.world;
  auto at = world.now_unix_ms() + wait_ms;
  auto is_long = wait_ms > 3'600'000;
  return "at " + clock_text(at + (is_long ? 59'999 : 999), world.utc_offset_s(at), is_long ? "%Y-%m-%d %H:%M" : "%H:%M:%S");
}

std::string refused_text(gate_ptr self, std::int64_t now) {
  auto& gate = self->state.gate;
  auto& last = self->state.last_failure;
  auto left = gate.remaining_ms(now);
  auto what = last.empty() ? self->state.host : last;
  if (left == 0) // the same for whoever asks meanwhile
    return what + " (failed too often lately; one call tries whether it is back)";
  return what + (gate.is_paced(now) ? " (not tried before that wait is over, " : " (failed too often lately, tried again ")
         + end_of(self, left) + ")";
}

std::string limit_text(gate_ptr self, const rate_limiter::verdict& wait) {
  auto& host = self->state.host;
  return wait.limit.empty() ? "the rate limit of " + host : wait.limit + " of `rate_limits` (" + host + ")";
}

/// Refuses what cannot go, or not in time. Returns whether it did.
bool refuse(gate_ptr self, const waiting_request& w, const rate_limiter::verdict& wait, std::int64_t now) {
  auto& st = self->state;
  auto too_late = now + wait.ms >= w.ask.until_ms;
  auto too_long = wait.ms > st.gate.policy().retry_after_cap_ms;
  if (!st.gate.would_allow(now))
    answer(self, w, says::refused, ec::breaker_open, refused_text(self, now));
  else if (now >= w.ask.until_ms)
    answer(self, w, says::refused, ec::timeout, "the deadline of the call passed while it waited for " + w.told, 0);
  else if (wait.ms > 0 && (too_late || too_long))
    answer(self, w, says::refused, ec::rate_limited,
           limit_text(self, wait) + ": the next request goes " + end_of(self, wait.ms) + ", "
               + (too_late ? "after the deadline of this call" : "later than a call waits"),
           too_long ? -1 : wait.ms);
  else
    return false;
  return true;
}

void let_pass(gate_ptr self, const waiting_request& w, std::int64_t now) {
  auto& st = self->state;
  st.gate.allow(now);
  st.passed[w.of] = {st.limits.take(w.ask.model, w.ask.tokens, now), st.gate.probing()};
  answer(self, w, says::go, ec::none, {});
}

/// Lets pass who may, tells the others, and looks again when the next may. In order: a request that waits for a limit of the key
/// keeps all behind it, one that waits for a limit of its model those to that model.
void pump(gate_ptr self) {
  auto& st = self->state;
  auto now = now_ms(self);
  std::set<std::string> held; // models
  auto all_held = false;
  std::int64_t next = 0;
  std::string ahead; // what those in front wait for
  for (auto i = st.queue.begin(); i != st.queue.end();) {
    auto& w = *i;
    auto wait = wait_of(self, w, now);
    auto goes = wait.ms == 0 && !all_held && held.count(w.ask.model) == 0;
    if (refuse(self, w, wait, now)) {
      i = st.queue.erase(i);
      continue;
    }
    if (goes) {
      let_pass(self, w, now);
      i = st.queue.erase(i);
      continue;
    }
    auto at = wait.ms > 0 ? std::min(now + wait.ms, w.ask.until_ms) : w.ask.until_ms;
    next = next == 0 ? at : std::min(next, at);
    if (wait.ms > 0)
      ahead = limit_text(self, wait);
    if (w.told.empty()) // one line a wait: each request that goes before it changes the time a little
      answer(self, w, says::waits, ec::none, "waiting " + (wait.ms > 0 ? wait_text(wait.ms) + " for " : "for ") + ahead);
    w.told = ahead;
    if (wait.ms > 0 && wait.of_model)
      held.insert(w.ask.model);
    else if (wait.ms > 0)
      all_held = true;
    ++i;
  }
  if (next == 0 || (st.due_ms > now && st.due_ms <= next))
    return;
  st.due_ms = next;
  call_after(self, milliseconds(next - now), [self, next] {
    if (self->state.due_ms == next)
      self->state.due_ms = 0;
    pump(self);
  });
}

void enter(gate_ptr self, enter_gate& e, caf::actor_id of) {
  auto& st = self->state;
  if (st.watched.insert(of).second)
    self->monitor(e.guest);
  auto place = std::find_if(st.queue.begin(), st.queue.end(), [&](auto& w) { return w.ask.since_ms > e.since_ms; });
  st.queue.insert(place, {{of, e.id}, std::move(e), {}});
  pump(self);
}

/// A wait that the server asks for is told twice, by the head of its reply and by its end: the later one moves nothing.
void pace(gate_ptr self, std::int64_t wait_ms, std::int64_t now) {
  auto& st = self->state;
  if (wait_ms > st.gate.policy().retry_after_cap_ms)
    st.gate.pace_until(now + wait_ms);
  else
    st.paced_until_ms = std::max(st.paced_until_ms, now + wait_ms);
}

void leave(gate_ptr self, const leave_gate& l, const ticket& of) {
  auto& st = self->state;
  auto now = now_ms(self);
  st.queue.remove_if([&](auto& w) { return w.of == of; });
  auto p = st.passed.find(of);
  if (p == st.passed.end())
    return pump(self);
  auto probe = p->second.probe;
  // A probe that is cancelled, refused for its own fault or told to wait says nothing of the peer, but it must not stay the probe.
  if (probe)
    st.gate.undecided();
  if (l.tokens >= 0)
    st.limits.correct(p->second.taken, l.tokens);
  st.passed.erase(p);
  if (!l.failure.empty())
    st.last_failure = l.failure;
  auto failed = l.what == came::failed && l.since_ms >= st.last_counted_ms;       // calls that ran side by side count once
  if (failed || (probe && (l.what == came::failed || l.what == came::retried))) { // one probe decides: it has no second try
    st.last_counted_ms = now;
    st.gate.failure(now);
  } else if (l.what == came::answered) {
    st.gate.success();
  } else if (l.what == came::paced || l.what == came::shut) {
    pace(self, l.wait_ms, now);
  }
  pump(self);
}

provider_gate_actor::behavior_type provider_gate(gate_ptr self, std::string host, breaker_policy policy, rate_limits limits,
                                                 std::shared_ptr<outside> world) {
  self->state.host = shown_text(host, 100);
  self->state.world = std::move(world);
  self->state.gate = breaker{policy};
  self->state.limits.limit(limits);
  self->set_down_handler([self](const caf::down_msg& d) {
    auto& st = self->state;
    auto gone = d.source.id();
    st.watched.erase(gone);
    st.queue.remove_if([&](auto& w) { return w.of.first == gone; });
    for (auto i = st.passed.begin(); i != st.passed.end();) {
      if (i->first.first == gone && i->second.probe)
        st.gate.undecided();
      i = i->first.first == gone ? st.passed.erase(i) : std::next(i);
    }
    pump(self);
  });
  self->set_exit_handler([self](caf::exit_msg& m) {
    self->state.queue.clear();
    leave(self, m.reason);
  });
  return {
      [self](enter_gate& e) { enter(self, e, self->current_sender()->id()); },
      [self](const leave_gate& l) {
        leave(self, l, {self->current_sender()->id(), l.id});
      },
      [self](const gate_head& h) {
        auto now = now_ms(self);
        self->state.limits.learn(h.model, h.limits, now);
        if (h.wait_ms >= 0)
          pace(self, h.wait_ms, now);
        pump(self);
      },
      [self](const gate_limits& l) {
        self->state.limits.limit(l.limits);
        pump(self);
      },
  };
}

} // namespace

caf::error not_yet(ec code, std::string text, std::int64_t again_ms) {
  return caf::error{static_cast<std::uint8_t>(code), error_category, caf::make_message(std::move(text), again_ms)};
}

std::int64_t again_after(const caf::error& e) {
  return e && e.category() == error_category && e.context().match_elements<std::string, std::int64_t>()
             ? e.context().get_as<std::int64_t>(1)
             : -1;
}

provider_gate_actor spawn_provider_gate(caf::actor_system& sys, std::string name, breaker_policy policy, rate_limits limits,
                                        std::shared_ptr<outside> world) {
  return sys.spawn(provider_gate, std::move(name), policy, limits, std::move(world));
}

} // namespace conclave
