// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Plays a task like the program does, and kills itself at one record of its log. The store of this program commits each append
// alone, one after the other, so a record is one transaction.
//
//   record_runner STORE FILE run TEAM QUESTION
//   record_runner STORE FILE resume TASK
//
// Two native tools come with it: `append` writes a line to FILE and is not to be repeated, `look` reads. Prints one line at the
// end: records N, outcome, answer.
//
// CRASH_RECORD=N: at the N-th record of this process. CRASH_AT=commit: it is in the store and nobody was told yet. CRASH_AT=call:
// at the first outside call after it was told; nothing is stored any more. A model's call ends the process from outside: whoever
// plays the model sees ARMED (a file) and kills; a tool does it itself, before its effect or (CRASH_TOOL=after) after it. Where
// there is no outside call, it is done CRASH_IDLE_MS later.

#include "actors/event_hub.hpp"
#include "app/engine_core.hpp"
#include "app/load_config.hpp"
#include "transports/event_store.hpp"
#include "transports/outside.hpp"

#include <caf/all.hpp>

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <fcntl.h>
#include <fstream>
#include <future>
#include <iostream>
#include <mutex>
#include <thread>
#include <unistd.h>

using namespace conclave;

namespace {

std::string setting(const char* name, const char* otherwise) {
  auto* found = std::getenv(name);
  return found != nullptr ? found : otherwise;
}

[[noreturn]] void die() {
  ::kill(::getpid(), SIGKILL);
  for (;;)
    ::pause();
}

/// Where to end, shared by the store and the tools.
struct crash_point {
  std::uint64_t record = std::stoull(setting("CRASH_RECORD", "0"));
  bool at_commit = setting("CRASH_AT", "commit") == "commit";
  bool after_tool = setting("CRASH_TOOL", "before") == "after";
  long idle_ms = std::stol(setting("CRASH_IDLE_MS", "300"));
  std::string armed_file = setting("CRASH_ARMED", "");
  std::atomic<bool> armed = false;

  void arm() {
    if (!armed_file.empty())
      std::ofstream(armed_file) << ::getpid();
    armed = true;
    std::thread([ms = idle_ms] {
      std::this_thread::sleep_for(std::chrono::milliseconds(ms)); // nothing is going on: that is the point
      die();
    }).detach();
  }
};

/// Forwards one append at a time. `point.armed`: what comes later is neither stored nor answered.
class one_by_one final : public event_store {
public:
  one_by_one(std::unique_ptr<event_store> real, crash_point& point) : real_(std::move(real)), point_(point) {}
  ~one_by_one() override { real_.reset(); } // what it still calls back uses this object

  std::uint64_t records() const { return records_; }

  void append(std::string task, std::uint64_t fence, std::uint64_t expected_seq, append_batch batch, callback done) override {
    {
      std::lock_guard lock(mutex_);
      waiting_.push_back({std::move(task), fence, expected_seq, std::move(batch), std::move(done)});
    }
    next();
  }
  void claim(std::string task, task_owner owner, std::function<void(claim_result)> done) override {
    real_->claim(std::move(task), std::move(owner), std::move(done));
  }
  void release(const std::string& task) override { real_->release(task); }
  void read(std::string task, std::uint64_t after, std::size_t limit, std::function<void(event_page)> done) override {
    real_->read(std::move(task), after, limit, std::move(done));
  }
  void read_bodies(std::string task, std::vector<std::string> shas, std::function<void(body_page)> done) override {
    real_->read_bodies(std::move(task), std::move(shas), std::move(done));
  }
  bool request_cancel(const std::string& task, const std::string& reason, std::string& error) override {
    return real_->request_cancel(task, reason, error);
  }
  void on_cancel(std::function<void(std::string, std::string)> told) override { real_->on_cancel(std::move(told)); }
  std::vector<stored_event> read(const std::string& task, std::uint64_t after, std::string& error) override {
    return real_->read(task, after, error);
  }
  std::vector<stored_body> bodies(const std::string& task, const std::vector<std::string>& shas, std::string& error) override {
    return real_->bodies(task, shas, error);
  }
  std::vector<task_row> list(std::string& error) override { return real_->list(error); }
  bool remove(const std::string& task, std::string& error) override { return real_->remove(task, error); }
  std::vector<std::string> prune(std::int64_t before_ms, std::string& error) override { return real_->prune(before_ms, error); }

private:
  struct job {
    std::string task;
    std::uint64_t fence = 0;
    std::uint64_t expected = 0;
    append_batch batch;
    callback done;
  };

