// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/sandbox_launcher/passing.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>

namespace conclave::launcher {

bool send_with(int socket, std::string_view text, const int* fds, std::size_t n) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(max_descriptors * sizeof(int))> space{};
  iovec part{const_cast<char*>(text.data()), text.size()};
  msghdr m{};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  if (n > 0) {
    m.msg_control = space.data();
    m.msg_controllen = CMSG_SPACE(n * sizeof(int));
    auto* c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(n * sizeof(int));
    std::memcpy(CMSG_DATA(c), fds, n * sizeof(int));
  }
  return ::sendmsg(socket, &m, MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

ssize_t receive(int socket, char* to, std::size_t size, descriptors& fds, ucred* sender) {
  fds.fill(-1);
  alignas(cmsghdr) std::array<char, CMSG_SPACE(max_descriptors * sizeof(int)) + CMSG_SPACE(sizeof(ucred))> space{};
  iovec part{to, size};
  msghdr m{};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  m.msg_control = space.data();
  m.msg_controllen = space.size();
  ssize_t n = 0;
  while ((n = ::recvmsg(socket, &m, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
    ;
  for (auto* c = n > 0 ? CMSG_FIRSTHDR(&m) : nullptr; c != nullptr; c = CMSG_NXTHDR(&m, c))
    if (c->cmsg_type == SCM_RIGHTS)
      std::memcpy(fds.data(), CMSG_DATA(c), std::min(c->cmsg_len - CMSG_LEN(0), sizeof fds));
    else if (c->cmsg_type == SCM_CREDENTIALS && sender != nullptr)
      std::memcpy(sender, CMSG_DATA(c), sizeof *sender);
  return n;
}

} // namespace conclave::launcher
