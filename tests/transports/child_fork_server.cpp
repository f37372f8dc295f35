// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.child_fork_server

#include "transports/child_fork_server.hpp"

#include "caf/test/unit_test.hpp"
#include "transports/child_process.hpp"
#include "transports/sandbox_finder.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <sstream>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace conclave;
using namespace std::chrono_literals;

namespace {

std::string file_of(int pid, const char* name) {
  std::ifstream f("/proc/" + std::to_string(pid) + "/" + name);
  std::stringstream s;
  s << f.rdbuf();
  return s.str();
}

/// The value of a line of /proc/PID/status, the first of several.
std::string status_of(int pid, const std::string& name) {
  std::istringstream text(file_of(pid, "status"));
  for (std::string line; std::getline(text, line);)
    if (line.starts_with(name + ":\t"))
      return line.substr(name.size() + 2, line.find('\t', name.size() + 2) - name.size() - 2);
  return "";
}

/// Those of our children that have this argument.
std::vector<int> children_with(const std::string& argument) {
  std::vector<int> out;
  for (const auto& e : std::filesystem::directory_iterator("/proc"))
    if (auto pid = std::atoi(e.path().filename().c_str()); pid > 0 && status_of(pid, "PPid") == std::to_string(::getpid()))
      if (file_of(pid, "cmdline").ends_with(argument + '\0'))
        out.push_back(pid);
  return out;
}

template <class F>
bool comes(F what) {
  auto end = std::chrono::steady_clock::now() + 20s;
  while (!what() && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(2ms);
  return what();
}

/// A launcher that waits for its first line.
struct launcher {
  std::promise<child_exit> promise;
  std::shared_future<child_exit> ended = promise.get_future().share();
  std::shared_ptr<child_process> process;

  launcher() {
    child_options o;
    o.argv = {find_sandbox_launcher(), "serve"};
    o.cwd = "/";
    o.fork_server = "forks";
    process = child_process::start(std::move(o), {[](std::vector<std::string>) {}, [this](child_exit e) { promise.set_value(e); }});
  }
  launcher(const launcher&) = delete;
  launcher& operator=(const launcher&) = delete;
  ~launcher() { end(); }

  /// 0 if it has not started.
  int pid() const {
    comes([this] { return process->pid() > 0 || ended.wait_for(0s) == std::future_status::ready; });
    return process->pid();
  }

  child_exit end() {
    if (!process)
      return {};
    process->close();
    process.reset();
    return ended.get();
  }
};

int server() {
  comes([] { return !children_with("forks").empty(); });
  auto all = children_with("forks");
  return all.size() == 1 ? all[0] : 0;
}

/// Whether this one was forked by that one: as no program that was executed, it has its random bytes at the same address. Its
/// memory is closed to others, but not to root.
bool forked_by(int pid, int server) {
  return file_of(pid, "auxv") == file_of(server, "auxv");
}

/// One that was forked by a server, which may not be ready at first.
std::unique_ptr<launcher> forked() {
  for (int i = 0; i < 200; ++i) {
    auto one = std::make_unique<launcher>();
    if (forked_by(one->pid(), server()))
      return one;
    std::this_thread::sleep_for(5ms);
  }
  return nullptr;
}

bool can_look() {
  if (::geteuid() == 0)
    return true;
  std::puts("skipped: only root sees how a launcher was started");
  CAF_CHECK(true);
  return false;
}

} // namespace

CAF_TEST(what it forks is a child of ours like any other) {
  if (!can_look())
    return;
  auto one = forked();
  CAF_REQUIRE(one != nullptr);
  auto pid = one->pid();
  CAF_CHECK_EQUAL(::getpgid(pid), pid);
  CAF_CHECK_EQUAL(status_of(pid, "PPid"), std::to_string(::getpid()));
  CAF_CHECK_EQUAL(children_with("serve").size(), 1u);
  for (const auto* name : {"0", "1", "2"})
    CAF_CHECK(std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/fd/" + name).string().starts_with("pipe:"));
  std::size_t open = 0;
  for ([[maybe_unused]] const auto& fd : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd"))
    ++open;
  CAF_CHECK_EQUAL(open, 3u);
  auto end = one->end(); // at the end of its input, which nobody else holds
  CAF_CHECK(end.started);
  CAF_CHECK_EQUAL(end.error, "");
  CAF_CHECK_EQUAL(end.status, 1); // it never got a profile
  CAF_CHECK(comes([&] { return !std::filesystem::exists("/proc/" + std::to_string(pid)); }));
}

CAF_TEST(one that was killed or stopped is replaced) {
  if (!can_look())
    return;
  for (auto signal : {SIGKILL, SIGSTOP}) {
    CAF_REQUIRE(forked() != nullptr);
    auto old = server();
    ::kill(old, signal);
    if (signal == SIGSTOP) { // who needs one meanwhile gets one
      launcher late;
      CAF_CHECK_GREATER(late.pid(), 0);
      CAF_CHECK(!forked_by(late.pid(), old));
    }
    auto next = forked();
    CAF_REQUIRE(next != nullptr);
    CAF_CHECK_NOT_EQUAL(server(), old);
    CAF_CHECK(comes([&] { return !std::filesystem::exists("/proc/" + std::to_string(old)); })); // reaped, too
  }
}

CAF_TEST(a host that changes has no children of the one it was) {
  if (!can_look())
    return;
  CAF_REQUIRE(forked() != nullptr);
  CAF_REQUIRE(::seteuid(65'534) == 0);
  {
    launcher one;
    if (one.pid() > 0) // not where nobody may run it
      CAF_CHECK_NOT_EQUAL(file_of(one.pid(), "status").find("Uid:\t0\t65534\t65534\t65534"), std::string::npos);
  }
  CAF_REQUIRE(::seteuid(0) == 0);
  auto again = forked();
  CAF_REQUIRE(again != nullptr);
  CAF_CHECK_NOT_EQUAL(file_of(again->pid(), "status").find("Uid:\t0\t0\t0\t0"), std::string::npos);
  auto before = ::umask(077);
  launcher closed;
  CAF_CHECK_EQUAL(status_of(closed.pid(), "Umask"), "0077");
  ::umask(before);
}

CAF_TEST(a fork of the host gets no child of the server) {
  if (!can_look())
    return;
  CAF_REQUIRE(forked() != nullptr);
  auto count = children_with("serve").size();
  int ours = -1; // our end of its socket: the only one of its kind
  for (const auto& e : std::filesystem::directory_iterator("/proc/self/fd")) {
    auto fd = std::atoi(e.path().filename().c_str());
    int type = 0;
    socklen_t size = sizeof type;
    if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET)
      ours = fd;
  }
  CAF_REQUIRE(ours >= 0);
  auto worker = ::fork();
  if (worker == 0) {
    std::array<int, 3> fds{0, 1, 2};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fds)> space{};
    char byte = 'f';
    iovec part{&byte, 1};
    msghdr m{};
    m.msg_iov = &part;
    m.msg_iovlen = 1;
    m.msg_control = space.data();
    m.msg_controllen = space.size();
    auto* c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fds);
    std::memcpy(CMSG_DATA(c), fds.data(), sizeof fds);
    std::array<char, 32> said{};
    auto sent = ::sendmsg(ours, &m, 0) == 1;
    auto n = ::recv(ours, said.data(), said.size() - 1, 0);
    ::_exit(sent && n > 0 && std::atoi(said.data()) == -EPERM ? 0 : 1);
  }
  int status = -1;
  ::waitpid(worker, &status, 0);
  CAF_CHECK_EQUAL(status, 0);
  CAF_CHECK_EQUAL(children_with("serve").size(), count);
}

CAF_TEST(a program that does not say that it forks is executed each time) {
  auto start = [](std::promise<child_exit>& ended) {
    child_options o;
    o.argv = {"/bin/sh", "-c", "exit 7"};
    o.cwd = "/";
    o.fork_server = "-c"; // a shell that complains and ends
    return child_process::start(std::move(o), {[](std::vector<std::string>) {}, [&](child_exit e) { ended.set_value(e); }});
  };
  for (int i = 0; i < 6; ++i) {
    std::promise<child_exit> ended;
    auto child = start(ended);
    CAF_CHECK_EQUAL(ended.get_future().get().status, 7);
  }
}
