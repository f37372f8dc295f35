// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Where Conclave keeps its state: $CONCLAVE_HOME, else ${XDG_STATE_HOME:-~/.local/state}/conclave. Directories 0700, files 0600.

#include <string>

namespace conclave {

/// Returns the home directory, created if missing; empty with `error` set if it cannot be.
std::string home_dir(std::string& error);

/// Returns $home/logs/<task>, created.
std::string log_dir(const std::string& task, std::string& error);

/// Writes `bytes` to a temporary file beside `path`, then renames it over `path`. Returns an empty string or what went wrong.
std::string write_atomically(const std::string& path, const std::string& bytes, unsigned mode = 0600);

} // namespace conclave
