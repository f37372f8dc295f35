// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/backend.hpp"

#include "protocols/caf_error.hpp"
#include "protocols/type_ids.hpp"
#include "transports/http_client.hpp"

#include <caf/all.hpp>

#include <map>

namespace conclave {

/// Posted by the transport thread. Never cross nodes.
struct stream_head {
  std::uint64_t id = 0;
  http_head head;
};
struct stream_end {
  std::uint64_t id = 0;
  http_end end;
};
struct stream_tick {
  std::uint64_t id = 0;
};

} // namespace conclave

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::http_bytes)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::stream_head)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::stream_end)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::stream_tick)

namespace conclave {

namespace {

using backend_impl = backend_actor::extend<caf::reacts_to<http_bytes>, caf::reacts_to<stream_head>, caf::reacts_to<stream_end>,
                                           caf::reacts_to<stream_tick>>;
using clock = caf::actor_clock::clock_type;
using std::chrono::milliseconds;

/// A model call on the wire.
struct stream {
  std::string task, agent;
  std::uint64_t run = 0, call = 0;
  chunk_sink_actor sink;
  std::unique_ptr<wire::decoder> decoder;
  std::uint64_t transfer = 0;
  milliseconds first_token{0}, idle{0};
  clock::time_point started, last_byte;
  ec why = ec::none; ///< set when we ended the transfer ourselves
  std::string why_text;
  bool replied = false; ///< complete, only the connection is still draining
  bool hidden = false;  ///< a reply under a schema is for the program, not for eyes
  caf::typed_response_promise<completion> promise;
};

struct backend_state {
  static inline const char* name = "backend";
  backend_parts parts;
  std::string step;
  bool saw_tools = false;
  std::uint64_t ids = 0;
  std::map<std::uint64_t, stream> streams;
  clock::time_point last_chunk; ///< of any stream: a local server works on its slots in turn
};

using backend_ptr = backend_impl::stateful_pointer<backend_state>;

void reply(backend_ptr self, stream& s, http_end end) {
  if (s.replied)
    return;
  s.replied = true;
  if (s.why != ec::none) {
    end.code = s.why;
    end.error = s.why_text;
  }
  auto c = s.decoder->finish(end);
  if (!c.calls.empty())
    self->state.saw_tools = true;
  s.promise.deliver(std::move(c));
}

/// Ends the transfer for a reason of ours; the reply follows with on_done.
void abandon(backend_ptr self, stream& s, ec why, std::string text) {
  if (s.why == ec::none) {
    s.why = why;
    s.why_text = std::move(text);
  }
  self->state.parts.http->cancel(s.transfer);
}

/// The deadline the stream waits for now: the first semantic event, then the gap between bytes; after the end the connection may
/// drain.
void watch(backend_ptr self, std::uint64_t id) {
  auto i = self->state.streams.find(id);
  if (i == self->state.streams.end())
    return;
  auto& s = i->second;
  auto now = self->clock().now();
  if (s.replied) {
    self->state.parts.http->cancel(s.transfer);
    return;
  }
  auto semantic = s.decoder->semantic();
  // A local server reads one prompt at a time: the wait for a first token counts from the last sign of life of any slot.
  auto since = semantic                             ? s.last_byte
               : self->state.parts.endpoint.id_slot ? std::max(s.started, self->state.last_chunk)
                                                    : s.started;
  auto limit = semantic ? s.idle : s.first_token;
  if (limit.count() <= 0) {
    if (!semantic && s.idle.count() > 0) // no limit yet, but the next one must not be missed
      self->delayed_send(self, s.idle, stream_tick{id});
    return;
  }
  auto due = since + limit;
  if (now >= due) {
    auto seconds = std::to_string(limit.count() / 1000);
    abandon(self, s, ec::timeout,
            semantic ? "the stream was silent for " + seconds + " s" : "no first token within " + seconds + " s");
    return;
  }
  // Before the first token, bytes may turn the limit into the (shorter) idle one: look again then at the latest.
  auto wait = std::chrono::duration_cast<milliseconds>(due - now) + milliseconds(1);
  if (!semantic && s.idle.count() > 0)
    wait = std::min(wait, s.idle);
  self->delayed_send(self, wait, stream_tick{id});
}

http_client::callbacks posts_to(backend_ptr self, std::uint64_t id) {
  auto weak = caf::actor_cast<caf::actor_addr>(self);
  auto post = [weak](auto msg) {
    if (auto strong = caf::actor_cast<caf::strong_actor_ptr>(weak))
      caf::anon_send(caf::actor_cast<backend_impl>(strong), std::move(msg));
  };
  http_client::callbacks cb;
  cb.on_head = [post, id](http_head h) { post(stream_head{id, std::move(h)}); };
  cb.on_data = [post, id](std::string bytes) { post(http_bytes{id, std::move(bytes)}); };
  cb.on_done = [post, id](http_end end) { post(stream_end{id, std::move(end)}); };
  return cb;
}

caf::result<completion> start(backend_ptr self, model_request& req, chunk_sink_actor& sink) {
  auto& st = self->state;
  std::string error;
  auto http = st.parts.dialect->encode(req, st.parts.endpoint, error);
  if (!error.empty())
    return make_error(ec::bad_config, std::move(error));
  http.total_timeout_ms = req.total_timeout_ms;
  http.idle_timeout_ms = 0; // ours: it must not end the wait for a first token
  http.http2 = st.parts.endpoint.http2;
  auto id = ++st.ids;
  auto& s = st.streams[id];
  s.task = req.task;
  s.agent = req.agent;
  s.run = req.run;
  s.call = req.call;
  s.sink = std::move(sink);
  s.hidden = !req.schema.empty();
  s.decoder = st.parts.dialect->make_decoder(st.parts.endpoint);
  s.first_token = milliseconds(req.first_token_timeout_ms);
  s.idle = milliseconds(req.idle_timeout_ms);
  s.started = s.last_byte = self->clock().now();
  s.promise = self->template make_response_promise<completion>();
  s.transfer = st.parts.http->start(std::move(http), posts_to(self, id));
  watch(self, id);
  return caf::delegated<completion>{};
}

void receive(backend_ptr self, const http_bytes& read) {
  auto i = self->state.streams.find(read.id);
  if (i == self->state.streams.end() || i->second.replied)
    return;
  auto& s = i->second;
  s.last_byte = self->state.last_chunk = self->clock().now();
  chunk_batch batch;
  s.decoder->feed(read.bytes, batch.chunks);
  if (!batch.chunks.empty() && !s.hidden) {
    batch.task = s.task;
    batch.run = s.run;
    batch.agent = s.agent;
    self->send(s.sink, std::move(batch));
  }
  if (s.decoder->done()) {
    reply(self, s, http_end{});
    // The connection goes back to the pool if the server ends the body in time.
    self->delayed_send(self, milliseconds(2000), stream_tick{read.id});
  }
}

backend_impl::behavior_type backend(backend_ptr self, backend_parts parts) {
  self->state.step = parts.decision.empty() ? "tools" : parts.decision;
  self->state.parts = std::move(parts);
  self->set_exit_handler([self](caf::exit_msg& m) {
    for (auto& [id, s] : self->state.streams) {
      self->state.parts.http->cancel(s.transfer);
      reply(self, s, http_end{ec::cancelled, "the connection is being closed", 0, true});
    }
    self->quit(m.reason);
  });
  return {
      [self](model_request& req, chunk_sink_actor& sink) { return start(self, req, sink); },
      [self](const cancel_call& c) -> caf::result<cancel_done> {
        auto found = false;
        for (auto& [id, s] : self->state.streams)
          if (!s.replied && s.task == c.task && s.agent == c.agent && s.run == c.run && (c.call == 0 || s.call == c.call)) {
            abandon(self, s, ec::cancelled, "cancelled");
            found = true;
          }
        return cancel_done{found};
      },
      [self](describe_backend) -> caf::result<backend_info> {
        auto& st = self->state;
        backend_info info;
        info.step = st.step;
        info.saw_tools = st.saw_tools;
        info.dialect = st.parts.dialect->name;
        info.provider = st.parts.endpoint.provider;
        info.context_tokens = st.parts.context_tokens;
        return info;
      },
      [self](const ladder_note& n) {
        if (n.step == "seen")
          self->state.saw_tools = true;
        else if (!self->state.parts.ladder_fixed)
          self->state.step = n.step;
      },
      [self](const http_bytes& read) { receive(self, read); },
      [self](const stream_head& h) {
        auto i = self->state.streams.find(h.id);
        if (i != self->state.streams.end())
          i->second.decoder->head(h.head);
      },
      [self](const stream_end& e) {
        auto i = self->state.streams.find(e.id);
        if (i == self->state.streams.end())
          return;
        reply(self, i->second, e.end);
        self->state.streams.erase(i);
      },
      [self](const stream_tick& t) { watch(self, t.id); },
  };
}

} // namespace

backend_actor spawn_backend(caf::actor_system& sys, backend_parts parts) {
  return sys.spawn(backend, std::move(parts));
}

} // namespace conclave
