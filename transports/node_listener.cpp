// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/node_listener.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <random>
#include <sys/resource.h>
#include <sys/socket.h>

namespace conclave {

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using clock = std::chrono::steady_clock;

constexpr auto proof_limit = std::chrono::seconds(5);
constexpr auto silent_grace = std::chrono::milliseconds(150); ///< the first word of a caller comes right behind its connection
constexpr auto spoken_grace = std::chrono::milliseconds(1'000);
constexpr std::size_t max_strangers = 512;
constexpr const char* crowded = "too many others wait";
constexpr int accepts_per_turn = 64; ///< then the others of the reactor have their turn
constexpr auto pause_without_descriptors = std::chrono::milliseconds(500);

/// Where a peer comes from: an IPv4 address, or the network of an IPv6 one (its owner has all of it).
using source = std::array<unsigned char, 8>;

source source_of(const sockaddr_storage& a) {
  source out{};
  if (a.ss_family == AF_INET6) {
    auto& v6 = reinterpret_cast<const sockaddr_in6&>(a).sin6_addr;
    auto mapped = IN6_IS_ADDR_V4MAPPED(&v6);
    std::memcpy(out.data(), v6.s6_addr + (mapped ? 12 : 0), mapped ? 4 : out.size());
  } else {
    std::memcpy(out.data(), &reinterpret_cast<const sockaddr_in&>(a).sin_addr, 4);
  }
  return out;
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

/// A peer that has not proven who it is. It costs a descriptor, and TLS only once it has spoken.
struct stranger {
  stranger(asio::io_context& io, const source& s, std::string n)
      : socket(io), deadline(io, proof_limit), from(s), name(std::move(n)) {}
  tcp::socket socket;
  asio::steady_timer deadline;
  source from;
  std::string name; ///< asked while it is connected
  clock::time_point grace = clock::now() + silent_grace;
  std::shared_ptr<tls_tunnel> tunnel;
};

} // namespace

/// Lives on the reactor; what it may call is behind the lock, so that the owner can take it away.
class node_listener::gate : public std::enable_shared_from_this<gate> {
public:
  gate(tls_identity me, arrival take, report tell)
      : acceptor_(child_reactor::get()->io()), identity_(std::move(me)), take_(std::move(take)), tell_(std::move(tell)) {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    room_ = std::clamp<std::size_t>(limit.rlim_cur / 2, 16, max_strangers);
  }
  std::uint16_t open(const tcp::endpoint& at, error_code& failed);
  bool ready() const { return acceptor_.is_open(); }
  void listen();
  void close();
  void revoke() {
    std::lock_guard lock{mutex_};
    take_ = nullptr;
    tell_ = nullptr;
  }

private:
  void accept_some();
  void admit(unique_fd peer, const source& from);
  bool make_room(const source& from);
  void speak(const std::shared_ptr<stranger>& s);
  void forget(const std::shared_ptr<stranger>& s);
  void arrived(unique_fd plain, const std::string& peer);
  void refused(const std::string& peer, const std::string& why);

  tcp::acceptor acceptor_;
  tls_identity identity_;
  std::size_t room_;
  std::vector<std::shared_ptr<stranger>> strangers_; ///< in no order
  std::map<source, std::size_t> held_;               ///< strangers by where they come from
  std::minstd_rand random_{std::random_device{}()};
  std::mutex mutex_;
  arrival take_;
  report tell_;
};

std::unique_ptr<node_listener> node_listener::open(const std::string& host, std::uint16_t port, tls_identity identity, arrival take,
                                                   std::string& error, report tell) {
  auto* reactor = child_reactor::get();
  error_code failed = asio::error::no_memory;
  if (reactor != nullptr) {
    auto g = std::make_shared<gate>(std::move(identity), std::move(take), std::move(tell));
    std::uint16_t bound = 0;
    for (auto& found : tcp::resolver{reactor->io()}.resolve(host, std::to_string(port), tcp::resolver::passive, failed))
      if (bound = g->open(found, failed); !failed)
        break;
    if (!failed) {
      reactor->post([g] { g->listen(); });
      return std::unique_ptr<node_listener>{new node_listener{std::move(g), bound}};
    }
  }
  error = "cannot listen on " + host + ":" + std::to_string(port) + ": " + (reactor ? failed.message() : "no thread for it");
  return nullptr;
}

/// Returns the port; tries again with another address after a failure.
std::uint16_t node_listener::gate::open(const tcp::endpoint& at, error_code& failed) {
  error_code ignored;
  acceptor_.close(ignored);
  unique_fd fd{::socket(at.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  if (!fd) {
    failed.assign(errno, boost::system::system_category());
    return 0;
  }
  if (acceptor_.assign(at.protocol(), fd.get(), failed))
    return 0;
  fd.release();
  if (acceptor_.set_option(tcp::acceptor::reuse_address{true}, failed) || acceptor_.bind(at, failed)
      || acceptor_.listen(tcp::acceptor::max_listen_connections, failed))
    return 0;
  return acceptor_.local_endpoint(failed).port();
}

node_listener::~node_listener() {
  gate_->revoke();
  child_reactor::get()->post([g = std::move(gate_)] { g->close(); });
}

void node_listener::gate::listen() {
  acceptor_.async_wait(tcp::acceptor::wait_read, [self = shared_from_this()](const error_code& e) {
    if (!e && self->ready())
      self->accept_some();
  });
}

// By hand: Asio would make descriptors that other programs of the host inherit.
void node_listener::gate::accept_some() {
  for (int i = 0; i < accepts_per_turn; ++i) {
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    unique_fd peer{::accept4(acceptor_.native_handle(), reinterpret_cast<sockaddr*>(&from), &size, SOCK_NONBLOCK | SOCK_CLOEXEC)};
    if (peer) {
      admit(std::move(peer), source_of(from));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      // The connection stays in the queue and would wake us at once: look again when others have given descriptors back.
      refused({}, std::string("callers wait, and this process cannot take them: ") + std::strerror(errno));
      child_reactor::get()->after(pause_without_descriptors, [self = shared_from_this()] {
        if (self->ready())
          self->listen();
      });
      return;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      break;
    }
  }
  listen();
}

void node_listener::gate::admit(unique_fd peer, const source& from) {
  int on = 1;
  ::setsockopt(peer.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  auto name = peer_name(peer.get());
  if (!identity_)
    return arrived(std::move(peer), name);
  if (!make_room(from))
    return refused(name, crowded);
  auto s = std::make_shared<stranger>(child_reactor::get()->io(), from, std::move(name));
  error_code failed;
  if (s->socket.assign(tcp::v4(), peer.get(), failed))
    return;
  peer.release();
  strangers_.push_back(s);
  ++held_[from];
  s->deadline.async_wait([self = shared_from_this(), s](const error_code& e) {
    if (e)
      return;
    if (!s->tunnel && s->socket.is_open())
      self->refused(s->name, "it connected and said nothing");
    self->forget(s);
  });
  s->socket.async_wait(tcp::socket::wait_read, [self = shared_from_this(), s](const error_code& e) {
    if (!e)
      self->speak(s);
  });
}

/// Returns false if everyone here has a better claim than one more from there.
bool node_listener::gate::make_room(const source& from) {
  auto it = held_.find(from);
  auto mine = it == held_.end() ? 0 : it->second;
  bool own = mine >= room_ / 2;
  if (!own && strangers_.size() < room_)
    return true;
  auto most = std::max_element(held_.begin(), held_.end(), [](auto& a, auto& b) { return a.second < b.second; });
  bool unfair = !own && most->second > mine + 1;
  auto now = clock::now();
  std::shared_ptr<stranger> victim;
  unsigned candidates = 0;
  for (auto& s : strangers_) // each candidate is as likely as the others
    if ((own      ? s->from == from && s->grace <= now
         : unfair ? s->from == most->first
                  : s->grace <= now)
        && random_() % ++candidates == 0)
      victim = s;
  if (victim) {
    if (!victim->tunnel)
      refused(victim->name, crowded);
    forget(victim);
  }
  return victim != nullptr;
}

void node_listener::gate::speak(const std::shared_ptr<stranger>& s) {
  char first;
  if (!s->socket.is_open() || ::recv(s->socket.native_handle(), &first, 1, MSG_PEEK) <= 0) {
    if (s->socket.is_open())
      refused(s->name, "it connected and hung up without a word");
    return forget(s);
  }
  s->grace = clock::now() + spoken_grace;
  error_code failed;
  unique_fd net{s->socket.release(failed)};
  auto left = std::chrono::ceil<std::chrono::milliseconds>(s->deadline.expiry() - clock::now());
  s->tunnel = tls_tunnel::start(identity_, std::move(net), tls_tunnel::side::server, left,
                                [self = shared_from_this(), s](unique_fd plain, const std::string& why) {
                                  self->forget(s);
                                  if (plain)
                                    self->arrived(std::move(plain), s->name);
                                  else
                                    self->refused(s->name, why);
                                });
}

void node_listener::gate::forget(const std::shared_ptr<stranger>& s) {
  auto it = std::find(strangers_.begin(), strangers_.end(), s);
  if (it == strangers_.end())
    return;
  auto gone = std::exchange(*it, strangers_.back()); // `s` may be what stands there
  strangers_.pop_back();
  if (auto held = held_.find(gone->from); --held->second == 0)
    held_.erase(held);
  error_code ignored;
  gone->deadline.cancel();
  gone->socket.close(ignored);
  if (auto t = std::exchange(gone->tunnel, nullptr); t && !t->decided())
    t->close(crowded);
}

void node_listener::gate::arrived(unique_fd plain, const std::string& peer) {
  std::lock_guard lock{mutex_};
  if (tell_)
    tell_(peer, {});
  if (take_)
    take_(std::move(plain));
}

void node_listener::gate::refused(const std::string& peer, const std::string& why) {
  std::lock_guard lock{mutex_};
  if (tell_)
    tell_(peer, why);
}

void node_listener::gate::close() {
  error_code ignored;
  acceptor_.close(ignored);
  while (!strangers_.empty())
    forget(strangers_.back());
}

} // namespace conclave
