// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/unfinished.hpp"

#include <filesystem>
#include <memory>
#include <mutex>
#include <set>
#include <system_error>
#include <utility>

namespace conclave {

namespace {

struct names {
  std::mutex mutex;
  std::multiset<std::string> paths;
};

/// Never destroyed: a thread may still ask while the process ends.
names& all() {
  static auto* n = std::make_unique<names>().release();
  return *n;
}

} // namespace

unfinished::unfinished(std::string path) : path_(std::move(path)) {
  std::lock_guard guard(all().mutex);
  all().paths.insert(path_);
}

unfinished::unfinished(std::string path, named) : path_(std::move(path)) {}

std::unique_ptr<unfinished> unfinished::make(const std::function<std::string()>& begin) {
  std::lock_guard guard(all().mutex);
  auto path = begin();
  if (path.empty())
    return nullptr;
  all().paths.insert(path);
  return std::make_unique<unfinished>(std::move(path), named{});
}

unfinished::~unfinished() {
  std::lock_guard guard(all().mutex);
  if (auto i = all().paths.find(path_); i != all().paths.end())
    all().paths.erase(i);
}

void unfinished::remove_all() {
  std::lock_guard guard(all().mutex);
  std::error_code ignored;
  for (auto& path : std::exchange(all().paths, {}))
    std::filesystem::remove_all(path, ignored);
}

} // namespace conclave