  void next() {
    job j;
    {
      std::lock_guard lock(mutex_);
      if (busy_ || waiting_.empty() || point_.armed)
        return;
      busy_ = true;
      j = std::move(waiting_.front());
      waiting_.pop_front();
    }
    real_->append(std::move(j.task), j.fence, j.expected, std::move(j.batch), [this, done = std::move(j.done)](append_result r) {
      auto hit = ++records_ == point_.record;
      if (hit && point_.at_commit)
        die();
      if (hit)
        point_.arm();
      done(std::move(r));
      {
        std::lock_guard lock(mutex_);
        busy_ = false;
      }
      next();
    });
  }

  std::unique_ptr<event_store> real_;
  crash_point& point_;
  std::mutex mutex_;
  std::deque<job> waiting_;
  bool busy_ = false;
  std::atomic<std::uint64_t> records_ = 0;
};

struct system_config : caf::actor_system_config {
  system_config() {
    add_messages(*this);
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", std::size_t{2});
  }
};

native_tool tool(const char* name, bool read_only, std::function<std::string(const std::string&)> run) {
  native_tool t;
  t.spec.name = name;
  t.spec.description = name;
  t.spec.parameters = R"({"type":"object","properties":{"line":{"type":"string"}}})";
  t.read_only = read_only;
  t.run = std::move(run);
  return t;
}

std::vector<native_tool> tools_for(const std::string& file, crash_point& point) {
  auto append = [file, &point](const std::string& arguments) {
    if (point.armed && !point.after_tool)
      die();
    auto line = arguments + "\n";
    auto fd = ::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    auto n = ::write(fd, line.data(), line.size());
    ::close(fd);
    if (point.armed)
      die();
    return "wrote " + std::to_string(n);
  };
  auto look = [&point](const std::string& arguments) {
    if (point.armed)
      die();
    return "saw " + arguments;
  };
  return {tool("append", false, append), tool("look", true, look)};
}

int wrong_usage() {
  std::cerr << "usage: record_runner STORE FILE run TEAM QUESTION | record_runner STORE FILE resume TASK\n";
  return 1;
}

} // namespace

int main(int argc, char** argv) {
  std::vector<std::string> args(argv + 1, argv + argc);
  if (args.size() < 4 || (args[2] != "resume" && args.size() < 5))
    return wrong_usage();
  crash_point point;
  std::string error;
  auto real = event_store::open(args[0], error);
  if (!real) {
    std::cerr << error << "\n";
    return 2;
  }
  auto store = std::make_shared<one_by_one>(std::move(real), point);
  system_config config;
  caf::actor_system sys{config};
  engine_options options;
  options.write_logs = false;
  options.tools = tools_for(args[1], point);
  auto hub = std::make_shared<event_hub>(store, outside::of_machine());
  engine_core core(sys, store, hub, options, nullptr);
  std::promise<outcome> result;
  auto done = [&result](outcome o) { result.set_value(std::move(o)); };
  if (args[2] == "resume") {
    resume_request request{args[3], "", nullptr, {}};
    opening o;
    auto refusal = read_opening(*store, request, o);
    if (refusal.error.empty())
      core.resume(request, o, {}, done);
    else
      done(std::move(refusal));
  } else {
    auto team = load_config(args[3]);
    team.config.rules.backoff_ms = 50; // a file cannot say less than seconds
    core.start(team.config, {args[4], {}}, {}, done);
  }
  auto out = result.get_future().get();
  core.stop();
  hub->close(std::chrono::seconds(5));
  std::cout << "records " << store->records() << " " << to_string(out.kind) << " " << out.answer << out.error << "\n";
  return out.kind == outcome_kind::answered ? 0 : 2;
}
