// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The user's folders. State: $CONCLAVE_HOME, else ${XDG_STATE_HOME:-~/.local/state}/conclave; directories 0700, files 0600.
/// Settings: $XDG_CONFIG_HOME/conclave and ~/.config/conclave. In all of them a leading `~` is the home of the user, a relative
/// $CONCLAVE_HOME counts from the folder the process was started in, and a relative $XDG_... is ignored, as its specification
/// wants. Any thread.

#include <string>
#include <vector>

namespace conclave {

/// Returns the user's home: $HOME, else as the system knows it; empty if nobody does.
std::string user_home();

/// Replaces a leading `~` or `~/` of a path by the user's home. Returns what is wrong, or empty: other users' homes (`~name`) are
/// not looked up, and nothing may be named `~` by mistake.
std::string expand_home(std::string& path);

/// Returns where the state is kept, absolute, without making it; empty with `error` set if that cannot be said.
std::string home_path(std::string& error);

/// Returns the folders that may hold config.yaml and .env, the nearest first.
std::vector<std::string> config_dirs();

/// Returns the home directory, created if missing; empty with `error` set if it cannot be.
std::string home_dir(std::string& error);

/// Returns why home_dir() would fail, or empty; makes nothing.
std::string home_fault();

/// Returns $home/logs/<task>, created.
std::string log_dir(const std::string& task, std::string& error);

/// Writes `bytes` to a temporary file beside `path`, then renames it over `path`. Returns an empty string or what went wrong.
std::string write_atomically(const std::string& path, const std::string& bytes, unsigned mode = 0600);

} // namespace conclave
