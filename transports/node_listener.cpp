// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/node_listener.hpp"

#include <boost/asio/ip/network_v6.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <future>
#include <list>
#include <map>
#include <netinet/tcp.h>
#include <random>
#include <sstream>
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
asio::ip::address source_of(const asio::ip::address& a) {
  if (a.is_v4())
    return a;
  if (a.to_v6().is_v4_mapped())
    return asio::ip::make_address_v4(asio::ip::v4_mapped, a.to_v6());
  return asio::ip::make_network_v6(a.to_v6(), 64).network();
}

/// A peer that has not proven who it is.
struct stranger {
  asio::ip::address from;
  std::shared_ptr<tls_tunnel> tunnel = nullptr; ///< undecided
  clock::time_point came = clock::now();
  bool under_grace(clock::time_point now) const { return now - came < (tunnel->spoken() ? spoken_grace : silent_grace); }
};

} // namespace

/// Lives on the reactor.
class node_listener::gate : public std::enable_shared_from_this<gate> {
public:
  gate(tls_identity me, arrival take, report tell)
      : acceptor_(child_reactor::get()->io()), identity_(std::move(me)), take_(std::move(take)), tell_(std::move(tell)) {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    room_ = std::clamp<std::size_t>(limit.rlim_cur / 2, 16, max_strangers);
  }

  /// Returns the port; tries again with another address after a failure.
  std::uint16_t open(const tcp::endpoint& at, error_code& failed) {
    error_code ignored;
    acceptor_.close(ignored);
    unique_fd fd{::socket(at.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (!fd)
      failed.assign(errno, boost::system::system_category());
    else if (fd.give_to(acceptor_, failed, at.protocol()) && !acceptor_.set_option(tcp::acceptor::reuse_address{true}, failed)
             && !acceptor_.bind(at, failed) && !acceptor_.listen(tcp::acceptor::max_listen_connections, failed))
      return acceptor_.local_endpoint(failed).port();
    return 0;
  }

  void listen() {
    acceptor_.async_wait(tcp::acceptor::wait_read, [self = shared_from_this()](const error_code& e) {
      if (!e && self->acceptor_.is_open())
        self->accept_some();
    });
  }

  void close() {
    error_code ignored;
    acceptor_.close(ignored);
    take_ = nullptr;
    tell_ = nullptr;
    while (!strangers_.empty())
      strangers_.back().tunnel->close(crowded);
  }

private:
  // By hand: Asio would make descriptors that other programs of the host inherit.
  void accept_some() {
    for (int i = 0; i < accepts_per_turn; ++i) {
      tcp::endpoint from;
      auto size = static_cast<socklen_t>(from.capacity());
      unique_fd peer{::accept4(acceptor_.native_handle(), from.data(), &size, SOCK_NONBLOCK | SOCK_CLOEXEC)};
      if (peer)
        admit(std::move(peer), from);
      else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        // The connection stays in the queue and would wake us at once: look again when others have given descriptors back.
        decided({}, {}, std::string("callers wait, and this process cannot take them: ") + std::strerror(errno));
        return child_reactor::get()->after(pause_without_descriptors, [self = shared_from_this()] { self->listen(); });
      } else if (errno == EAGAIN)
        break;
    }
    listen();
  }

  void admit(unique_fd peer, const tcp::endpoint& at) {
    int on = 1;
    ::setsockopt(peer.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!identity_)
      return decided(std::move(peer), at, {});
    auto source = source_of(at.address());
    if (!make_room(source))
      return decided({}, at, crowded);
    ++held_[source];
    auto s = strangers_.insert(strangers_.end(), {source});
    s->tunnel = tls_tunnel::start(identity_, std::move(peer), tls_tunnel::side::server, proof_limit,
                                  [self = shared_from_this(), s, at](unique_fd plain, const std::string& why) {
                                    self->forget(s);
                                    self->decided(std::move(plain), at, why);
                                  });
  }

  /// Returns false if everyone here has a better claim than one more from there.
  bool make_room(const asio::ip::address& from) {
    auto it = held_.find(from);
    auto mine = it == held_.end() ? 0 : it->second;
    bool own = mine >= room_ / 2;
    if (!own && strangers_.size() < room_)
      return true;
    auto most = std::max_element(held_.begin(), held_.end(), [](auto& a, auto& b) { return a.second < b.second; });
    bool unfair = !own && most->second > mine + 1;
    std::vector<tls_tunnel*> candidates;
    auto now = clock::now();
    for (auto& s : strangers_)
      if (unfair ? s.from == most->first : !s.under_grace(now) && (!own || s.from == from))
        candidates.push_back(s.tunnel.get());
    if (!candidates.empty())
      candidates[random_() % candidates.size()]->close(crowded);
    return !candidates.empty();
  }

  void forget(std::list<stranger>::iterator s) {
    if (--held_[s->from] == 0)
      held_.erase(s->from);
    strangers_.erase(s);
  }

  void decided(unique_fd plain, const tcp::endpoint& peer, const std::string& refusal) {
    std::ostringstream name;
    if (peer.port() != 0)
      name << peer;
    if (tell_)
      tell_(name.str(), refusal);
    if (plain && take_)
      take_(std::move(plain));
  }

  tcp::acceptor acceptor_;
  tls_identity identity_;
  std::size_t room_;
  std::list<stranger> strangers_;
  std::map<asio::ip::address, std::size_t> held_; ///< strangers by where they come from
  std::minstd_rand random_{std::random_device{}()};
  arrival take_;
  report tell_;
};

std::unique_ptr<node_listener> node_listener::open(const std::string& host, std::uint16_t port, tls_identity identity, arrival take,
                                                   std::string& error, report tell) {
  auto* reactor = child_reactor::get();
  error_code failed = asio::error::no_memory;
  if (reactor != nullptr) {
    auto g = std::make_shared<gate>(std::move(identity), std::move(take), std::move(tell));
    for (auto& found : tcp::resolver{reactor->io()}.resolve(host, std::to_string(port), tcp::resolver::passive, failed))
      if (auto bound = g->open(found, failed); !failed) {
        reactor->post([g] { g->listen(); });
        return std::unique_ptr<node_listener>{new node_listener{std::move(g), bound}};
      }
  }
  error = "cannot listen on " + host + ":" + std::to_string(port) + ": " + (reactor ? failed.message() : "no thread for it");
  return nullptr;
}

node_listener::~node_listener() {
  auto* reactor = child_reactor::running();
  if (reactor == nullptr) // a fork of the host
    return;
  std::promise<void> closed;
  reactor->post([&] {
    gate_->close();
    closed.set_value();
  });
  closed.get_future().wait();
}

} // namespace conclave
