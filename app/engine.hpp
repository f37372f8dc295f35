// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The engine inside another program; no CAF type here. A host with an actor_system of its own: app/engine_caf.hpp.
///
///   conclave::engine eng;
///   auto out = eng.ask(config, {"What is 6 x 7?", {}});
///   if (out.kind == conclave::outcome_kind::answered) std::puts(out.answer.c_str());
///
/// Thread rule: all members may be called from any thread. Callbacks run on a thread of the engine, one at a time per task; they
/// may block (their task's deadlines go on); an exception of `on_event` or `on_chunk` becomes a warning of the outcome, one of
/// `done` is dropped. They must not call `ask` or `stop` on the same engine, nor destroy it.

#include "protocols/config.hpp"
#include "protocols/coordination.hpp"
#include "protocols/watching.hpp"
#include "protocols/workspace_handle.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace conclave {

class cassette_player;
class event_store;
class outside;
struct opening;

/// A tool written in C++. Its name is its own: 1 to 64 letters, digits, `_` and `-`, not `new_answer` or `vote`. `spec.parameters`
/// is a JSON object, the JSON Schema of its arguments; empty = it takes none. `run` may block: it has a thread of its own. It gets
/// the arguments as JSON text and returns the result text; a thrown exception becomes an error result. A call that is past its
/// deadline when the engine ends is left alone: what `run` uses must live until it returns. Secrets that the engine knows are taken
/// out of what it returns.
struct native_tool {
  tool_spec spec;
  bool read_only = false; ///< has no effect: calls run side by side, and one cut off by a crash is made again
  std::function<std::string(const std::string& arguments)> run;
  bool idempotent = false;     ///< a repetition has no further effect: a call cut off by a crash is made again
  std::int64_t timeout_ms = 0; ///< the smaller of it and `tool_timeout_seconds` counts; 0 = that alone

  /// In place of `run`, for a tool that works on the files of the agent that calls it. The handle is for the time of the call; of
  /// an agent without a workspace it is empty. That of a `read_only` tool writes nothing.
  std::function<std::string(const std::string& arguments, workspace_handle files)> run_with_files = {};
};

struct engine_options {
  std::string store_path;         ///< empty = $CONCLAVE_HOME/tasks.db
  std::string log_root;           ///< empty = $CONCLAVE_HOME/logs
  bool write_logs = true;         ///< events.jsonl and status.json per task
  std::size_t threads = 0;        ///< CAF workers; 0 = cores
  std::vector<native_tool> tools; ///< offered to every agent whose config names them in `native_tools`, or all if `tools_for_all`
  bool tools_for_all = true;
  std::shared_ptr<conclave::outside>
      outside;                 ///< what the engine gets everything from (transports/outside.hpp); empty = this machine
  std::string record_path;     ///< a new file: the engine's one task is recorded there (docs/cassettes.md). No nodes, no `resume`
  bool loopback_files = false; ///< files that go with a question may be fetched from this machine, by http too
  std::shared_ptr<cassette_player> play; ///< a recorded task, played instead of the outside (transports/cassette_player.hpp)
};

/// A task to go on with.
struct resume_request {
  std::string task;
  std::string on_unknown;           ///< tell | fail | repeat, see docs/configuration.md; empty = as configured
  const run_config* team = nullptr; ///< the team read again, for the keys that stood in it literally; used during the call alone
  std::vector<event> log;           ///< its events from the first on, where the host has read them: only what follows is read
  /// What a person is to know before the first event: a node that is waited for, files of an answer that are gone (without it they
  /// are warnings of the outcome). On an engine thread, or during the call.
  std::function<void(std::string)> tell = {};
  std::unordered_map<std::string, std::string> bodies =
      {}; ///< what its log points to, by SHA-256, as far as the host has read it; the rest is read
  std::shared_ptr<const conclave::opening> opening = {}; ///< what its first event says, where the host has read it
  std::function<void()> begins = {}; ///< the task has ended, and a new one is about to begin from it. During the call.
};

/// How the changes of a task are written.
struct apply_request {
  std::string to;       ///< a folder that takes them; empty = where they belong
  std::string on_drift; ///< where the user changed a file meanwhile: fail | skip | prefer_presenter; empty = as the task says

  /// Asked before anything is written, if it is set: each folder with how many files differ, and `text`, a line for each path
  /// (A, M, D; names escaped). Nothing is written unless it returns true within `approve_within_ms`. On a thread of its own; one
  /// that is late is left alone, so what it uses must live until it returns. An exception means no.
  std::function<bool(const std::vector<folder_change>& changes, const std::string& text)> approve = {};
  std::int64_t approve_within_ms = 60'000;
};

