// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/backend.hpp"

#include "protocols/caf_error.hpp"
#include "protocols/type_ids.hpp"
#include "protocols/wire/http_reply.hpp"
#include "transports/http_client.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <map>
#include <optional>

namespace conclave {

/// Posted by the transport thread. Never cross nodes.
struct stream_end {
  std::uint64_t id = 0;
  std::shared_ptr<wire::decoder> decoder; ///< the transport's thread has let go of it; null when it had done so before
  http_end end;
  bool closed = false; ///< nothing more will come
};
struct stream_tick {
  std::uint64_t id = 0;
};

} // namespace conclave

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::stream_end)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::stream_tick)

namespace conclave {

namespace {

using backend_impl = backend_actor::extend<caf::reacts_to<stream_end>, caf::reacts_to<stream_tick>>;
using clock = caf::actor_clock::clock_type;
using std::chrono::milliseconds;

/// Decodes a model call on the transport's thread, so that a chunk costs one message, from the socket to the sink. The actor learns
/// of the end, and looks at the two times when a deadline is due.
class intake {
public:
  intake(std::shared_ptr<wire::decoder> decoder, caf::actor_addr backend, std::uint64_t id, chunk_sink_actor sink,
         chunk_batch frame)
      : decoder_(std::move(decoder)), backend_(std::move(backend)), id_(id), sink_(std::move(sink)), frame_(std::move(frame)) {}

  // -- the transport's thread --

  void on_head(const http_head& h) {
    if (decoder_)
      decoder_->head(h);
  }

  void on_data(std::string_view bytes) {
    last_byte_.store(clock::now(), std::memory_order_relaxed);
    if (!decoder_)
      return;
    auto batch = frame_;
    decoder_->feed(bytes, batch.chunks);
    if (!batch.chunks.empty() && sink_)
      caf::anon_send(sink_, std::move(batch));
    if (decoder_->semantic())
      semantic_.store(true, std::memory_order_relaxed);
    if (decoder_->done())
      post(http_end{}, false);
  }

  void on_done(http_end end) { post(std::move(end), true); }

  // -- any thread --

  bool semantic() const { return semantic_.load(std::memory_order_relaxed); }
  clock::time_point last_byte() const { return last_byte_.load(std::memory_order_relaxed); }

private:
  void post(http_end end, bool closed) {
    if (auto strong = caf::actor_cast<caf::strong_actor_ptr>(backend_))
      caf::anon_send(caf::actor_cast<backend_impl>(strong), stream_end{id_, std::move(decoder_), std::move(end), closed});
    decoder_ = nullptr;
  }

