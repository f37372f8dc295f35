// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.run_state

// A run's state and what was said, stored and read again.

#include "protocols/run_state.hpp"

#include "caf/test/unit_test.hpp"
#include "support/places.hpp"

#include <fstream>
#include <map>
#include <sstream>

using namespace conclave;
using run::state;

namespace {

/// Keeps pieces by a name that tells them apart.
struct pieces {
  std::map<std::string, std::string> all;
  std::size_t kept = 0; ///< also again

  run::keeper keep() {
    return [this](std::string bytes) {
      ++kept;
      for (auto& [sha, known] : all)
        if (known == bytes)
          return sha;
      auto sha = "sha" + std::to_string(all.size());
      all.emplace(sha, std::move(bytes));
      return sha;
    };
  }

  run::finder find() {
    return [this](const std::string& sha) -> const std::string* {
      auto i = all.find(sha);
      return i == all.end() ? nullptr : &i->second;
    };
  }

  std::size_t bytes() const {
    std::size_t sum = 0;
    for (auto& [sha, x] : all)
      sum += x.size();
    return sum;
  }
};

// Each of these names every member: one that is added does not compile until it has a value here, and then has to come back.

start_run full_task() {
  start_run t;
  auto& [task, fence, agent, run, round, epoch, first_call, kind, question, history, answers, may_answer, may_vote, own_id,
         vote_reasons, votes, tie, now_ms, stored, on_unknown, attachments, planning, planning_instruction, planning_reads,
         snapshot, again] = t;
  task = "20261126-101112-abcd";
  fence = 3;
  snapshot = std::string(64, 'a');
  again = true;
  agent = "writer";
  run = 7;
  round = 2;
  epoch = 4;
  first_call = 9;
  kind = run_kind::present;
  question.clear(); // the log has them
  history.clear();
  answers = {{"agent1", "agent1.2", ""}, {"agent3", "agent3.1", ""}};
  may_answer = false;
  may_vote = true;
  own_id = "agent3";
  vote_reasons.clear(); // the log has them
  votes = 2;
  tie = true;
  now_ms = 1'700'000'000'123;
  stored = {};      // told once, when a run goes on
  on_unknown = {};  // so is this
  attachments = {}; // these, too, come with the start of a run
  planning = false;
  planning_instruction = {};
  planning_reads = false;
  return t;
}

run::memory full_memory() {
  run::memory m;
  auto& [saw_tools, learned_budget, decision_room, round, kind, vain, vain_code, vain_error, backend, left] = m;
  saw_tools = true;
  learned_budget = 512;
  decision_room = 64;
  round = 2;
  kind = run_kind::present;
  vain = 3;
  vain_code = ec::unavailable;
  vain_error = "503";
  backend = 1;
  left = {"openai first: 503"};
  return m;
}

run::pending_call full_call(std::uint64_t n) {
  run::pending_call p;
  auto& [at, call, number, first, stage, policy, hold, cleared, refused, result] = p;
  at = 1;
  call = {}; // the reply has it
  number = n;
  first = 11;
  stage = run::call_stage::under_way;
  policy = "approval";
  hold = 0; // another one after a crash
  cleared = true;
  refused = {}; // judged again
  if (n == 0)
    result = {"c2", "Error: not carried out: \"why\".", true}; // else the log has it
  return p;
}

verdict full_verdict() {
  verdict v;
  auto& [kind, text, target, reason, code, truncated, step, files] = v;
  files = {std::string(64, 'b'), 3,    120,
           "the disk is full",   true, {{"/home/u/project", std::string(64, 'c'), std::string(64, 'd'), 2}}};
  kind = verdict_kind::presented;
  text = {}; // the reply has it
  target = "agent1";
  reason = "because";
  code = ec::denied;
  truncated = true;
  step = "tools";
  return v;
}

state full_state() {
  state s;
  auto& [memory, task, stage, cancelled, restarted, talk, kept, touched, step, ladder_fixed, budget_bytes, want, attempt,
         bare_replies, iterations, overflows, pauses, last_asked, repeats, calls, model_call, reply_call, reply, names, lead,
         pending, long_results, held, reports, awaited, handing_in, handed_in, answers_call, said, partial, policy, holds,
         workspace, snapshot, late] = s;
  memory = full_memory();
  task = full_task();
  stage = run::stage::announced;
  cancelled = true;
  restarted = true;
  talk = {}; // apart, as messages
  kept = 5;
  touched = SIZE_MAX; // of this process
  step = prompts::ladder::text;
  ladder_fixed = true;
  budget_bytes = 12'288;
  want = run::asked_for::presentation;
  attempt = 2;
  bare_replies = 1;
  iterations = 6;
  overflows = 3;
  pauses = 4;
  last_asked = "0123456789abcdef";
  repeats = 2;
  calls = 19;
  model_call = 18;
  reply_call = 17;
  reply = {}; // the log has it
  names = {"vote", "mcp__t__look"};
  lead = "so far";
  pending = {full_call(0), full_call(12)};
  long_results = {{"r1", 11, ""}}; // the log has its text
  held = 0;                        // from the others
  reports = 21;
  awaited = 20;
  handing_in = true;
  handed_in = full_verdict();
  answers_call = "c1";
  said = "half a";
  partial = "thought";
  policy = "approval";
  holds = 0; // of this process
  workspace = "w1";
  snapshot = "s1";
  late = {}; // nobody brings their ends
  return s;
}

completion full_completion() {
  completion c;
  auto& [status, text, reasoning, calls, use, code, error, retry_after_ms, semantic, retryable_hint, retry_asked, opaque,
         opaque_dialect, finish, said, model_fault, polls] = c;
  status = completion_status::broken;
  text = "text";
  reasoning = "hm";
  calls = {{"c1", "vote", "{\"agent_id\":\"agent1\"}"}};
  use = {1, 2, 3, 4, 5, 6};
  code = ec::stream_broken;
  error = "broke";
  retry_after_ms = 250;
  semantic = true;
  retryable_hint = false;
  retry_asked = true;
  opaque = "[1]";
  opaque_dialect = "anthropic";
  finish = "stop";
  said = "no";
  model_fault = true;
  polls = 2;
  return c;
}

content_part full_part() {
  content_part p;
  auto& [kind, text, media_type, data, uri] = p;
  kind = content_kind::json;
  text = "[image image/png, 3 bytes, not shown]";
  media_type = "image/png";
  data = std::string(4096, 'A');
  uri = "file:///x";
  return p;
}

message full_message() {
  message m;
  auto& [from, text, reasoning, calls, tool_call_id, is_error, opaque, opaque_dialect, parts] = m;
  from = role::assistant;
  text = "text";
  reasoning = "hm";
  calls = {{"c1", "vote", "{}"}};
  tool_call_id = "c0";
  is_error = true;
  opaque = "[1]";
  opaque_dialect = "anthropic";
  parts = {full_part()};
  return m;
}

tool_result full_result() {
  tool_result r;
  auto& [id, text, is_error, parts] = r;
  id = "c1";
  text = "seen";
  is_error = true;
  parts = {{}, full_part()};
  return r;
}

std::string file(const std::string& name) {
  std::ifstream in(test::source_dir() + "/tests/golden/run_state/" + name);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::string refusal_of(const std::string& text) {
  state s;
  std::string error;
  CAF_CHECK(!run::from_json(text, s, error));
  CAF_CHECK(s == state{});
  return error;
}

/// What version 4 added.
void without_files(state& s) {
  s.task.snapshot.clear();
  s.task.again = false;
  s.handed_in.files = {};
}

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

} // namespace

CAF_TEST(every member of a state comes back) {
  auto s = full_state();
  state back;
  std::string error;
  CAF_CHECK(run::from_json(run::to_json(s), back, error));
  CAF_CHECK_EQUAL(error, "");
  CAF_CHECK(back == s);
  CAF_CHECK_EQUAL(run::to_json(back), run::to_json(s));
}

CAF_TEST(no member of a full state has its default) {
  auto text = run::to_json(full_state());
  for (auto* key : {"memory",       "task",         "stage",   "cancelled", "restarted",    "kept",       "ladder",
                    "ladder_fixed", "budget_bytes", "want",    "attempt",   "bare_replies", "iterations", "overflows",
                    "pauses",       "last_asked",   "repeats", "calls",     "model_call",   "reply_call", "names",
                    "lead",         "pending",      "reports", "awaited",   "handing_in",   "handed_in",  "answers_call",
                    "said",         "partial",      "policy",  "workspace", "snapshot"})
    CAF_CHECK(says(text, std::string("\"") + key + "\":"));
}

CAF_TEST(a state of each version is read by every later build) {
  auto reads = [](const char* name, const state& then) {
    state s;
    std::string error;
    CAF_REQUIRE(run::from_json(file(name), s, error));
    CAF_CHECK(s == then);
  };
  auto then = full_state(); // then without what came later
  reads("v4.json", then);
  without_files(then);
  then.memory.left.clear();
  reads("v3.json", then);
  then.long_results.clear();
  then.memory.backend = 0;
  reads("v2.json", then);
  then.policy = then.workspace = then.snapshot = "";
  for (auto& p : then.pending) {
    p.policy = "";
    p.cleared = false;
  }
  reads("v1.json", then);
}

CAF_TEST(what the log has is not stored with the state) {
  state s = full_state();
  s.task.question = "QUESTION";
  s.task.history = {{true, "HISTORY"}};
  s.task.answers[0].text = "ANSWER";
  s.task.vote_reasons = {"REASON"};
  s.reply.text = "REPLY";
  s.handed_in.text = "HANDED";
  s.pending[1].result.text = "RESULT";
  s.talk = {full_message()};
  auto text = run::to_json(s);
  CAF_CHECK_EQUAL(text, run::to_json(full_state()));
}

CAF_TEST(a state of a newer version is refused with a reason) {
  auto why = refusal_of(R"({"v":5})");
  CAF_CHECK(says(why, "version 5") && says(why, "newer build"));
}

CAF_TEST(what is no state is refused and changes nothing) {
  for (auto* text : {"",
                     "[]",
                     "7",
                     "{}",
                     R"({"v":0})",
                     R"({"v":"1"})",
                     R"({"v":1,"v":1})",
                     R"({"v":1,"stage":7})",
                     R"({"v":2,"pending":[{"stage":5}]})",
                     R"({"v":1,"stage":-1})",
                     R"({"v":1,"stage":1.5})",
                     R"({"v":1,"kept":-3})",
                     R"({"v":1,"attempt":4294967296})",
                     R"({"v":1,"calls":1e400})",
                     R"({"v":1,"pending":{}})",
                     R"({"v":1,"pending":[[]]})",
                     R"({"v":1,"said":7})",
                     R"({"v":1,"said":[{"sha":"x"}]})",
                     R"({"v":1,"new_in_a_fork":1})",
                     R"({"v":1,"memory":{"vain":9223372036854775808}})",
                     R"({"v":99999999999999999999})"})
    CAF_CHECK(!refusal_of(text).empty());
  CAF_CHECK(says(refusal_of(R"({"v":1,"task":{"fence":"x"}})"), "`task.fence`"));
  CAF_CHECK(!refusal_of(R"({"v":1,"x":)" + std::string(100'000, '[')).empty());
  CAF_CHECK(says(refusal_of(std::string(run::max_body + 1, ' ')), "bytes"));
}

CAF_TEST(completions messages and results come back) {
  pieces p;
  std::string error;
  completion c;
  message m;
  tool_result r;
  CAF_CHECK(run::find_completion(run::keep_completion(full_completion(), p.keep()), p.find(), c, error) && c == full_completion());
  CAF_CHECK(run::find_message(run::keep_message(full_message(), p.keep()), p.find(), m, error) && m == full_message());
  CAF_CHECK(run::find_result(run::keep_result(full_result(), p.keep()), p.find(), r, error) && r == full_result());
  CAF_CHECK_EQUAL(p.all.size(), 4u); // the data of both parts is one
  CAF_CHECK(!run::find_message("gone", p.find(), m, error) && says(error, "gone"));
}

CAF_TEST(a body is read alike from the text of this build and from one that only the general parser takes) {
  pieces p;
  std::string error;
  completion fast, general;
  auto sha = run::keep_completion(full_completion(), p.keep());
  p.all["other"] = " " + p.all[sha];
  CAF_CHECK(run::find_completion(sha, p.find(), fast, error) && run::find_completion("other", p.find(), general, error));
  CAF_CHECK(fast == general && fast == full_completion());
}

CAF_TEST(what no build wrote as a body is refused however it is read) {
  for (auto* text : {"{}",
                     "[]",
                     R"({"v":0})",
                     R"({"v":2})",
                     R"({"v":1,"v":1})",
                     R"({"text":"a","text":"b","v":1})",
                     R"({"from":4,"v":1})",
                     R"({"from":-1,"v":1})",
                     R"({"from":"2","v":1})",
                     R"({"is_error":1,"v":1})",
                     R"({"calls":{},"v":1})",
                     R"({"calls":[7],"v":1})",
                     R"({"calls":[{"id":"a","id":"b"}],"v":1})",
                     R"({"calls":[{"x":1}],"v":1})",
                     R"({"calls":[{}}],"v":1})",
                     R"({"calls":[{},],"v":1})",
                     R"({"calls":[,{}],"v":1})",
                     R"({"calls":[{})",
                     R"({"new":1,"v":1})",
                     R"({"text":null,"v":1})",
                     R"({"v":1}})",
                     "{\"text\":\"\xff\",\"v\":1}"}) {
    pieces p;
    p.all["x"] = text;
    message m, before;
    before.text = m.text = "as before";
    std::string error;
    CAF_MESSAGE(text);
    CAF_CHECK(!run::find_message("x", p.find(), m, error) && !error.empty());
    CAF_CHECK(m == before);
  }
  pieces p;
  message m;
  std::string error;
  p.all["x"] = R"({"calls":[{"id":"a"},{"arguments":"{}","id":"b"}],"from":2,"is_error":true,"text":"\u00e9 \"q\"","v":1})";
  CAF_CHECK(run::find_message("x", p.find(), m, error));
  CAF_CHECK(m.calls.size() == 2 && m.calls[1].id == "b" && m.calls[1].arguments == "{}" && m.is_error);
  CAF_CHECK_EQUAL(m.text, "\xC3\xA9 \"q\"");
}

CAF_TEST(texts come back byte for byte) {
  for (std::size_t size : {0u, 1u, 1023u, 1024u, 5000u})
    for (std::string part : {"x", "| quoted\n", "\n", "| ", "\xFF", "\xE2\x80\xA8| ", "|", "|\n| a\r\n"}) {
      message m;
      while (m.text.size() < size)
        m.text += part;
      pieces p;
      message back;
      std::string error;
      CAF_CHECK(run::find_message(run::keep_message(m, p.keep()), p.find(), back, error));
      CAF_CHECK(back == m);
    }
}

CAF_TEST(an answer that is shown to many is stored once) {
  start_run t = full_task();
  t.kind = run_kind::coordinate;
  t.question = "What?";
  t.answers = {{"agent1", "agent1.1", std::string(50'000, 'a')}, {"agent2", "agent2.1", std::string(2'000, 'b')}};
  pieces p;
  for (std::string own : {"You are curt.", "You are kind.", "You are slow."})
    for (auto& m : prompts::coordination(t, own, prompts::ladder::tools, 0))
      run::keep_message(m, p.keep());
  CAF_CHECK(p.bytes() < 60'000);
}

CAF_TEST(a reply that joins the conversation is stored once) {
  pieces p;
  auto c = full_completion();
  c.text = std::string(30'000, 'x');
  message m;
  m.from = role::assistant;
  m.text = c.text;
  run::keep_completion(c, p.keep());
  run::keep_message(m, p.keep());
  CAF_CHECK(p.bytes() < 31'000);
}

CAF_TEST(bodies that lead in circles or blow up are refused) {
  pieces p;
  std::string big(run::max_body, 'x');
  p.all = {{"self", R"({"v":1,"text":[{"sha":"self"}]})"}, {"big", big}, {"big2", big + "x"}};
  std::string many = R"({"v":1,"text":[)";
  for (int i = 0; i < 1000; ++i)
    many += R"({"sha":"big"},)";
  p.all["many"] = many + R"("x"]})";
  message m;
  std::string error;
  CAF_CHECK(run::find_message("self", p.find(), m, error)); // its bytes are text, nothing more
  CAF_CHECK_EQUAL(m.text, p.all["self"]);
  CAF_CHECK(!run::find_message("many", p.find(), m, error));
  CAF_CHECK(says(error, "more text"));
  CAF_CHECK(!run::find_message("big2", p.find(), m, error));
}

CAF_TEST(a message of more than one body is kept in several) {
  message m;
  m.text = std::string(run::max_body + 5, 'x');
  pieces p;
  message back;
  std::string error;
  CAF_CHECK(run::find_message(run::keep_message(m, p.keep()), p.find(), back, error));
  CAF_CHECK(back == m);
  for (auto& [sha, bytes] : p.all)
    CAF_CHECK(bytes.size() <= run::max_body);
}
