// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Stored logs, one event per line: restoring, listing what was unfinished, verifying and other rules take anything.

#include "protocols/replay.hpp"

#include "fuzz/fuzz.hpp"
#include "protocols/what_if.hpp"
#include "protocols/wire/sha256.hpp"

using namespace conclave;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto text = fuzz::text_of(data, size);
  std::vector<event> log;
  for (std::size_t at = 0; at < text.size();) {
    auto end = std::min(text.find('\n', at), text.size());
    event e;
    if (wire::from_json(std::string_view{text}.substr(at, end - at), e))
      log.push_back(std::move(e));
    at = end + 1;
  }
  auto r = ledger::restore(log);
  FUZZ_REQUIRE(!r.error.empty() || (r.seq == log.size() && r.state.members.size() == r.opening.agents.size()));
  auto open = ledger::unfinished(log);
  FUZZ_REQUIRE(open.size() <= log.size());
  const std::string body = "a body";
  auto name = wire::sha256(body);
  auto fault = ledger::verify(log, [&](const std::string& x) { return x == name ? &body : nullptr; });
  FUZZ_REQUIRE(r.error.empty() || !fault.empty());
  for (auto pacing : {ledger::pacing::barrier, ledger::pacing::eager}) {
    ledger::other_rules other{r.opening.rules, {"b", "a"}};
    other.rules.pacing = pacing;
    other.rules.max_answers_per_agent = 1;
    other.rules.coordination_ms = 5'000;
    auto w = ledger::ask_what_if(
        log, [&](const std::string& x) { return x == name ? &body : nullptr; }, other);
    FUZZ_REQUIRE(w.error.empty() ? w.chosen() != !w.none.empty() : r.error.empty() || !w.chosen());
    for (auto& n : w.notes)
      FUZZ_REQUIRE(fuzz::is_clean_line(n.text));
  }
  FUZZ_REQUIRE(fuzz::is_clean_line(r.error));
  return 0;
}
