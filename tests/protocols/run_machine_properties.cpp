// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// Random lives of a run: replies of all kinds, tools that end in any order, refusals, cancels, newer runs, and crashes, after
/// which another machine goes on from what was stored. The world around it keeps the log and checks after every action.
///
///   run_machine_properties [--seconds N]     RC_PARAMS="max_success=100000 seed=1" as usual

#include "support/random_reply.hpp"

#include <rapidcheck.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <set>

/// RC_ASSERT evaluates both sides of && and ||.
#define MUST(what)                                                                                                                 \
  do {                                                                                                                             \
    if (!(what))                                                                                                                   \
      RC_FAIL(#what "\n" + story);                                                                                                 \
  } while (false)

using namespace conclave;
using namespace conclave::test;

namespace {

class world {
public:
  explicit world(dice d) {
    static const char* steps[] = {"auto", "tools", "schema", "text"};
    x.with.agent.backend.decision = steps[d.roll(4)];
    x.with.agent.backend.max_tool_iterations = d.roll(3) == 2 ? 2 : 50;
    x.with.agent.backend.parallel_tool_calls = d.roll(4) != 3;
    x.with.agent.backend.max_run_bytes = d.roll(4) == 3 ? 65'536 : 33'554'432;
    x.with.unknown = static_cast<run::on_unknown>(d.roll(3));
    all_tools = x.with.tools;
    kind_of_run = d.roll(5) == 4 ? run_kind::present : run_kind::coordinate;
    may_vote = d.roll(2) == 1;
    if (d.roll(2) == 1)
      x.with.policies = &waiting_policies();
    has_workspace = d.roll(3) == 2;
    plans = d.roll(4) == 3;
    begin();
  }

  void act(dice d) {
    auto what = d.roll(40);
    if (what == 0)
      crash(d);
    else if (what == 1 && d.roll(3) == 0)
      put(run::cancelled{"deadline"}), cancelled = run;
    else if (what == 2 && d.roll(4) == 0)
      begin();
    else if (what == 3)
      nonsense(d);
    else if (what == 4)
      change_tools(d);
    else
      go_on(d, false);
  }

  /// Lets the run come to its end.
  void drain() {
    x.with.tools = all_tools;
    for (int i = 0; i < 2'000 && x.s.stage != run::stage::idle; ++i)
      go_on(dice{0}, true);
    MUST(x.s.stage == run::stage::idle);
    MUST(log.superseded || cancelled == run
         || log.outcomes[run] == 1); // a verdict that was refused after a cancel is the last word
    while (!models.empty() || !tools.empty())
      go_on(dice{0}, true);
    MUST(x.s.late.empty());
    for (auto& [number, call] : log.calls)
      MUST(call.ended || lost.count(number) > 0);
  }

private:
  void begin() {
    auto t = run_driver::task(++run, may_vote);
    t.kind = kind_of_run;
    t.planning = plans;
    t.round = static_cast<std::uint32_t>(run); // requests in vain are another test's
    log.superseded = log.has_state = false;
    asked = 0;
    task = t;
    put(run::started{t});
  }

  void put(run::input in) {
    static const char* inputs[] = {"started",   "prepared",  "unprepared", "ruled",         "model_done",  "model_failed",
                                   "tool_done", "cancelled", "continued",  "tools_changed", "policy_said", "snapshot_taken"};
    story += std::string("\n") + inputs[in.index()] + ":";
    for (auto& a : run::step(x.with, x.s, std::move(in)))
      std::visit([this](auto& y) { carry_out(y); }, a);
  }

  // The outside.

  void go_on(dice d, bool end) {
    auto choices = (preparing ? 1U : 0U) + (asked != 0 ? 1U : 0U) + (snapping ? 1U : 0U) + (listing ? 1U : 0U) + models.size()
                   + tools.size() + holds.size();
    if (choices == 0)
      return;
    auto i = d.roll(static_cast<std::uint32_t>(choices));
    if (preparing && i-- == 0) {
      preparing = false;
      backend_info info;
      info.step = d.roll(4) == 3 ? "schema" : "tools";
      info.context_tokens = d.roll(3) == 2 ? 4'000 : 0;
      if (d.roll(20) == 19 && !end)
        return put(run::unprepared{run, ec::unavailable, "gone"});
      return put(run::prepared{run, info, has_workspace ? "w" : ""});
    }
    if (listing && i-- == 0) {
      listing = false;
      x.with.tools_stale = false;
      return put(run::tools_changed{});
    }
    if (snapping && i-- == 0) {
      snapping = false;
      return put(run::snapshot_taken{run, snapshot = d.roll(3) == 2 ? "" : "s" + std::to_string(++ids), "the disk is full"});
    }
    if (i < holds.size()) {
      auto hold = std::next(holds.begin(), i);
      auto [call, what] = *hold;
      holds.erase(hold);
      auto go = end || d.roll(4) != 3;
      said[what] = go;
      return put(run::policy_said{run, call, go, d.roll(2) == 1 ? "no" : ""});
    }
    i -= static_cast<std::uint32_t>(holds.size());
    if (asked != 0 && i-- == 0)
      return put(run::ruled{std::exchange(asked, 0), log.by});
    if (i < models.size()) {
      auto call = *std::next(models.begin(), i);
      models.erase(call);
      if (d.roll(20) == 19 && !end)
        return put(run::model_failed{call, ec::breaker_open, "closed"});
      return put(run::model_done{call, end ? final_reply() : random_reply(d, [this] { return id(); })});
    }
    auto call = *std::next(tools.begin(), static_cast<std::ptrdiff_t>(i - models.size()));
    tools.erase(call);
    put(run::tool_done{call, {"", std::string(d.roll(4) == 3 ? 30'000 : 3, 'r'), d.roll(5) == 4}, "finished", {}});
  }

  completion final_reply() {
    auto& m = last_request;
    if (!m.schema.empty())
      return text(R"({"action":"vote","agent_id":"agent1"})");
    if (m.tools.empty() || kind_of_run == run_kind::present)
      return text("The end.");
    return calls({{id(), "new_answer", R"({"content":"42"})"}});
  }

  std::string id() { return "c" + std::to_string(++ids); }

  void nonsense(dice& d) {
    auto before = x.s;
    auto stale = d.roll(30);
    if (models.count(stale) == 0 && tools.count(stale) == 0) {
      put(run::model_done{stale, text("stale")});
      put(run::model_failed{stale, ec::timeout, "stale"});
      put(run::tool_done{stale, {"", "stale", false}, "finished", {}});
    }
    if (stale != asked)
      put(run::ruled{stale, {ruling_kind::accepted, "", {}}});
    if (holds.count(stale) == 0)
      put(run::policy_said{run, stale, true, ""});
    put(run::policy_said{run + 1, holds.empty() ? 1 : holds.begin()->first, true, ""});
    put(run::snapshot_taken{run + 1, "stale", ""});
    if (!snapping)
      put(run::snapshot_taken{run, "stale", ""});
    MUST(before == x.s);
  }

  void change_tools(dice& d) {
    static const char* names[] = {"look", "write", "put"};
    x.with.tools = all_tools;
    x.with.gone.clear();
    if (d.roll(2) == 1) {
      auto* name = names[d.roll(3)];
      x.with.tools.erase(name);
      x.with.gone.insert(name);
    }
    x.with.tools_stale = d.roll(2) == 1;
    put(run::tools_changed{});
  }

  // Actions.

  void carry_out(const run::prepare&) {
    preparing = true;
    story += " prepare";
  }

  void carry_out(const run::report& r) {
    story += " report " + std::to_string(r.number) + " of " + std::to_string(r.run);
    for (auto& e : r.ended)
      story += " -" + std::to_string(e.call) + e.status;
    for (auto& b : r.begun)
      story += " +" + std::to_string(b.call) + b.target;
    if (r.has_verdict)
      story += " verdict " + std::to_string(static_cast<int>(r.handed_in.kind)) + r.handed_in.reason;
    before_last = log;
    last_is_ruled = false;
    for (auto& e : r.ended) {
      if (not_begun.count(e.call) > 0)
        continue; // its run ended before it heard that the call may not begin
      auto& known = log.calls.at(e.call);
      MUST(!known.ended);
      known.ended = true;
      known.reply = e.reply;
      known.result = e.result;
    }
    if (r.has_verdict && !r.ask) {
      MUST(r.handed_in.kind == verdict_kind::failed);
      MUST(r.begun.empty());
      if (r.run == run || log.outcomes[r.run] == 0)
        ++log.outcomes[r.run];
      if (r.run == run)
        asked = 0; // nobody waits for it any more
    }
    MUST(log.outcomes[r.run] <= 1);
    if (!r.ask)
      return;
    MUST(asked == 0 && r.number == x.s.awaited && r.run == run);
    MUST(r.has_verdict != !r.begun.empty());
    if (r.has_verdict)
      MUST(r.handed_in.files.snapshot
           == ((r.handed_in.kind == verdict_kind::answer || r.handed_in.kind == verdict_kind::presented) && has_workspace ? snapshot
                                                                                                                          : ""));
    asked = r.number;
    log.by = next_ruling(r);
    if (log.by.kind == ruling_kind::superseded)
      log.superseded = true;
    else if (r.has_verdict && log.by.kind == ruling_kind::accepted)
      ++log.outcomes[run];
    MUST(log.outcomes[run] <= 1);
    for (auto& b : r.begun) {
      MUST(log.calls.empty() || b.call > log.calls.rbegin()->first);
      if (log.by.kind == ruling_kind::accepted)
        log.calls[b.call].call = b.call;
      if (log.by.kind == ruling_kind::accepted)
        not_begun.erase(b.call);
      else
        not_begun.insert(b.call);
    }
    store();
  }

  ruling next_ruling(const run::report& r) {
    auto i = ++rulings % 16;
    if (i == 7 && r.begun.empty())
      return {ruling_kind::superseded, "", {}};
    if (r.has_verdict ? i % 3 == 1 : i == 5)
      return {ruling_kind::refused, "not now", {"agent1"}};
    return {ruling_kind::accepted, "", {}};
  }

  void store() {
    log.has_state = true;
    log.state = run::to_json(x.s);
    MUST(x.s.kept <= log.talk.size() || x.s.kept == 0);
    log.talk.resize(x.s.kept);
    for (auto i = x.s.kept; i < x.s.talk.size(); ++i)
      log.talk.push_back(run::keep_message(x.s.talk[i], kept.keep()));
    auto whole = x.s; // what comes back is all but what the log has
    whole.task.question = {}, whole.task.history = {};
    whole.task.planning = false;
    for (auto& a : whole.task.answers)
      a.text.clear();
    whole.reply = {}, whole.held = 0;
    whole.late.clear();
    whole.touched = SIZE_MAX;
    whole.holds = 0;
    for (auto& p : whole.pending) {
      p.call = {};
      p.hold = 0;
      p.refused.clear();
      if (p.number != 0)
        p.result = {};
    }
    for (auto& r : whole.long_results)
      r.text.clear();
    whole.handed_in.text.clear();
    MUST(restored() == whole);
  }

  run::state restored() {
    run::state s;
    std::string error;
    MUST(run::from_json(log.state, s, error));
    for (auto& name : log.talk) {
      message m;
      MUST(run::find_message(name, kept.find(), m, error));
      s.talk.push_back(std::move(m));
    }
    return s;
  }

  void carry_out(const run::send_model& a) {
    auto& known = log.calls.at(a.request.call);
    MUST(!known.ended && sent.insert(a.request.call).second && a.request.run == run);
    last_is_ruled = true;
    last_request = a.request;
    std::map<std::string, int> results;
    for (auto& m : a.request.messages)
      if (m.from == role::tool)
        ++results[m.tool_call_id];
    for (auto& m : a.request.messages)
      for (auto& c : m.calls)
        MUST(results[c.id] == 1);
    models.insert(a.request.call);
  }

  void carry_out(const run::send_tool& a) {
    MUST(!log.calls.at(a.call).ended && sent.insert(a.call).second && a.run == run);
    last_is_ruled = true;
    auto& times = by_key[a.key];
    ++times;
    auto& tool = all_tools.at(a.what.name);
    MUST(x.with.policies != &waiting_policies() || a.what.name != "write" || said[a.what.id]);
    MUST(times == 1 || tool.read_only || tool.idempotent || x.with.unknown == run::on_unknown::repeat);
    MUST(!plans);
    tools.insert(a.call);
  }

  void carry_out(const run::refuse_tool& a) {
    MUST(!log.calls.at(a.call).ended && sent.insert(a.call).second && plans && a.result.is_error
         && a.status == "denied:E_PLANNING");
    last_is_ruled = true;
    tools.insert(a.call);
  }

  void carry_out(const run::cancel_model& a) { MUST(models.count(a.call) == 1); }
  void carry_out(const run::cancel_all_tools&) {}
  void carry_out(const run::tell&) {}
  void carry_out(const run::remember&) {}
  void carry_out(const run::over&) {
    story += " over";
    holds.clear();
    snapping = listing = false;
  }
  void carry_out(const run::list_again&) {
    story += " list";
    MUST(x.with.tools_stale && x.s.stage == run::stage::listing);
    listing = true;
  }
  void carry_out(const run::ask_policy& a) {
    story += " hold " + std::to_string(a.call) + " " + a.policy + ":" + a.what;
    MUST(a.run == run && (a.policy == "first" || a.policy == "second"));
    MUST(holds.emplace(a.call, a.what).second);
  }
  void carry_out(const run::take_snapshot& a) {
    MUST(has_workspace && a.workspace == "w" && a.run == run && !snapping);
    snapping = true;
  }

  /// All that is not durable is gone, perhaps with the newest report. What was under way stays without an end.
  void crash(dice& d) {
    if (x.s.stage == run::stage::idle && d.roll(2) == 0)
      return;
    if (!last_is_ruled && before_last.calls.size() <= log.calls.size() && asked != 0 && d.roll(3) == 0)
      log = before_last;
    auto over = log.superseded || log.outcomes[run] > 0;
    preparing = snapping = listing = false;
    asked = 0;
    models.clear();
    tools.clear();
    holds.clear();
    for (auto& [number, call] : log.calls)
      if (!call.ended)
        lost.insert(number);
    auto old = run;
    x.s = {};
    if (over || !log.has_state) {
      x.s.calls = log.calls.empty() ? 0 : log.calls.rbegin()->first; // as a task's `first_call` says
      x.s.reports = 1'000 * ++crashes;
      return begin();
    }
    run::continued c;
    c.task = task;
    c.task.run = ++run;
    log.outcomes[run] = log.outcomes[old];
    for (auto& [number, call] : log.calls)
      c.ends.push_back(call);
    c.refused = log.by.kind == ruling_kind::refused;
    c.refusal = log.by;
    x.s = restored();
    auto asked_last = log.calls.find(x.s.model_call); // one that has ended is judged again, and what was said then comes anew
    auto open_model =
        x.s.pending.empty() && !x.s.handing_in && !c.refused && (asked_last == log.calls.end() || !asked_last->second.ended);
    auto talk = x.s.talk;
    std::set<std::string> open; // questions that come again
    for (auto& p : x.s.pending)
      if (p.stage == run::call_stage::on_hold)
        open.insert(p.policy);
    snapshot = x.s.snapshot;
    last_is_ruled = true; // what was stored so far stays
    put(std::move(c));
    if (x.s.stage == run::stage::tools || x.s.stage == run::stage::announced)
      for (auto& p : x.s.pending)
        MUST((p.stage == run::call_stage::on_hold) == (p.hold != 0 && holds.count(p.hold) == 1));
    if (x.s.stage == run::stage::tools && !open.empty())
      MUST(!holds.empty());
    if (open_model && asked != 0 && log.calls.count(x.s.model_call) > 0 && x.s.iterations == 0)
      MUST(x.s.talk == talk);
  }

  run_driver x;
  std::string story; ///< for whoever reads a finding
  bodies kept;
  log_of_run log, before_last;
  bool last_is_ruled = false;
  std::map<std::string, run::offered_tool> all_tools;
  start_run task;
  run_kind kind_of_run = run_kind::coordinate;
  bool may_vote = false;
  std::uint64_t run = 0, rulings = 0, ids = 0, crashes = 0;
  bool preparing = false;
  std::uint64_t cancelled = 0; ///< the run that was
  std::uint64_t asked = 0;     ///< report whose ruling is on its way
  bool has_workspace = false, plans = false, snapping = false, listing = false;
  std::string snapshot;                       ///< that was taken last
  std::map<std::uint64_t, std::string> holds; ///< by number: what they are about
  std::map<std::string, bool> said;           ///< by call id: whether it may go on
  std::set<std::uint64_t> models, tools, sent, lost, not_begun;
  std::map<std::string, int> by_key;
  model_request last_request;
};

void life() {
  auto word = *rc::gen::arbitrary<std::uint64_t>().as("world");
  auto words = *rc::gen::scale(
      2.0, rc::gen::container<std::vector<std::uint64_t>>(rc::gen::noShrink(rc::gen::inRange<std::uint64_t>(0, UINT64_MAX))));
  world w{dice{word}};
  for (auto one : words)
    w.act(dice{one});
  w.drain();
}

} // namespace

int main(int argc, char** argv) {
  using clock = std::chrono::steady_clock;
  auto seconds = 0;
  for (auto i = 1; i + 1 < argc; ++i)
    if (std::strcmp(argv[i], "--seconds") == 0)
      seconds = std::atoi(argv[i + 1]);
  auto params = rc::detail::configuration().testParams;
  if (std::getenv("RC_PARAMS") == nullptr)
    params.maxSuccess = 1'000;
  rc::detail::TestMetadata meta;
  meta.id = meta.description = "random lives of a run keep the promises and end";
  std::size_t passed = 0;
  auto begun = clock::now();
  do {
    auto result = rc::detail::checkTestable(life, meta, params);
    if (!result.is<rc::detail::SuccessResult>()) {
      std::cerr << "seed " << params.seed << ": ";
      rc::detail::printResultMessage(result, std::cerr);
      return 1;
    }
    passed += static_cast<std::size_t>(result.get<rc::detail::SuccessResult>().numSuccess);
    params.seed = params.seed * 6364136223846793005U + 1442695040888963407U;
  } while (clock::now() - begun < std::chrono::seconds(seconds));
  auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(clock::now() - begun).count();
  std::cout << "\n" << passed << " passed (" << ms << " ms)\n";
  return passed > 0 ? 0 : 1;
}
