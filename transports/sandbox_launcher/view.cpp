// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// What commands of tier 2 see of the file system: a tmpfs with the granted paths in it and nothing else.

#include "transports/sandbox_launcher/launcher.hpp"
#include "transports/sandbox_launcher/paths.hpp"
#include "transports/sandbox_launcher/system.hpp"
#include "transports/sandbox_launcher/system_paths.hpp"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

namespace conclave::launcher {

namespace {

constexpr std::size_t small_file = 16 << 10;
constexpr std::uint64_t base_attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

/// One path of the view, in the order in which they are put there: what lies deeper covers what lies above it.
struct entry {
  enum class kind { readable, writable, protected_path, hidden } what;
  std::string path;
  bool required = true;
  int tree = -1; ///< the detached copy of the host's mount
  bool folder = false;
};

int open_plain(int base, const std::string& path, std::uint64_t resolve) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = resolve;
  return static_cast<int>(::syscall(SYS_openat2, base, path.c_str(), &how, sizeof how));
}

/// Takes a copy of the mount at this path. `links`: whether a link on the way is followed, as those of the system are.
std::string take(entry& e, bool links) {
  auto fd = open_plain(AT_FDCWD, e.path, links ? 0 : RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
  if (fd < 0)
    return fault("cannot open " + e.path);
  struct stat st {};
  ::fstat(fd, &st);
  e.folder = S_ISDIR(st.st_mode);
  if (e.what == entry::kind::hidden) {
    ::close(fd);
    return {};
  }
  e.tree = static_cast<int>(::syscall(SYS_open_tree, fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  auto why = e.tree < 0 ? fault("cannot copy the mount of " + e.path) : std::string{};
  ::close(fd);
  return why;
}

std::string set_attributes(int fd, std::uint64_t set, unsigned flags, const std::string& path) {
  mount_attr attr{};
  attr.attr_set = set;
  if (::syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | flags, &attr, sizeof attr) != 0)
    return fault("cannot set the flags of " + path);
  return {};
}

/// Where the mounts of the view go. The folder of the last one stays open: the next is mostly beside it.
class places {
public:
  explicit places(int root) : root_(root) {}
  ~places() { forget(); }
  places(const places&) = delete;
  places& operator=(const places&) = delete;

  /// Mounts a detached tree, which it closes, at a path of the view. The folders on the way are made where they are missing.
  std::string put(int tree, const std::string& path, bool folder) {
    auto place = make(path, folder);
    auto done = place < 0 ? -1 : ::syscall(SYS_move_mount, tree, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    auto why = done == 0 ? std::string{} : fault((place < 0 ? "no place in the sandbox for " : "cannot mount ") + path);
    if (place >= 0)
      ::close(place);
    ::close(tree);
    if ((above_ + "/").starts_with(path + "/"))
      forget(); // it is covered now
    return why;
  }

private:
  void forget() {
    if (fd_ >= 0)
      ::close(fd_);
    fd_ = -1;
  }

  int open_in_root(const std::string& path) const {
    return open_plain(root_, path.empty() ? "." : path.substr(1), RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
  }

  /// Returns the path opened, a folder or an empty file where there was none, or -1.
  int make(const std::string& path, bool folder) {
    auto slash = path.rfind('/');
    if (auto above = path.substr(0, slash); fd_ < 0 || above != above_) {
      forget();
      fd_ = open_in_root(above);
      if (fd_ < 0 && errno == ENOENT)
        fd_ = make(above, true);
      if (fd_ < 0)
        return -1;
      above_ = above;
    }
    const auto* name = path.c_str() + slash + 1;
    if (folder)
      ::mkdirat(fd_, name, 0755);
    else
      ::mknodat(fd_, name, S_IFREG | 0644, 0);
    return open_plain(fd_, name, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  }

  int root_, fd_ = -1;
  std::string above_; ///< the path of fd_; empty = the root
};

/// Its names are memory of the kernel that nobody is charged for where no control group counts: hence a bound for them, too.
int new_tmpfs(const char* size, const char* names, std::uint64_t attributes) {
  auto fs = static_cast<int>(::syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC));
  if (fs < 0)
    return -1;
  ::syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "size", size, 0);
  ::syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "nr_inodes", names, 0);
  ::syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "mode", "0755", 0);
  auto mount = ::syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0
                   ? -1
                   : static_cast<int>(::syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes));
  ::close(fs);
  return mount;
}

std::string write_file(int root, const char* path, const std::string& text) {
  auto fd = ::openat(root, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0)
    return fault(std::string("cannot write ") + path);
  auto n = ::write(fd, text.data(), text.size());
  ::close(fd);
  return n == static_cast<ssize_t>(text.size()) ? std::string{} : fault(std::string("cannot write ") + path);
}

std::string read_small(const char* path) {
  std::string text(small_file, '\0');
  auto fd = ::open(path, O_RDONLY | O_CLOEXEC);
  auto n = fd < 0 ? 0 : ::read(fd, text.data(), text.size());
  if (fd >= 0)
    ::close(fd);
  text.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
  return text;
}

/// A small file of the system's settings is copied, and a link into /usr made again. A mount costs thrice that, and each command
/// pays for it anew. Returns false where only a mount will do.
bool copy_setting(int root, const std::string& path) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0)
    return true; // not there
  if (S_ISLNK(st.st_mode)) {
    char text[256];
    auto n = ::readlink(path.c_str(), static_cast<char*>(text), sizeof text);
    std::string target(static_cast<const char*>(text), n < 0 ? 0 : static_cast<std::size_t>(n));
    auto into_usr = target.starts_with("/usr/") || (target.starts_with("../usr/") && path.rfind('/') == 4); // from /etc itself
    return into_usr && ::symlinkat(target.c_str(), root, path.c_str() + 1) == 0;
  }
  if (!S_ISREG(st.st_mode) || st.st_size > static_cast<off_t>(small_file))
    return false;
  auto text = read_small(path.c_str());
  for (auto at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1))
    ::mkdirat(root, path.substr(1, at - 1).c_str(), 0755);
  return static_cast<off_t>(text.size()) == st.st_size && write_file(root, path.c_str() + 1, text).empty();
}

