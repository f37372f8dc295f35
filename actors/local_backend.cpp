// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/backend.hpp"
#include "actors/leaving.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/type_ids.hpp"

#include <caf/all.hpp>

#include <map>
#include <set>

namespace conclave {

/// What the local server's transport reports. `generation` tells servers apart: a report of one we let go is stale.
struct server_progress {
  std::uint64_t generation = 0;
  std::string text;
};
struct server_ready {
  std::uint64_t generation = 0;
  local_endpoint endpoint;
};
struct server_failed {
  std::uint64_t generation = 0;
  ec code = ec::unknown;
  std::string text;
};

} // namespace conclave

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::server_progress)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::server_ready)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::server_failed)

namespace conclave {

namespace {

using local_impl =
    backend_actor::extend<caf::reacts_to<server_progress>, caf::reacts_to<server_ready>, caf::reacts_to<server_failed>>;

/// A call that waits for the server.
struct waiting_call {
  model_request req;
  chunk_sink_actor sink;
  caf::typed_response_promise<completion> promise;
};

struct local_state {
  static inline const char* name = "local_backend";
  backend_parts parts;
  local_model_options options;
  std::shared_ptr<conclave::outside> outside;
  std::uint64_t generation = 0;
  std::shared_ptr<local_model> server; ///< our counted use
  backend_actor inner;                 ///< once the server is ready
  std::int32_t slots = 1;
  std::vector<waiting_call> waiting;
  std::map<std::string, std::int32_t> slot_of; ///< agent -> slot: its prompt prefix stays cached
  std::string step;
  std::string last_failure; ///< why the last server was lost
};

using local_ptr = local_impl::stateful_pointer<local_state>;

completion not_run(completion_status status, ec code, std::string text) {
  completion c;
  c.status = status;
  c.code = code;
  c.error = std::move(text);
  return c;
}

void acquire(local_ptr self) {
  auto& st = self->state;
  if (st.server)
    return;
  auto generation = ++st.generation;
  auto weak = caf::actor_cast<caf::actor_addr>(self);
  auto post = [weak](auto msg) {
    if (auto strong = caf::actor_cast<caf::strong_actor_ptr>(weak))
      caf::anon_send(caf::actor_cast<local_impl>(strong), std::move(msg));
  };
  local_model::callbacks cb;
  cb.on_progress = [post, generation](std::string text) { post(server_progress{generation, std::move(text)}); };
  cb.on_ready = [post, generation](local_endpoint e) { post(server_ready{generation, std::move(e)}); };
  cb.on_failed = [post, generation](ec code, std::string text) { post(server_failed{generation, code, std::move(text)}); };
  st.server = st.outside->acquire_local_model(st.options, st.parts.http, std::move(cb));
}

void forward(local_ptr self, waiting_call call) {
  auto& st = self->state;
  auto [slot, added] = st.slot_of.emplace(call.req.agent, static_cast<std::int32_t>(st.slot_of.size()) % std::max(st.slots, 1));
  call.req.slot = slot->second;
  auto limit = std::chrono::milliseconds(call.req.total_timeout_ms + 60'000);
  auto promise = call.promise;
  auto asked = self->request(st.inner, limit, std::move(call.req), std::move(call.sink));
  asked.then(
      [self, promise, inner = st.inner, timer = asked.id()](completion& c) mutable {
        answered_in_time(self, timer);
        // Its connection was closed because the server died: that is a failure to be tried again, not somebody's wish.
        if (c.status == completion_status::cancelled && self->state.inner != inner) {
          c.status = completion_status::broken;
          c.code = ec::stream_broken;
          c.error = self->state.last_failure;
        }
        promise.deliver(std::move(c));
      },
      [promise](caf::error& e) mutable { promise.deliver(std::move(e)); });
}

local_impl::behavior_type local_backend(local_ptr self, backend_parts parts, local_model_options options,
                                        std::shared_ptr<outside> from) {
  self->state.step = parts.decision.empty() ? "schema" : parts.decision;
  self->state.parts = std::move(parts);
  self->state.options = std::move(options);
  self->state.outside = std::move(from);
  self->set_down_handler([self](const caf::down_msg& d) {
    auto& st = self->state;
    if (!st.inner || caf::actor_cast<caf::actor_addr>(st.inner) != d.source)
      return;                                               // one we let go
    self->send_exit(self, caf::exit_reason::user_shutdown); // whoever guards us says so, and the node makes another
  });
  self->set_exit_handler([self](caf::exit_msg& m) {
    for (auto& w : self->state.waiting)
      w.promise.deliver(not_run(completion_status::cancelled, ec::cancelled, "the connection is being closed"));
    self->state.waiting.clear();
    if (self->state.inner)
      self->send_exit(self->state.inner, caf::exit_reason::user_shutdown);
    self->state.server.reset(); // the last user out stops the server
    leave(self, m.reason);
  });
  return {
      [self](model_request& req, chunk_sink_actor& sink) -> caf::result<completion> {
        waiting_call call{std::move(req), std::move(sink), self->template make_response_promise<completion>()};
        if (self->state.inner) {
          forward(self, std::move(call));
        } else {
          self->state.waiting.push_back(std::move(call));
          acquire(self);
        }
        return caf::delegated<completion>{};
      },
      [self](const cancel_call& c) -> caf::result<cancel_done> {
        auto& waiting = self->state.waiting;
        for (auto i = waiting.begin(); i != waiting.end(); ++i)
          if (i->req.task == c.task && i->req.agent == c.agent && i->req.run == c.run) {
            i->promise.deliver(not_run(completion_status::cancelled, ec::none, ""));
            waiting.erase(i);
            return cancel_done{};
          }
        if (!self->state.inner)
          return cancel_done{};
        return self->delegate(self->state.inner, c);
      },
      [self](const describe_backend&) -> caf::result<backend_info> {
        backend_info info;
        info.step = self->state.step;
        info.dialect = self->state.parts.dialect->name;
        info.provider = "local model";
        info.context_tokens = self->state.parts.context_tokens;
        return info;
      },
      [self](const ladder_note& n) {
        if (n.step != "seen" && !self->state.parts.ladder_fixed)
          self->state.step = n.step;
      },
      [self](const server_progress& p) {
        if (p.generation != self->state.generation)
          return;
        std::set<std::string> told; // once per task, however many of its agents wait
        for (auto& w : self->state.waiting)
          if (told.insert(w.req.task).second)
            self->send(w.sink, chunk_batch{w.req.task, w.req.run, w.req.agent, {{chunk_kind::status, p.text}}});
      },
      [self](const server_ready& r) {
        auto& st = self->state;
        if (r.generation != st.generation || st.inner)
          return;
        auto resolved = st.parts;
        resolved.endpoint.base_url = r.endpoint.base_url;
        resolved.endpoint.api_key = r.endpoint.api_key;
        resolved.endpoint.id_slot = true;
        st.slots = r.endpoint.slots;
        st.inner = spawn_backend(self->home_system(), std::move(resolved));
        self->monitor(st.inner);
        auto waiting = std::move(st.waiting);
        st.waiting.clear();
        for (auto& w : waiting)
          forward(self, std::move(w));
      },
      [self](const server_failed& f) {
        auto& st = self->state;
        if (f.generation != st.generation)
          return;
        st.last_failure = f.text;
        if (st.inner) {
          self->send_exit(st.inner, caf::exit_reason::user_shutdown);
          st.inner = nullptr;
        }
        st.server.reset(); // the next call tries again; the ledger's back-off bounds that
        for (auto& w : st.waiting)
          w.promise.deliver(not_run(completion_status::broken, f.code, f.text));
        st.waiting.clear();
      },
  };
}

} // namespace

backend_actor spawn_local_backend(caf::actor_system& sys, backend_parts parts, local_model_options options,
                                  std::shared_ptr<outside> from) {
  return sys.spawn(local_backend, std::move(parts), std::move(options), std::move(from));
}

} // namespace conclave
