// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The file that `--output-file` names, and the folder of `--output-dir`.

#include "protocols/config.hpp"

#include <string>

namespace conclave {

/// Returns why an answer could not be written to this file, empty if it probably can be (or `path` is empty). Asked before anything
/// is paid for.
std::string output_problem(const std::string& path);

/// Writes the answer to a file. A regular file is replaced in one step (through a symbolic link at its target): readers see the old
/// content or the whole answer, and mode, owner and group stay those of the file that was there. Where that is not possible
/// (another owner, several hard links, an access list, a folder nobody may add to) the file is written in place. Anything else
/// (/dev/stderr, a FIFO) is appended to. Returns an empty string or what went wrong.
std::string write_answer(const std::string& path, const std::string& text);

/// Returns why the files of an answer could not be written into this folder, empty if they probably can be (or `path` is empty): it
/// is there and not empty, it has no folder to be made in, or no agent has a workspace.
std::string output_folder_problem(const std::string& path, const run_config& team);

} // namespace conclave
