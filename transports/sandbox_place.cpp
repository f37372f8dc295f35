// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/sandbox.hpp"

#include <filesystem>
#include <unistd.h>
#include <vector>

namespace conclave {

namespace {

std::vector<std::filesystem::path> places() {
  std::error_code e;
  auto self = std::filesystem::read_symlink("/proc/self/exe", e);
  std::vector<std::filesystem::path> folders;
  if (!e)
    folders = {self.parent_path(), self.parent_path().parent_path()};
  folders.emplace_back(CONCLAVE_BINDIR);
  return folders;
}

} // namespace

std::string find_sandbox_launcher() {
  std::error_code e;
  for (const auto& folder : places()) {
    auto path = folder / "conclave-sandbox";
    if (std::filesystem::is_regular_file(path, e) && ::access(path.c_str(), X_OK) == 0)
      return path.string();
  }
  return {};
}

std::string no_sandbox_launcher() {
  std::string out = "the program conclave-sandbox is missing: it is looked for in ";
  auto all = places();
  for (std::size_t i = 0; i < all.size(); ++i)
    out += (i == 0 ? "" : i + 1 == all.size() ? " and " : ", ") + all[i].string();
  return out + "; install it there";
}

} // namespace conclave
