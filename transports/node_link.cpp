// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/node_link.hpp"

#include "protocols/caf_error.hpp"
#include "protocols/type_ids.hpp"
#include "transports/pki.hpp"

#include <caf/all.hpp>
#include <caf/io/all.hpp>
#include <caf/openssl/all.hpp>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace conclave {

namespace {

constexpr int reach_ms = 3'000;
constexpr auto handshake_limit = std::chrono::seconds(8);
constexpr auto hello_limit = std::chrono::seconds(5);

struct free_addresses {
  void operator()(addrinfo* a) const { ::freeaddrinfo(a); }
};

bool split(const std::string& address, std::string& host, std::uint16_t& port) {
  auto colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0)
    return false;
  host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  auto n = std::strtoul(address.c_str() + colon + 1, nullptr, 10);
  port = static_cast<std::uint16_t>(n);
  return n > 0 && n < 65536;
}

/// CAF's connect has no timeout and one black-holed host would stall every other: look whether somebody listens first.
std::string reachable(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* raw = nullptr;
  auto code = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &raw);
  std::unique_ptr<addrinfo, free_addresses> list{raw};
  if (code != 0)
    return std::string("cannot resolve ") + host + ": " + ::gai_strerror(code);
  std::string error = "no address";
  for (auto* a = raw; a != nullptr; a = a->ai_next) {
    auto fd = ::socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0)
      continue;
    auto rc = ::connect(fd, a->ai_addr, a->ai_addrlen);
    int failed = rc == 0 ? 0 : errno;
    if (rc != 0 && errno == EINPROGRESS) {
      pollfd p{fd, POLLOUT, 0};
      socklen_t size = sizeof failed;
      if (::poll(&p, 1, reach_ms) != 1)
        failed = ETIMEDOUT;
      else
        ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size);
    }
    ::close(fd);
    if (failed == 0)
      return {};
    error = std::strerror(failed);
  }
  return error;
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.rfind("127.", 0) == 0;
}

} // namespace

std::string configure_link(caf::actor_system_config& config, const tls_config& tls) {
  config.load<caf::io::middleman>();
  config.set("middleman.heartbeat-interval", caf::timespan(std::chrono::seconds(1)));
  config.set("middleman.connection-timeout", caf::timespan(std::chrono::seconds(6)));
  config.set("middleman.app-identifiers", std::vector<std::string>{"conclave"});
  if (tls.insecure_loopback)
    return {};
  std::string error;
  auto files = tls_files(tls, error);
  if (!error.empty())
    return error;
  config.load<caf::openssl::manager>();
  config.set("openssl.certificate", files.cert);
  config.set("openssl.key", files.key);
  config.set("openssl.cafile", files.ca);
  return {};
}

std::uint16_t publish_door(caf::actor_system& sys, const door_actor& door, const std::string& host, std::uint16_t port,
                           bool insecure, std::string& error) {
  if (insecure && !is_loopback(host)) {
    error = "without TLS only loopback addresses may be used, not " + host;
    return 0;
  }
  auto numeric = host == "localhost" ? std::string("127.0.0.1") : host;
  auto where = numeric.c_str();
  auto result = insecure ? sys.middleman().publish(door, port, where) : caf::openssl::publish(door, port, where);
  if (result)
    return *result;
  error = "cannot listen on " + host + ":" + std::to_string(port) + ": " + sys.render(result.error());
  return 0;
}

node_actor join_node(caf::actor_system& sys, const std::string& address, bool insecure, std::string& error) {
  std::string host;
  std::uint16_t port = 0;
  if (!split(address, host, port)) {
    error = "'" + address + "' is not HOST:PORT";
    return {};
  }
  if (insecure && !is_loopback(host)) {
    error = "without TLS only loopback addresses may be used, not " + host;
    return {};
  }
  if (error = reachable(host, port); !error.empty()) {
    error = "node " + address + " cannot be reached: " + error;
    return {};
  }
  // A request with a deadline: the blocking remote_actor() would wait for ever for a peer that accepts and then says nothing.
  caf::scoped_actor self{sys};
  auto broker = insecure ? sys.middleman().actor_handle() : sys.openssl_manager().actor_handle();
  caf::strong_actor_ptr found;
  self->request(broker, handshake_limit, caf::connect_atom::value, host, port)
      .receive([&](const caf::node_id&, caf::strong_actor_ptr& ptr, const std::set<std::string>&) { found = std::move(ptr); },
               [&](const caf::error& e) { error = "node " + address + " refused the connection: " + sys.render(e); });
  if (!found) {
    if (error.empty())
      error = "node " + address + " offers nothing: it is no conclave node";
    return {};
  }
  node_actor node;
  self->request(caf::actor_cast<door_actor>(found), hello_limit, hello{})
      .receive(
          [&](const welcome& w) {
            if (w.version == 0 || !w.node)
              error = "node " + address + ": " + (w.reason.empty() ? "refused" : w.reason);
            else
              node = caf::actor_cast<node_actor>(w.node);
          },
          [&](const caf::error& e) { error = "node " + address + " did not say hello: " + text_of(e); });
  return node;
}

} // namespace conclave
