// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A task played by the ledger's driver, whose decisions are stored with their causes as the recorder stores them.

#include "protocols/replay.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/wire/sha256.hpp"
#include "tests/support/ledger_driver.hpp"

#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace conclave::test {

using log_t = std::vector<event>;

inline opening played_by(const ledger::rules& r, const std::vector<std::string>& ids) {
  opening o;
  o.rules = r;
  o.build = "test";
  o.seed = 42;
  for (auto& id : ids) {
    o.agents.emplace_back();
    o.agents.back().id = id;
  }
  return o;
}

/// A task whose decisions are stored with their causes, as lines.
struct stored_task {
  std::map<std::string, std::string> bodies;
  std::vector<std::string> lines;
  ledger_driver x;

  stored_task(const ledger::rules& r, const std::vector<std::string>& ids, std::vector<earlier_answer> answers = {},
              const std::string& has_failover = "", bool begins = true)
      : x(r, ids) {
    x.begins = begins;
    x.told = [this](const command& c, const decision& d) { store(c, d); };
    command c;
    c.text = "why is the sky blue, and what would have to be another way for it to be green?";
    auto o = played_by(r, ids);
    o.answers = std::move(answers);
    for (auto& a : o.agents)
      if (a.id == has_failover)
        a.failover.emplace_back();
    c.opening = to_json(o);
    x.step(std::move(c));
  }

  std::string keep(const std::string& text) {
    auto name = wire::sha256(text);
    bodies[name] = text;
    return name;
  }

  void store(const command& c, const decision& d) {
    auto events = d.events;
    if (!events.empty())
      events.front().cause = ledger::cause_of(c, d.events, [this](const std::string& text) { return keep(text); });
    for (auto& e : events) {
      e.seq = lines.size() + 1;
      lines.push_back(wire::to_json(e));
    }
  }

  log_t log() const {
    log_t out;
    for (auto& line : lines) {
      out.emplace_back();
      if (!wire::from_json(line, out.back()))
        throw std::logic_error("an event cannot be read: " + line);
    }
    return out;
  }

  const std::string* find(const std::string& name) const {
    auto i = bodies.find(name);
    return i == bodies.end() ? nullptr : &i->second;
  }

  std::string verify(const log_t& l) const {
    return ledger::verify(l, [this](const std::string& name) { return find(name); });
  }
};

/// Answers, votes, refusals, failures, timers, a loss, in an order that a seed draws; to its end.
inline void play(stored_task& t, unsigned seed, std::size_t most = 400) {
  std::mt19937 random(seed);
  auto pick = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  for (std::size_t i = 0; i < most && t.x.s.phase != ledger::phase::done; ++i) {
    t.x.jitter = static_cast<std::uint32_t>(pick(250));
    t.x.wait(static_cast<std::int64_t>(pick(2'000)));
    auto agent = t.x.s.members[pick(t.x.s.members.size())].id;
    auto text = std::string(pick(4) == 0 ? 400 : 60, static_cast<char>('a' + pick(26))) + std::to_string(pick(3));
    switch (pick(12)) {
    case 0:
      t.x.fail(agent, pick(9) == 0 ? ec::unauthorized : ec::unavailable, "503: " + text, text);
      break;
    case 1:
      if (auto w = ledger::want(t.x.s); !w.timers.empty())
        t.x.fire(w.timers[pick(w.timers.size())]);
      break;
    case 2:
      if (pick(20) == 0)
        t.x.lose(agent, ec::unavailable, "its node is gone");
      break;
    case 3:
      if (pick(40) == 0)
        t.x.cancel("SIGINT");
      break;
    case 4:
    case 5:
      if (t.x.s.phase == ledger::phase::presenting)
        t.x.present(pick(3) == 0 ? " " : text, pick(2) == 0);
      break;
    case 6:
    case 7:
    case 8:
      t.x.answer(agent, text);
      break;
    default:
      t.x.vote(agent, "agent" + std::to_string(1 + pick(4)), text);
    }
  }
}

} // namespace conclave::test
