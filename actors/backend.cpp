// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/backend.hpp"

#include "protocols/caf_error.hpp"
#include "protocols/catalogue.hpp"
#include "protocols/text.hpp"
#include "protocols/type_ids.hpp"
#include "protocols/wire/error_kind.hpp"
#include "protocols/wire/http_reply.hpp"
#include "protocols/wire/rate_headers.hpp"

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
using time_point = caf::actor_clock::time_point;
using std::chrono::milliseconds;

/// Decodes a model call on the transport's thread, so that a chunk costs one message, from the socket to the sink. The actor learns
/// of the end, and looks at the two times when a deadline is due.
class intake {
  static constexpr std::size_t long_event = 128 << 10; ///< bytes of one
  static constexpr std::size_t long_piece = 64 << 10;

public:
  intake(std::shared_ptr<wire::decoder> decoder, caf::actor_addr backend, std::uint64_t id, chunk_sink_actor sink,
         chunk_batch frame, const caf::actor_clock& clock, const provider_gate_actor& gate, std::string model)
      : gate_(caf::actor_cast<caf::actor_addr>(gate)), model_(std::move(model)), clock_(clock), decoder_(std::move(decoder)),
        backend_(std::move(backend)), id_(id), sink_(std::move(sink)), frame_(std::move(frame)) {}

  // -- the transport's thread --

  void on_head(const http_head& h) {
    redirects_ = h.redirects;
    tell_gate(h);
    if (decoder_)
      decoder_->head(h);
  }

  void on_data(std::string_view bytes) {
    if (!decoder_)
      return;
    auto batch = frame_;
    decoder_->feed(bytes, batch.chunks);
    if (!batch.chunks.empty() && sink_)
      show(std::move(batch));
    auto stopped = decoder_->stopped();
    if (auto n = decoder_->progress(); n != progress_ || stopped != this->stopped()) {
      progress_ = n;
      last_progress_.store(clock_.now(), std::memory_order_relaxed);
    }
    if (decoder_->semantic())
      semantic_.store(true, std::memory_order_relaxed);
    auto first = stopped && !stopped_.exchange(true, std::memory_order_relaxed);
    if (!stopped)
      stopped_.store(false, std::memory_order_relaxed);
    if (decoder_->done())
      post(http_end{}, false);
    else if (first) // a deadline sooner than the one that the actor waits for
      tell(stream_tick{id_});
  }

  /// Whether it takes so long to decode what comes next that others should not wait for it.
  bool takes_long() const { return decoder_ && decoder_->held() > long_event; }

  void on_done(http_end end) { post(std::move(end), true); }

  // -- any thread --

  bool semantic() const { return semantic_.load(std::memory_order_relaxed); }
  bool stopped() const { return stopped_.load(std::memory_order_relaxed); }
  time_point last_progress() const { return last_progress_.load(std::memory_order_relaxed); }

private:
  template <class Message>
  void tell(Message&& m) {
    if (auto strong = caf::actor_cast<caf::strong_actor_ptr>(backend_))
      caf::anon_send(caf::actor_cast<backend_impl>(strong), std::forward<Message>(m));
  }

  /// A long piece goes in several batches: whoever reads the stream is told of other streams in between, and holds no more of it
  /// than it wants.
  void show(chunk_batch batch) {
    auto is_long = [](const chunk& c) { return c.text.size() > long_piece; };
    if (std::none_of(batch.chunks.begin(), batch.chunks.end(), is_long))
      return caf::anon_send(sink_, std::move(batch));
    for (auto& c : batch.chunks)
      for (std::size_t at = 0; at < c.text.size();) {
        auto end = next_character(c.text, std::min(at + long_piece, c.text.size()));
        auto part = frame_;
        part.chunks.push_back({c.kind, c.text.substr(at, end - at)});
        caf::anon_send(sink_, std::move(part));
        at = end;
      }
  }

  /// Before the reply has come to its end: others wait for it.
  void tell_gate(const http_head& h) {
    auto told = gate_head{model_, wire::rate_states(h), h.status == 429 ? wire::retry_after_ms(h, h.at_s) : -1};
    if (told.limits.empty() && told.wait_ms < 0)
      return;
    if (auto strong = caf::actor_cast<caf::strong_actor_ptr>(gate_))
      caf::anon_send(caf::actor_cast<provider_gate_actor>(strong), std::move(told));
  }

  void post(http_end end, bool closed) {
    end.redirects = std::max(end.redirects, redirects_);
    tell(stream_end{id_, std::move(decoder_), std::move(end), closed});
    decoder_ = nullptr;
  }

  caf::actor_addr gate_; ///< weak, as `backend_`
  std::string model_;
  const caf::actor_clock& clock_; ///< of the system that the sink is in
  std::shared_ptr<wire::decoder> decoder_;
  caf::actor_addr backend_; ///< weak: a transfer must not keep the actor alive
  std::uint64_t id_;
  chunk_sink_actor sink_; ///< none when the reply is not for eyes
  chunk_batch frame_;     ///< task, run and agent of every batch
  int redirects_ = 0;
  std::uint64_t progress_ = 0; ///< as the decoder counted it last
  std::atomic<bool> semantic_{false}, stopped_{false};
  std::atomic<time_point> last_progress_{time_point{}};
};

