// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/backend.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/text.hpp"
#include "protocols/type_ids.hpp"
#include "protocols/wire/thinking.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <map>

namespace conclave {

struct script_tick {
  std::uint64_t id = 0;
};

} // namespace conclave

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::script_tick)

namespace conclave {

namespace {

using scripted_impl = backend_actor::extend<caf::reacts_to<script_tick>>;

/// A call that is being played.
struct performance {
  model_request req;
  chunk_sink_actor sink;
  script_step step;
  std::size_t offset = 0;
  bool reasoned = false;
  wire::thinking_filter filter; ///< a script may play a model that thinks in its text
  wire::thinking_filter::parts said;
  caf::typed_response_promise<completion> promise;
};

struct scripted_state {
  static inline const char* name = "scripted_backend";
  std::vector<script_step> steps;
  std::size_t next = 0;
  std::int32_t used = 0; ///< uses of steps[next]
  std::string decision;
  std::uint64_t ids = 0;
  std::map<std::uint64_t, performance> running;

  const script_step* take() {
    while (next < steps.size()) {
      if (used < steps[next].repeat) {
        ++used;
        return &steps[next];
      }
      ++next;
      used = 0;
    }
    return nullptr;
  }

  std::int32_t leftover() const {
    std::int32_t n = 0;
    for (auto i = next; i < steps.size(); ++i)
      if (!steps[i].optional)
        n += steps[i].repeat - (i == next ? used : 0);
    return n;
  }
};

using scripted_ptr = scripted_impl::stateful_pointer<scripted_state>;

/// A script has no tokenizer: four bytes are counted as a token.
std::int64_t tokens(std::size_t bytes) {
  return static_cast<std::int64_t>((bytes + 3) / 4);
}

completion result_of(const performance& p, completion_status status) {
  completion c;
  c.status = status;
  auto said = p.said;
  auto filter = p.filter;
  filter.finish(said);
  c.text = std::move(said.text);
  wire::move_untagged(c.text, said.reasoning);
  c.semantic = p.offset > 0;
  for (auto& m : p.req.messages)
    c.usage.input_tokens += tokens(m.text.size());
  c.usage.output_tokens = tokens(p.offset);
  if (status == completion_status::finished || status == completion_status::truncated) {
    c.calls = p.step.calls;
    c.reasoning = p.step.reasoning + said.reasoning;
    c.semantic = c.semantic || !c.calls.empty();
    // One script may be played several times: ids must be unique within the task.
    for (std::size_t i = 0; i < c.calls.size(); ++i)
      if (c.calls[i].id.empty())
        c.calls[i].id = "call_" + std::to_string(p.req.run) + "_" + std::to_string(p.req.call) + "_" + std::to_string(i);
    for (auto& call : c.calls)
      c.usage.output_tokens += tokens(call.arguments.size());
  } else if (status == completion_status::broken) {
    c.code = p.step.error;
    c.error = "the script says " + to_string(p.step.error);
    c.retry_after_ms = p.step.retry_after_ms;
  }
  return c;
}

void finish(scripted_ptr self, std::uint64_t id) {
  auto i = self->state.running.find(id);
  auto& p = i->second;
  auto status = p.step.error != ec::none ? completion_status::broken
                : p.step.truncated       ? completion_status::truncated
                                         : completion_status::finished;
  p.promise.deliver(result_of(p, status));
  self->state.running.erase(i);
}

/// Sends the next chunk(s); with no delay between them all go in one batch, as one network read would bring them.
void play(scripted_ptr self, std::uint64_t id) {
  auto i = self->state.running.find(id);
  if (i == self->state.running.end())
    return;
  auto& p = i->second;
  chunk_batch batch{p.req.task, p.req.run, p.req.agent, {}};
  if (!p.reasoned && !p.step.reasoning.empty())
    batch.chunks.push_back({chunk_kind::reasoning, p.step.reasoning});
  p.reasoned = true;
  auto size = p.step.chunk_bytes > 0 ? static_cast<std::size_t>(p.step.chunk_bytes) : p.step.text.size();
  do {
    if (p.offset < p.step.text.size()) {
      auto end = next_character(p.step.text, p.offset + std::max<std::size_t>(size, 1));
      auto reasoning = p.said.reasoning.size(), text = p.said.text.size();
      p.filter.feed(std::string_view(p.step.text).substr(p.offset, end - p.offset), p.said);
      if (p.said.reasoning.size() > reasoning)
        batch.chunks.push_back({chunk_kind::reasoning, p.said.reasoning.substr(reasoning)});
      if (p.said.text.size() > text)
        batch.chunks.push_back({chunk_kind::text, p.said.text.substr(text)});
      p.offset = end;
    }
  } while (p.step.chunk_delay_ms == 0 && p.offset < p.step.text.size());
  auto over = p.offset >= p.step.text.size();
  if (over && !p.step.hang)
    for (auto& call : p.step.calls)
      batch.chunks.push_back({chunk_kind::tool_call, call.name});
  if (!batch.chunks.empty() && p.req.schema.empty()) // a reply under a schema is for the program, not for eyes
    self->send(p.sink, std::move(batch));
  if (!over)
    self->delayed_send(self, std::chrono::milliseconds(p.step.chunk_delay_ms), script_tick{id});
  else if (!p.step.hang)
    finish(self, id);
}

scripted_impl::behavior_type scripted_backend(scripted_ptr self, std::vector<script_step> steps, std::string decision,
                                              std::uint64_t played) {
  self->state.steps = std::move(steps);
  for (; played > 0 && self->state.take() != nullptr; --played)
    ;
  self->state.decision = std::move(decision);
  return {
      [self](model_request& req, chunk_sink_actor& sink) -> caf::result<completion> {
        auto& st = self->state;
        auto id = ++st.ids;
        auto* step = st.take();
        if (step == nullptr) {
          completion c;
          c.status = completion_status::broken;
          c.code = ec::bad_request;
          c.error = "the script of agent '" + req.agent + "' has no step for model call " + std::to_string(id);
          return c;
        }
        auto& p = st.running[id];
        p.req = std::move(req);
        p.sink = std::move(sink);
        p.step = *step;
        p.promise = self->template make_response_promise<completion>();
        if (p.step.first_delay_ms > 0)
          self->delayed_send(self, std::chrono::milliseconds(p.step.first_delay_ms), script_tick{id});
        else
          play(self, id);
        return caf::delegated<completion>{};
      },
      [self](const cancel_call& c) -> caf::result<cancel_done> {
        auto& running = self->state.running;
        for (auto i = running.begin(); i != running.end(); ++i)
          if (i->second.req.task == c.task && i->second.req.agent == c.agent && i->second.req.run == c.run
              && (c.call == 0 || i->second.req.call == c.call)) {
            i->second.promise.deliver(result_of(i->second, completion_status::cancelled));
            running.erase(i);
            break;
          }
        return cancel_done{};
      },
      [self](const describe_backend&) -> caf::result<backend_info> {
        backend_info info;
        info.step = self->state.decision == "auto" || self->state.decision.empty() ? "tools" : self->state.decision;
        info.saw_tools = true; // a script that answers in plain text means to
        info.dialect = "scripted";
        info.provider = "script";
        info.leftover = self->state.leftover();
        return info;
      },
      [](const ladder_note&) {},
      [self](const script_tick& t) { play(self, t.id); },
  };
}

} // namespace

backend_actor spawn_scripted_backend(caf::actor_system& sys, std::vector<script_step> steps, std::string decision,
                                     std::uint64_t played) {
  return sys.spawn(scripted_backend, std::move(steps), std::move(decision), played);
}

} // namespace conclave
