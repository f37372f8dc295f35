// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/resumer.hpp"

#include "actors/leaving.hpp"
#include "protocols/events.hpp"
#include "protocols/replay_runs.hpp"
#include "protocols/run_state.hpp"
#include "protocols/type_ids.hpp"
#include "protocols/wire/json.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <unordered_map>
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

struct loaded {
  const ledger::unfinished_run* what = nullptr;
  run::state state;
  std::set<std::uint64_t> calls;
  std::string problem; ///< why it cannot go on where it stood
};

/// What a run goes on from; it starts anew under its new number where something is missing.
stored_run assembled(loaded& l, const run::finder& find) {
  if (l.what->state.empty() || !l.problem.empty())
    return {};
  stored_run out;
  return ledger::rebuild(*l.what, l.calls, find, out, l.problem) ? out : stored_run{};
}

struct body_reading {
  std::vector<loaded> runs;
  std::unordered_map<std::string, std::string> bodies;
  std::size_t bytes = 0;
  int step = 0;
  std::vector<attachment>* files = nullptr; ///< that go with the question: their bytes are put in
  std::string newer;                        ///< a state of a newer version: it is not to be lost by starting anew
  std::vector<std::string> asked;           ///< names the store has not looked for yet, in order

  run::finder find() const {
    return [this](const std::string& sha) -> const std::string* {
      auto i = bodies.find(sha);
      return i == bodies.end() ? nullptr : &i->second;
    };
  }

  /// The bodies to read next: states, then what they name, then the pieces of that.
  std::vector<std::string> next() {
    std::vector<std::string> names;
    ++step;
    for (auto& f : *files) {
      if (step == 1)
        names.push_back(f.sha);
      else if (auto* text = step == 2 ? find()(f.sha) : nullptr)
        for (auto& piece : run::pieces_in(*text))
          names.push_back(piece);
    }
    for (auto& l : runs) {
      auto& r = *l.what;
      if (step == 1) {
        names.push_back(r.state);
        continue;
      }
      if (r.state.empty() || !l.problem.empty())
        continue;
      if (step == 2) {
        auto* text = find()(r.state);
        if (text == nullptr)
          l.problem = "its state is not in the store";
        else if (run::from_json(*text, l.state, l.problem))
          l.calls = ledger::calls_behind(l.state);
        else if (std::string v; wire::get(*text, "v", v) && std::strtoll(v.c_str(), nullptr, 10) > run::state_version)
          newer = l.problem;
      }
      if (!l.problem.empty())
        continue;
      auto named = r.talk;
      for (auto& c : r.calls)
        if (l.calls.count(c.call) > 0)
          named.insert(named.end(), c.said.begin(), c.said.end());
      if (step == 2)
        names.insert(names.end(), named.begin(), named.end());
      for (auto& sha : named)
        if (auto* text = step == 3 ? find()(sha) : nullptr) {
          auto pieces = run::pieces_in(*text);
          names.insert(names.end(), pieces.begin(), pieces.end());
        }
    }
    std::erase_if(names, [this](const std::string& sha) { return sha.empty() || bodies.count(sha) > 0; }); // first: few are left
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
  }
};

struct resumer_state {
  static inline const char* name = "resumer";
  resumer_parts parts;
  resumed_task out;
  std::vector<event> log;
  std::vector<ledger::unfinished_run> runs;
  std::shared_ptr<body_reading> bodies; ///< while they are read
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

constexpr int last_step = 3;

void read_bodies(resumer_ptr self, const std::shared_ptr<body_reading>& r) {
  auto& st = self->state;
  while (r->asked.empty() && r->step < last_step) {
    r->asked = r->next();
    if (!r->newer.empty())
      return fail(self, ec::version_mismatch, "task " + st.parts.task + " cannot be gone on with: " + r->newer);
  }
  if (!r->asked.empty()) {
    st.bodies = r;
    st.parts.store->read_bodies(st.parts.task, r->asked, reply_to<body_page>(self));
    return;
  }
  for (auto& f : st.out.opening.attachments)
    if (std::string problem; !run::find_file(f.sha, r->find(), f.data, problem))
      return fail(self, ec::bad_request,
                  "task " + st.parts.task + " cannot be gone on with: its file '" + f.name + "': " + problem);
  for (auto& l : r->runs) {
    auto run = assembled(l, r->find());
    run.number = l.what->run;
    run.calls_made = l.what->calls_made;
    if (!l.problem.empty())
      st.out.from.notices.emplace_back(l.what->agent, "its run cannot go on where it stood and starts anew: " + l.problem);
    st.out.from.runs.emplace(l.what->run, std::move(run));
  }
  st.out.log = std::move(st.log);
  finish(self);
}

void take_log(resumer_ptr self) {
  auto& st = self->state;
  auto r = ledger::restore(st.log, st.parts.opening.get());
  if (!r.error.empty())
    return fail(self, ec::bad_request, "task " + st.parts.task + " cannot be gone on with: " + r.error);
  st.out.opening = std::move(r.opening);
  st.out.from.log = std::move(r.state);
  st.out.from.seq = r.seq;
  st.out.from.stored_bytes += ledger::stored_bytes(st.log);
  st.out.from.played = ledger::played(st.log);
  st.out.from.backends = ledger::backends_in_use(st.log);
  st.runs = ledger::unfinished(st.log);
  auto next = std::make_shared<body_reading>();
  next->files = &st.out.opening.attachments;
  next->bodies = std::move(st.parts.bodies);
  for (auto& run : st.runs)
    next->runs.push_back({&run, {}, {}, {}});
  read_bodies(self, next);
}

caf::behavior resumer(resumer_ptr self, resumer_parts parts) {
  self->state.parts = std::move(parts);
  self->state.log = std::move(self->state.parts.log);
  self->set_exit_handler([self](caf::exit_msg&) { fail(self, ec::cancelled, "the engine is being stopped"); });
  auto& p = self->state.parts;
  p.store->claim(p.task, p.owner, reply_to<claim_result>(self));
  return {
      [self](const claim_result& r) {
        if (r.code != ec::none)
          return fail(self, r.code, r.error);
        auto& log = self->state.log;
        self->state.claimed = true;
        self->state.out.fence = r.fence;
        self->state.out.from.stored_bytes = r.body_bytes;
        if (!log.empty() && log.back().seq > r.seq)
          return fail(self, ec::bad_request,
                      "the store has " + std::to_string(r.seq) + " events of task " + self->state.parts.task + ", not the "
                          + std::to_string(log.back().seq) + " that are said to be its log");
        if (!log.empty() && log.back().seq == r.seq)
          return take_log(self); // all of it is known, and nobody else adds to it now
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
        auto r = std::exchange(st.bodies, nullptr);
        if (!r)
          return;
        for (auto& b : page.bodies) {
          r->bytes += b.bytes.size();
          r->bodies[b.sha] = std::move(b.bytes);
        }
        if (page.looked_for == 0)
          return fail(self, ec::unavailable, "the event store looked for nothing it was asked for");
        // A store gives back so much at once; the rest of this step comes before the next.
        auto done = std::min(page.looked_for, r->asked.size());
        r->asked.erase(r->asked.begin(), r->asked.begin() + static_cast<std::ptrdiff_t>(done));
        if (r->bytes > max_bodies)
          return fail(self, ec::denied, "its unfinished runs hold more than 2 GiB");
        read_bodies(self, r);
      },
  };
}

} // namespace

caf::actor spawn_resumer(caf::actor_system& sys, resumer_parts parts) {
  return sys.spawn(resumer, std::move(parts));
}

} // namespace conclave