/// A model call on the wire.
struct stream {
  model_request req;
  chunk_sink_actor sink;
  std::shared_ptr<intake> in;
  std::uint64_t transfer = 0;
  std::string asked; ///< method, address, model
  milliseconds first_token{0}, idle{0};
  time_point started;
  ec why = ec::none; ///< set when we ended the transfer ourselves
  std::string why_text;
  chunk_sink_actor eyes;     ///< what is done about a refusal is told there, also where the reply is not for eyes
  wire::quirks known;        ///< what the request was written with
  std::int64_t requests = 0; ///< that may have reached the server
  int resent = 0;
  bool few_left = false; ///< not every redirect may be followed: the requests are used up
  bool keyless = false;  ///< nothing like a key went along
  bool replied = false;  ///< complete, only the connection is still draining
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
  provider_gate_actor gate;
  std::map<std::string, ladder_place> ladder;  ///< by model
  std::map<std::string, wire::quirks> learned; ///< by model
  std::uint64_t ids = 0;
  std::map<std::uint64_t, stream> streams;
  time_point last_chunk;             ///< of the streams that have ended
  std::optional<caf::error> closing; ///< set once the actor only waits for the ends of its streams
};

using backend_ptr = backend_impl::stateful_pointer<backend_state>;

constexpr std::size_t max_models = 1000;
constexpr int max_resent = 8; ///< of one call: requests that the server refused and that cost nothing
/// What may follow a stop reason: usage, the end marker.
constexpr milliseconds stop_grace{5000};

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

completion completed(stream& s, wire::decoder& decoder, http_end end) {
  if (s.why != ec::none) {
    end.code = s.why;
    end.error = s.why_text;
  }
  return decoder.finish(end);
}

void reply(stream& s, completion c) {
  s.replied = true;
  c.usage.requests = s.requests;
  // One that was given up may have been worked on all the same, and nobody says what that cost.
  if (s.requests > 0 && (c.status == completion_status::cancelled || c.code == ec::timeout) && c.usage.input_tokens == 0
      && c.usage.output_tokens == 0)
    c.usage.unreported = 1;
  if (s.few_left && c.code == ec::bad_config && (c.error.starts_with("307") || c.error.starts_with("308"))) {
    c.code = ec::unavailable;
    c.error += "; not followed, the requests of this round are used up";
  }
  // What a server refused says nothing of which server it was.
  if (c.status == completion_status::broken && !c.error.empty() && std::isdigit(static_cast<unsigned char>(c.error.front())) != 0)
    c.error = s.asked + ": " + c.error + wire::advice(c.code, std::atoi(c.error.c_str()), c.said, s.keyless);
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

/// The deadline the stream waits for now: the first semantic event, then the gap between events that bring the reply on, then what
/// may follow a stop reason; after the end the connection may drain. Comments and pings move none of them.
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
  auto semantic = s.in->semantic(), stopped = s.in->stopped();
  auto since = semantic || stopped ? s.in->last_progress() : s.started;
  // A local server reads one prompt at a time: the wait for a first token counts from the last sign of life of any slot.
  if (!semantic && !stopped && self->state.parts.endpoint.id_slot) {
    since = std::max(since, self->state.last_chunk);
    for (auto& [other, o] : self->state.streams)
      since = std::max(since, o.in->last_progress());
  }
  auto limit = stopped ? stop_grace : semantic ? s.idle : s.first_token;
  if (limit.count() <= 0) {
    if (!semantic && s.idle.count() > 0) // no limit yet, but the next one must not be missed
      self->delayed_send(self, s.idle, stream_tick{id});
    return;
  }
  auto due = since + limit;
  if (now >= due && stopped) { // the reply is complete, only its end marker is missing
    self->state.parts.http->cancel(s.transfer);
    return;
  }
  if (now >= due) {
    auto seconds = std::to_string(limit.count() / 1000);
    abandon(self, s, ec::timeout,
            semantic ? "the stream was silent for " + seconds + " s" : "no first token within " + seconds + " s");
    return;
  }
  // Before the first token, an event may turn the limit into the (shorter) idle one: look again then at the latest.
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
  http.agent = s.req.agent;
  auto more = std::clamp<std::int64_t>(s.req.max_requests - s.requests - 1, 0, http.max_redirects);
  s.few_left = more < http.max_redirects;
  http.max_redirects = static_cast<int>(more);
  s.in = std::make_shared<intake>(st.parts.dialect->make_decoder(st.parts.endpoint), caf::actor_cast<caf::actor_addr>(self), id,
                                  s.sink, chunk_batch{s.req.task, s.req.run, s.req.agent, {}}, self->clock(), st.gate, s.req.model);
  s.started = self->clock().now();
  auto& to = st.parts.endpoint;
  auto own_key = [](const auto& pair) { return names_a_secret(pair.first); };
  auto usual = [&](const backend_kind& k) { return to.api_key == k.default_key; }; // empty, or what servers without keys are sent
  s.keyless = std::any_of(backend_kinds().begin(), backend_kinds().end(), usual)
              && std::none_of(to.headers.begin(), to.headers.end(), own_key)
              && std::none_of(to.query.begin(), to.query.end(), own_key);
  http_transfers::callbacks callbacks;
  callbacks.on_head = [in = s.in](const http_head& h) { in->on_head(h); };
  callbacks.on_data = [in = s.in](const std::string& bytes) { in->on_data(bytes); };
  callbacks.on_done = [in = s.in](http_end end) { in->on_done(std::move(end)); };
  callbacks.takes_long = [in = s.in] { return in->takes_long(); };
  s.transfer = st.parts.http->start(std::move(http), std::move(callbacks));
}

