// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What agents report: recorded and ruled on in one transaction, bodies with it.

#include "actors/orchestrator_state.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/events.hpp"
#include "protocols/prompts.hpp"
#include "protocols/run_state.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/sha256.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <set>
#include <utility>

namespace conclave {

using ledger::command;
using ledger::command_kind;

namespace {

constexpr std::size_t max_reports = 64;                  ///< of one run that are remembered, in case they are sent again
constexpr std::size_t max_changes = 64;                  ///< folders that a presentation changes
constexpr std::size_t max_left = 4'096;                  ///< bytes of what was made and goes nowhere
constexpr std::size_t max_moved = 4'096;                 ///< bytes of why an agent goes on with another backend
constexpr std::size_t max_parts = std::size_t{64} << 20; ///< of bodies of one agent that no report has named yet

ruling superseded() {
  return {ruling_kind::superseded, "", {}};
}

command about(const run_report& r, command_kind kind) {
  command c;
  c.kind = kind;
  c.agent = r.agent;
  c.run = r.of.run;
  return c;
}

command from(const run_report& r, call_end& e) {
  auto c = about(r, command_kind::end_call);
  c.call = e.call;
  c.target = std::move(e.target);
  c.status = std::move(e.status);
  c.use = e.use;
  c.said = std::move(e.said);
  return c;
}

command from(const run_report& r, const call_begin& b, bool first) {
  auto c = about(r, command_kind::begin_call);
  c.call = b.call;
  c.target = b.target;
  c.hash = b.hash;
  c.effect = b.effect;
  c.use = b.reserve;
  if (first) { // the state of the run, and what its conversation has since the state before; a tool's arguments stand last
    c.state = r.state;
    c.kept = r.kept;
    c.said = r.said;
  }
  c.said.insert(c.said.end(), b.said.begin(), b.said.end());
  return c;
}

/// Whether these are names of snapshots, and few: a node may send anything.
bool sound(const kept_files& f) {
  auto is_id = [](const std::string& x) { return x.empty() || wire::is_sha256(x); };
  return is_id(f.snapshot) && f.changes.size() <= max_changes && std::all_of(f.changes.begin(), f.changes.end(), [&](auto& c) {
           return is_id(c.before) && is_id(c.after) && !c.folder.empty() && c.folder.size() <= 4'096;
         });
}

command from(run_report& r, verdict& v) {
  auto kind = v.kind == verdict_kind::answer      ? command_kind::answer
              : v.kind == verdict_kind::vote      ? command_kind::vote
              : v.kind == verdict_kind::presented ? command_kind::present
                                                  : command_kind::fail;
  auto c = about(r, kind);
  c.text = std::move(v.text);
  c.target = std::move(v.target);
  c.reason = std::move(v.reason);
  c.code = v.code;
  c.truncated = v.truncated;
  c.step = std::move(v.step);
  if (sound(v.files) && (kind == command_kind::answer || kind == command_kind::present))
    c.files = std::move(v.files);
  c.files.left.resize(whole_characters(c.files.left, max_left));
  c.state = r.state;
  c.kept = r.kept;
  c.said = r.said;
  return c;
}

} // namespace

/// The bodies that come with a report, and those that came in parts before it. Of another node only what its name fits: everybody
/// else's log would be spoilt by a wrong one.
bool orchestrator_state::take_bodies(run_report& r, bool foreign) {
  for (auto& x : r.bodies)
    if (x.bytes.size() > parts.bounds.body || (foreign && wire::sha256(x.bytes) != x.sha))
      return false;
  auto i = arriving.find(r.agent);
  if (i == arriving.end())
    return true;
  for (auto& [sha, bytes] : i->second.whole) {
    if (wire::sha256(bytes) != sha)
      return false;
    r.bodies.push_back({sha, std::move(bytes)});
  }
  arriving.erase(i);
  return true;
}

/// Of a run that is over with this report only what came back from its calls is kept: nobody goes on from its state.
void orchestrator_state::keep_bodies(batch& b, run_report& r, bool over) {
  std::set<std::string> named;
  for (auto& e : b.events)
    named.insert(e.said.begin(), e.said.end());
  auto whole = named;
  for (auto& x : r.bodies)
    if (over && whole.count(x.sha) > 0)
      for (auto& piece : run::pieces_in(x.bytes))
        named.insert(piece);
  for (auto& x : r.bodies)
    if (!over || named.count(x.sha) > 0)
      b.bodies.push_back(std::move(x));
}

body_ack orchestrator_state::on_part(body_part& p) {
  auto* at = place(agent_of(p.of.run));
  if (failed || p.of.task != parts.task || p.of.fence != parts.fence || at == nullptr)
    return {};
  auto& in = arriving[at->config.id];
  auto& bytes = in.whole[p.sha];
  // A part that does not fit leaves a body that does not fit its name: the report that names it is refused.
  if (p.size <= parts.bounds.body && p.offset == bytes.size() && in.total + p.bytes.size() <= max_parts) {
    in.total += p.bytes.size();
    bytes += p.bytes;
  }
  return {};
}

/// Whose run this is, also of one that is over; empty if it was never begun here.
std::string orchestrator_state::agent_of(std::uint64_t run) const {
  auto i = runs.find(run);
  return i == runs.end() ? std::string{} : i->second;
}

caf::result<ruling> orchestrator_state::on_report(run_report& r) {
  if (r.of.task != parts.task || r.of.fence != parts.fence || failed || log.phase == ledger::phase::idle
      || agent_of(r.of.run) != r.agent)
    return superseded();
  auto& kept = reported[r.of.run];
  auto known = kept.find(r.number);
  if (known == kept.end() && kept.size() >= max_reports && r.number < kept.begin()->first) // what became of it is forgotten
    return superseded();
  if (known != kept.end() && known->second.settled)
    return known->second.by;
  auto promise = self->template make_response_promise<ruling>();
  if (known != kept.end()) { // sent again while the first is being made durable
    known->second.waiting.push_back(promise);
    return caf::delegated<ruling>{};
  }
  batch b;
  if (!take_bodies(r, self->current_sender() && self->current_sender()->node() != self->node())) {
    lose(r.agent, ec::bad_reply,
         "its node sent bodies that do not fit their names, or one of more than " + std::to_string(parts.bounds.body >> 20)
             + " MiB");
    return superseded();
  }
  kept[r.number].waiting.push_back(promise);
  while (kept.size() > max_reports && kept.begin()->second.settled)
    kept.erase(kept.begin());
  auto waits = false;
  auto by = record(b, r, waits);
  if (!b.events.empty())
    keep_bodies(b, r, r.has_verdict && by.kind != ruling_kind::refused);
  else if (r.begun.empty() && !r.has_verdict)
    by = superseded(); // ends that nobody waits for: what they said is not kept, and must not count as known
  if (waits)
    park(r, !b.events.empty(), by.reason);
  else
    settle(b, r, std::move(by));
  reconcile(b, now_ms());
  commit(std::move(b));
  for (auto& e : r.ended)
    if (!e.trouble.source.empty() && log.phase != ledger::phase::done)
      miss_tools(r.agent, e.trouble, false);
  return caf::delegated<ruling>{};
}

/// The ruling goes out once the batch is durable.
void orchestrator_state::settle(batch& b, const run_report& r, ruling by) {
  b.effects.push_back([this, run = r.of.run, number = r.number, by = std::move(by)] {
    auto& settled = reported[run][number];
    settled.settled = true;
    settled.by = by;
    for (auto& p : std::exchange(settled.waiting, {}))
      p.deliver(by);
  });
}

/// `stored`: the bodies that came with it are kept already.
void orchestrator_state::park(run_report& r, bool stored, const std::string& why) {
  self->send(parts.chunks, chunk_batch{parts.task, r.of.run, r.agent, {{chunk_kind::status, "waits for calls under way: " + why}}});
  parked.push_back(r);
  parked.back().ended.clear();
  if (stored)
    parked.back().bodies.clear();
}

/// Something has happened: whoever waits for room in a budget asks again, in order. One whose run has ended meanwhile is told so.
void orchestrator_state::retry_parked(batch& b) {
  for (auto i = parked.begin(); i != parked.end();) {
    auto c = from(*i, i->begun.front(), true);
    c.now_ms = now_ms();
    auto before = b.events.size();
    auto d = decide(b, c);
    if (d.waits) {
      ++i;
      continue;
    }
    if (b.events.size() > before)
      keep_bodies(b, *i, false);
    settle(b, *i, {d.kind, std::move(d.reason), std::move(d.allowed), d.code});
    i = parked.erase(i);
  }
}

void orchestrator_state::move(batch& b, run_report& r) {
  auto* at = place(r.agent);
  if (at == nullptr || r.backend > at->config.failover.size())
    return;
  auto& now = in_use[r.agent];
  if (r.backend <= now)
    return;
  auto c = about(r, command_kind::note);
  c.now_ms = now_ms();
  prompts::cut(r.moved, max_moved);
  c.reason = std::move(r.moved);
  while (now < r.backend) { // each, so that the log tells which one it is
    auto& x = backend_at(at->config, ++now);
    c.placements.push_back({r.agent, at->node_name, x.type, x.model});
  }
  decide(b, c);
}

/// The decisions a report leads to, in its order. What may not begin ends what began beside it.
ruling orchestrator_state::record(batch& b, run_report& r, bool& waits) {
  auto take = [&](command c) {
    c.now_ms = now_ms();
    c.jitter_permille = static_cast<std::uint32_t>(random() % 251);
    return decide(b, c);
  };
  // A node counts tokens. What they cost is told by this engine's prices, whatever it says.
  auto priced = [&](usage use, auto put) {
    auto* at = place(r.agent);
    auto backend = in_use.find(r.agent);
    put(use, at == nullptr
                 ? std::nullopt
                 : parts.price(backend_at(at->config, backend == in_use.end() ? 0 : backend->second), now_ms(), use.input_tokens));
    return use;
  };
  for (auto& e : r.ended) {
    if (e.target == events::model_target)
      e.use = priced(e.use, put_cost);
    take(from(r, e));
  }
  move(b, r);
  ruling out{ruling_kind::accepted, "", {}, ec::none};
  if (r.has_verdict) {
    auto d = take(from(r, r.handed_in));
    return {d.kind, std::move(d.reason), std::move(d.allowed), d.code};
  }
  std::vector<call_end> begun;
  for (auto& x : r.begun) {
    call_end undone;
    undone.call = x.call;
    undone.target = x.target;
    undone.status = to_string(ec::cancelled);
    if (x.target == events::model_target)
      x.reserve = priced(x.reserve, put_highest_cost);
    auto d = take(from(r, x, begun.empty()));
    if (d.kind == ruling_kind::accepted) {
      begun.push_back(std::move(undone));
      continue;
    }
    waits = d.waits && r.begun.size() == 1;
    out = {d.kind, std::move(d.reason), std::move(d.allowed), d.code};
    for (auto& e : begun)
      take(from(r, e));
    break;
  }
  return out;
}

} // namespace conclave
