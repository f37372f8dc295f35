// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.tls_tunnel

// Both ends of a tunnel in one process, over real loopback sockets, and peers that are something else.

#include "transports/tls_tunnel.hpp"

#include "caf/test/unit_test.hpp"
#include "transports/node_listener.hpp"

#include <arpa/inet.h>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <future>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

using namespace conclave;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

struct arrival {
  unique_fd plain;
  std::string error;
};

/// A home of its own, so an authority of its own.
struct authority {
  fs::path folder;
  tls_identity identity;
  authority() {
    auto pattern = (fs::temp_directory_path() / "conclave-tunnel-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr)
      CAF_FAIL("no folder");
    folder = pattern;
    ::setenv("CONCLAVE_HOME", folder.c_str(), 1);
    std::string error;
    identity = load_tls_identity({}, error);
    CAF_REQUIRE_EQUAL(error, "");
  }
  ~authority() { fs::remove_all(folder); }
};

unique_fd dial(std::uint16_t port) {
  unique_fd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(port);
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&a), sizeof a) != 0)
    return {};
  return fd;
}

/// Waits until `fd` can be read. False after 10 s.
bool readable(const unique_fd& fd) {
  pollfd p{fd.get(), POLLIN, 0};
  return ::poll(&p, 1, 10'000) == 1;
}

std::string read_all(const unique_fd& fd) {
  std::string out;
  char buf[65536];
  while (readable(fd)) {
    auto n = ::recv(fd.get(), buf, sizeof buf, 0);
    if (n <= 0)
      return out;
    out.append(buf, static_cast<std::size_t>(n));
  }
  return out + " [timeout]";
}

bool write_all(const unique_fd& fd, const std::string& text) {
  std::size_t at = 0;
  while (at < text.size()) {
    auto n = ::send(fd.get(), text.data() + at, text.size() - at, MSG_NOSIGNAL);
    if (n > 0) {
      at += static_cast<std::size_t>(n);
      continue;
    }
    pollfd p{fd.get(), POLLOUT, 0};
    if (errno != EAGAIN || ::poll(&p, 1, 10'000) != 1)
      return false;
  }
  return true;
}

std::future<arrival> open_client(const tls_identity& id, unique_fd net, std::chrono::milliseconds limit = 10s) {
  auto done = std::make_shared<std::promise<arrival>>();
  auto shared = std::make_shared<unique_fd>(std::move(net));
  auto out = done->get_future();
  child_reactor::get()->post([=] {
    auto flags = ::fcntl(shared->get(), F_GETFL);
    ::fcntl(shared->get(), F_SETFL, flags | O_NONBLOCK);
    tls_tunnel::start(id, std::move(*shared), tls_tunnel::side::client, limit, [done](unique_fd fd, std::string why) {
      done->set_value({std::move(fd), std::move(why)});
    });
  });
  return out;
}

/// A listener whose arrivals can be waited for.
struct door {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<unique_fd> arrived;
  std::unique_ptr<node_listener> listener;

  explicit door(const tls_identity& id) {
    std::string error;
    listener = node_listener::open(
        "127.0.0.1", 0, id,
        [this](unique_fd fd) {
          // The first word is the server's, as in CAF's protocol: a client waits for it.
          ::send(fd.get(), "!", 1, MSG_NOSIGNAL);
          std::lock_guard lock{mutex};
          arrived.push_back(std::move(fd));
          changed.notify_all();
        },
        error);
    CAF_REQUIRE_EQUAL(error, "");
  }
  unique_fd next() {
    std::unique_lock lock{mutex};
    if (!changed.wait_for(lock, 10s, [this] { return !arrived.empty(); }))
      return {};
    auto out = std::move(arrived.front());
    arrived.pop_front();
    return out;
  }
  bool nobody() {
    std::lock_guard lock{mutex};
    return arrived.empty();
  }
};

struct fixture {
  authority ours;
  door at{ours.identity};

  std::pair<unique_fd, unique_fd> joined() {
    auto client = open_client(ours.identity, dial(at.listener->port())).get();
    CAF_REQUIRE_EQUAL(client.error, "");
    auto server = at.next();
    CAF_REQUIRE(server);
    char first = 0;
    CAF_REQUIRE(readable(client.plain));
    CAF_REQUIRE_EQUAL(::recv(client.plain.get(), &first, 1, 0), 1);
    CAF_REQUIRE_EQUAL(first, '!');
    return {std::move(client.plain), std::move(server)};
  }

  std::string refusal(unique_fd net, const tls_identity& id, std::chrono::milliseconds limit = 10s) {
    auto r = open_client(id, std::move(net), limit).get();
    CAF_CHECK(!r.plain);
    return r.error;
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(tls_tunnel_tests, fixture)

CAF_TEST(bytes go both ways at once and arrive whole) {
  auto [client, server] = joined();
  std::string up(5'000'000, 'u'), down(3'000'000, 'd');
  for (std::size_t i = 0; i < up.size(); i += 7)
    up[i] = static_cast<char>(i);
  auto half = [](unique_fd& fd, const std::string& text) {
    auto ok = write_all(fd, text);
    ::shutdown(fd.get(), SHUT_WR);
    return ok;
  };
  // One way at a time ends a tunnel, so the amounts are counted instead of waiting for the end.
  auto take = [](unique_fd& fd, std::size_t size) {
    std::string out;
    char buf[65536];
    while (out.size() < size && readable(fd)) {
      auto n = ::recv(fd.get(), buf, sizeof buf, 0);
      if (n <= 0)
        break;
      out.append(buf, static_cast<std::size_t>(n));
    }
    return out;
  };
  auto sent_up = std::async(std::launch::async, [&] { return write_all(client, up); });
  auto sent_down = std::async(std::launch::async, [&] { return write_all(server, down); });
  auto got_down = std::async(std::launch::async, [&] { return take(client, down.size()); });
  CAF_CHECK(take(server, up.size()) == up);
  CAF_CHECK(got_down.get() == down);
  CAF_CHECK(sent_up.get());
  CAF_CHECK(sent_down.get());
  CAF_CHECK(half(client, "last words"));
  CAF_CHECK_EQUAL(read_all(server), "last words");
}

CAF_TEST(the end of either side ends both) {
  {
    auto [client, server] = joined();
    client.reset();
    CAF_CHECK_EQUAL(read_all(server), "");
  }
  auto [client, server] = joined();
  server.reset();
  CAF_CHECK_EQUAL(read_all(client), "");
}

CAF_TEST(a peer of another authority is refused by both sides) {
  authority others;
  auto why = refusal(dial(at.listener->port()), others.identity);
  CAF_CHECK(why.find("not of our authority") != std::string::npos);
  CAF_MESSAGE(why);
  CAF_CHECK(at.nobody());
}

CAF_TEST(whoever speaks no TLS gets nothing and is cut off) {
  for (std::string text : {"GET / HTTP/1.0\r\n\r\n", "\x16\x03\x01\x02\x05zzzzz", "hello conclave, are you there?"}) {
    auto peer = dial(at.listener->port());
    CAF_REQUIRE(write_all(peer, text));
    auto got = read_all(peer);
    CAF_CHECK(got.find("conclave") == std::string::npos);
    CAF_CHECK(got.find('!') == std::string::npos);
  }
  CAF_CHECK(at.nobody());
}

CAF_TEST(a client says what is wrong with the peer) {
  unique_fd port{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof a;
  CAF_REQUIRE_EQUAL(::bind(port.get(), reinterpret_cast<sockaddr*>(&a), size), 0);
  CAF_REQUIRE_EQUAL(::listen(port.get(), 4), 0);
  ::getsockname(port.get(), reinterpret_cast<sockaddr*>(&a), &size);
  auto number = ntohs(a.sin_port);
  // It accepts (in the kernel) and says nothing.
  auto why = refusal(dial(number), ours.identity, 200ms);
  CAF_CHECK(why.find("does not answer") != std::string::npos);
  unique_fd silent{::accept(port.get(), nullptr, nullptr)};
  // It speaks something else.
  auto net = dial(number);
  unique_fd web{::accept(port.get(), nullptr, nullptr)};
  CAF_REQUIRE(write_all(web, "HTTP/1.1 400 Bad Request\r\n\r\n"));
  why = refusal(std::move(net), ours.identity);
  CAF_CHECK(why.find("does not speak TLS") != std::string::npos);
  // It hangs up.
  net = dial(number);
  unique_fd gone{::accept(port.get(), nullptr, nullptr)};
  ::shutdown(gone.get(), SHUT_RDWR);
  why = refusal(std::move(net), ours.identity);
  CAF_CHECK(why.find("closed the connection") != std::string::npos);
}

CAF_TEST(idle strangers do not keep a friend out) {
  std::vector<unique_fd> idle;
  for (int i = 0; i < 200; ++i)
    idle.push_back(dial(at.listener->port()));
  auto pair = joined();
  CAF_CHECK(pair.first);
  CAF_CHECK(at.nobody());
  CAF_CHECK_EQUAL(read_all(idle.front()), ""); // the oldest had to go
}

CAF_TEST(nobody arrives after the listener is gone) {
  auto port = at.listener->port();
  auto peer = dial(port);
  at.listener.reset();
  auto why = refusal(std::move(peer), ours.identity);
  CAF_CHECK(!why.empty());
  CAF_CHECK(at.nobody());
}

CAF_TEST_FIXTURE_SCOPE_END()
