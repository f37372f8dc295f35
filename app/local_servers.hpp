// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Model servers that people run themselves (LM Studio, vLLM, SGLang, Ollama): whether one answers, and what it has. Asked before a
/// run, by `validate` and by `backends`; blocks for at most two seconds. Nothing is installed and nothing started.

#include "protocols/config.hpp"
#include "protocols/config_expand.hpp"

#include <string>
#include <vector>

namespace conclave {

class outside;

struct local_server {
  std::string type;                ///< backend type
  std::string place;               ///< "http://localhost:1234"
  bool running = false;            ///< it answered
  std::string trouble;             ///< one sentence: what is wrong and what to do; empty if it runs
  std::vector<std::string> models; ///< as it names them
};

/// Returns the servers of this type, of all types if it is empty, each at its usual place or where the environment says.
std::vector<local_server> ask_local_servers(const std::string& type, const lookup& env, const source_lookup& sources,
                                            outside& world);

/// Returns a warning for each agent of this node whose server on this machine does not answer, or does not have its model.
std::vector<problem> missing_servers(const run_config& c, const lookup& env, const source_lookup& sources, outside& world);

} // namespace conclave
