// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A run machine whose outside a test plays, input by input. Pure.

#include "protocols/run_machine.hpp"
#include "protocols/run_state.hpp"

#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace conclave::test {

inline completion calls(std::vector<tool_call> c) {
  completion x;
  x.calls = std::move(c);
  x.semantic = true;
  return x;
}

inline completion text(std::string s) {
  completion x;
  x.text = std::move(s);
  x.semantic = true;
  return x;
}

inline completion broken(ec code, std::string error) {
  completion x;
  x.status = completion_status::broken;
  x.code = code;
  x.said = error;
  x.error = std::move(error);
  return x;
}

/// Bodies by name, as a store keeps them.
struct bodies {
  std::map<std::string, std::string> all;
  std::map<std::string, std::string> names;

  run::keeper keep() {
    return [this](std::string bytes) {
      auto& sha = names[bytes];
      if (sha.empty())
        all[sha = "sha" + std::to_string(all.size())] = bytes;
      return sha;
    };
  }

  run::finder find() const {
    return [this](const std::string& sha) -> const std::string* {
      auto i = all.find(sha);
      return i == all.end() ? nullptr : &i->second;
    };
  }
};

struct run_driver {
  static inline const tool_call answer{"a", "new_answer", R"({"content":"42"})"};

  static bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

  run::setting with;
  run::state s;
  std::vector<run::action> last;              ///< what the newest input brought
  std::map<std::uint64_t, call_effect> begun; ///< of the calls that were reported

  run_driver() {
    with.agent.id = "writer";
    with.agent.backend.decision = "tools";
    add_tool("look", 0, true, false);
    add_tool("write", 1, false, false);
    add_tool("put", 1, false, true);
  }

  void add_tool(const std::string& name, std::size_t source, bool read_only, bool idempotent) {
    with.tools[name] = {{name, "", "{}"}, source, read_only, idempotent};
  }

  static start_run task(std::uint64_t run = 7, bool may_vote = false) {
    start_run t;
    t.task = "t";
    t.fence = 1;
    t.agent = "writer";
    t.run = run;
    t.question = "What is 6 x 7?";
    t.may_vote = may_vote;
    if (may_vote)
      t.answers = {{"agent1", "agent1.1", "42"}, {"agent2", "agent2.1", "41"}};
    return t;
  }

  void put(run::input in) {
    last = run::step(with, s, std::move(in));
    for (auto& r : got<run::report>())
      for (auto& b : r.begun)
        begun[b.call] = b.effect;
  }

  template <class T>
  std::vector<T> got() const {
    std::vector<T> out;
    for (auto& a : last)
      if (auto* x = std::get_if<T>(&a))
        out.push_back(*x);
    return out;
  }

  /// The one action of this kind.
  template <class T>
  T the() const {
    auto all = got<T>();
    return all.size() == 1 ? all.front() : throw std::logic_error("not exactly one action of this kind");
  }

  void rule(ruling_kind kind = ruling_kind::accepted, std::string why = "", ec code = ec::none) {
    put(run::ruled{s.awaited, {kind, std::move(why), {}, code}});
  }

  /// Starts a run and lets its first model call begin.
  void start(start_run t = task()) {
    auto run = t.run;
    put(run::started{std::move(t)});
    backend_info info;
    info.step = "tools";
    put(run::prepared{run, info});
    rule();
  }

  void reply(completion c) { put(run::model_done{s.model_call, std::move(c)}); }

  void tool(std::uint64_t call, std::string result = "seen") {
    put(run::tool_done{call, {"", std::move(result), false}, "finished", {}});
  }
};

} // namespace conclave::test
