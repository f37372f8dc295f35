// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// A run's reports as messages to the orchestrator, and its rulings as inputs. What is said is kept by its SHA-256: the report names
// it, and brings what the orchestrator has not got from here before. An orchestrator on another machine gets long bodies first, in
// acknowledged parts.

#include "actors/agent_state.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/run_state.hpp"
#include "protocols/wire/sha256.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <memory>
#include <utility>

namespace conclave {

namespace {

constexpr auto boss_limit = std::chrono::seconds(60);
constexpr int report_tries =
    10'000; ///< a call may wait for room in a budget as long as others take; no orchestrator: no further try
constexpr std::size_t part_bytes = std::size_t{64} * 1024; ///< of a message to another machine
constexpr std::size_t max_known = 100'000;                 ///< names remembered; what is forgotten is sent once more

ruling superseded() {
  return {ruling_kind::superseded, "", {}};
}

/// Of a call that broke off the beginning is kept, as much as the log keeps of a partial text: nobody goes on from the rest.
completion kept_of(completion c) {
  constexpr auto most = run::max_partial;
  if (c.status != completion_status::broken && c.status != completion_status::cancelled)
    return c;
  prompts::cut(c.text, most);
  prompts::cut(c.reasoning, most);
  if (c.opaque.size() > most)
    c.opaque.clear();
  for (auto& call : c.calls)
    prompts::cut(call.arguments, most);
  return c;
}

} // namespace

/// What the node's log is told.
void agent_state::read_along(const run::report& a) {
  if (!parts.watcher)
    return;
  for (auto& e : a.ended)
    parts.watcher->call_ended(a.run, e);
  if (!a.has_verdict || a.run != run->task.run)
    return;
  auto& v = a.handed_in;
  if (v.kind != verdict_kind::failed)
    end = {v.kind == verdict_kind::answer ? "answered" : v.kind == verdict_kind::vote ? "voted" : "presented", ec::none, ""};
  else
    end = {"failed", v.code, v.code == ec::cancelled && !end.why.empty() ? end.why : v.reason};
}

void agent_state::carry_out(run::report& a) {
  read_along(a);
  auto out_going = std::make_shared<outgoing>();
  auto* r = &out_going->report;
  r->of = {run->task.task, run->task.fence, a.run};
  r->agent = run->task.agent;
  r->number = a.number;
  run::keeper keep = [this, &names = out_going->names, r](std::string bytes) {
    auto sha = wire::sha256(bytes);
    if (known.count(sha) == 0 && names.insert(sha).second)
      r->bodies.push_back({sha, std::move(bytes)});
    return sha;
  };
  for (auto& e : a.ended) {
    call_end out;
    out.call = e.call;
    out.status = std::move(e.status);
    out.use = e.use;
    out.trouble = std::move(e.trouble);
    if (e.target == "model" && !(e.reply == completion{})) // else it was never sent
      out.said.push_back(run::keep_completion(kept_of(std::move(e.reply)), keep));
    if (e.target != "model")
      out.said.push_back(run::keep_result(e.result, keep));
    out.target = std::move(e.target);
    r->ended.push_back(std::move(out));
  }
  for (auto& b : a.begun) {
    call_begin out;
    out.call = b.call;
    out.hash = std::move(b.hash);
    out.effect = b.effect;
    out.reserve = b.reserve;
    if (b.target != "model")
      out.said.push_back(keep(std::move(b.arguments)));
    out.target = std::move(b.target);
    r->begun.push_back(std::move(out));
  }
  if (a.ask) { // the state to go on from after a crash
    r->state = keep(run::to_json(*run));
    r->kept = run->kept;
    for (auto i = run->kept; i < run->talk.size(); ++i)
      r->said.push_back(run::keep_message(run->talk[i], keep));
  }
  r->backend = a.backend;
  r->moved = std::move(a.moved);
  r->has_verdict = a.has_verdict;
  r->handed_in = std::move(a.handed_in);
  outbox.push_back(std::move(out_going));
  if (outbox.size() == 1)
    send_next();
}

/// Long bodies first where they cross to another machine, one part at a time; then the report itself. In order: a report waits for
/// the parts of the one before.
void agent_state::send_next() {
  while (!outbox.empty()) {
    auto& r = outbox.front()->report;
    auto far = parts.boss.node() != self->node();
    std::size_t bytes = 0;
    auto long_one = std::find_if(r.bodies.begin(), r.bodies.end(), [&](const body& b) {
      bytes += b.bytes.size();
      return bytes > part_bytes;
    });
    if (far && long_one != r.bodies.end()) {
      auto whole = std::make_shared<body>(std::move(*long_one));
      r.bodies.erase(long_one);
      return send_part(r.of, std::move(whole), 0);
    }
    ask_for_ruling(outbox.front(), report_tries);
    outbox.pop_front();
  }
}

void agent_state::send_part(const run_ref& of, std::shared_ptr<body> whole, std::size_t offset) {
  body_part p;
  p.of = of;
  p.sha = whole->sha;
  p.offset = offset;
  p.size = whole->bytes.size();
  p.bytes = whole->bytes.substr(offset, part_bytes);
  auto sent = offset + p.bytes.size();
  self->request(parts.boss, boss_limit, std::move(p))
      .then(
          [this, of, whole, sent](const body_ack&) {
            if (sent < whole->bytes.size())
              send_part(of, whole, sent);
            else
              send_next();
          },
          [this](const caf::error&) { // no orchestrator, no run
            for (auto& x : std::exchange(outbox, {}))
              input(run::ruled{x->report.number, superseded()});
          });
}

/// One that is sent again does no harm, so a lost ruling is asked for again.
void agent_state::ask_for_ruling(std::shared_ptr<outgoing> x, int tries) {
  self->request(parts.boss, boss_limit, x->report)
      .then(
          [this, x](ruling& by) {
            auto over = x->report.has_verdict && by.kind == ruling_kind::accepted;
            auto not_begun = !x->report.has_verdict && by.kind == ruling_kind::refused;
            if (by.kind != ruling_kind::superseded && !over && !not_begun) { // else nobody may have kept them
              if (known.size() > max_known)
                known.clear();
              known.merge(x->names);
            }
            if (by.kind != ruling_kind::accepted && x->report.has_verdict)
              end = {};
            input(run::ruled{x->report.number, std::move(by)});
          },
          [this, x, tries](const caf::error& e) {
            if (code_of(e) == ec::timeout && tries > 1)
              ask_for_ruling(x, tries - 1);
            else
              input(run::ruled{x->report.number, superseded()});
          });
}

} // namespace conclave
