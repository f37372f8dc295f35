// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/local_model_port.hpp"

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <netinet/in.h>
#include <set>
#include <string>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>

namespace conclave {

namespace {

namespace fs = std::filesystem;

/// Binds a port of 127.0.0.1 (0 = any) for a moment. Returns it, or -1 with errno set.
int bind_once(int port, bool reuse) {
  auto fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -1;
  int on = reuse ? 1 : 0;
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  a.sin_port = htons(static_cast<std::uint16_t>(port));
  socklen_t size = sizeof a;
  auto ok = ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0
            && ::bind(fd, reinterpret_cast<sockaddr*>(&a), sizeof a) == 0
            && ::getsockname(fd, reinterpret_cast<sockaddr*>(&a), &size) == 0;
  auto error = errno;
  ::close(fd);
  errno = error;
  return ok ? ntohs(a.sin_port) : -1;
}

/// Whether a local address of /proc/net/tcp or tcp6, words of the machine in hexadecimal, takes what is sent to 127.0.0.1.
bool takes_loopback(std::string address) {
  std::array<char, 9> loopback, mapped;
  std::snprintf(loopback.data(), loopback.size(), "%08X", htonl(INADDR_LOOPBACK));
  std::snprintf(mapped.data(), mapped.size(), "%08X", htonl(0xffff));
  if (address.size() == 32 && address.compare(16, 8, mapped.data()) == 0)
    address.erase(0, 24);
  return address == loopback.data() || address.find_first_not_of('0') == std::string::npos;
}

/// Adds "socket:[N]" of each that listens there. Returns false if the file cannot be read.
bool listeners(const char* file, int port, std::set<std::string>& out) {
  std::ifstream in{file};
  std::string line;
  if (!std::getline(in, line)) // the names of the columns
    return false;
  while (std::getline(in, line)) {
    std::array<char, 33> address{};
    unsigned at = 0, state = 0;
    unsigned long inode = 0;
    constexpr unsigned listens = 0x0A;
    if (std::sscanf(line.c_str(), " %*d: %32[0-9A-F]:%x %*s %x %*s %*s %*s %*s %*s %lu", address.data(), &at, &state, &inode) == 4
        && at == static_cast<unsigned>(port) && state == listens && takes_loopback(address.data()))
      out.insert("socket:[" + std::to_string(inode) + "]");
  }
  return true;
}

/// Takes out what a process has open. Returns false if it may not be looked at, as a program with capabilities may not.
bool take_out(std::set<std::string>& sockets, const std::string& process) {
  std::error_code e;
  for (fs::directory_iterator fd{"/proc/" + process + "/fd", e}, end; !e && fd != end && !sockets.empty(); fd.increment(e)) {
    std::error_code gone;
    sockets.erase(fs::read_symlink(fd->path(), gone).string());
  }
  return e != std::errc::permission_denied;
}

} // namespace

int free_port() {
  auto port = bind_once(0, false);
  return port < 0 ? 0 : port;
}

bool port_taken(int port) {
  return bind_once(port, true) < 0 && errno == EADDRINUSE; // what lingers of ended connections is in nobody's way
}

port_holder holder_of(int port, int group) {
  std::set<std::string> sockets;
  if (!listeners("/proc/net/tcp", port, sockets))
    return port_holder::unknown;
  listeners("/proc/net/tcp6", port, sockets); // not on every machine
  if (sockets.empty())
    return port_holder::nobody;
  if (group <= 0)
    return port_holder::others;
  auto all_seen = take_out(sockets, std::to_string(group)); // whom the group is named after, mostly
  std::error_code e;
  for (fs::directory_iterator p{"/proc", e}, end; !e && p != end && !sockets.empty(); p.increment(e)) {
    auto name = p->path().filename().string();
    if (name.find_first_not_of("0123456789") == std::string::npos && ::getpgid(std::atoi(name.c_str())) == group)
      all_seen = take_out(sockets, name) && all_seen;
  }
  return sockets.empty() ? port_holder::group : all_seen ? port_holder::others : port_holder::unknown;
}

} // namespace conclave
