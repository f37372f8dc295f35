// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/sandbox_launcher/connections.hpp"

#include "transports/sandbox_launcher/paths.hpp"
#include "transports/sandbox_launcher/system.hpp"

#include <climits>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

namespace conclave::launcher {

namespace {

constexpr int look_ms = 1000;
constexpr unsigned of_thread = O_EXCL; ///< PIDFD_THREAD, since Linux 6.9
constexpr int connected_unheard = 1;   ///< how a child ends whose caller was interrupted

/// As the kernel takes it: of any family.
struct address {
  alignas(sockaddr_storage) std::array<char, sizeof(sockaddr_storage)> bytes{};
  socklen_t size = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(bytes.data()); }

  /// The path of a socket that is a file; empty for all others, among them those that the kernel refuses.
  std::string path() const {
    constexpr auto start = offsetof(sockaddr_un, sun_path);
    if (get()->sa_family != AF_UNIX || size <= start || size > sizeof(sockaddr_un))
      return {};
    auto end = bytes.begin() + size;
    return {bytes.begin() + start, std::find(bytes.begin() + start, end, '\0')};
  }

  void set_path(const std::string& path) {
    bytes.fill(0);
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::snprintf(static_cast<char*>(to.sun_path), sizeof to.sun_path, "%s", path.c_str());
    std::memcpy(bytes.data(), &to, sizeof to);
    size = sizeof to;
  }
};

/// Not by /proc/PID/mem: who lets nobody look at it has that of another owner.
int read_address(const seccomp_notif& n, address& to) {
  auto size = static_cast<int>(n.data.args[2]);
  if (size < 0 || static_cast<std::size_t>(size) > to.bytes.size())
    return -EINVAL;
  to.size = static_cast<socklen_t>(size);
  // NOLINTNEXTLINE(performance-no-int-to-ptr): an address of another process
  iovec here{to.bytes.data(), to.size}, there{reinterpret_cast<void*>(n.data.args[1]), to.size};
  if (size > 0 && ::process_vm_readv(static_cast<pid_t>(n.pid), &here, 1, &there, 1, 0) != size)
    return errno == EPERM ? -EPERM : -EFAULT;
  return 0;
}

/// The process of a thread.
int leader_of(std::uint32_t thread) {
  std::array<char, 512> text{};
  auto fd = ::open(("/proc/" + std::to_string(thread) + "/status").c_str(), O_RDONLY | O_CLOEXEC);
  auto n = ::read(fd, text.data(), text.size() - 1);
  ::close(fd);
  const auto* at = n > 0 ? std::strstr(text.data(), "\nTgid:") : nullptr;
  return at ? std::atoi(at + 6) : -1;
}

/// Returns the caller's descriptor, as one of ours, or -1.
int take_socket(const seccomp_notif& n) {
  auto pidfd = static_cast<int>(::syscall(SYS_pidfd_open, n.pid, of_thread));
  if (pidfd < 0 && errno == EINVAL)
    pidfd = static_cast<int>(::syscall(SYS_pidfd_open, leader_of(n.pid), 0));
  if (pidfd < 0)
    return -1;
  auto fd = static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd, static_cast<int>(n.data.args[0]), 0));
  auto e = errno;
  ::close(pidfd);
  errno = e;
  return fd;
}

/// Opens what a path of the caller's means, as a name alone.
int open_path(std::uint32_t caller, std::string path) {
  auto of_proc = [caller](const std::string& what) {
    return ::open(("/proc/" + std::to_string(caller) + "/" + what).c_str(), O_PATH | O_CLOEXEC);
  };
  int base = AT_FDCWD, own = 0, end = 0;
  if ((std::sscanf(path.c_str(), "/proc/self/fd/%d%n", &own, &end) == 1 // so a long path is made a short one
       || std::sscanf(path.c_str(), "/dev/fd/%d%n", &own, &end) == 1)
      && (path.size() == static_cast<std::size_t>(end) || path[static_cast<std::size_t>(end)] == '/')) {
    base = of_proc("fd/" + std::to_string(own));
    if (base < 0 || path.size() == static_cast<std::size_t>(end))
      return base;
    path.replace(0, static_cast<std::size_t>(end), ".");
  } else {
    constexpr std::string_view own_cwd = "/proc/self/cwd/";
    if (path.starts_with(own_cwd))
      path.replace(0, own_cwd.size(), "./");
    if (!path.starts_with('/') && (base = of_proc("cwd")) < 0)
      return -1;
  }
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_NO_MAGICLINKS; // in /proc/self we are the self
  auto fd = static_cast<int>(::syscall(SYS_openat2, base, path.c_str(), &how, sizeof how));
  auto e = errno;
  if (base >= 0)
    ::close(base);
  errno = e;
  return fd;
}

