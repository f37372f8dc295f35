// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Starts the load server of this folder and ends it with its own end.

#include <array>
#include <fcntl.h>
#include <spawn.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

namespace bench {

/// The server process; it ends when its stdin does.
struct stream_server {
  pid_t pid = -1;
  int in = -1;
  std::string port;

  stream_server() {
    int to[2];
    int from[2];
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
      return;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], 0);
    posix_spawn_file_actions_adddup2(&actions, from[1], 1);
    std::string path = CONCLAVE_STREAM_SERVER;
    std::array<char*, 2> argv{path.data(), nullptr};
    if (posix_spawn(&pid, path.c_str(), &actions, nullptr, argv.data(), environ) != 0)
      pid = -1;
    posix_spawn_file_actions_destroy(&actions);
    close(to[0]);
    close(from[1]);
    in = to[1];
    char c = 0;
    while (pid > 0 && read(from[0], &c, 1) == 1 && c != '\n')
      port += c;
    close(from[0]);
  }

  ~stream_server() {
    close(in);
    if (pid > 0)
      waitpid(pid, nullptr, 0);
  }
};

} // namespace bench