  std::shared_ptr<wire::decoder> decoder_;
  caf::actor_addr backend_; ///< weak: a transfer must not keep the actor alive
  std::uint64_t id_;
  chunk_sink_actor sink_; ///< none when the reply is not for eyes
  chunk_batch frame_;     ///< task, run and agent of every batch
  std::atomic<bool> semantic_{false};
  std::atomic<clock::time_point> last_byte_{clock::time_point{}};
};

/// A model call on the wire.
struct stream {
  model_request req;
  chunk_sink_actor sink;
  std::shared_ptr<intake> in;
  std::uint64_t transfer = 0;
  std::string asked; ///< method, address, model
  milliseconds first_token{0}, idle{0};
  clock::time_point started;
  ec why = ec::none; ///< set when we ended the transfer ourselves
  std::string why_text;
  bool without_options = false; ///< the request had no stream_options
  bool keyless = false;         ///< nothing like a key went along
  bool replied = false;         ///< complete, only the connection is still draining
  caf::typed_response_promise<completion> promise;
};

/// Where the decision ladder stands for one model.
struct ladder_place {
  std::string step;
  bool saw_tools = false;
};

struct backend_state {
  static inline const char* name = "backend";
  backend_parts parts;
  std::map<std::string, ladder_place> ladder; ///< by model
  std::uint64_t ids = 0;
  std::map<std::uint64_t, stream> streams;
  clock::time_point last_chunk;      ///< of the streams that have ended
  std::optional<caf::error> closing; ///< set once the actor only waits for the ends of its streams
};

using backend_ptr = backend_impl::stateful_pointer<backend_state>;

constexpr std::size_t max_models = 1000;

ladder_place& place_of(backend_ptr self, const std::string& model) {
  auto& st = self->state;
  if (st.ladder.size() > max_models)
    st.ladder.clear();
  auto [i, added] = st.ladder.try_emplace(model);
  if (added)
    i->second.step = st.parts.decision.empty() ? "tools" : st.parts.decision;
  return i->second;
}

/// The URL without what may be secret: user info, query.
std::string address_of(const std::string& url) {
  auto out = url.substr(0, url.find_first_of("?#"));
  auto host = out.find("://");
  host = host == std::string::npos ? 0 : host + 3;
  auto end = std::min(out.find('/', host), out.size());
  if (auto at = out.rfind('@', end); at != std::string::npos && at >= host)
    out.erase(host, at + 1 - host);
  return out;
}

/// `keyless`: the request carried no key, so none can be wrong.
const char* advice(const completion& c, bool keyless) {
  if (c.code == ec::unauthorized && keyless)
    return "; no key was sent: name its variable by `api_key_env` (--api-key-env)";
  return c.code == ec::unauthorized ? "; check the key" : c.error.starts_with("404") ? "; check `model` and `base_url`" : "";
}

completion completed(stream& s, wire::decoder& decoder, http_end end) {
  if (s.why != ec::none) {
    end.code = s.why;
    end.error = s.why_text;
  }
  return decoder.finish(end);
}

void reply(stream& s, completion c) {
  s.replied = true;
  // What a server refused says nothing of which server it was.
  if (c.status == completion_status::broken && !c.error.empty() && std::isdigit(static_cast<unsigned char>(c.error.front())) != 0)
    c.error = s.asked + ": " + c.error + advice(c, s.keyless);
  s.promise.deliver(std::move(c));
}

/// Whether the server refuses the one field that we add unasked, not every compatible server knows, and nothing depends on.
bool refuses_stream_options(const stream& s, const completion& c) {
  return s.why == ec::none && c.status == completion_status::broken && !c.semantic && c.code == ec::bad_request
         && (c.error.starts_with("400") || c.error.starts_with("422")) && c.error.find("stream_options") != std::string::npos;
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
  auto semantic = s.in->semantic();
  auto since = semantic ? s.in->last_byte() : s.started;
  // A local server reads one prompt at a time: the wait for a first token counts from the last sign of life of any slot.
  if (!semantic && self->state.parts.endpoint.id_slot) {
    since = std::max(since, self->state.last_chunk);
    for (auto& [other, o] : self->state.streams)
      since = std::max(since, o.in->last_byte());
  }
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

void transmit(backend_ptr self, std::uint64_t id, http_request http) {
  auto& st = self->state;
  auto& s = st.streams[id];
  s.asked = http.method + " " + address_of(http.url) + ", model " + s.req.model;
  wire::secrets_of(st.parts.endpoint).hide(s.asked);
  http.total_timeout_ms = s.req.total_timeout_ms;
  http.idle_timeout_ms = 0; // ours: it must not end the wait for a first token
  http.http2 = st.parts.endpoint.http2;
  http.trust = st.parts.trust;
  s.in = std::make_shared<intake>(st.parts.dialect->make_decoder(st.parts.endpoint), caf::actor_cast<caf::actor_addr>(self), id,
                                  s.sink, chunk_batch{s.req.task, s.req.run, s.req.agent, {}});
  s.started = self->clock().now();
  s.without_options = st.parts.endpoint.no_stream_options;
  auto& to = st.parts.endpoint;
  auto own_key = [](const auto& pair) { return names_a_secret(pair.first); };
  auto usual = [&](const backend_kind& k) { return to.api_key == k.default_key; }; // empty, or what servers without keys are sent
  s.keyless = std::any_of(backend_kinds().begin(), backend_kinds().end(), usual)
              && std::none_of(to.headers.begin(), to.headers.end(), own_key)
              && std::none_of(to.query.begin(), to.query.end(), own_key);
  http_client::callbacks callbacks;
  callbacks.on_head = [in = s.in](const http_head& h) { in->on_head(h); };
  callbacks.on_data = [in = s.in](const std::string& bytes) { in->on_data(bytes); };
  callbacks.on_done = [in = s.in](http_end end) { in->on_done(std::move(end)); };
  s.transfer = st.parts.http->start(std::move(http), std::move(callbacks));
}

caf::result<completion> start(backend_ptr self, model_request& req, chunk_sink_actor& sink) {
  auto& st = self->state;
  if (st.closing)
    return make_error(ec::unavailable, "the connection is being closed");
  std::string error;
  auto http = st.parts.dialect->encode(req, st.parts.endpoint, error);
  if (!error.empty())
    return make_error(ec::bad_config, std::move(error));
  auto id = ++st.ids;
  auto& s = st.streams[id];
  if (req.schema.empty())
    s.sink = std::move(sink); // a reply under a schema is for the program, not for eyes
  s.first_token = milliseconds(req.first_token_timeout_ms);
  s.idle = milliseconds(req.idle_timeout_ms);
  s.req = std::move(req);
  s.promise = self->template make_response_promise<completion>();
  transmit(self, id, std::move(http));
  watch(self, id);
  return caf::delegated<completion>{};
}

void ended(backend_ptr self, stream_end& e) {
  auto& st = self->state;
  auto i = st.streams.find(e.id);
  if (i == st.streams.end())
    return;
  if (e.decoder) {
    auto& s = i->second;
    auto c = completed(s, *e.decoder, std::move(e.end));
    if (e.closed && refuses_stream_options(s, c) && !s.without_options) {
      st.parts.endpoint.no_stream_options = true;
      std::string error;
      auto http = st.parts.dialect->encode(s.req, st.parts.endpoint, error);
      if (error.empty())
        return transmit(self, e.id, std::move(http)); // the tick that is under way watches this one
    }
    reply(s, std::move(c));
  }
  if (!e.closed) {
    // The connection goes back to the pool if the server ends the body in time.
    self->delayed_send(self, milliseconds(2000), stream_tick{e.id});
    return;
  }
  st.last_chunk = std::max(st.last_chunk, i->second.in->last_byte());
  st.streams.erase(i);
  if (st.closing && st.streams.empty())
    self->quit(*st.closing);
}

backend_impl::behavior_type backend(backend_ptr self, backend_parts parts) {
  self->state.parts = std::move(parts);
  self->set_exit_handler([self](caf::exit_msg& m) {
    auto& st = self->state;
    st.closing = m.reason;
    for (auto& [id, s] : st.streams)
      abandon(self, s, ec::cancelled, "the connection is being closed");
    if (st.streams.empty())
      self->quit(m.reason);
  });
  return {
      [self](model_request& req, chunk_sink_actor& sink) { return start(self, req, sink); },
      [self](const cancel_call& c) -> caf::result<cancel_done> {
        auto found = false;
        for (auto& [id, s] : self->state.streams)
          if (!s.replied && s.req.task == c.task && s.req.agent == c.agent && s.req.run == c.run
              && (c.call == 0 || s.req.call == c.call)) {
            abandon(self, s, ec::cancelled, "cancelled");
            found = true;
          }
        return cancel_done{found};
      },
      [self](const describe_backend& about) -> caf::result<backend_info> {
        auto& st = self->state;
        auto& place = place_of(self, about.model);
        backend_info info;
        info.step = place.step;
        info.saw_tools = place.saw_tools;
        info.dialect = st.parts.dialect->name;
        info.provider = st.parts.endpoint.provider;
        info.context_tokens = st.parts.context_tokens;
        return info;
      },
      [self](const ladder_note& n) {
        auto& place = place_of(self, n.model);
        if (n.step == "seen")
          place.saw_tools = true;
        else if (!self->state.parts.ladder_fixed && !place.saw_tools) // one weak reply is no reason to take its tools away
          place.step = n.step;
      },
      [self](stream_end& e) { ended(self, e); },
      [self](const stream_tick& t) { watch(self, t.id); },
  };
}

} // namespace

backend_actor spawn_backend(caf::actor_system& sys, backend_parts parts) {
  return sys.spawn(backend, std::move(parts));
}

} // namespace conclave
