// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// How the store names bodies and owners. Pure.

#include "transports/event_store.hpp"

#include <string>
#include <string_view>

namespace conclave {

/// Returns the 32 bytes of a body's name, empty if it is none.
std::string body_key(std::string_view sha);

/// The reverse.
std::string body_name(std::string_view key);

/// Returns who this is, for a sentence: "process 4711 on mars (begun 2026-11-26 06:51:11 UTC)".
std::string owner_text(const task_owner& owner);

} // namespace conclave
