// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a process must have before it begins: found out by trying, as what is refused later shows as anything.

#include <cstddef>
#include <functional>
#include <string>
#include <thread>

namespace conclave {

/// What an engine or a node opens for itself and for one agent with a tool server, and some to spare: store, log files, reactor,
/// network, a caller. What more agents need is theirs to fail for.
constexpr std::size_t descriptors_needed = 32;

/// What an engine or a node starts beside its scheduler's threads: store, sink, clock, network, curl, children, and some to spare.
constexpr std::size_t threads_beside_scheduler = 10;

/// Returns how many threads a scheduler gets: what is wanted, or one per core and at least 2 if that is 0.
std::size_t scheduler_threads(std::size_t wanted);

/// Starts `n` threads at once and ends them again. Returns an empty text, or that there are not so many to be had and what to do.
/// Ask before CAF is started: a thread that is refused to it ends or blocks the process. Any thread; takes about 50 us for each.
std::string lack_of_threads(std::size_t n);

/// Starts a thread in which all signals are blocked from its first moment: handlers of the host run elsewhere, and a write to a
/// broken pipe is an ordinary EPIPE. Throws std::system_error if the system gives none. Any thread; the caller's mask stays as it
/// was.
std::thread start_without_signals(std::function<void()> body);

/// The same of descriptors: opens `n` at once, beside those that are open, and closes them again.
std::string lack_of_descriptors(std::size_t n);

/// What an engine or a node lacks whose scheduler gets so many threads (as scheduler_threads), or empty.
std::string lack_of_room(std::size_t scheduler);

} // namespace conclave
