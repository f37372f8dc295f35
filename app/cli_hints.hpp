// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What people type who mean something else: words that are no command of ours, options of MassGen, files in the place of a
/// question. Pure: no file is looked at.

#include <string>

namespace conclave {

/// Returns what to type instead of this word in the place of a command: a command of ours, a slip of one, or a word that other
/// programs use ("help", "ls"). Empty for anything else, and for a command of ours as it is. `exact`: slips are let pass.
std::string command_hint(const std::string& word, bool exact = false);

/// Returns the command of ours that this word is, in any case, or is a slip of; empty if there is none.
std::string near_command(const std::string& word);

/// Returns what there is instead of an option of another program ("--init"), with or without "=value"; empty if it is none.
std::string option_hint(const std::string& option);

/// Returns the option that takes this argument, by the end of its name: "--config" or "--file"; empty if it looks like no file.
std::string file_option(const std::string& argument);

/// Returns an argument as it can be typed into a shell.
std::string shell_word(const std::string& argument);

} // namespace conclave
