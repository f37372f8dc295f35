// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Messages with descriptors, over a socket that keeps their borders (SOCK_SEQPACKET).

#include <array>
#include <cstddef>
#include <string_view>
#include <sys/socket.h>

namespace conclave::launcher {

constexpr std::size_t max_descriptors = 7;

using descriptors = std::array<int, max_descriptors>;

/// False if not all of it was sent.
bool send_with(int socket, std::string_view text, const int* fds, std::size_t n);

/// Returns the bytes received, the descriptors in `fds` (-1 where there is none), and who sent it where the socket asks for that
/// (SO_PASSCRED).
ssize_t receive(int socket, char* to, std::size_t size, descriptors& fds, ucred* sender = nullptr);

} // namespace conclave::launcher
