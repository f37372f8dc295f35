// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.task_files

#include "app/task_files.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/events.hpp"
#include "protocols/wire/json.hpp"
#include "support/scratch_folder.hpp"
#include "tests/app/story.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/stat.h>
#include <thread>

using namespace conclave;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

struct folder : test::scratch_folder {
  std::string dir() const { return path + "/task"; }
  std::string read(const std::string& name) const {
    std::ifstream in(dir() + "/" + name);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }
  unsigned mode(const std::string& name) const {
    struct stat s {};
    stat((dir() + "/" + name).c_str(), &s);
    return s.st_mode & 0777;
  }
};

json status(const std::vector<event>& events, std::size_t n, std::int64_t now = story::start_ms + 60'000) {
  return json::parse(
      status_json(view_of({events.begin(), events.begin() + static_cast<std::ptrdiff_t>(n)}), "t1", "/logs/t1", now));
}

std::size_t after(const std::vector<event>& events, event_type type, std::size_t nth = 1) {
  for (std::size_t i = 0; i < events.size(); ++i)
    if (events[i].type == type && --nth == 0)
      return i + 1;
  return 0;
}

} // namespace

CAF_TEST(labels stand for files and never name an agent by its id) {
  auto told = story::teller{};
  told.session("q", {"ann secret-id", "bob"});
  told.run("ann secret-id", 1, 0, 0, {});
  told.answer("ann secret-id", 1, "agent1.1", "see the files", 1);
  CAF_CHECK_EQUAL(snapshot_mappings_json(view_of(told.events)), "");
  auto add = [&](event e) {
    e.seq = told.events.size() + 1;
    e.time_ms = told.now_ms;
    told.events.push_back(std::move(e));
  };
  kept_files kept;
  kept.snapshot = std::string(64, 'a');
  kept.files = 3;
  kept.bytes = 1'234;
  add(events::snapshot_taken("ann secret-id", 1, "agent1.1", kept));
  told.run("bob", 2, 1, 1, {"agent1.1"});
  events::vote vote{"bob", 2, "agent2.vote1", "ann secret-id", "agent1.1", "good", "tools", 1};
  add(events::vote_cast(vote));
  kept.snapshot = std::string(64, 'b');
  add(events::snapshot_taken("ann secret-id", 3, "agent1.final", kept));
  add(events::changes_proposed("ann secret-id", 3, {"/home/u/pro\x1bject", kept.snapshot, kept.snapshot, 2}));
  auto text = snapshot_mappings_json(view_of(told.events));
  CAF_CHECK(text.find("secret-id") == std::string::npos);
  auto all = json::parse(text);
  CAF_CHECK_EQUAL(all.size(), 3u);
  CAF_CHECK_EQUAL(all["agent1.1"]["type"], "answer");
  CAF_CHECK_EQUAL(all["agent1.1"]["agent_id"], "agent1");
  CAF_CHECK_EQUAL(all["agent1.1"]["path"], "snapshots/trees/aa/" + std::string(64, 'a'));
  CAF_CHECK_EQUAL(all["agent1.1"]["files"], 3);
  CAF_CHECK_EQUAL(all["agent2.vote1"]["type"], "vote");
  CAF_CHECK_EQUAL(all["agent2.vote1"]["voted_for"], "agent1");
  CAF_CHECK_EQUAL(all["agent2.vote1"]["voted_for_label"], "agent1.1");
  CAF_CHECK_EQUAL(all["agent1.final"]["type"], "final_answer");
  auto results = status(told.events, told.events.size())["results"];
  CAF_CHECK_EQUAL(results["files"]["agent1.1"]["files"], 3);
  CAF_CHECK_EQUAL(results["files"]["agent1.final"]["bytes"], 1'234);
  CAF_CHECK_EQUAL(results["changes"][0]["folder"], "/home/u/pro?ject");
  folder f;
  {
    task_files files(f.dir(), "t1", 1ms);
    for (auto& e : told.events)
      files.on(e);
  }
  CAF_CHECK_EQUAL(f.read("snapshot_mappings.json"), text);
  CAF_CHECK_EQUAL(f.mode("snapshot_mappings.json"), 0600u);
}

CAF_TEST(a run that the store could not begin leaves no folder that no command would delete) {
  folder f;
  event last;
  last.type = event_type::task_ended; // without a number: it is in no store
  last.reason = "failed";
  {
    task_files files(f.dir(), "t1", 1ms);
    files.on(last);
    files.finish();
  }
  CAF_CHECK(!std::filesystem::exists(f.dir()));
  // One that lost the store on the way keeps its files.
  auto events = story::whole_task().events;
  {
    task_files files(f.dir(), "t1", 1ms);
    files.on(events.front());
    files.on(last);
    files.finish();
  }
  CAF_CHECK(std::filesystem::exists(f.dir() + "/status.json"));
}

CAF_TEST(the status follows a task) {
  auto events = story::whole_task().events;
  auto first = status(events, 1);
  CAF_CHECK_EQUAL(first["meta"]["session_id"], "t1");
  CAF_CHECK_EQUAL(first["meta"]["question"], "What is 6 x 7?");
  CAF_CHECK_EQUAL(first["meta"]["log_dir"], "/logs/t1");
  CAF_CHECK_EQUAL(first["meta"]["start_time"], "2026-09-21T14:13:20.000Z");
  CAF_CHECK_EQUAL(first["meta"]["elapsed_seconds"], 60.0);
  CAF_CHECK_EQUAL(first["coordination"]["phase"], "initial_answer");
  CAF_CHECK_EQUAL(first["coordination"]["completion_percentage"], 0);
  CAF_CHECK_EQUAL(first["agents"]["writer"]["status"], "waiting");
  CAF_CHECK(first["agents"]["writer"]["vote_cast"].is_null());
  CAF_CHECK_EQUAL(first["is_complete"], false);
  CAF_CHECK_EQUAL(first["finish_reason"], "in_progress");
  CAF_CHECK_EQUAL(first["agents"].size(), 3u);

  auto asked = status(events, after(events, event_type::call_started));
  CAF_CHECK_EQUAL(asked["agents"]["writer"]["status"], "streaming");
  CAF_CHECK_EQUAL(asked["coordination"]["active_agent"], "writer");

  auto answered = status(events, after(events, event_type::agent_out));
  CAF_CHECK_EQUAL(answered["agents"]["writer"]["status"], "answered");
  CAF_CHECK_EQUAL(answered["agents"]["writer"]["latest_answer_label"], "agent1.1");
  CAF_CHECK_EQUAL(answered["agents"]["judge"]["status"], "error");
  CAF_CHECK_EQUAL(answered["agents"]["judge"]["error"]["type"], "unauthorized");
  CAF_CHECK_EQUAL(answered["agents"]["judge"]["error"]["message"], "POST https://judge.example/v1: 401");

  auto voted = status(events, after(events, event_type::vote_cast));
  CAF_CHECK_EQUAL(voted["coordination"]["phase"], "enforcement");
  CAF_CHECK_EQUAL(voted["agents"]["writer"]["status"], "voted");
  CAF_CHECK_EQUAL(voted["agents"]["writer"]["vote_cast"]["voted_for_agent"], "critic");
  CAF_CHECK_EQUAL(voted["agents"]["writer"]["vote_cast"]["voted_for_label"], "agent2.1");
  CAF_CHECK_EQUAL(voted["agents"]["writer"]["vote_cast"]["reason_preview"], "shorter");
  CAF_CHECK_EQUAL(voted["results"]["votes"]["agent2.1"], 1);

  auto presenting = status(events, after(events, event_type::presentation_started));
  CAF_CHECK_EQUAL(presenting["coordination"]["phase"], "presentation");
  CAF_CHECK_EQUAL(presenting["coordination"]["is_final_presentation"], true);
  CAF_CHECK_EQUAL(presenting["results"]["winner"], "critic");
  CAF_CHECK_EQUAL(presenting["results"]["votes"], (json{{"agent2.2", 2}}));

  auto last = status(events, events.size());
  CAF_CHECK_EQUAL(last["is_complete"], true);
  CAF_CHECK_EQUAL(last["finish_reason"], "completed");
  CAF_CHECK_EQUAL(last["outcome"], "answered");
  CAF_CHECK_EQUAL(last["coordination"]["completion_percentage"], 100);
  CAF_CHECK_EQUAL(last["results"]["final_answer_preview"], "6 x 7 is 42.");
  CAF_CHECK_EQUAL(last["agents"]["critic"]["status"], "completed");
  CAF_CHECK_EQUAL(last["agents"]["critic"]["answer_count"], 2);
  CAF_CHECK(last["meta"]["elapsed_seconds"] < 60.0); // the clock stops with the task
}

CAF_TEST(progress never goes back while a task goes on) {
  auto events = story::whole_task().events;
  for (std::size_t n = 1; n <= events.size(); ++n) {
    auto percent = status(events, n)["coordination"]["completion_percentage"].get<int>();
    CAF_CHECK(percent >= 0 && percent <= 100);
    CAF_CHECK_EQUAL(percent == 100, n == events.size());
  }
}

CAF_TEST(odd names and texts make valid JSON with previews cut at characters) {
  story::teller t;
  t.session("q\"\\\n\xff", {"a\"b\\", "\x01"});
  std::string reason;
  for (int i = 0; i < 300; ++i)
    reason += "\u4e2d";
  t.run("a\"b\\", 1, 0, 0, {});
  t.answer("a\"b\\", 1, "agent1.1", "x", 1);
  t.vote("a\"b\\", 2, "a\"b\\", "agent1.1", reason, 1);
  auto s = status(t.events, t.events.size());
  CAF_CHECK_EQUAL(s["agents"].size(), 2u);
  CAF_CHECK_EQUAL(s["agents"]["a\"b\\"]["vote_cast"]["reason_preview"].get<std::string>().size(),
                  300u); // 100 characters of 3 bytes
}

CAF_TEST(every way to end has a finish reason) {
  for (auto [outcome, reason] : std::initializer_list<std::pair<const char*, const char*>>{
           {"answered", "completed"}, {"failed", "error"}, {"timed_out", "timeout"}, {"interrupted", "interrupted"}}) {
    story::teller t;
    t.session("q", {"a"});
    t.end(outcome, "because");
    auto s = status(t.events, t.events.size());
    CAF_CHECK_EQUAL(s["finish_reason"], reason);
    CAF_CHECK_EQUAL(s["finish_reason_details"], "because");
  }
  story::teller t;
  t.session("q", {"a"});
  t.tell(event_type::coordination_timeout);
  t.end("answered", "timeout");
  auto late = status(t.events, t.events.size());
  CAF_CHECK_EQUAL(late["finish_reason"], "timeout");
}

CAF_TEST(events are appended as they come and the last status is on disk after closing) {
  folder f;
  auto events = story::whole_task().events;
  {
    task_files files(f.dir(), "t1", 1h); // an hour: only the first and the last status can be written
    for (std::size_t i = 0; i < events.size(); ++i) {
      files.on(events[i]);
      auto text = f.read("events.jsonl");
      CAF_CHECK_EQUAL(static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')), i + 1);
    }
    files.finish();
    files.on(events[0]); // ignored
    CAF_CHECK_EQUAL(files.error(), "");
  }
  std::istringstream lines(f.read("events.jsonl"));
  std::size_t n = 0;
  for (std::string line; std::getline(lines, line); ++n) {
    event e;
    CAF_REQUIRE(wire::from_json(line, e));
    CAF_CHECK(e == events[n]);
  }
  CAF_CHECK_EQUAL(n, events.size());
  auto last = json::parse(f.read("status.json"));
  CAF_CHECK_EQUAL(last["is_complete"], true);
  CAF_CHECK_EQUAL(f.mode("status.json"), 0600u);
  CAF_CHECK_EQUAL(f.mode("events.jsonl"), 0600u);
}

CAF_TEST(the log files of a task end with its end whatever was done with its files since) {
  folder f;
  auto events = story::whole_task().events;
  auto applied = events::changes_applied({"/home/u", 3, "abcdef"});
  applied.seq = events.size() + 1;
  applied.time_ms = events.back().time_ms + 86'400'000;
  {
    task_files files(f.dir(), "t1", 1h);
    for (auto& e : events)
      files.on(e);
    files.on(applied); // of a log that is brought up to date from the store
    files.finish();
    CAF_CHECK_EQUAL(files.error(), "");
  }
  auto text = f.read("events.jsonl");
  CAF_CHECK_EQUAL(static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')), events.size());
  CAF_CHECK(text.find("changes_applied") == std::string::npos);
  auto last = json::parse(f.read("status.json")), as_it_ended = status(events, events.size());
  CAF_CHECK_EQUAL(last["is_complete"], true);
  CAF_CHECK_EQUAL(last["meta"]["elapsed_seconds"], as_it_ended["meta"]["elapsed_seconds"]);
}

CAF_TEST(a change is on disk within the period without further events) {
  folder f;
  auto events = story::whole_task().events;
  task_files files(f.dir(), "t1", 20ms);
  auto shows = [&](const char* writer) {
    auto deadline = std::chrono::steady_clock::now() + 20s;
    while (std::chrono::steady_clock::now() < deadline) {
      auto text = f.read("status.json");
      if (!text.empty() && json::parse(text)["agents"]["writer"]["status"] == writer) // atomic: never half a file
        return true;
      std::this_thread::yield();
    }
    return false;
  };
  files.on(events[0]);
  CAF_CHECK(shows("waiting"));
  auto n = after(events, event_type::new_answer);
  for (std::size_t i = 1; i < n; ++i)
    files.on(events[i]);
  CAF_CHECK(shows("answered"));
}

CAF_TEST(a log folder that cannot be written is an error of nobody else) {
  folder f;
  std::ofstream(f.path + "/file") << "x";
  task_files files(f.path + "/file/task", "t1");
  for (const auto& e : story::whole_task().events)
    files.on(e);
  files.finish();
  CAF_CHECK(!files.error().empty());
  task_files none("", "t1");
  none.on(story::whole_task().events[0]);
  none.finish();
  CAF_CHECK_EQUAL(none.error(), "there is no log folder");
}

CAF_TEST(what a provider did not count is null in the status and never nothing) {
  story::teller t;
  t.session("q", {"a", "b", "c", "d"});
  t.call("d", 1, 1, 15, 0);
  t.events.back().use.unreported = 1;
  t.call("a", 1, 1, 0, 0);
  t.events.back().use.unreported = 1;
  t.events.back().use.requests = 3;
  t.call("b", 2, 1, 1'000, 20);
  t.call("b", 2, 2, 0, 0);
  t.events.back().use.unreported = 1;
  auto agents = status(t.events, t.events.size())["agents"];
  CAF_CHECK(agents["a"]["input_tokens"].is_null());
  CAF_CHECK(agents["a"]["output_tokens"].is_null());
  CAF_CHECK_EQUAL(agents["a"]["requests"], 3);
  CAF_CHECK_EQUAL(agents["a"]["unreported_calls"], 1);
  CAF_CHECK_EQUAL(agents["b"]["input_tokens"], 1'000);
  CAF_CHECK_EQUAL(agents["b"]["unreported_calls"], 1);
  CAF_CHECK_EQUAL(agents["c"]["input_tokens"], 0); // it was never asked
  CAF_CHECK_EQUAL(agents["d"]["input_tokens"], 15);
  CAF_CHECK(agents["d"]["output_tokens"].is_null());
  CAF_CHECK_EQUAL(agents["b"]["uncounted_calls"], 0);
  t.events.back().reason = "unknown"; // as a resume ends what was open
  t.events.back().use.requests = 0;
  auto all = status(t.events, t.events.size());
  CAF_CHECK_EQUAL(all["agents"]["b"]["uncounted_calls"], 1);
  CAF_CHECK_EQUAL(all["usage"]["uncounted_calls"], 1);
}

namespace {

/// Writes a log file, tells its writer all events of a task and returns what is in the file then.
std::string after_going_on(folder& f, const std::string& found, const std::vector<event>& events, std::string& error) {
  auto dir = std::filesystem::path(f.path) / "task";
  std::filesystem::create_directories(dir);
  std::ofstream(dir / "events.jsonl", std::ios::binary) << found;
  task_files files(f.dir(), "t1", 1h);
  for (const auto& e : events)
    files.on(e);
  files.finish();
  error = files.error();
  return f.read("events.jsonl");
}

std::string lines_of(const std::vector<event>& events, std::size_t n) {
  std::string out;
  for (std::size_t i = 0; i < n; ++i)
    out += wire::to_json(events[i]) + "\n";
  return out;
}

} // namespace

CAF_TEST(a log file is gone on with behind its last whole line wherever it was cut) {
  auto events = story::whole_task().events;
  auto whole = lines_of(events, events.size());
  std::string error;
  for (std::size_t cut = 0; cut <= whole.size(); cut += cut < 100 || cut + 300 > whole.size() ? 1 : 211) {
    folder f;
    CAF_REQUIRE_EQUAL(after_going_on(f, whole.substr(0, cut), events, error), whole);
    CAF_CHECK_EQUAL(error, "");
  }
}

CAF_TEST(a log file that is missing or empty begins with the first event) {
  auto events = story::whole_task().events;
  auto whole = lines_of(events, events.size());
  std::string error;
  folder f;
  CAF_CHECK_EQUAL(after_going_on(f, "", events, error), whole);
  folder none;
  task_files files(none.dir(), "t1", 1h);
  for (const auto& e : events)
    files.on(e);
  files.finish();
  CAF_CHECK_EQUAL(none.read("events.jsonl"), whole);
  CAF_CHECK_EQUAL(files.error(), "");
}

CAF_TEST(lines of any length are found whole at the end of a long log file) {
  std::string error;
  for (std::size_t length :
       {std::size_t{100}, std::size_t{64} << 10, (std::size_t{64} << 10) + 1, std::size_t{300} << 10, std::size_t{5} << 20}) {
    auto events = story::whole_task().events;
    for (auto& e : events)
      e.detail.clear();
    auto n = events.size() - 2;
    for (std::size_t i = 1; i < n; ++i)
      events[i].text += std::string(i + 1 == n ? length : 20'000, 'x');
    auto whole = lines_of(events, events.size());
    for (const auto* rest : {"", "{\"v\":2,\"seq\":", "{"}) {
      folder f;
      CAF_CHECK(after_going_on(f, lines_of(events, n) + rest, events, error) == whole);
      CAF_CHECK_EQUAL(error, "");
    }
    folder f; // half of a line that is as long as that
    CAF_CHECK(after_going_on(f, lines_of(events, n - 1) + wire::to_json(events[n - 1]).substr(0, length), events, error) == whole);
    CAF_CHECK_EQUAL(error, "");
  }
}

CAF_TEST(a log file that ends in what is no event is left as it is) {
  auto events = story::whole_task().events;
  std::string error;
  for (const std::string& found : {std::string("hello\n"), lines_of(events, 3) + "\n", lines_of(events, 2) + "{}\n",
                                   std::string(std::size_t{65} << 20, 'x')}) {
    folder f;
    CAF_CHECK(after_going_on(f, found, events, error) == found);
    CAF_CHECK(error.find("ends in a line that is no event") != std::string::npos);
  }
}
