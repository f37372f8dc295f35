// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/node_listener.hpp"

#include "transports/node_admission.hpp"

#include <boost/asio/ip/network_v6.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <netinet/tcp.h>
#include <random>
#include <sstream>
#include <sys/socket.h>
#include <unistd.h>

namespace conclave {

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr auto proof_limit = std::chrono::seconds(5);
constexpr std::size_t max_strangers = 512;
constexpr const char* crowded = "too many others wait";
constexpr auto pause_without_descriptors = std::chrono::milliseconds(500);

/// Where a peer comes from: an IPv4 address, or the network of an IPv6 one (its owner has all of it).
std::string source_of(const asio::ip::address& a) {
  auto v6 = a.is_v4() ? asio::ip::make_address_v6(asio::ip::v4_mapped, a.to_v4()) : a.to_v6();
  return asio::ip::make_network_v6(v6, v6.is_v4_mapped() ? 128 : 64).network().to_string();
}

} // namespace

/// Lives on the reactor.
class node_listener::gate : public std::enable_shared_from_this<gate> {
public:
  gate(tls_identity me, arrival take, report tell)
      : acceptor_(child_reactor::get()->io()), identity_(std::move(me)), take_(std::move(take)), tell_(std::move(tell)) {}

  /// Returns the port, or throws why it cannot listen there; then it may be tried again with another address.
  std::uint16_t open(const tcp::endpoint& at) {
    acceptor_ = tcp::acceptor{acceptor_.get_executor()};
    unique_fd fd{checked(::socket(at.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))};
    fd.give_to(acceptor_, at.protocol());
    acceptor_.set_option(tcp::acceptor::reuse_address{true});
    acceptor_.bind(at);
    acceptor_.listen();
    return acceptor_.local_endpoint().port();
  }

  void listen() {
    acceptor_.async_wait(tcp::acceptor::wait_read, [self = shared_from_this()](const error_code& e) {
      if (!e && self->acceptor_.is_open())
        self->accept();
    });
  }

  void close() {
    error_code ignored;
    acceptor_.close(ignored);
    take_ = nullptr;
    tell_ = nullptr;
    while (!strangers_.empty())
      strangers_.begin()->second->close(crowded);
  }

private:
  // By hand: Asio would make descriptors that other programs of the host inherit. One in a turn of the reactor.
  void accept() {
    tcp::endpoint from;
    auto size = static_cast<socklen_t>(from.capacity());
    unique_fd peer{::accept4(acceptor_.native_handle(), from.data(), &size, SOCK_NONBLOCK | SOCK_CLOEXEC)};
    if (peer)
      admit(std::move(peer), from);
    else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      // The connection stays in the queue and would wake us at once: look again when others have given descriptors back.
      decided({}, {}, std::string("callers wait, and this process cannot take them: ") + std::strerror(errno));
      return child_reactor::get()->after(pause_without_descriptors, [self = shared_from_this()] { self->listen(); });
    }
    listen();
  }

  void admit(unique_fd peer, const tcp::endpoint& at) {
    int on = 1;
    ::setsockopt(peer.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    auto name = (std::ostringstream{} << at).str();
    if (!identity_)
      return decided(std::move(peer), name, {});
    auto now = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch());
    auto [id, evicted] = admission_.admit(source_of(at.address()), now, [this](auto who) { return strangers_.at(who)->spoken(); });
    if (evicted != 0)
      strangers_.at(evicted)->close(crowded);
    if (id == 0)
      return decided({}, name, crowded);
    auto done = [self = shared_from_this(), who = id, name](unique_fd plain, const std::string& why) {
      self->admission_.leave(who);
      self->strangers_.erase(who);
      self->decided(std::move(plain), name, why);
    };
    strangers_[id] = tls_tunnel::start(identity_, std::move(peer), tls_tunnel::side::server, proof_limit, std::move(done));
  }

  void decided(unique_fd plain, const std::string& peer, const std::string& refusal) {
    if (tell_)
      tell_(peer, refusal);
    if (plain && take_)
      take_(std::move(plain));
  }

  tcp::acceptor acceptor_;
  tls_identity identity_;
  node_admission admission_{std::clamp<std::size_t>(::getdtablesize() / 2, 16, max_strangers), std::random_device{}()};
  std::map<node_admission::stranger, std::shared_ptr<tls_tunnel>> strangers_; ///< undecided
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
      try {
        auto bound = g->open(found);
        reactor->post([g] { g->listen(); });
        return std::unique_ptr<node_listener>{new node_listener{std::move(g), bound}};
      } catch (const boost::system::system_error& e) {
        failed = e.code();
      }
  }
  error = "cannot listen on " + host + ":" + std::to_string(port) + ": " + (reactor ? failed.message() : "no thread for it");
  return nullptr;
}

node_listener::~node_listener() {
  if (auto* reactor = child_reactor::get()) // null in a fork of the host
    asio::post(reactor->io(), asio::use_future([this] { gate_->close(); })).wait();
}

} // namespace conclave
