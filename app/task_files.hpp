// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a task leaves in its log folder for other programs: `events.jsonl`, every durable event in order, and `status.json`, a
/// projection rewritten atomically at most every 2 s and at the end; with answers that have files
/// `snapshot_mappings.json` beside it. All are views; the store is the truth.
///
///   task_files files(log_dir(task, error), task);
///   files.on(e);     // each durable event, in order
///   files.finish();  // or the destructor: the last status.json is on disk afterwards
///
/// Thread rule: any thread; calls are serialised inside. A file that cannot be written never disturbs the task: see error().

#include "app/task_view.hpp"
#include "transports/outside.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace conclave {

/// Returns status.json for a task so far. `now_ms` is Unix time; times in it are ISO 8601, durations seconds. Ends with a line
/// feed.
std::string status_json(const task_view& v, const std::string& task, const std::string& log_dir, std::int64_t now_ms);

/// Returns snapshot_mappings.json: what each label of an answer with files, and of a vote, stands for, and where the store keeps
/// these files, below the home of conclave. Agents are agentN in it. Empty while no answer has files.
std::string snapshot_mappings_json(const task_view& v);

class task_files {
public:
  /// Makes `dir` (0700) if it is missing; an empty one means that nothing is written. No file before the first event. What an
  /// earlier process wrote there is gone on with, behind its last whole line: give `on` all events, those of before are not
  /// doubled.
  task_files(std::string dir, std::string task, std::chrono::milliseconds every = usual_pace,
             std::shared_ptr<outside> from = outside::of_machine());
  static constexpr std::chrono::milliseconds usual_pace{2000};
  ~task_files();
  task_files(const task_files&) = delete;
  task_files& operator=(const task_files&) = delete;

  void on(const event& e);

  /// Writes the last status and closes the files. Later events are ignored.
  void finish();

  /// Returns the first thing that went wrong, empty if nothing did.
  std::string error() const;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace conclave
