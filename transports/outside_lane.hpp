// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The lane of the real outside: a queue and a thread.

#include "transports/outside.hpp"

namespace conclave {

/// Starts a thread with this body; null if the system gives none.
using thread_starter = std::function<std::unique_ptr<host_thread>(std::function<void()>)>;

std::unique_ptr<lane> make_thread_lane(thread_starter start);

/// Runs a job on the caller's thread.
job_result run_job(const lane::job& what);

} // namespace conclave
