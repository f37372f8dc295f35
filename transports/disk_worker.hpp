// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Lanes that share a few threads: what blocks on the disk for any number of agents. Jobs of one lane run one after another and in
/// order, those of different lanes side by side, and lanes with work take turns job by job: one that is slow, or stuck, has one
/// thread at the most. A thread is started when a job finds none free, and ends once it has had nothing to do for a while.

#include "transports/outside_lane.hpp"

#include <chrono>
#include <cstddef>
#include <memory>

namespace conclave {

struct disk_worker_options {
  std::size_t threads = 4;                ///< at most
  std::chrono::milliseconds idle{10'000}; ///< after which a thread ends
};

/// Thread rule: any thread. Its end is as `close` without waiting, and may come from within a job.
std::shared_ptr<lane_group> make_disk_worker(thread_starter start, disk_worker_options options = {});

} // namespace conclave