/// What a task that has ended proposes, for people and programs.
struct proposed_changes {
  std::vector<folder_change> folders; ///< as `outcome::changes`
  std::int64_t files = 0;             ///< that go with the answer
  std::string names;                  ///< a line for each path that differs (A, M, D; names escaped), below its folder
  std::string text;                   ///< the same with what differs
};

/// A reader of tasks, until it ends or this goes.
class subscription {
public:
  subscription() = default;
  explicit subscription(std::function<void()> end) : end_(std::move(end)) {}
  subscription(subscription&& other) noexcept : end_(std::exchange(other.end_, nullptr)) {}
  subscription& operator=(subscription&& other) noexcept {
    end();
    end_ = std::exchange(other.end_, nullptr);
    return *this;
  }
  ~subscription() { end(); }

  /// No callback begins afterwards. Waits for one under way (5 s at most), unless it is called by it.
  void end() {
    if (auto f = std::exchange(end_, nullptr))
      f();
  }

  explicit operator bool() const { return end_ != nullptr; } ///< false: there is no such reader

private:
  std::function<void()> end_;
};

class engine {
public:
  explicit engine(engine_options options = {});
  ~engine(); ///< same as stop()
  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;

  /// Returns why the engine cannot work (store not to be opened, a tool that cannot be offered, ...), empty if it can.
  const std::string& error() const;

  /// Runs a task to its end.
  outcome ask(const run_config& config, const question& q, const listener& l = {});

  /// Starts a task. Files that go with the question, and those of `upload_files`, are read first (a URL: 30 s at most): one that
  /// cannot be read, or that an agent's model cannot be shown, ends it with bad_config. `done` is called once: on an engine thread,
  /// after the last event, or before this returns if the task cannot start. Returns its id.
  std::string start(const run_config& config, const question& q, listener l, std::function<void(outcome)> done);

  /// Goes on with a task that was cut off (by the end of its process, however it ended): what was decided stays, unfinished runs
  /// continue where they stood, no model call whose reply is stored is made again. The listener gets what is new. Of a task that
  /// has ended `done` gets the outcome it had. `done` as with `start`; denied = another process works on it, bad_request = there is
  /// no such task or it cannot be gone on with, bad_config = a key is missing, or files of its answers. Returns the id of the task
  /// that goes on: a new one where a task that ended without an answer is begun again from the answers it has.
  std::string resume(resume_request request, listener l, std::function<void(outcome)> done);

  /// Follows tasks, beside the listener that one was started with: a reader that is slow, or blocks, delays neither task nor other
  /// readers, and gets every event once and in order. What it asks for that was before is given first: the events, then the newest
  /// text of the runs under way, 256 KiB of each, as far as `bounds.chunk_bytes` (256 KiB) holds them all; a mark says what is left
  /// out. An empty subscription = there is no thread for it, or the engine cannot work.
  subscription watch(const watch_filter& filter, listener l, const watch_bounds& bounds = {});

  std::vector<running_task> running() const;

  /// Ends a task early, keeping answers and partial text. Unknown ids are ignored.
  void cancel(const std::string& task, const std::string& reason);

  /// Cancels every task, waits for them (5 s at most, then as long again for those it ends by force), ends all actors, children and
  /// transfers. No task starts afterwards. Returns what it left behind, for people, or empty: files of an agent on a disk that does
  /// not answer, whose thread stays until it does.
  std::string stop();

  /// Returns what a task that has ended changes in folders of the user's, or the files of its answer where it changes none. Empty
  /// with `error` set if that cannot be told. Blocks on the disk, as the three below; docs/workspaces.md.
  proposed_changes changes(const std::string& task, std::string& error);

  /// Writes what a task that has ended changes (`outcome::changes`), or the files of its answer with `to`, in one step. Returns
  /// what is wrong, or empty. `listener::approve` does it as part of the task. The log of the task gets a `changes_applied` for
  /// each folder; where that cannot be now, the next apply, undo or run of a process adds it. No listener is told: who watches the
  /// task later reads it.
  std::string apply(const std::string& task, const apply_request& how = {});

  /// Takes back what was applied of it; its log gets a `changes_undone` for each. Returns what is wrong (also: there is no such
  /// task), or empty.
  std::string undo(const std::string& task);

  /// Returns a file (16 MiB at most) that goes with an answer of a task: by its label ("agent1.2", "agent1.final") and its path.
  /// Empty with `error` set if there is none.
  std::string read_file(const std::string& task, const std::string& label, const std::string& path, std::string& error);

  event_store& store(); ///< only if `error()` is empty

private:
  std::shared_ptr<conclave::outside> outside_in_use() const;
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace conclave
