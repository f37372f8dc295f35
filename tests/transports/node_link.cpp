// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.node_link

#include "transports/node_link.hpp"

#include "caf/test/unit_test.hpp"

#include <caf/all.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>
#include <mutex>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

using namespace conclave;
using namespace std::chrono_literals;

namespace {

/// Name servers that do not answer: look-ups of "dead..." wait until the test is over.
struct dead_resolver {
  std::mutex mutex;
  std::condition_variable changed;
  bool over = false;
  int waiting = 0;
  void ask() {
    std::unique_lock lock{mutex};
    ++waiting;
    changed.notify_all();
    changed.wait(lock, [this] { return over; });
  }
  void end() {
    std::lock_guard lock{mutex};
    over = true;
    changed.notify_all();
  }
};

dead_resolver& resolver() {
  static auto* r = new dead_resolver; // a look-up may outlive the test
  return *r;
}

struct fixture {
  caf::actor_system_config config;
  std::string error;
  fixture() { configure_link(config); }
};

auto since(std::chrono::steady_clock::time_point t) {
  return std::chrono::steady_clock::now() - t;
}

} // namespace

/// Takes the place of the C library's function in this executable.
extern "C" __attribute__((visibility("default"))) int getaddrinfo(const char* name, const char* service, const addrinfo* hints,
                                                                  addrinfo** result) {
  if (name != nullptr && std::string_view{name}.rfind("dead", 0) == 0) {
    if (hints == nullptr || (hints->ai_flags & AI_NUMERICHOST) == 0)
      resolver().ask();
    return EAI_NONAME;
  }
  using function = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
  static auto real = reinterpret_cast<function>(dlsym(RTLD_NEXT, "getaddrinfo"));
  return real(name, service, hints, result);
}

CAF_TEST_FIXTURE_SCOPE(node_link_tests, fixture)

CAF_TEST(a name server that does not answer costs the deadline and no other node waits for it) {
  caf::actor_system sys{config};
  link_identity me{nullptr, true};
  me.tls = std::shared_ptr<ssl_ctx_st>(reinterpret_cast<ssl_ctx_st*>(&me), [](ssl_ctx_st*) {}); // never used: nobody is reached
  auto t = std::chrono::steady_clock::now();
  std::thread dead{[&] {
    std::string why;
    CAF_CHECK(!join_node(sys, "dead.example:4433", me, why));
    CAF_CHECK_EQUAL(why, "node dead.example:4433 cannot be reached: its name cannot be resolved: the name server does not answer");
  }};
  {
    std::unique_lock lock{resolver().mutex};
    CAF_REQUIRE(resolver().changed.wait_for(lock, 10s, [] { return resolver().waiting > 0; }));
  }
  CAF_CHECK(!join_node(sys, "localhost:1", me, error)); // a name too, but one that is known
  CAF_CHECK(error.find("Connection refused") != std::string::npos);
  CAF_CHECK(!join_node(sys, "127.0.0.1:1", me, error));
  CAF_CHECK(since(t) < 2s);
  dead.join();
  CAF_CHECK(since(t) < 5s);
  resolver().end();
}

CAF_TEST(a node that hangs up is tried again within the deadline) {
  auto folder = std::filesystem::temp_directory_path() / ("conclave-link-" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  ::setenv("CONCLAVE_HOME", folder.c_str(), 1);
  auto me = load_link_identity({}, error);
  CAF_REQUIRE_EQUAL(error, "");
  auto port = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof a;
  CAF_REQUIRE_EQUAL(::bind(port, reinterpret_cast<sockaddr*>(&a), size), 0);
  CAF_REQUIRE_EQUAL(::listen(port, 64), 0);
  ::getsockname(port, reinterpret_cast<sockaddr*>(&a), &size);
  std::atomic<int> came{0};
  std::thread door{[&] { // as a node does it whose door is full
    for (int fd; (fd = ::accept(port, nullptr, nullptr)) >= 0; ++came)
      ::close(fd);
  }};
  caf::actor_system sys{config};
  auto t = std::chrono::steady_clock::now();
  auto address = "127.0.0.1:" + std::to_string(ntohs(a.sin_port));
  CAF_CHECK(!join_node(sys, address, me, error));
  CAF_MESSAGE(error);
  CAF_CHECK(error.rfind("node " + address + " cannot be joined: ", 0) == 0);
  CAF_CHECK(since(t) < 4s);
  CAF_CHECK(came > 10);
  ::shutdown(port, SHUT_RDWR);
  door.join();
  ::close(port);
  std::filesystem::remove_all(folder);
}

CAF_TEST_FIXTURE_SCOPE_END()
