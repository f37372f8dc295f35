// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The log of `conclave node`: a line per note, for people on standard error or as JSON on standard output.
///
/// A reader that is slow or stopped keeps no task waiting, and strangers cannot fill a disk: of each type at most 100 lines at once
/// and 10 a second are written, of `refused` 100 and one in 2 s, of one address 20 and one in 6 s. The next line of the type says
/// how many are missing; if there is none within a minute, a line of its own does.

#include "app/paced_output.hpp"
#include "protocols/node_note.hpp"
#include "transports/outside.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace conclave {

/// Returns the line of a note, with its line feed. `time_ms` is Unix time, shown as UTC.
///
///     2026-11-26T05:04:32.123Z agent_ready task=20261126-050432-1f2e3d agent=writer backend=claude tools=3
///     {"time":"2026-11-26T05:04:32.123Z","type":"agent_ready","task":"20261126-050432-1f2e3d","agent":"writer",...}
std::string note_line(const node_note& n, std::int64_t time_ms, bool json);

/// Thread rule: any thread.
class node_log {
public:
  node_log(bool json, note_weight least);

  void keep(const node_note& n);

  /// Says what is missing. To be called so often.
  void settle();
  static constexpr std::chrono::seconds settle_every{60};

  /// Says what is missing and waits for the reader, bounded. Nothing is kept afterwards.
  void finish();

private:
  struct bucket {
    double tokens;
    std::chrono::nanoseconds at;
  };
  struct quota : bucket {
    std::uint64_t left_out = 0;
    std::map<std::string, bucket> sources = {}; ///< by address; of strangers only
  };

  bool strangers_turn(quota& q, const node_note& n, std::chrono::nanoseconds now);
  void tell_missing();
  void write(node_note n, quota& q);

  const std::shared_ptr<outside> outside_ = outside::of_machine();
  const bool json_;
  const note_weight least_;
  std::mutex mutex_;
  std::map<std::string, quota> quotas_; ///< by type
  bool finished_ = false;
  paced_output out_;
};

} // namespace conclave
