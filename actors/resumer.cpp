// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/resumer.hpp"

#include "actors/leaving.hpp"
#include "protocols/replay.hpp"
#include "protocols/run_state.hpp"
#include "protocols/type_ids.hpp"
#include "protocols/wire/json.hpp"

#include <caf/all.hpp>

#include <map>
#include <utility>
#include <vector>

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::claim_result)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::event_page)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::body_page)

namespace conclave {

namespace {

constexpr std::size_t page_events = 2'000;
/// Each step has the store's own limit of 5 s; a store that never calls back must not be waited for.
constexpr auto step_limit = std::chrono::seconds(60);
/// Of what the unfinished runs stand on; far above what `max_run_bytes` of a large team comes to.
constexpr std::size_t max_bodies = std::size_t{2} << 30;

struct resumer_state {
  static inline const char* name = "resumer";
  resumer_parts parts;
  resumed_task out;
  std::vector<event> log;
  std::vector<ledger::unfinished_run> runs;
  std::map<std::string, std::string> bodies;
  std::size_t body_bytes = 0;
  bool claimed = false;
  std::uint64_t steps = 0;
};

using resumer_ptr = caf::stateful_actor<resumer_state>*;

void finish(resumer_ptr self) {
  auto& st = self->state;
  if (st.out.code != ec::none && st.claimed)
    st.parts.store->release(st.parts.task);
  if (auto done = std::exchange(st.parts.done, nullptr))
    done(std::move(st.out));
  leave(self, caf::exit_reason::normal);
}

void fail(resumer_ptr self, ec code, std::string why) {
  self->state.out.code = code;
  self->state.out.error = std::move(why);
  finish(self);
}

/// The store's callback of the step that begins now: it only posts, to an actor that may be gone.
template <class Result>
std::function<void(Result)> reply_to(resumer_ptr self) {
  call_after(self, step_limit, [self, step = ++self->state.steps] {
    if (step == self->state.steps)
      fail(self, ec::timeout, "the event store did not answer");
  });
  return [weak = caf::actor_cast<caf::actor_addr>(self)](Result r) {
    if (auto strong = caf::actor_cast<caf::strong_actor_ptr>(weak))
      caf::anon_send(caf::actor_cast<caf::actor>(strong), std::move(r));
  };
}

void read_on(resumer_ptr self) {
  auto& st = self->state;
  st.parts.store->read(st.parts.task, st.log.empty() ? 0 : st.log.back().seq, page_events, reply_to<event_page>(self));
}

/// Assembles what each unfinished run goes on from. A run whose bodies are not all there starts anew under its new number.
stored_run stored(const ledger::unfinished_run& r, const run::finder& find, std::string& problem) {
  stored_run out;
  out.refused = r.refused;
  out.refusal = r.refusal;
  auto* state = r.state.empty() ? nullptr : find(r.state);
  if (state == nullptr) {
    problem = r.state.empty() ? "" : "its state is not in the store";
    return {};
  }
  out.state = *state;
  for (auto& sha : r.talk) {
    message m;
    if (!run::find_message(sha, find, m, problem))
      return {};
    out.talk.push_back(std::move(m));
  }
  for (auto& c : r.calls) {
    known_end end;
    end.call = c.call;
    end.ended = c.ended;
    auto ok = !c.ended || c.said.empty()
              || (c.target == "model" ? run::find_completion(c.said.front(), find, end.reply, problem)
                                      : run::find_result(c.said.front(), find, end.result, problem));
    if (!ok)
      return {};
    out.ends.push_back(std::move(end));
  }
  return out;
}

void assemble(resumer_ptr self) {
  auto& st = self->state;
  auto find = [&st](const std::string& sha) -> const std::string* {
    auto i = st.bodies.find(sha);
    return i == st.bodies.end() ? nullptr : &i->second;
  };
  for (auto& r : st.runs) {
    std::string problem;
    auto run = stored(r, find, problem);
    run.number = r.run;
    run.calls_made = r.calls_made;
    if (!problem.empty())
      st.out.from.notices.emplace_back(r.agent, "its run cannot go on where it stood and starts anew: " + problem);
    st.out.from.runs.emplace(r.run, std::move(run));
  }
  finish(self);
}

/// Asks for the bodies that are named and not there yet; assembles when none is missing.
void read_bodies(resumer_ptr self, std::vector<std::string> names) {
  auto& st = self->state;
  std::erase_if(names, [&st](const std::string& sha) { return sha.empty() || st.bodies.count(sha) > 0; });
  if (names.empty())
    return assemble(self);
  for (auto& sha : names)
    st.bodies.emplace(sha, std::string{}); // asked for once
  st.parts.store->read_bodies(st.parts.task, std::move(names), reply_to<body_page>(self));
}

void take_log(resumer_ptr self) {
  auto& st = self->state;
  auto r = ledger::restore(st.log);
  if (!r.error.empty())
    return fail(self, ec::bad_request, "task " + st.parts.task + " cannot be gone on with: " + r.error);
  st.out.opening = std::move(r.opening);
  st.out.from.log = std::move(r.state);
  st.out.from.seq = r.seq;
  st.runs = ledger::unfinished(st.log);
  std::vector<std::string> names;
  for (auto& run : st.runs) {
    names.push_back(run.state);
    names.insert(names.end(), run.talk.begin(), run.talk.end());
    for (auto& c : run.calls)
      names.insert(names.end(), c.said.begin(), c.said.end());
  }
  read_bodies(self, std::move(names));
}

caf::behavior resumer(resumer_ptr self, resumer_parts parts) {
  self->state.parts = std::move(parts);
  self->set_exit_handler([self](caf::exit_msg&) { fail(self, ec::cancelled, "the engine is being stopped"); });
  auto& p = self->state.parts;
  p.store->claim(p.task, p.owner, reply_to<claim_result>(self));
  return {
      [self](const claim_result& r) {
        if (r.code != ec::none)
          return fail(self, r.code, r.error);
        self->state.claimed = true;
        self->state.out.fence = r.fence;
        read_on(self);
      },
      [self](const event_page& page) {
        if (page.code != ec::none)
          return fail(self, page.code, page.error);
        for (auto& stored : page.events) {
          event e;
          if (!wire::from_json(stored.json, e))
            return fail(self, ec::bad_request, "event " + std::to_string(stored.seq) + " cannot be read");
          self->state.log.push_back(std::move(e));
        }
        if (page.more)
          read_on(self);
        else
          take_log(self);
      },
      [self](body_page& page) {
        auto& st = self->state;
        if (page.code != ec::none)
          return fail(self, page.code, page.error);
        std::vector<std::string> names;
        for (auto& b : page.bodies) {
          st.body_bytes += b.bytes.size();
          auto more = run::pieces_in(b.bytes);
          names.insert(names.end(), more.begin(), more.end());
          st.bodies[b.sha] = std::move(b.bytes);
        }
        if (st.body_bytes > max_bodies)
          return fail(self, ec::denied, "its unfinished runs hold more than 2 GiB");
        read_bodies(self, std::move(names));
      },
  };
}

} // namespace

caf::actor spawn_resumer(caf::actor_system& sys, resumer_parts parts) {
  return sys.spawn(resumer, std::move(parts));
}

} // namespace conclave
