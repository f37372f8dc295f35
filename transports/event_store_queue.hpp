// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What waits to be written, and how it is: many appends in one transaction. Private to transports/event_store*.

#include "transports/event_store.hpp"
#include "transports/event_store_write.hpp"
#include "transports/live_tasks.hpp"

#include <deque>
#include <string>
#include <vector>

namespace conclave {

/// With `appended` an append, with `claimed` a claim (by `batch.note.owner`), with neither a release.
struct write_job {
  std::string task;
  std::uint64_t fence = 0;
  std::uint64_t expected = 0;
  append_batch batch;
  event_store::callback appended;
  std::function<void(claim_result)> claimed;
  append_result append;
  claim_result claim;
  std::chrono::steady_clock::time_point since = std::chrono::steady_clock::now();
};

/// Takes what goes into the next transaction: appends, about 8 MiB of them; anything else alone, as it depends on the locks that
/// those before it let go of.
std::vector<write_job> next_batch(std::deque<write_job>& queue);

/// Writes a batch in one transaction and sets the results. Lets go of the tasks that end with it, unless `keep_ended`.
void write_all(store_writer& writer, live_tasks& live, std::vector<write_job>& batch, bool keep_ended);

/// Writes a request to cancel, on a connection of its own. Returns false with `error` set if it cannot be, or nobody would heed it.
bool ask_to_cancel(const std::string& path, live_tasks& live, const std::string& task, const std::string& reason,
                   std::string& error);

} // namespace conclave
