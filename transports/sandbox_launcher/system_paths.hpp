// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

#include <string>
#include <vector>

namespace conclave::launcher {

/// The folders that programs come from; some are links into another on most systems, some are missing.
std::vector<std::string> program_folders();

/// The part of /etc that programs need to run at all and that holds no secrets of the host.
std::vector<std::string> settings_of_programs();

/// The devices that every program may use.
std::vector<std::string> harmless_devices();

} // namespace conclave::launcher
