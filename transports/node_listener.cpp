// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/node_listener.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

namespace conclave {

namespace {

constexpr auto proof_limit = std::chrono::seconds(5);
constexpr std::size_t max_unproven = 64;
constexpr auto pause_without_descriptors = std::chrono::milliseconds(500);

struct free_addresses {
  void operator()(addrinfo* a) const { ::freeaddrinfo(a); }
};

unique_fd listen_on(const addrinfo& a) {
  unique_fd fd{::socket(a.ai_family, a.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a.ai_protocol)};
  int on = 1;
  if (fd
      && (::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 || ::bind(fd.get(), a.ai_addr, a.ai_addrlen) != 0
          || ::listen(fd.get(), SOMAXCONN) != 0))
    return {};
  return fd;
}

/// Returns "10.0.0.7:41234" or "[2001:db8::7]:41234".
std::string peer_name(int fd) {
  sockaddr_storage a{};
  socklen_t size = sizeof a;
  char host[INET6_ADDRSTRLEN] = "", port[8] = "";
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&a), &size) != 0
      || ::getnameinfo(reinterpret_cast<sockaddr*>(&a), size, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV)
             != 0)
    return "unknown";
  return (a.ss_family == AF_INET6 ? "[" + std::string(host) + "]:" : std::string(host) + ":") + port;
}

std::uint16_t port_of(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return 0;
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<sockaddr_in&>(address).sin_port);
}

} // namespace

std::unique_ptr<node_listener> node_listener::open(const std::string& host, std::uint16_t port, tls_identity identity, arrival take,
                                                   std::string& error, report tell) {
  auto where = "cannot listen on " + host + ":" + std::to_string(port) + ": ";
  auto* reactor = child_reactor::get();
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* raw = nullptr;
  auto code = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &raw);
  std::unique_ptr<addrinfo, free_addresses> list{raw};
  if (code != 0 || !reactor) {
    error = where + (reactor ? ::gai_strerror(code) : "no thread for it");
    return nullptr;
  }
  unique_fd fd;
  for (auto* a = raw; a != nullptr && !fd; a = a->ai_next)
    fd = listen_on(*a);
  if (!fd) {
    error = where + std::strerror(errno);
    return nullptr;
  }
  std::unique_ptr<node_listener> out{new node_listener};
  out->port_ = port_of(fd.get());
  out->gate_ = std::make_shared<gate>();
  out->gate_->fd = std::move(fd);
  out->gate_->identity = std::move(identity);
  out->gate_->take = std::move(take);
  out->gate_->tell = std::move(tell);
  reactor->post([g = out->gate_] { g->listen(); });
  return out;
}

node_listener::~node_listener() {
  {
    std::lock_guard lock{gate_->mutex};
    gate_->take = nullptr;
    gate_->tell = nullptr;
  }
  child_reactor::get()->post([g = std::move(gate_)] { g->close(); });
}

void node_listener::gate::listen() {
  if (fd && watch == 0)
    watch = child_reactor::get()->watch(fd.get(), EPOLLIN, [self = shared_from_this()](std::uint32_t) { self->accept_all(); });
}

void node_listener::gate::accept_all() {
  for (std::size_t i = 0; i < max_unproven; ++i) { // then the other descriptors of the reactor have their turn
    unique_fd peer{::accept4(fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
    if (peer) {
      admit(std::move(peer));
      continue;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      // The connection stays in the queue and would wake us at once: look again when others have given descriptors back.
      child_reactor::get()->unwatch(std::exchange(watch, 0));
      child_reactor::get()->after(pause_without_descriptors, [self = shared_from_this()] { self->listen(); });
      return;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK)
      return;
  }
}

void node_listener::gate::admit(unique_fd peer) {
  int on = 1;
  ::setsockopt(peer.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  auto name = peer_name(peer.get());
  if (!identity)
    return arrived(std::move(peer), name);
  std::erase_if(unproven, [](auto& weak) {
    auto t = weak.lock();
    return !t || t->decided();
  });
  if (unproven.size() >= max_unproven) {
    if (auto oldest = unproven.front().lock())
      oldest->close("too many others wait");
    unproven.pop_front();
  }
  unproven.push_back(tls_tunnel::start(identity, std::move(peer), tls_tunnel::side::server, proof_limit,
                                       [self = shared_from_this(), name](unique_fd plain, const std::string& why) {
                                         if (plain)
                                           self->arrived(std::move(plain), name);
                                         else
                                           self->refused(name, why);
                                       }));
}

void node_listener::gate::arrived(unique_fd plain, const std::string& peer) {
  std::lock_guard lock{mutex};
  if (tell)
    tell(peer, {});
  if (take)
    take(std::move(plain));
}

void node_listener::gate::refused(const std::string& peer, const std::string& why) {
  std::lock_guard lock{mutex};
  if (tell)
    tell(peer, why);
}

void node_listener::gate::close() {
  child_reactor::get()->unwatch(std::exchange(watch, 0));
  fd.reset();
  for (auto& weak : unproven)
    if (auto t = weak.lock(); t && !t->decided())
      t->close("the port was closed");
  unproven.clear();
}

} // namespace conclave
