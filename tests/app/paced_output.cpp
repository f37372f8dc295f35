// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.paced_output

#include "app/paced_output.hpp"

#include "caf/test/unit_test.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <memory>
#include <sstream>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <utility>

using namespace conclave;
using std::chrono::steady_clock;

namespace {

struct ends {
  int read = -1, write = -1;
  explicit ends(bool socket = false) {
    std::signal(SIGPIPE, SIG_IGN);
    int fds[2];
    if ((socket ? ::socketpair(AF_UNIX, SOCK_STREAM, 0, fds) : ::pipe(fds)) != 0)
      std::abort();
    read = fds[0];
    write = fds[1];
    if (!socket)
      ::fcntl(write, F_SETPIPE_SZ, 4096);
  }
  ~ends() {
    ::close(read);
    if (write >= 0)
      ::close(write);
  }
  std::string drain() {
    ::close(std::exchange(write, -1));
    std::string out;
    char buffer[4096];
    for (ssize_t n; (n = ::read(read, buffer, sizeof buffer)) > 0;)
      out.append(buffer, static_cast<std::size_t>(n));
    return out;
  }
};

std::string line(int n) {
  auto text = std::to_string(n);
  return "line " + std::string(6 - text.size(), '0') + text + "\n";
}

} // namespace

CAF_TEST(who writes never waits and the oldest lines go first) {
  for (bool socket : {false, true}) {
    ends e(socket);
    const std::atomic<bool> leaving = false;
    auto began = steady_clock::now();
    {
      paced_output out(e.write, 12'000);
      for (int i = 0; i < 100'000; ++i)
        out.write(line(i));
      CAF_CHECK(steady_clock::now() - began < std::chrono::seconds(5));
      std::string seen;
      std::thread reader([&] {
        char buffer[512];
        while (seen.find("line 099999\n") == std::string::npos) {
          auto n = ::read(e.read, buffer, sizeof buffer);
          if (n <= 0)
            break;
          seen.append(buffer, static_cast<std::size_t>(n));
        }
      });
      out.flush(true, leaving);
      reader.join();
      // Nothing is lost but what the marks count, and they stand on lines of their own.
      std::size_t missing = 0, marks = 0;
      std::istringstream in(seen);
      for (std::string l; std::getline(in, l);)
        if (l.starts_with("[")) {
          CAF_CHECK(l.ends_with(" bytes left out here: they were not read in time]"));
          missing += std::stoul(l.substr(1));
          marks += l.size() + 1;
        } else {
          CAF_CHECK_EQUAL(l.size(), 11u);
        }
      CAF_CHECK(missing > 0);
      CAF_CHECK_EQUAL(missing + seen.size() - marks, 1'200'000u);
    }
  }
}

CAF_TEST(a reader that takes nothing is waited for a moment only) {
  ends e;
  const std::atomic<bool> leaving = false;
  paced_output out(e.write);
  out.write(std::string(100'000, 'x'));
  auto began = steady_clock::now();
  out.flush(false, leaving);
  auto took = steady_clock::now() - began;
  CAF_CHECK(took >= eyes_patience / 2);
  CAF_CHECK(took < 3 * eyes_patience);
}

CAF_TEST(a reader that comes when all is over is not too late) {
  ends e;
  const std::atomic<bool> leaving = false;
  auto out = std::make_unique<paced_output>(e.write);
  out->write(std::string(1'000'000, 'x'));
  out->flush(false, leaving); // nobody is there
  std::string seen;
  std::thread reader([&] {
    char buffer[4096];
    for (ssize_t n; (n = ::read(e.read, buffer, sizeof buffer)) > 0;)
      seen.append(buffer, static_cast<std::size_t>(n));
  });
  out->flush(false, leaving);
  out = nullptr;
  ::close(std::exchange(e.write, -1));
  reader.join();
  CAF_CHECK_EQUAL(seen.size(), 1'000'000u);
}

CAF_TEST(a reader that is gone is nobody to wait for) {
  ends e;
  const std::atomic<bool> leaving = false;
  ::close(std::exchange(e.read, -1));
  paced_output out(e.write);
  auto began = steady_clock::now();
  out.write(std::string(100'000, 'x'));
  out.flush(true, leaving);
  out.write("more\n");
  out.flush(true, leaving);
  CAF_CHECK(steady_clock::now() - began < reader_patience);
}

CAF_TEST(the mode of a shared descriptor stays as it was) {
  ends e;
  auto before = ::fcntl(e.write, F_GETFL);
  const std::atomic<bool> leaving = false;
  {
    paced_output out(e.write);
    out.write("x\n");
    out.flush(true, leaving);
  }
  CAF_CHECK_EQUAL(write_unless_leaving(e.write, "y\n", leaving), 0);
  CAF_CHECK_EQUAL(::fcntl(e.write, F_GETFL), before);
  CAF_CHECK_EQUAL(e.drain(), "x\ny\n");
}

CAF_TEST(what cannot be written to fails also where its file could be opened for it) {
  auto fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const std::atomic<bool> leaving = false;
  CAF_CHECK_EQUAL(write_unless_leaving(fd, "x", leaving), EBADF);
  ::close(fd);
}

CAF_TEST(a stopped reader ends a write once we are leaving) {
  for (bool socket : {false, true}) {
    ends e(socket);
    std::atomic<bool> leaving = false;
    std::thread signal([&] {
      char c = 0;
      CAF_CHECK_EQUAL(::read(e.read, &c, 1), 1); // it is under way
      leaving = true;
    });
    CAF_CHECK_EQUAL(write_unless_leaving(e.write, std::string(2'000'000, 'x'), leaving), ECANCELED);
    signal.join();
  }
  ends gone;
  ::close(std::exchange(gone.read, -1));
  const std::atomic<bool> leaving = false;
  CAF_CHECK_EQUAL(write_unless_leaving(gone.write, "x", leaving), EPIPE);
}
