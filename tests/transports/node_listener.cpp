// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.node_listener

// Who may wait at the door of a node. Peers have addresses of their own: all of 127.0.0.0/8 is this machine. What a slow machine
// adds (a stranger is cut off after 5 s) does not count here: only for whom there was no room.

#include "transports/node_listener.hpp"

#include "caf/test/unit_test.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <future>
#include <map>
#include <mutex>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

using namespace conclave;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t share = 32; ///< of one address, in a process that may open 128 descriptors

void allow_descriptors(rlim_t n) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = std::min(files.rlim_max, n);
  ::setrlimit(RLIMIT_NOFILE, &files);
}

struct fixture {
  fs::path folder;
  tls_identity identity;
  std::mutex mutex;
  std::map<std::string, std::size_t> crowded_out; ///< by address, without the port
  std::unique_ptr<node_listener> listener;

  fixture() {
    auto pattern = (fs::temp_directory_path() / "conclave-listener-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr)
      CAF_FAIL("no folder");
    folder = pattern;
    ::setenv("CONCLAVE_HOME", folder.c_str(), 1);
    std::string error;
    identity = load_tls_identity({}, error);
    CAF_REQUIRE_EQUAL(error, "");
    auto note = [this](const std::string& peer, const std::string& refusal) {
      std::lock_guard lock{mutex};
      crowded_out[peer.substr(0, peer.find(':'))] += refusal == "too many others wait";
    };
    allow_descriptors(4 * share);
    listener = node_listener::open(
        "127.0.0.1", 0, identity, [](unique_fd fd) { ::send(fd.get(), "!", 1, MSG_NOSIGNAL); }, error, note);
    CAF_REQUIRE_EQUAL(error, "");
    allow_descriptors(4'096); // those of the peers
  }
  ~fixture() {
    listener.reset();
    fs::remove_all(folder);
  }

  std::size_t crowded(const std::string& from) {
    std::lock_guard lock{mutex};
    return crowded_out[from];
  }

  unique_fd dial(const char* from) {
    unique_fd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in a{};
    a.sin_family = AF_INET;
    ::inet_pton(AF_INET, from, &a.sin_addr);
    CAF_REQUIRE_EQUAL(::bind(fd.get(), reinterpret_cast<sockaddr*>(&a), sizeof a), 0);
    a.sin_port = htons(listener->port());
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CAF_REQUIRE_EQUAL(::connect(fd.get(), reinterpret_cast<sockaddr*>(&a), sizeof a), 0);
    ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
    return fd;
  }

  /// Joins from there at the first try.
  std::string join(const char* from) {
    auto done = std::make_shared<std::promise<std::string>>();
    auto net = std::make_shared<unique_fd>(dial(from));
    child_reactor::get()->post([=, id = identity] {
      tls_tunnel::start(id, std::move(*net), tls_tunnel::side::client, 10s,
                        [done](unique_fd, std::string why) { done->set_value(std::move(why)); });
    });
    return done->get_future().get();
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(node_listener_tests, fixture)

CAF_TEST(one address takes half of the room and the others get in at the first try) {
  std::vector<unique_fd> crowd;
  for (std::size_t i = 0; i < share + 150; ++i)
    crowd.push_back(dial("127.0.0.2"));
  CAF_CHECK_EQUAL(join("127.0.0.3"), ""); // it came last, so that all before it have been dealt with
  CAF_CHECK_EQUAL(crowded("127.0.0.2"), 150u);
}

CAF_TEST(a newcomer takes the place of one of the address that has most and not of others) {
  std::vector<unique_fd> few, many, more;
  for (int i = 0; i < 6; ++i)
    few.push_back(dial("127.0.0.4"));
  for (std::size_t i = 0; i < share; ++i)
    many.push_back(dial("127.0.0.2"));
  for (std::size_t i = 0; i < share; ++i)
    more.push_back(dial("127.0.0.3"));
  for (int i = 0; i < 20; ++i)
    CAF_CHECK_EQUAL(join("127.0.0.1"), "");
  CAF_CHECK_EQUAL(crowded("127.0.0.4"), 0u);
  CAF_CHECK_EQUAL(crowded("127.0.0.1"), 0u);
  CAF_CHECK(crowded("127.0.0.2") + crowded("127.0.0.3") >= 6u);
}

CAF_TEST_FIXTURE_SCOPE_END()
