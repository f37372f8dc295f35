// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What model calls cost, in words. The one place that decides how an unknown count is shown: never as 0. Pure.

#include "protocols/chat.hpp"

#include <cstdint>
#include <string>

namespace conclave {

/// Returns "3 calls", or "3 calls (5 requests)" where repeats made the number of HTTP requests another one, and "3 calls (at least
/// 2 requests)" where it is not known of some: `uncounted`. `noun` without its s.
std::string calls_text(std::uint64_t calls, const usage& u, const char* noun = "call", std::uint64_t uncounted = 0);

/// Returns "1,200 tokens in, 30 out"; "no tokens" if that is what was counted; "tokens unknown" if nothing was reported; "at least
/// 1,200 tokens in, 30 out (2 calls unreported)" if only a part was, with "tokens in unknown" or "out unknown" for what nobody
/// reported. `open`: calls that have not ended, whose tokens are unknown too. `parts`: what is counted apart is named: cached and
/// reasoning tokens, those written to a cache, those of audio, uses of the provider's own tools.
std::string tokens_text(const usage& u, std::uint64_t open = 0, bool parts = false);

/// Returns what calls cost, for the end of such a line: ", $0.0123"; ", at least $0.0123" where a part of it is not known, ", cost
/// unknown" where all of it is; empty for nothing. `open`: calls that have not ended.
std::string cost_text(const usage& u, std::uint64_t open = 0);

/// The same in one figure, for a status line: "1,230 tokens", "tokens unknown", "at least 1,230 tokens"; with what it cost.
std::string tokens_in_all(const usage& u);

/// Returns whether nobody counted `tokens`, a figure of `u`: some calls did not report it, and no other ones did.
bool is_unknown(std::int64_t tokens, const usage& u, std::uint64_t open = 0);

} // namespace conclave