/// Whether what is there was made in the sandbox: nobody else puts anything in its folders.
bool is_sandboxs_own(int fd, const profile& p) {
  std::array<char, PATH_MAX> target{};
  auto n = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target.data(), target.size());
  if (n <= 0)
    return false;
  std::string path(target.data(), static_cast<std::size_t>(n));
  std::vector<std::string> own{"/tmp", "/dev/shm"}, others = p.readable;
  for (const auto* list : {&p.shared, &p.protected_paths, &p.hidden})
    others.insert(others.end(), list->begin(), list->end());
  own.push_back(p.home);
  for (const auto& folder : p.writable)
    if (std::find(p.shared.begin(), p.shared.end(), folder) == p.shared.end())
      own.push_back(folder);
  return innermost(own, path).size() > innermost(others, path).size();
}

int option(int socket, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  return ::getsockopt(socket, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

/// One that is made a waiting one meanwhile stops its own command, and nobody else.
bool may_wait(int socket) {
  auto kind = option(socket, SO_TYPE);
  return (::fcntl(socket, F_GETFL) & O_NONBLOCK) == 0 && (kind == SOCK_STREAM || kind == SOCK_SEQPACKET);
}

int connect_to(int socket, const address& to) {
  return ::connect(socket, to.get(), to.size) == 0 ? 0 : -errno;
}

} // namespace

bool connections::is_wanted(std::uint64_t id) const {
  return ::ioctl(listener_, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

bool connections::reply(std::uint64_t id, int error) const {
  seccomp_notif_resp answer{};
  answer.id = id;
  answer.error = error;
  return ::ioctl(listener_, SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0;
}

void connections::answer(const seccomp_notif& n) {
  end_stale(n.pid);
  bool asks_again = lost_ == n.pid;
  if (asks_again)
    lost_ = 0;
  auto socket = take_socket(n);
  auto error = socket < 0 ? -errno : 0;
  int found = -1;
  address to;
  if (error == 0)
    error = read_address(n, to);
  if (auto path = to.path(); error == 0 && !path.empty() && option(socket, SO_DOMAIN) == AF_UNIX) {
    found = open_path(n.pid, path);
    error = found < 0 ? -errno : is_sandboxs_own(found, profile_) ? 0 : -EACCES;
    to.set_path("/proc/self/fd/" + std::to_string(found));
  }
  // Only now it is certain that all of this was the caller's.
  auto wanted = is_wanted(n.id);
  bool waits = wanted && error == 0 && may_wait(socket);
  auto child = waits ? ::fork() : -1;
  if (waits && child < 0)
    error = -EAGAIN;
  if (child == 0)
    ::signal(SIGTERM, SIG_DFL); // it passes nothing on
  if (child <= 0 && wanted && error == 0)
    error = connect_to(socket, to);
  for (auto fd : {socket, found}) // before the caller goes on: what it closes is to be closed
    if (fd >= 0)
      ::close(fd);
  if (child > 0)
    return waiting_.push_back({child, n.id, n.pid});
  if (error == -EISCONN && asks_again)
    error = 0;
  auto unheard = wanted && !reply(n.id, error) && error == 0;
  if (child == 0)
    ::_exit(unheard ? connected_unheard : 0);
  if (unheard)
    lost_ = n.pid;
}

void connections::reaped(pid_t pid, int status) {
  auto at = std::find_if(waiting_.begin(), waiting_.end(), [pid](const waiting& w) { return w.child == pid; });
  if (at == waiting_.end())
    return;
  if (WIFEXITED(status) && WEXITSTATUS(status) == connected_unheard)
    lost_ = at->caller;
  else if (!WIFEXITED(status) && is_wanted(at->id)) // the command ended it, or there was no memory
    reply(at->id, -EINTR);
  waiting_.erase(at);
}

void connections::end_stale(std::uint32_t caller) {
  for (std::size_t i = 0; i < waiting_.size(); ++i)
    if (auto w = waiting_[i]; w.caller == caller) { // it asks anew, so it does not wait for that one
      int status = 0;
      ::kill(w.child, SIGKILL);
      if (::waitpid(w.child, &status, 0) == w.child)
        reaped(w.child, status);
      return;
    }
}

int connections::look() {
  for (const auto& w : waiting_)
    if (!is_wanted(w.id))
      ::kill(w.child, SIGKILL);
  return waiting_.empty() ? -1 : look_ms;
}

} // namespace conclave::launcher
