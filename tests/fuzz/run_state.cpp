// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Stored states and bodies. What is a state is written again and goes on in a machine; what is a body comes back as it was.

#include "protocols/run_state.hpp"

#include "fuzz/fuzz.hpp"

#include <map>

using namespace conclave;

namespace {

std::map<std::string, std::string> store;

std::string keep(std::string bytes) {
  auto name = "k" + wire::hash(bytes);
  store[name] = std::move(bytes);
  return name;
}

const std::string* find(const std::string& name) {
  auto i = store.find(name);
  return i == store.end() ? nullptr : &i->second;
}

template <class T>
void body(bool (*read)(const std::string&, const run::finder&, T&, std::string&),
          std::string (*write)(const T&, const run::keeper&)) {
  T x, again;
  std::string error;
  if (!read("input", find, x, error)) {
    FUZZ_REQUIRE(!error.empty());
    return;
  }
  FUZZ_REQUIRE(read(write(x, keep), find, again, error) && again == x);
}

void go_on(run::state s) {
  run::setting with;
  with.tools["look"] = {{"look", "", "{}"}, 0, true, false};
  with.tools["write"] = {{"write", "", "{}"}, 1, false, false};
  s.talk.emplace_back();
  run::continued c;
  c.task.task = "t";
  c.task.run = 8;
  completion reply;
  reply.calls = {{"c1", "look", "{}"}, {"c2", "write", "{}"}, {"c3", "nobody", "{}"}};
  c.ends.push_back({s.reply_call, true, reply, {}});
  run::step(with, s, std::move(c));
  for (int i = 0; i < 8; ++i) {
    run::step(with, s, run::ruled{s.awaited, {ruling_kind::accepted, "", {}}});
    run::step(with, s, run::model_done{s.model_call, reply});
    auto pending = s.pending;
    for (auto& p : pending)
      run::step(with, s, run::tool_done{p.number, {}, "finished", {}});
  }
  run::step(with, s, run::cancelled{});
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto text = fuzz::text_of(data, size);
  run::state s, again;
  std::string error;
  if (run::from_json(text, s, error)) {
    FUZZ_REQUIRE(run::from_json(run::to_json(s), again, error) && again == s);
    go_on(std::move(s));
  } else {
    FUZZ_REQUIRE(!error.empty() && s == run::state{});
  }
  store.clear();
  store["input"] = text;
  store["piece"] = "| a quoted line\n";
  body<message>(run::find_message, run::keep_message);
  body<completion>(run::find_completion, run::keep_completion);
  body<tool_result>(run::find_result, run::keep_result);
  message m, back;
  m.text = text;
  FUZZ_REQUIRE(run::find_message(run::keep_message(m, keep), find, back, error) && back == m);
  return 0;
}
