// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What the tests of the loader share.

#include "app/load_config.hpp"
#include "protocols/config_validate.hpp"

#include <sstream>
#include <string>
#include <vector>

namespace conclave {

using strings = std::vector<std::string>;

inline load_result load(const std::string& text) {
  return load_config_text(text, "t.yaml");
}

/// Returns "line path" of every problem of this severity.
inline strings where(const load_result& r, severity s = severity::error) {
  strings out;
  for (const auto& p : r.problems)
    if (p.severity == s)
      out.push_back(std::to_string(p.line) + " " + p.path);
  return out;
}

inline bool says(const load_result& r, const std::string& part) {
  for (const auto& p : r.problems)
    if (to_string(p).find(part) != std::string::npos)
      return true;
  return false;
}

inline std::string all(const load_result& r) {
  std::string out;
  for (const auto& p : r.problems)
    out += to_string(p) + "\n";
  return out;
}

/// A team of one with these lines in its backend.
inline std::string with(const std::string& backend) {
  std::string out = "agents:\n  - id: a\n    backend:\n      type: chatcompletion\n      model: m\n";
  std::istringstream in{backend};
  for (std::string line; std::getline(in, line);)
    out += "      " + line + "\n";
  return out;
}

inline backend_config first(const load_result& r) {
  return r.config.agents.at(0).backend;
}

} // namespace conclave
