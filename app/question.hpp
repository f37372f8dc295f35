// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Puts the question together: the words of the command line, what stands on standard input, and files. Signals are watched
/// elsewhere: a read that waits ends with the process.

#include "app/cli.hpp"
#include "protocols/coordination.hpp"

#include <string>
#include <string_view>

namespace conclave {

/// Returns a text with the question first, then a heading and a fence of backticks around what is added. The fence is longer than
/// any run of backticks in the text, so nothing inside can end it.
std::string with_attachment(std::string question, const std::string& heading, std::string_view text);

/// Reads the question of a run, at most 1 MiB with everything added. Beside a question, standard input is read if it is a regular
/// file at its beginning, or a pipe or socket whose first byte comes within two seconds; a notice says so, or that nothing came.
/// Images, PDF files and URLs become attachments that are not read yet. Returns 0, or an exit code after a complaint.
int read_question(const run_options& o, question& out);

} // namespace conclave
