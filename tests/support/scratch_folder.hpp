// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A folder of a test's own, gone with it, and what lies there.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

namespace conclave::test {

struct scratch_folder {
  std::string path;

  scratch_folder() {
    auto name = (std::filesystem::temp_directory_path() / "conclave-test-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~scratch_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  scratch_folder(const scratch_folder&) = delete;
  scratch_folder& operator=(const scratch_folder&) = delete;

  /// Returns the names of the files that hold `text`, empty if none does.
  std::string files_with(const std::string& text) const {
    std::string out;
    for (auto& f : std::filesystem::recursive_directory_iterator(path)) {
      if (!f.is_regular_file())
        continue;
      std::ifstream in{f.path(), std::ios::binary};
      std::string all{std::istreambuf_iterator<char>{in}, {}};
      if (all.find(text) != std::string::npos)
        out += f.path().filename().string() + " ";
    }
    return out;
  }
};

} // namespace conclave::test
