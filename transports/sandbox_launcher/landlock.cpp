// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// What a command may touch, by Landlock: at tier 1 all of it, at tier 2 what is hidden in folders that one may only read. A rule
/// holds for a folder with all below it and nothing can be taken out again, so a folder in which something is protected or hidden
/// gets no rule: what stands in it does, one by one.

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
constexpr const char* too_many = "too many files stand beside protected or hidden ones";

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
  /// `files`: the rights that nothing has but what is granted here.
  rules(const std::vector<std::string>& protected_paths, const std::vector<std::string>& hidden, int abi, std::uint64_t files,
        bool network)
      : protected_(protected_paths), hidden_(hidden) {
    set_.handled_files = files;
    set_.handled_net = abi >= 4 && !network ? 3 : 0; // no port may be bound or connected to
    set_.scoped = abi >= 6 ? scope_abstract_sockets | scope_signal : 0;
    auto size = abi >= 6 ? sizeof set_ : abi >= 4 ? 2 * sizeof(std::uint64_t) : sizeof(std::uint64_t);
    fd_ = static_cast<int>(::syscall(SYS_landlock_create_ruleset, &set_, size, 0));
    if (fd_ < 0)
      why_ = fault("cannot make Landlock rules");
  }

  /// `links`: whether a link on the way is followed, as those of the system are. Not where a command may have put one.
  void grant(const std::string& path, std::uint64_t rights, bool required, bool links = false) {
    if ((rights &= set_.handled_files) == 0)
      return; // all have it
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
    rule.allowed_access = rights & (S_ISDIR(st.st_mode) ? ~0ULL : of_files);
    rule.parent_fd = fd;
    if (++count_ > max_rules)
      why_ = too_many;
    else if (::syscall(SYS_landlock_add_rule, fd_, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0 && why_.empty())
      why_ = fault("cannot grant " + path);
    ::close(fd);
  }

  void grant_around(const std::string& path, std::uint64_t rights, bool required, int depth = 0) {
    if (std::find(hidden_.begin(), hidden_.end(), path) != hidden_.end())
      return;
    if (std::find(protected_.begin(), protected_.end(), path) != protected_.end())
      rights &= reads;
    bool in_way = false, hides_folder = false;
    for (const auto* list : {&protected_, &hidden_})
      for (const auto& e : *list)
        if (e != path && is_within(e, path) && (list == &hidden_ || (rights & ~reads) != 0)) {
          in_way = true;
          struct stat st {};
          hides_folder = hides_folder || (list == &hidden_ && ::lstat(e.c_str(), &st) == 0 && S_ISDIR(st.st_mode));
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
  const std::vector<std::string>&protected_, &hidden_;
  landlock_rules set_;
  int fd_ = -1, count_ = 0;
  std::string why_;
};

/// Folders that may only be read, by a mount: what is hidden in them, and FIFOs.
std::string guard_readable(const profile& p, const std::vector<std::string>& hidden, int abi) {
  const std::vector<std::string> none;
  constexpr std::uint64_t content = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE,
                          write = LANDLOCK_ACCESS_FS_WRITE_FILE;
  rules r(none, hidden, abi, (hidden.empty() ? 0 : content) | write | LANDLOCK_ACCESS_FS_REFER, true);
  r.grant("/", LANDLOCK_ACCESS_FS_REFER, true);
  r.grant(cover, content, true);
  r.grant("/etc", content, true);
  for (const auto* path : {"/dev", "/proc", "/tmp"})
    r.grant(path, content | write, true);
  for (const auto& path : program_folders())
    r.grant(path, content, false, true);
  for (const auto& path : p.readable)
    r.grant_around(path, content, true);
  for (const auto& path : p.writable)
    r.grant(path, content | write, true);
  if (!p.home.empty())
    r.grant(p.home, content | write, true);
  return r.enforce();
}

} // namespace

std::string set_landlock(const profile& p) {
  auto abi = landlock_abi();
  rules r(p.protected_paths, p.hidden, abi, handled_by(abi), p.network);
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

std::string scope_signals(bool& scoped) {
  const std::vector<std::string> none;
  auto abi = landlock_abi();
  auto why = abi < 6 ? std::string{} : rules(none, none, abi, 0, true).enforce();
  scoped = abi >= 6 && why.empty();
  return why;
}

std::string scope_and_hide(const profile& p) {
  auto abi = landlock_abi();
  const std::vector<std::string> none;
  std::vector<std::string> hidden;
  for (const auto& path : p.hidden)
    if (innermost(p.writable, path).empty() && innermost({p.home, "/tmp"}, path).empty())
      hidden.push_back(path);
  if ((!hidden.empty() || !p.readable.empty()) && abi >= 2) { // before, no file could be moved from folder to folder
    auto why = guard_readable(p, hidden, abi);
    return why == too_many ? guard_readable(p, none, abi) : why; // what covers them is there for that
  }
  bool scoped = false;
  return scope_signals(scoped);
}

} // namespace conclave::launcher
