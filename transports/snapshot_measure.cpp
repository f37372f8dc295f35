// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/snapshot_measure.hpp"

#include "protocols/path_policy.hpp"
#include "transports/snapshot_disk.hpp"

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

namespace conclave::snapshots {

namespace {

struct counter {
  const bounds& limits;
  cancel_flag cancel;
  std::uint64_t device = 0;
  amount out = {};

  bool enough() const { return !out.whole || is_set(cancel); }
  void folder(descriptor self, unsigned depth);
  void name(int in, const char* name, unsigned depth);
};

/// Opens a folder, also one that may not be read: its owner is who counts.
descriptor open_own(int in, const char* name, const found& what) {
  if ((what.mode & S_IRWXU) != S_IRWXU)
    make_readable(in, name);
  return open_folder(in, name, what.device);
}

void counter::name(int in, const char* name, unsigned depth) {
  found what;
  if (look(in, name, what) != 0 || what.mount_point || what.device != device)
    return; // it went meanwhile, or is of another disk
  if (++out.files > 4 * limits.files)
    out.whole = false;
  if (what.is_file())
    out.bytes += what.size;
  if (!what.is_folder())
    return;
  out.depth = std::max(out.depth, depth + 1);
  if (depth >= limits.depth) // each level costs a descriptor, and enough is known
    return;
  if (auto inside = open_own(in, name, what))
    folder(std::move(inside), depth + 1);
}

void counter::folder(descriptor self, unsigned depth) {
  auto fd = self.get();
  std::unique_ptr<DIR, int (*)(DIR*)> all{::fdopendir(fd), &::closedir};
  if (all == nullptr)
    return;
  self.release();
  while (!enough()) {
    auto* e = ::readdir(all.get());
    if (e == nullptr)
      return;
    if (std::string_view n = e->d_name; n != "." && n != "..")
      name(fd, e->d_name, depth);
  }
}

std::string beyond(const amount& a, const bounds& limits, const std::string& folder) {
  auto where = path_policy::shown(folder);
  if (a.files > limits.files)
    return where + " holds " + (a.whole ? "" : "more than ") + std::to_string(a.files) + " files and folders, and "
           + std::to_string(limits.files) + " are allowed";
  if (a.bytes > limits.bytes)
    return where + " holds " + std::to_string(a.bytes) + " bytes, and " + std::to_string(limits.bytes) + " are allowed";
  if (a.depth > limits.depth)
    return where + " is nested deeper than " + std::to_string(limits.depth) + " folders";
  return {};
}

} // namespace

amount measure(const std::vector<std::string>& folders, const bounds& limits, cancel_flag cancel) {
  amount all;
  auto disk_seen = false;
  for (auto& path : folders) {
    found what;
    if (look(AT_FDCWD, path.c_str(), what) != 0 || !what.is_folder())
      continue;
    auto fd = open_own(AT_FDCWD, path.c_str(), what);
    if (!fd)
      continue;
    if (!disk_seen && !has_room(fd.get(), 0, limits.keep_free))
      all.over = "less than " + std::to_string(limits.keep_free >> 20) + " MiB are free on the disk of " + path_policy::shown(path);
    disk_seen = true;
    counter c{limits, cancel, what.device};
    c.folder(std::move(fd), 0);
    all.bytes += c.out.bytes;
    all.files += c.out.files;
    all.depth = std::max(all.depth, c.out.depth);
    all.whole = all.whole && c.out.whole;
    if (auto text = beyond(c.out, limits, path); !text.empty())
      all.over = std::move(text);
  }
  return all;
}

} // namespace conclave::snapshots
