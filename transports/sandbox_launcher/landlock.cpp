// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// Tier 1: what a command may touch, by Landlock. A rule holds for a folder with all below it and nothing can be taken out again,
/// so a folder in which something is protected or hidden gets no rule: what stands in it does, one by one.

#include "transports/sandbox_launcher/launcher.hpp"
#include "transports/sandbox_launcher/paths.hpp"
#include "transports/sandbox_launcher/system.hpp"
#include "transports/sandbox_launcher/system_paths.hpp"

#include <algorithm>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

namespace conclave::launcher {

namespace {

constexpr std::uint64_t reads = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr std::uint64_t of_files = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE
                                   | LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_IOCTL_DEV;
constexpr int max_rules = 50'000;

std::uint64_t handled_by(int abi) {
  auto all = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
  if (abi >= 2)
    all |= LANDLOCK_ACCESS_FS_REFER;
  if (abi >= 3)
    all |= LANDLOCK_ACCESS_FS_TRUNCATE;
  if (abi >= 5)
    all |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
  return all;
}

class rules {
public:
  explicit rules(const profile& p) : profile_(p) {
    auto abi = landlock_abi();
    set_.handled_files = handled_by(abi);
    set_.handled_net = abi >= 4 && !p.network ? 3 : 0; // no port may be bound or connected to
    set_.scoped = abi >= 6 ? scope_abstract_sockets | scope_signal : 0;
    auto size = abi >= 6 ? sizeof set_ : abi >= 4 ? 2 * sizeof(std::uint64_t) : sizeof(std::uint64_t);
    fd_ = static_cast<int>(::syscall(SYS_landlock_create_ruleset, &set_, size, 0));
    if (fd_ < 0)
      why_ = fault("cannot make Landlock rules");
  }

  /// `links`: whether a link on the way is followed, as those of the system are. Not where a command may have put one.
  void grant(const std::string& path, std::uint64_t rights, bool required, bool links = false) {
    open_how how{};
    how.flags = O_PATH | O_CLOEXEC;
    how.resolve = links ? 0 : RESOLVE_NO_SYMLINKS;
    auto fd = static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how));
    if (fd < 0) {
      if (required && why_.empty())
        why_ = fault("cannot open " + path);
      return;
    }
    struct stat st {};
    ::fstat(fd, &st);
    landlock_path_beneath_attr rule{};
    rule.allowed_access = rights & set_.handled_files & (S_ISDIR(st.st_mode) ? ~0ULL : of_files);
    rule.parent_fd = fd;
    if (++count_ > max_rules)
      why_ = "too many files stand beside protected or hidden ones";
    else if (::syscall(SYS_landlock_add_rule, fd_, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0 && why_.empty())
      why_ = fault("cannot grant " + path);
    ::close(fd);
  }

  void grant_around(const std::string& path, std::uint64_t rights, bool required, int depth = 0) {
    if (std::find(profile_.hidden.begin(), profile_.hidden.end(), path) != profile_.hidden.end())
      return;
    if (std::find(profile_.protected_paths.begin(), profile_.protected_paths.end(), path) != profile_.protected_paths.end())
      rights &= reads;
    bool in_way = false, hides_folder = false;
    for (const auto* list : {&profile_.protected_paths, &profile_.hidden})
      for (const auto& e : *list)
        if (e != path && is_within(e, path) && (list == &profile_.hidden || (rights & ~reads) != 0)) {
          in_way = true;
          struct stat st {};
          hides_folder = hides_folder || (list == &profile_.hidden && ::lstat(e.c_str(), &st) == 0 && S_ISDIR(st.st_mode));
        }
    if (!in_way)
      return grant(path, rights, required);
    if (!hides_folder)
      grant(path, LANDLOCK_ACCESS_FS_READ_DIR, required);
    auto* dir = depth < 64 ? ::opendir(path.c_str()) : nullptr;
    for (auto* e = dir ? ::readdir(dir) : nullptr; e; e = ::readdir(dir)) {
      std::string name = static_cast<const char*>(e->d_name);
      if (name != "." && name != ".." && e->d_type != DT_LNK) // a link is judged by where it leads
        grant_around(path + "/" + name, rights, false, depth + 1);
    }
    if (dir)
      ::closedir(dir);
  }

  std::string enforce() {
    if (why_.empty() && ::syscall(SYS_landlock_restrict_self, fd_, 0) != 0)
      why_ = fault("cannot enforce Landlock rules");
    if (fd_ >= 0)
      ::close(fd_);
    return why_;
  }

private:
  const profile& profile_;
  landlock_rules set_;
  int fd_ = -1, count_ = 0;
  std::string why_;
};

} // namespace

std::string set_landlock(const profile& p) {
  rules r(p);
  for (const auto& path : program_folders())
    r.grant(path, reads, path == "/usr", true);
  for (const auto& path : settings_of_programs())
    r.grant(path, reads, false, true);
  for (const auto* path : {"/etc/nsswitch.conf", "/etc/hosts", "/proc"})
    r.grant(path, reads, false, true);
  for (const auto* path : {"/etc/resolv.conf", "/etc/gai.conf"})
    if (p.network)
      r.grant(path, reads, false, true);
  for (const auto& path : harmless_devices())
    r.grant(path, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE, false);
  constexpr std::uint64_t all =
      ~std::uint64_t{LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_IOCTL_DEV};
  for (const auto& path : p.readable)
    r.grant_around(path, reads, true);
  for (const auto& path : p.writable)
    r.grant_around(path, all, true);
  for (const auto* path : {&p.home, &p.tmp})
    if (!path->empty())
      r.grant_around(*path, all, true);
  return r.enforce();
}

} // namespace conclave::launcher