/// What of it needs a mount is added to the entries.
std::string fill_etc(const profile& p, int root, std::vector<entry>& entries) {
  auto uid = std::to_string(::getuid()), gid = std::to_string(::getgid());
  ::mkdirat(root, "etc", 0755);
  for (const auto& [path, text] : std::vector<std::pair<const char*, std::string>>{
           {"etc/passwd", (::getuid() == 0 ? "" : "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\n") + ("agent:x:" + uid) + ":"
                              + gid + ":agent:" + (p.home.empty() ? "/tmp" : p.home) + ":/bin/sh\n"},
           {"etc/group", "agent:x:" + gid + ":\n"},
           {"etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"},
           {"etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"},
           {"etc/resolv.conf", p.network ? read_small("/etc/resolv.conf") : ""}})
    if (auto why = write_file(root, path, text); !why.empty())
      return why;
  // Settings in a folder that is granted as it is are there already, with links where the system has them; a link cannot be
  // covered.
  for (const auto& path : settings_of_programs())
    if (innermost(p.readable, path).empty() && innermost(p.writable, path).empty() && !copy_setting(root, path))
      if (entry e{entry::kind::readable, path}; take(e, true).empty())
        entries.push_back(e);
  return {};
}

std::string fill_dev(int root, places& at) {
  ::mkdirat(root, "dev", 0755);
  for (auto [name, target] : {std::pair{"dev/fd", "/proc/self/fd"},
                              {"dev/stdin", "/proc/self/fd/0"},
                              {"dev/stdout", "/proc/self/fd/1"},
                              {"dev/stderr", "/proc/self/fd/2"}})
    ::symlinkat(target, root, name);
  auto shm = new_tmpfs("64m", "10000", base_attributes | MOUNT_ATTR_NOEXEC);
  return shm < 0 ? fault("cannot make /dev/shm") : at.put(shm, "/dev/shm", true);
}

/// On most systems /bin and /lib are links into /usr, and so they are in the view.
void add_system(std::vector<entry>& entries, std::vector<std::pair<std::string, std::string>>& links) {
  for (const auto& path : program_folders()) {
    char target[256];
    auto n = ::readlink(path.c_str(), static_cast<char*>(target), sizeof target);
    if (n > 0)
      links.emplace_back(std::string(static_cast<const char*>(target), static_cast<std::size_t>(n)), path.substr(1));
    else
      entries.push_back({entry::kind::readable, path, path == "/usr"});
  }
  for (const auto& path : harmless_devices())
    entries.push_back({entry::kind::writable, path});
}

/// What is protected or hidden below a granted path. The folders on the way become mounts, too: one that is none could be renamed,
/// and another put in its place.
void add_exceptions(const profile& p, std::vector<entry>& entries) {
  auto add = [&](entry::kind what, const std::string& path) {
    auto root = innermost(p.writable, path), other = innermost(p.readable, path);
    bool writes = root.size() > other.size();
    auto& from = writes ? root : other;
    if (from.empty())
      return; // nothing grants it
    for (auto at = path.find('/', from.size() + 1); at != std::string::npos; at = path.find('/', at + 1))
      entries.push_back({writes ? entry::kind::writable : entry::kind::readable, path.substr(0, at), false});
    entries.push_back({what, path, false});
  };
  for (const auto& path : p.protected_paths)
    add(entry::kind::protected_path, path);
  for (const auto& path : p.hidden)
    add(entry::kind::hidden, path);
}