caf::result<completion> start(backend_ptr self, model_request& req, chunk_sink_actor& sink) {
  auto& st = self->state;
  if (st.closing)
    return make_error(ec::unavailable, "the connection is being closed");
  std::string error;
  if (st.learned.size() > max_models)
    st.learned.clear();
  auto& known = st.learned[req.model];
  auto http = st.parts.dialect->encode(req, st.parts.endpoint, known, error);
  if (!error.empty())
    return make_error(ec::bad_config, std::move(error));
  auto id = ++st.ids;
  auto& s = st.streams[id];
  s.known = known;
  s.eyes = sink;
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

/// Writes a refused request again in the form that the refusal asks for. Returns whether it is under way, under a new id.
bool ask_otherwise(backend_ptr self, std::uint64_t id, const completion& c, bool closed) {
  auto& st = self->state;
  auto& s = st.streams[id];
  if (s.why != ec::none || st.closing || c.status != completion_status::broken || c.semantic || s.resent >= max_resent
      || s.requests >= s.req.max_requests || c.said.empty() || (c.code != ec::bad_request && c.code != ec::unavailable))
    return false;
  std::string error;
  auto refused = st.parts.dialect->encode(s.req, st.parts.endpoint, s.known, error); // cheaper than to keep every body
  auto lesson = wire::learn(s.known, c.said, s.req, refused.body);
  if (lesson.empty())
    return false;
  auto& learned = st.learned[s.req.model];
  if (learned.absorb(s.known) && s.eyes) // another call may have taught it meanwhile
    self->send(s.eyes, chunk_batch{s.req.task,
                                   s.req.run,
                                   s.req.agent,
                                   {{chunk_kind::status, "from now on " + lesson + " (model " + s.req.model
                                                             + "): the server refused the request, \"" + wire::brief(c.said, 200)
                                                             + "\""}}});
  s.known = learned;
  auto http = st.parts.dialect->encode(s.req, st.parts.endpoint, s.known, error);
  if (!error.empty())
    return false;
  ++s.resent;
  if (!closed)
    st.parts.http->cancel(s.transfer);
  auto moved = st.streams.extract(id); // what still comes of the old transfer finds nobody
  moved.key() = ++st.ids;
  st.streams.insert(std::move(moved));
  transmit(self, st.ids, std::move(http));
  watch(self, st.ids);
  return true;
}

void ended(backend_ptr self, stream_end& e) {
  auto& st = self->state;
  auto i = st.streams.find(e.id);
  if (i == st.streams.end())
    return;
  if (e.decoder) {
    auto& s = i->second;
    s.requests += (e.end.sent || !e.closed ? 1 : 0) + e.end.redirects;
    auto c = completed(s, *e.decoder, std::move(e.end));
    if (ask_otherwise(self, e.id, c, e.closed))
      return;
    auto broken = c.code == ec::bad_reply;
    reply(s, std::move(c));
    if (broken && !e.closed) { // what breaks its protocol or a bound is not read on, nor is its connection used again
      st.parts.http->cancel(s.transfer);
      return;
    }
  }
  if (!e.closed) {
    // The connection goes back to the pool if the server ends the body in time.
    self->delayed_send(self, milliseconds(2000), stream_tick{e.id});
    return;
  }
  st.last_chunk = std::max(st.last_chunk, i->second.in->last_progress());
  st.streams.erase(i);
  if (st.closing && st.streams.empty())
    self->quit(*st.closing);
}

backend_impl::behavior_type backend(backend_ptr self, backend_parts parts, provider_gate_actor gate) {
  self->state.parts = std::move(parts);
  self->state.gate = std::move(gate);
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
        for (auto& [id, s] : self->state.streams)
          if (!s.replied && s.req.task == c.task && s.req.agent == c.agent && s.req.run == c.run
              && (c.call == 0 || s.req.call == c.call))
            abandon(self, s, ec::cancelled, "cancelled");
        return cancel_done{};
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

backend_actor spawn_backend(caf::actor_system& sys, backend_parts parts, provider_gate_actor gate) {
  return sys.spawn(backend, std::move(parts), std::move(gate));
}

} // namespace conclave
