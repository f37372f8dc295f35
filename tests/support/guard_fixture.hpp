// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A breaker in front of a peer that plays what it is given. To be included behind CAF_SUITE.

#include "actors/circuit_breaker.hpp"
#include "actors/provider_gate.hpp"
#include "protocols/caf_error.hpp"
#include "support/fixture.hpp"

#include <deque>

#undef allow // a macro of the test DSL

using namespace conclave;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

struct peer_state {
  std::deque<completion> replies;
  std::deque<caf::error> errors; ///< taken first
  std::vector<caf::typed_response_promise<completion>> hanging;
  std::vector<std::int64_t> allowed; ///< requests, by call
  std::vector<std::int64_t> limits;  ///< in ms, by call
  bool hang = false;
  int calls = 0;
  int cancels = 0;
};

backend_actor::behavior_type peer(backend_actor::pointer self, std::shared_ptr<peer_state> st) {
  return {
      [self, st](model_request& r, chunk_sink_actor&) -> caf::result<completion> {
        ++st->calls;
        st->allowed.push_back(r.max_requests);
        st->limits.push_back(r.total_timeout_ms);
        if (st->hang) {
          st->hanging.push_back(self->make_response_promise<completion>());
          return caf::delegated<completion>{};
        }
        if (!st->errors.empty()) {
          auto e = st->errors.front();
          st->errors.pop_front();
          return e;
        }
        if (st->replies.empty())
          return completion{};
        auto c = st->replies.front();
        st->replies.pop_front();
        return c;
      },
      [st](const cancel_call&) -> caf::result<cancel_done> {
        ++st->cancels;
        for (auto& p : st->hanging) {
          completion c;
          c.status = completion_status::cancelled;
          p.deliver(c);
        }
        auto any = !st->hanging.empty();
        st->hanging.clear();
        return cancel_done{any};
      },
      [](const describe_backend&) -> caf::result<backend_info> { return backend_info{}; },
      [st](const ladder_note&) { // lets what hangs succeed
        for (auto& p : st->hanging)
          p.deliver(completion{});
        st->hanging.clear();
      },
  };
}

chunk_sink_actor::behavior_type sink_of(std::shared_ptr<std::vector<std::string>> seen) {
  return {[seen](const chunk_batch& b) {
    for (auto& c : b.chunks)
      seen->push_back(c.text);
  }};
}

completion broken(ec code, std::int64_t retry_after_ms = -1) {
  completion c;
  c.status = completion_status::broken;
  c.code = code;
  c.error = "POST /v1: " + to_string(code);
  c.retry_after_ms = retry_after_ms;
  return c;
}

struct guard_fixture : conclave::test::fixture {
  std::shared_ptr<peer_state> st = std::make_shared<peer_state>();
  std::shared_ptr<std::vector<std::string>> shown = std::make_shared<std::vector<std::string>>();
  backend_actor guarded;
  backend_actor guard;
  chunk_sink_actor sink;
  std::vector<completion> done;
  std::vector<caf::error> failed;
  std::vector<caf::actor> callers;
  bool one_bill = false;
  std::int64_t budget = max_vain_requests, limit = 600'000;

  guard_fixture() {
    guarded = sys.spawn(peer, st);
    guard = spawn_guarded_backend(sys, guarded, random_stream{1});
    sink = sys.spawn(sink_of, shown);
  }

  ~guard_fixture() {
    st->hanging.clear();
    kill(guard);
    kill(guarded);
    kill(sink);
    for (auto& c : callers)
      kill(c);
  }

  void call(std::uint64_t run = 1) {
    model_request r;
    r.task = "t";
    r.agent = "a";
    r.run = run;
    r.call = run;
    r.max_requests = budget;
    r.one_bill = one_bill;
    r.total_timeout_ms = limit;
    callers.push_back(sys.spawn([this, r](caf::event_based_actor* me) {
      me->request(guard, caf::infinite, r, sink)
          .then([this](completion& c) { done.push_back(std::move(c)); }, [this](caf::error& e) { failed.push_back(std::move(e)); });
    }));
    settle();
  }

  void cancel(std::uint64_t run) {
    caf::anon_send(guard, cancel_call{"t", "a", run, 0});
    settle();
  }

  void pass(milliseconds t) {
    advance_time(t);
    settle();
  }

  /// Closes the gate: five failures without a try left after the first.
  void trip() {
    for (std::uint64_t i = 0; i < 5; ++i) {
      auto c = broken(ec::unavailable);
      c.retryable_hint = false;
      st->replies.push_back(c);
      call(100 + i);
    }
    done.clear();
    st->calls = 0;
  }

  /// After something happened to the probe: the next call must get through.
  void check_gate_opens() {
    done.clear();
    failed.clear();
    st->hang = false;
    st->calls = 0;
    call(900);
    CAF_CHECK_EQUAL(st->calls, 1);
    CAF_REQUIRE_EQUAL(done.size(), 1u);
    CAF_CHECK(done[0].status == completion_status::finished);
    call(901); // the success has closed the matter
    CAF_CHECK_EQUAL(st->calls, 2);
  }
};

} // namespace