std::string put_entry(int root, places& at, entry& e) {
  if (e.what == entry::kind::hidden) {
    if (e.folder) {
      auto fs = new_tmpfs("1m", "1000", base_attributes | MOUNT_ATTR_NOEXEC);
      return fs < 0 ? fault("cannot hide " + e.path) : at.put(fs, e.path, true);
    }
    auto tree = static_cast<int>(::syscall(SYS_open_tree, root, cover + 1, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    auto why = tree < 0 ? fault("cannot hide " + e.path) : set_attributes(tree, base_attributes | MOUNT_ATTR_RDONLY, 0, e.path);
    return why.empty() ? at.put(tree, e.path, false) : why;
  }
  bool device = e.path.starts_with("/dev/");
  auto set = (device ? std::uint64_t{MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC} : base_attributes)
             | (e.what == entry::kind::writable ? 0 : std::uint64_t{MOUNT_ATTR_RDONLY});
  auto why = set_attributes(e.tree, set, AT_RECURSIVE, e.path);
  return why.empty() ? at.put(e.tree, e.path, e.folder) : why;
}

std::string attach_root(int& root) {
  root = new_tmpfs("16m", "10000", base_attributes);
  if (root < 0)
    return fault("cannot make a tmpfs");
  for (const auto* path : {"/tmp", "/var/tmp", "/mnt", "/run"})
    if (::syscall(SYS_move_mount, root, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) == 0)
      return {};
  return fault("cannot mount a tmpfs");
}

std::string enter(int root) {
  if (::fchdir(root) != 0 || ::syscall(SYS_pivot_root, ".", ".") != 0)
    return fault("pivot_root");
  if (::umount2(".", MNT_DETACH) != 0)
    return fault("cannot leave the host's files");
  return ::chdir("/") != 0 ? fault("cannot enter the sandbox") : std::string{};
}

} // namespace

std::string build_view(const profile& p) {
  ::umask(0022);
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return fault("cannot make the mounts private");
  std::vector<entry> entries;
  std::vector<std::pair<std::string, std::string>> links;
  add_system(entries, links);
  auto system = entries.size();
  for (const auto& path : p.readable)
    entries.push_back({entry::kind::readable, path});
  for (const auto& path : p.writable)
    entries.push_back({entry::kind::writable, path});
  if (!p.home.empty())
    entries.push_back({entry::kind::writable, p.home});
  add_exceptions(p, entries);
  std::string why;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    auto missing = take(entries[i], i < system);
    if (!missing.empty() && entries[i].required)
      return missing;
    if (!missing.empty())
      entries[i].path.clear(); // not there, or a link, which cannot be covered
  }
  entry tmp{entry::kind::writable, p.tmp};
  if (!p.tmp.empty() && !(why = take(tmp, false)).empty())
    return why;
  int root = -1;
  if (why = attach_root(root); !why.empty())
    return why;
  places at{root};
  if (why = write_file(root, cover + 1, ""); why.empty())
    why = fill_etc(p, root, entries);
  if (why.empty())
    why = fill_dev(root, at);
  ::mkdirat(root, "proc", 0555);
  for (const auto& [target, name] : links)
    ::symlinkat(target.c_str(), root, name.c_str());
  if (!why.empty())
    return why;
  tmp.path = "/tmp";
  if (p.tmp.empty()) {
    tmp.tree = new_tmpfs("256m", "100000", base_attributes);
    tmp.folder = true;
  }
  if (why = put_entry(root, at, tmp); !why.empty())
    return why;
  std::stable_sort(entries.begin(), entries.end(),
                   [](const entry& a, const entry& b) { return a.path != b.path ? a.path < b.path : a.what < b.what; });
  const entry* last = nullptr;
  for (auto& e : entries) {
    bool again = last && last->path == e.path && last->what == e.what; // on the way to several
    last = &e;
    if (!e.path.empty() && !again)
      if (why = put_entry(root, at, e); !why.empty())
        return why;
  }
  for (const auto& e : entries) // places within it have been made by now
    if (e.what == entry::kind::hidden && e.folder && !e.path.empty()) {
      auto fd = open_plain(root, e.path.substr(1), RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
      if (why = set_attributes(fd, MOUNT_ATTR_RDONLY, 0, e.path); !why.empty())
        return why;
      ::close(fd);
    }
  if (why = set_attributes(root, MOUNT_ATTR_RDONLY, 0, "/"); !why.empty())
    return why;
  why = mount_at(root, "proc");
  return why.empty() ? enter(root) : why;
}

} // namespace conclave::launcher
