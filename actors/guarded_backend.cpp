// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/circuit_breaker.hpp"
#include "actors/leaving.hpp"
#include "actors/provider_gate.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/cost.hpp"
#include "protocols/text.hpp"
#include "protocols/type_ids.hpp"
#include "protocols/wire/error_kind.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <map>

namespace conclave {

struct retry_tick {
  std::uint64_t id = 0;
};

} // namespace conclave

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::retry_tick)

namespace conclave {

namespace {

using guard_impl = backend_actor::extend<caf::reacts_to<retry_tick>, caf::reacts_to<gate_answer>>;
using std::chrono::milliseconds;

/// A call in our care: at the gate, on the wire, or waiting to be tried again.
struct guarded_call {
  model_request req;
  chunk_sink_actor sink;
  std::uint32_t tries = 0;
  std::int64_t since_ms = 0; ///< when it came
  std::int64_t until_ms = 0; ///< its deadline, over all waits and tries
  std::int64_t tokens = 0;   ///< of its prompt, about
  bool waiting = false;      ///< not on the wire
  bool cancelled = false;
  usage used = {};                   ///< of the tries so far
  std::int64_t polls = 0;            ///< of these: to a server that was loading its model
  std::int64_t budget = 0;           ///< requests it may cost, without polls
  std::int64_t loading_until_ms = 0; ///< the server loads its model: when the first token is due; 0 = it does not
  std::uint32_t loading_polls = 0;
  completion last;
  caf::typed_response_promise<completion> promise;
};

struct guard_state {
  guard_state() {} // no aggregate: CAF would hand the actor itself to the first member
  static inline const char* name = "guarded_backend";
  backend_actor guarded;
  provider_gate_actor gate;
  bool owns_gate = false;
  breaker_policy policy;
  std::shared_ptr<const secrets_of_tasks> hidden;
  std::uint64_t ids = 0;
  std::map<std::uint64_t, guarded_call> calls;
  random_stream random;
};

/// Between two questions whether a model is loaded.
constexpr std::int64_t max_poll_ms = 5'000;

using guard_ptr = guard_impl::stateful_pointer<guard_state>;

std::int64_t now_ms(guard_ptr self) {
  return std::chrono::duration_cast<milliseconds>(self->clock().now().time_since_epoch()).count();
}

void finish(guard_ptr self, std::uint64_t id, completion c) {
  auto i = self->state.calls.find(id);
  if (i == self->state.calls.end())
    return;
  i->second.promise.deliver(std::move(c));
  self->state.calls.erase(i);
}

/// How long to wait before the next try, or -1: no further try.
std::int64_t wait_before(guard_ptr self, const guarded_call& call, const completion& c) {
  auto& p = self->state.policy;
  if (call.cancelled || c.status != completion_status::broken || c.semantic || c.model_fault || !c.retryable_hint
      || !(is_transient(c.code) || c.retry_asked) || c.code == ec::stream_broken || call.tries >= p.tries
      || call.used.requests - call.polls >= call.budget || (call.req.one_bill && c.usage.unreported > 0))
    return -1;
  if (c.retry_after_ms >= 0)
    return c.retry_after_ms <= p.retry_after_cap_ms ? c.retry_after_ms : -1;
  auto wait = std::min(p.retry_ms << std::min(call.tries - 1, 20u), p.retry_cap_ms);
  return wait - static_cast<std::int64_t>(self->state.random() % static_cast<std::uint32_t>(wait / 4 + 1)); // up to 25 % less
}

bool is_loading(const completion& c) {
  return c.status == completion_status::broken && c.code == ec::unavailable && !c.semantic && wire::is_loading(lower(c.said));
}

void judge(guard_ptr self, std::uint64_t id, completion c);

/// Asks the gate; it answers by `passed`, `tell` or `refused`.
void attempt(guard_ptr self, std::uint64_t id) {
  auto& st = self->state;
  auto i = st.calls.find(id);
  if (i == st.calls.end())
    return;
  auto& call = i->second;
  call.waiting = true;
  self->send(st.gate, enter_gate{self, id, call.req.model, call.tokens, call.since_ms, call.until_ms});
}

void leave_the_gate(guard_ptr self, std::uint64_t id, leave_gate l = {}) {
  l.id = id;
  self->send(self->state.gate, std::move(l));
}

void passed(guard_ptr self, std::uint64_t id) {
  auto& st = self->state;
  auto i = st.calls.find(id);
  if (i == st.calls.end()) // cancelled meanwhile
    return leave_the_gate(self, id);
  auto& call = i->second;
  auto now = now_ms(self);
  call.waiting = false;
  ++call.tries;
  auto req = call.req;
  req.total_timeout_ms = std::max<std::int64_t>(call.until_ms - now, 1);
  auto limit = milliseconds(std::max<std::int64_t>(req.total_timeout_ms, 1'000) + 150'000); // a local server may start first
  req.max_requests = std::max<std::int64_t>(call.budget - (call.used.requests - call.polls), 1);
  if (call.loading_until_ms > 0) // the deadline for the first token runs on
    req.first_token_timeout_ms = std::max<std::int64_t>(call.loading_until_ms - now, 1);
  auto asked = self->request(st.guarded, limit, std::move(req), call.sink);
  asked.then(
      [self, id, timer = asked.id()](completion& c) {
        answered_in_time(self, timer);
        if (auto& hidden = self->state.hidden; hidden && c.status != completion_status::finished)
          for (auto* text : {&c.error, &c.said})
            hidden->hide(*text);
        judge(self, id, std::move(c));
      },
      [self, id, timer = asked.id()](caf::error& e) {
        answered_in_time(self, timer);
        leave_the_gate(self, id);
        auto i2 = self->state.calls.find(id);
        if (i2 == self->state.calls.end())
          return;
        i2->second.promise.deliver(std::move(e)); // nothing was sent
        self->state.calls.erase(i2);
      });
}

void refused(guard_ptr self, gate_answer& a) {
  auto i = self->state.calls.find(a.id);
  if (i == self->state.calls.end())
    return;
  if (i->second.tries > 0)
    return finish(self, a.id, std::move(i->second.last));
  i->second.promise.deliver(not_yet(a.code, std::move(a.text), a.again_ms));
  self->state.calls.erase(i);
}

void tell(guard_ptr self, const guarded_call& call, std::string text) {
  self->send(call.sink, chunk_batch{call.req.task, call.req.run, call.req.agent, {{chunk_kind::status, std::move(text)}}});
}

/// A server that is loading its model has not failed: it is asked again until the first token is due. Returns whether it waits.
bool wait_for_model(guard_ptr self, std::uint64_t id, guarded_call& call, completion& c) {
  auto now = now_ms(self);
  auto first = call.loading_until_ms == 0;
  auto limit = call.req.first_token_timeout_ms > 0 ? call.req.first_token_timeout_ms : call.req.total_timeout_ms;
  if (first)
    call.loading_until_ms = now + limit;
  if (now >= call.loading_until_ms) {
    c.code = ec::timeout;
    c.error += "; the model was still loading when its first token was due (`first_token_timeout_seconds`)";
    return false;
  }
  --call.tries;
  call.waiting = true;
  auto wait = c.retry_after_ms > 0 ? std::min(c.retry_after_ms, max_poll_ms)
                                   : std::min(std::int64_t{1000} << std::min(call.loading_polls++, 8u), max_poll_ms);
  if (first)
    tell(self, call, c.error + "; waiting until the model is loaded, " + std::to_string(limit / 1000) + " s at most");
  call.last = std::move(c);
  self->delayed_send(self, milliseconds(std::min(wait, call.loading_until_ms - now)), retry_tick{id});
  return true;
}

/// What the end of a request says about its provider.
leave_gate report_of(guard_ptr self, const guarded_call& call, completion& c, std::int64_t wait) {
  using came = leave_gate::came;
  leave_gate out;
  out.since_ms = call.since_ms;
  if (c.usage.unreported == 0 && c.usage.input_tokens + c.usage.output_tokens > 0)
    out.tokens = c.usage.input_tokens + c.usage.output_tokens;
  if (c.status != completion_status::broken) {
    out.what = c.status == completion_status::cancelled ? came::nothing : came::answered;
    return out;
  }
  if (!is_outage(c.code) || c.model_fault)
    return out;
  // A 429 without a wait counts; one with a wait is the server pacing us. A long one, whatever its reason, fails the call now and
  // closes the gate until then.
  auto most = self->state.policy.retry_after_cap_ms;
  if (c.retry_after_ms > most) {
    c.error += "; the server asks for a wait of " + wait_text(c.retry_after_ms) + ", a call waits " + wait_text(most) + " at most";
    out.what = came::shut;
  } else if (c.code == ec::rate_limited && c.retry_after_ms >= 0) {
    out.what = came::paced;
  } else {
    out.what = wait >= 0 ? came::retried : call.cancelled ? came::nothing : came::failed;
  }
  out.wait_ms = c.retry_after_ms;
  out.failure = c.error;
  return out;
}

void judge(guard_ptr self, std::uint64_t id, completion c) {
  auto& st = self->state;
  auto i = st.calls.find(id);
  if (i == st.calls.end())
    return leave_the_gate(self, id);
  auto& call = i->second;
  auto loads = is_loading(c);
  call.polls += loads ? c.usage.requests : 0;
  add(call.used, c.usage);
  call.used.unreported = std::min<std::int64_t>(call.used.unreported, 1); // it counts calls
  c.usage = call.used;
  c.polls = call.polls;
  auto wait = loads ? -1 : wait_before(self, call, c);
  auto now = now_ms(self);
  auto in_time = wait < 0 || now + wait < call.until_ms;
  leave_the_gate(self, id, loads ? leave_gate{} : report_of(self, call, c, in_time ? wait : -1));
  if (loads && !call.cancelled)
    return wait_for_model(self, id, call, c) ? void() : finish(self, id, std::move(c));
  if (!in_time)
    c.error += "; its deadline (`timeout`) comes before another try";
  if (wait < 0 || !in_time)
    return finish(self, id, std::move(c));
  call.waiting = true;
  tell(self, call, c.error + "; trying again in " + std::to_string((wait + 99) / 100 * 100) + " ms");
  call.last = std::move(c);
  self->delayed_send(self, milliseconds(wait), retry_tick{id});
}

/// What a call has cost that ends before its try does.
usage used_by(const guarded_call& call) {
  auto use = call.used;
  if (!call.waiting)
    use.unreported = 1;
  return use;
}

guard_impl::behavior_type guard(guard_ptr self, backend_actor guarded, random_stream random, provider_gate_actor gate,
                                bool owns_gate, breaker_policy policy, std::shared_ptr<const secrets_of_tasks> hidden) {
  self->state.guarded = std::move(guarded);
  self->state.random = random;
  self->state.gate = std::move(gate);
  self->state.owns_gate = owns_gate;
  self->state.policy = policy;
  self->state.hidden = std::move(hidden);
  self->monitor(self->state.guarded);
  self->monitor(self->state.gate);
  self->set_down_handler([self](const caf::down_msg& d) { // of the connection, or of the gate, without which nothing passes
    // It would never answer what it was asked (CAF 0.17 drops promises in silence), and nothing that comes after.
    auto calls = std::move(self->state.calls);
    self->state.calls.clear();
    for (auto& [id, call] : calls) {
      completion c;
      c.status = completion_status::broken;
      c.code = ec::unavailable;
      c.error = "the connection to the model ended unexpectedly";
      c.usage = used_by(call);
      call.promise.deliver(std::move(c));
    }
    auto to_end = d.source == self->state.guarded.address() ? caf::actor_cast<caf::actor>(self->state.gate)
                                                            : caf::actor_cast<caf::actor>(self->state.guarded);
    if (self->state.owns_gate || d.source != self->state.guarded.address())
      self->send_exit(to_end, caf::exit_reason::user_shutdown);
    self->quit(d.reason);
  });
  self->set_exit_handler([self](caf::exit_msg& m) {
    auto calls = std::move(self->state.calls);
    self->state.calls.clear();
    for (auto& [id, call] : calls) {
      completion c;
      c.status = completion_status::cancelled;
      c.code = ec::cancelled;
      c.error = "the connection is being closed";
      c.usage = used_by(call);
      call.promise.deliver(std::move(c));
    }
    self->send_exit(self->state.guarded, m.reason);
    if (self->state.owns_gate)
      self->send_exit(self->state.gate, m.reason);
    self->quit(m.reason);
  });
  return {
      [self](model_request& req, chunk_sink_actor& sink) -> caf::result<completion> {
        auto id = ++self->state.ids;
        auto& call = self->state.calls[id];
        call.req = std::move(req);
        call.sink = std::move(sink);
        call.budget = std::max<std::int64_t>(call.req.max_requests, 1);
        call.since_ms = now_ms(self);
        call.until_ms = call.since_ms + std::max<std::int64_t>(call.req.total_timeout_ms, 1);
        call.tokens = input_tokens_of(call.req, call.req.messages, 0, usual_bytes_per_token);
        call.promise = self->template make_response_promise<completion>();
        attempt(self, id);
        return caf::delegated<completion>{};
      },
      [self](const cancel_call& c) -> caf::result<cancel_done> {
        std::vector<std::uint64_t> waiting;
        auto on_the_wire = false;
        for (auto& [id, call] : self->state.calls)
          if (call.req.task == c.task && call.req.agent == c.agent && call.req.run == c.run
              && (c.call == 0 || call.req.call == c.call)) {
            call.cancelled = true;
            if (call.waiting)
              waiting.push_back(id);
            else
              on_the_wire = true;
          }
        for (auto id : waiting) {
          leave_the_gate(self, id);
          auto last = self->state.calls[id].last;
          last.status = completion_status::cancelled;
          last.code = ec::cancelled;
          finish(self, id, std::move(last));
        }
        if (!waiting.empty() && !on_the_wire)
          return cancel_done{};
        return self->delegate(self->state.guarded, c);
      },
      [self](const describe_backend& d) -> caf::result<backend_info> { return self->delegate(self->state.guarded, d); },
      [self](const ladder_note& n) { self->send(self->state.guarded, n); },
      [self](const retry_tick& t) { attempt(self, t.id); },
      [self](gate_answer& a) {
        auto i = self->state.calls.find(a.id);
        if (a.what == gate_answer::says::go)
          passed(self, a.id);
        else if (a.what == gate_answer::says::refused)
          refused(self, a);
        else if (i != self->state.calls.end() && i->second.tries == 0) // else its wait was told already
          tell(self, i->second, std::move(a.text));
      },
  };
}

} // namespace

backend_actor spawn_guarded_backend(caf::actor_system& sys, backend_actor guarded, random_stream random, provider_gate_actor gate,
                                    breaker_policy policy, std::shared_ptr<const secrets_of_tasks> hidden) {
  return sys.spawn(guard, std::move(guarded), random, std::move(gate), false, policy, std::move(hidden));
}

backend_actor spawn_guarded_backend(caf::actor_system& sys, backend_actor guarded, random_stream random, breaker_policy policy,
                                    std::shared_ptr<const secrets_of_tasks> hidden) {
  return sys.spawn(guard, std::move(guarded), random, spawn_provider_gate(sys, "this model", policy), true, policy,
                   std::move(hidden));
}

} // namespace conclave
