// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Which folders of the user's are no places for agents or for what they made: one list for team files, hosts, the command line and
/// deliveries. Looks at the disk.

#include "protocols/config.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace conclave {

enum class folder_use {
  programs, ///< commands see it (`sandbox.readable`, of which `validate` says more)
  reading,  ///< agents read it
  writing,  ///< agents change a copy of it, and that is written there
  target,   ///< it gets files of a task; it need not be there
};

/// Why a path (absolute, links resolved) cannot be used so, and what to do instead, or empty: the whole file system, what is made
/// of no files, what git keeps for itself, and what holds our own home or lies in it. `home`: ours, where that is not
/// CONCLAVE_HOME.
std::string folder_fault(const std::string& path, folder_use use, const std::string& home = {});

/// The `cwd` of an agent if it says an absolute path, links resolved as far as it is there; else empty.
std::string absolute_cwd(const agent_config& a);

/// Why the absolute `cwd` of an agent of a team cannot be meant as a folder of its own, or empty.
std::string cwd_fault(const std::string& path, std::size_t agent, const std::vector<agent_config>& agents);

/// A warning for each folder or file that may be changed by the team file, and not by this user: nothing can be written back there.
std::vector<problem> unwritable_folders(const run_config& c);

} // namespace conclave
