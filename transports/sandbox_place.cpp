// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/sandbox.hpp"

#include <filesystem>
#include <unistd.h>

namespace conclave {

std::string find_sandbox_launcher() {
  std::error_code e;
  auto self = std::filesystem::read_symlink("/proc/self/exe", e);
  std::vector<std::filesystem::path> folders;
  if (!e)
    folders = {self.parent_path(), self.parent_path().parent_path()};
  folders.emplace_back(CONCLAVE_BINDIR);
  for (const auto& folder : folders) {
    auto path = folder / "conclave-sandbox";
    if (std::filesystem::is_regular_file(path, e) && ::access(path.c_str(), X_OK) == 0)
      return path.string();
  }
  return {};
}

} // namespace conclave
