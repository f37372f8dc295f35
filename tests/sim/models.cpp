// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/caf_error.hpp"
#include "protocols/cost.hpp"
#include "protocols/type_ids.hpp"
#include "protocols/wire/json.hpp"
#include "sim/servers.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace conclave::sim {
struct model_says {
  std::uint64_t id = 0;
};
} // namespace conclave::sim

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::sim::model_says)

namespace conclave::sim {

namespace {

using model_impl = backend_actor::extend<caf::reacts_to<model_says>>;

struct running_call {
  model_request asked;
  completion reply;
  std::size_t place = 0; ///< in world::models
  caf::typed_response_promise<completion> promise;
};

struct model_state {
  static inline const char* name = "model";
  world* w = nullptr;
  process_ptr process;
  std::uint64_t fence = 0;
  std::uint64_t ids = 0;
  std::map<std::uint64_t, running_call> running;

  ~model_state() {
    for (auto& [id, c] : running)
      w->models[c.place].open = false;
  }
};

using model_ptr = model_impl::stateful_pointer<model_state>;

std::string hash_of(const model_request& r) {
  std::string all;
  for (auto& m : r.messages) {
    all += std::to_string(static_cast<int>(m.from)) + m.text + m.tool_call_id;
    for (auto& c : m.calls)
      all += c.id + c.name + c.arguments;
  }
  return wire::hash(all);
}

bool offers(const model_request& r, const char* tool) {
  return std::any_of(r.tools.begin(), r.tools.end(), [tool](auto& t) { return t.name == tool; });
}

tool_call call_of(world& w, std::string name, std::string arguments) {
  return {"c" + std::to_string(++w.texts), std::move(name), std::move(arguments)};
}

/// An answer or a vote, right or wrong.
tool_call verdict_of(world& w, const model_request& r) {
  auto& d = w.chance;
  if (offers(r, "vote") && (d.chance(650) || !offers(r, "new_answer")))
    return call_of(w, "vote",
                   "{\"agent_id\":\"agent"
                       + std::to_string(d.between(1, static_cast<std::int64_t>(w.what.agents + (d.chance(100) ? 1 : 0))))
                       + "\",\"reason\":\"good\"}");
  auto text = d.chance(60) ? "the same" : d.chance(20) ? " " : "answer " + std::to_string(++w.texts);
  return call_of(w, "new_answer", "{\"content\":\"" + text + "\"}");
}

void call_tools(world& w, const model_request& r, completion& c) {
  std::vector<std::string> known;
  for (auto& t : r.tools)
    if (t.name == "look" || t.name == "stamp" || t.name == "put")
      known.push_back(t.name);
  for (auto n = w.chance.between(1, 3); n > 0 && !known.empty(); --n)
    c.calls.push_back(call_of(w, known[w.chance.below(known.size())], "{\"n\":" + std::to_string(++w.texts) + "}"));
}

/// What goes wrong with a reply.
void spoil(world& w, completion& c) {
  auto& d = w.chance;
  c.calls.clear();
  switch (d.below(6)) {
  case 0:
    c.status = completion_status::broken;
    c.code = std::vector<ec>{ec::unavailable, ec::stream_broken, ec::timeout, ec::bad_reply}[d.below(4)];
    c.error = "the model broke off";
    break;
  case 1:
    c.status = completion_status::truncated;
    break;
  case 2:
    c.status = completion_status::refused;
    break;
  case 3:
    c.text.clear();
    break;
  case 4:
    c.status = completion_status::paused;
    break;
  default:
    c.text = "I would rather talk.";
  }
}

/// What a reply took: as a rule no more than was reserved for it.
void count(world& w, const model_request& r, usage& u) {
  auto most = reserve_for(r, r.messages, {});
  u.input_tokens = w.money.between(0, most.input_tokens);
  u.output_tokens = w.money.between(0, most.output_tokens);
  if (w.money.chance(w.what.above))
    u.output_tokens += most.output_tokens;
  if (!w.money.chance(w.what.uncounted))
    return;
  u.unreported = 1;
  u.output_tokens = 0;
}

completion reply_to(world& w, const model_request& r) {
  auto& d = w.chance;
  completion c;
  c.semantic = true;
  c.usage.input_tokens = 10;
  c.usage.output_tokens = 5;
  c.usage.requests = d.chance(900) ? 0 : 1;
  if (w.what.has_budgets())
    count(w, r, c.usage);
  c.text = "said " + std::to_string(++w.texts);
  if (d.chance(w.what.tool_use))
    call_tools(w, r, c);
  if (c.calls.empty() || d.chance(150))
    if (offers(r, "new_answer") || offers(r, "vote"))
      c.calls.push_back(verdict_of(w, r));
  if (d.chance(w.what.bad_model))
    spoil(w, c);
  return c;
}

void answer(model_ptr self, std::uint64_t id, completion_status status) {
  auto& st = self->state;
  auto i = st.running.find(id);
  if (i == st.running.end() || st.process->cut)
    return;
  auto& c = i->second;
  auto& sent = st.w->models[c.place];
  if (status == completion_status::cancelled) {
    completion cut;
    cut.status = status;
    cut.text = c.reply.text.substr(0, c.reply.text.size() / 2);
    cut.usage.unreported = st.w->what.has_budgets() ? 1 : 0;
    c.reply = std::move(cut);
  }
  sent.open = false;
  sent.finished = c.reply.status == completion_status::finished;
  sent.said = c.reply.usage;
  c.promise.deliver(std::move(c.reply));
  st.running.erase(i);
}

model_impl::behavior_type model(model_ptr self, world* w, process_ptr p, std::uint64_t fence) {
  self->state.fence = fence;
  self->state.w = w;
  self->state.process = std::move(p);
  return {
      [self](model_request& req, chunk_sink_actor& sink) -> caf::result<completion> {
        auto& st = self->state;
        auto& d = st.w->chance;
        if (st.process->cut)
          return caf::delegated<completion>{};
        if (d.chance(st.w->what.bad_model / 10))
          return make_error(ec::unavailable, "nothing was sent");
        auto id = ++st.ids;
        auto& c = st.running[id];
        c.place = st.w->on_model(st.fence, req, hash_of(req));
        c.reply = reply_to(*st.w, req);
        c.promise = self->template make_response_promise<completion>();
        if (d.chance(300))
          self->send(sink, chunk_batch{req.task, req.run, req.agent, {{chunk_kind::text, c.reply.text}}});
        c.asked = std::move(req);
        if (d.chance(st.w->what.lost_source))
          self->quit(caf::exit_reason::user_shutdown);
        else if (!d.chance(st.w->what.hang))
          self->delayed_send(self, std::chrono::milliseconds(d.chance(500) ? 0 : d.between(1, 20'000)), model_says{id});
        return caf::delegated<completion>{};
      },
      [self](const cancel_call& c) -> caf::result<cancel_done> {
        auto& st = self->state;
        for (auto& [id, x] : st.running)
          if (x.asked.agent == c.agent && x.asked.run == c.run && (c.call == 0 || x.asked.call == c.call) && !st.process->cut) {
            st.w->trace("  cancelled: model call " + std::to_string(x.asked.call) + " of " + c.agent);
            answer(self, id, completion_status::cancelled);
            return cancel_done{};
          }
        return cancel_done{};
      },
      [](const describe_backend&) -> caf::result<backend_info> {
        backend_info info;
        info.step = "tools";
        info.saw_tools = true;
        return info;
      },
      [](const ladder_note&) {},
      [self](const model_says& s) { answer(self, s.id, completion_status::finished); },
  };
}

} // namespace

model_factory models_of(world& w, process_ptr p) {
  return
      [&w, p](caf::actor_system& sys, const spawn_agent& order) -> backend_actor { return sys.spawn(model, &w, p, order.fence); };
}

} // namespace conclave::sim
