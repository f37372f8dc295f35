// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// This process as the owner of tasks. Any thread.

#include "transports/event_store.hpp"

namespace conclave {

/// Returns host name, process id and the time at which this process began. What the system does not tell is empty or 0.
task_owner this_process();

/// Whether this is a process of this machine that is there no more. A new owner holds a task's lock a moment before it is named.
bool is_gone(const task_owner& owner);

} // namespace conclave
