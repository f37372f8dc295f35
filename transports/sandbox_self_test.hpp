// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Which tier holds on this machine, found out by trying: commands in a canary try to read outside, to write what is read-only, to
/// get at the network, the engine and the kernel. A tier passes if nothing of that works and what is granted does.
///
/// Thread rule: any thread may call; it makes a few files and returns. The callback comes once, on the thread of the children.

#include "transports/sandbox.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace conclave {

struct sandbox_probe {
  std::string name; ///< "read_outside"
  bool held = false;
};

struct sandbox_report {
  sandbox_tier tier = sandbox_tier::off;
  bool passed = false;
  std::string why;                   ///< why not, one sentence
  std::vector<sandbox_probe> probes; ///< empty if it could not even be started
  sandbox_traits traits;
  bool tried = true; ///< false: the test could not be carried out, so it says nothing of the tier
};

enum class sandbox_mode {
  required,  ///< namespaces, else Landlock; below that no commands
  automatic, ///< also none, which is announced
  off
};

struct sandbox_choice {
  bool usable = false;
  sandbox_tier tier = sandbox_tier::off;
  std::vector<sandbox_report> reports; ///< of the tiers tried, strongest first
  std::string error;                   ///< not usable: what failed and what to do; else what is to be announced, if anything
};

/// Tries one tier. `folder` is made, used and removed; its parent must be there, and nobody else may use this name.
void test_sandbox(std::shared_ptr<outside> world, std::string launcher, sandbox_tier tier, std::string folder,
                  std::function<void(sandbox_report)> done);

/// Finds the strongest tier that passes. A test that could not be carried out is never a reason for a weaker one, nor for none.
void choose_sandbox(std::shared_ptr<outside> world, std::string launcher, sandbox_mode mode, std::string folder,
                    std::function<void(sandbox_choice)> done);

/// Returns what the choice comes to, from reports. Pure.
sandbox_choice choice_of(sandbox_mode mode, std::vector<sandbox_report> reports);

} // namespace conclave
