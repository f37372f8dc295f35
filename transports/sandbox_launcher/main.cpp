// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/sandbox_launcher/fork_server.hpp"
#include "transports/sandbox_launcher/probe.hpp"
#include "transports/sandbox_launcher/supervisor.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <sys/prctl.h>

int main(int argc, char** argv) {
  using namespace conclave;
  ::signal(SIGPIPE, SIG_IGN);
  ::prctl(PR_SET_DUMPABLE, 0); // its memory holds the environment of commands, and of others none may look in
  if (argc == 2 && std::string_view{argv[1]} == "forks") {
    if (!launcher::fork_on_request())
      return 0;
    std::memcpy(argv[1], "serve", 5); // what it is now, also to `ps`
  }
  launcher::supervisor s;
  if (argc == 2 && std::string_view{argv[1]} == "serve")
    return s.run();
  if (argc == 6 && std::string_view{argv[1]} == "probe")
    return launcher::probe({argv[2], argv[3], argv[4], std::atoi(argv[5])});
  if (argc == 2 && std::string_view{argv[1]} == "exec")
    return s.run_one();
  std::fputs("conclave-sandbox confines commands for conclave, which starts it; it is not started by hand.\n", stderr);
  return 1;
}
