// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// One task from its start to the exit code: what is printed, what signals do. Private to the commands.

#include "app/engine.hpp"
#include "app/run_output.hpp"

#include <functional>
#include <string>

namespace conclave {

/// Starts a task with `begin`, which returns its id (or an empty text) and sees to it that `done` is called; waits for its end and
/// prints it. The first signal ends the task early, the second the process. Signals are blocked already. Returns the exit code.
int run_session(engine& eng, run_output& out,
                const std::function<std::string(listener l, std::function<void(outcome)> done)>& begin);

} // namespace conclave
