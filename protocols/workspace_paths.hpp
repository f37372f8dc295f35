// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Where an agent's files lie, and how texts speak of them. No id of an agent and no name of a node is in such a path: others are
/// shown them. In the log a file of an answer is `workspace://agentN/a.txt`; each reader is told where it lies for that reader.
/// Pure.

#include "protocols/config.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace conclave::workspace_paths {

inline constexpr std::string_view scheme = "workspace://";
inline constexpr std::string_view private_scheme = "private://"; ///< what nobody but its agent can look at

/// Eight hex digits: what an agent's place is called below the folder of its task. The same whenever the task is gone on with.
std::string place_name(const std::string& task, std::uint64_t seed, std::uint32_t number);

/// The folders of an agent in a task, below `place`, which is made for it alone.
std::string work(const std::string& place);    ///< its own files; the current folder of its commands
std::string view(const std::string& place);    ///< agent1, agent2, ...: the files of the answers it is shown
std::string home(const std::string& place);    ///< of its commands, private
std::string servers(const std::string& place); ///< the folders of HOME of all tool servers
std::string server_home(const std::string& place, const std::string& server); ///< of a tool server, which commands cannot reach
std::string target(const std::string& place, std::size_t number); ///< its copy of a folder of the user's, by its place in the list
/// What it may change from its first run on: its checkout of a git repository of the user's, or its copy of another folder. It is
/// in the workspace, so its files go with answers.
std::string checkout(const std::string& place, std::size_t number);
/// Whether it may change a copy, or a checkout, of this from its first run on, and not only when it presents.
bool goes_with_answers(const workspace_config& with, const context_path& c);
/// With `winner_reuse` nobody presents: what agents may change, they may change from their first run on, and nothing is written in
/// place.
void without_presenter(run_config& c);
/// Where it changes the `number`th of its context paths.
std::string changed(const std::string& place, const workspace_config& with, std::size_t number);

/// Whether who presents the final answer writes in the user's folder itself (`write_mode: legacy`); of any of an agent's folders.
bool written_in_place(const workspace_config& with, const context_path& c);
bool written_in_place(const workspace_config& with);

/// What is given to be read alone below a folder that may be changed, as lines of .gitignore for that folder.
std::vector<std::string> read_below(const workspace_config& with, const std::string& folder);

/// Returns the text with places below `place` written so that they mean the same to every reader: the agent's own as
/// workspace://agentN, shown ones as those of their agent, copies of the user's folders as these, all others (HOME, what is no
/// place) as private://agentN. Whole path components alone. Nothing in the result leads below `place`.
std::string neutral(std::string text, const std::string& place, std::uint32_t number, const workspace_config& with);

/// Returns the neutral text with the places of agent `from` as if they were those of agent `to`.
std::string as_of(std::string text, std::uint32_t from, std::uint32_t to);

/// Returns the text with workspace://agentN where these files lie for the agent with this `place`.
std::string expanded(std::string text, const std::string& place);

} // namespace conclave::workspace_paths
