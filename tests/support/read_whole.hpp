// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace conclave::test {

/// The bytes of a file, "" if there is none; in blocks: byte by byte takes most of a test's time without optimization.
inline std::string read_whole(const std::filesystem::path& path) {
  std::ifstream in{path, std::ios::binary};
  std::ostringstream out;
  if (in.peek() != std::ifstream::traits_type::eof())
    out << in.rdbuf();
  return std::move(out).str();
}

} // namespace conclave::test
