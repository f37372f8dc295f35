// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A folder for one test of the sandbox, locked as long as it is used: what a process that was killed left is nobody's, and the
/// next test in that place removes it.

#include <string>

namespace conclave {

class canary {
public:
  /// Makes `<below>/<name>-XXXXXX`, and `below` if it is not there; the test says so where that cannot be. Removes those of this
  /// user that nobody uses.
  explicit canary(const std::string& below, const std::string& name = "canary");
  ~canary() { remove(); }
  canary(const canary&) = delete;
  canary& operator=(const canary&) = delete;

  const std::string& path() const { return path_; }
  void remove();

private:
  std::string path_;
  int lock_ = -1;
};

} // namespace conclave
