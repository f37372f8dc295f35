// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// Where a test finds the repository's files and what else was built: from the test's own place, so that the same object file
/// serves every checkout (and its compiler cache).

#pragma once

#include <filesystem>
#include <string>

namespace conclave::test {

/// The folder the test executable stands in.
inline std::filesystem::path tests_dir() {
  return std::filesystem::canonical("/proc/self/exe").parent_path();
}

/// The root of the repository.
inline std::string source_dir() {
  return std::filesystem::canonical(tests_dir() / CONCLAVE_SOURCE_FROM_TESTS).string();
}

/// The build folder, in which `conclave` stands.
inline std::string binary_dir() {
  return tests_dir().parent_path().string();
}

} // namespace conclave::test
