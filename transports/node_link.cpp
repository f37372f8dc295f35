// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/node_link.hpp"

#include "protocols/caf_error.hpp"
#include "protocols/config_url.hpp"
#include "protocols/type_ids.hpp"
#include "transports/node_link_stream.hpp"
#include "transports/node_listener.hpp"
#include "transports/pki.hpp"
#include "transports/tls_tunnel.hpp"

#include <caf/all.hpp>
#include <caf/io/all.hpp>
#include <caf/io/basp_broker.hpp>

#include <arpa/inet.h>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <future>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <random>
#include <set>
#include <sys/socket.h>
#include <thread>

namespace conclave {

namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr auto reach_limit = milliseconds(3'000);
constexpr auto answer_limit = milliseconds(3'000);
constexpr auto handshake_limit = std::chrono::seconds(5);
constexpr auto hello_limit = std::chrono::seconds(5);
constexpr int max_lookups = 16; ///< names of one process that are being looked up

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

bool is_loopback(const sockaddr& a) {
  char text[INET6_ADDRSTRLEN] = "";
  if (a.sa_family == AF_INET)
    ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(a).sin_addr, text, sizeof text);
  else if (a.sa_family == AF_INET6)
    ::inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(a).sin6_addr, text, sizeof text);
  return is_loopback_host(text);
}

std::string not_allowed(const link_identity& me, const std::string& host) {
  if (!me.tls && !me.insecure_loopback)
    return "no certificate to show";
  if (!me.tls && !is_loopback_host(host))
    return "without TLS only loopback addresses may be used, not " + host;
  return {};
}

/// Waits until `fd` is ready for `events`. Returns false at the deadline.
bool wait_until(int fd, short events, clock::time_point deadline) {
  for (;;) {
    auto left = std::chrono::ceil<milliseconds>(deadline - clock::now()).count();
    pollfd p{fd, events, 0};
    auto n = ::poll(&p, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));
    if (n > 0)
      return true;
    if (n == 0 || errno != EINTR)
      return false;
  }
}

using addresses = std::unique_ptr<addrinfo, free_addresses>;

/// getaddrinfo knows no deadline, so a name is looked up on a thread of its own, which a dead resolver may keep for longer than us.
addresses look_up(const std::string& host, std::uint16_t port, clock::time_point deadline, std::string& error) {
  using answer = std::pair<int, addresses>;
  auto ask = [host, service = std::to_string(port)](int flags) {
    addrinfo hints{}, *raw = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags;
    auto code = ::getaddrinfo(host.c_str(), service.c_str(), &hints, &raw);
    return answer{code, raw};
  };
  if (auto numeric = ask(AI_NUMERICHOST); numeric.first == 0)
    return std::move(numeric.second);
  static std::atomic<int> under_way{0};
  auto done = std::make_shared<std::promise<answer>>();
  auto future = done->get_future();
  auto others = under_way++;
  try {
    if (others < max_lookups)
      std::thread([done, ask] {
        done->set_value(ask(0));
        --under_way;
      }).detach();
  } catch (const std::system_error&) {
    others = max_lookups;
  }
  if (others >= max_lookups) {
    --under_way;
    error = "there is no thread to look its name up with";
    return nullptr;
  }
  if (future.wait_until(deadline) != std::future_status::ready) {
    error = "its name cannot be resolved: the name server does not answer";
    return nullptr;
  }
  auto [code, list] = future.get();
  if (code != 0)
    error = std::string("its name cannot be resolved: ") + ::gai_strerror(code);
  return std::move(list);
}

/// Connects to the first address of the host that takes us. `loopback`: to no other, whatever the name resolves to.
unique_fd dial(const std::string& host, std::uint16_t port, bool loopback, clock::time_point deadline, std::string& error) {
  error.clear();
  auto list = look_up(host, port, deadline, error);
  if (!error.empty())
    return {};
  error = "no address";
  for (auto* a = list.get(); a != nullptr; a = a->ai_next) {
    if (loopback && !is_loopback(*a->ai_addr)) {
      error = "without TLS only loopback addresses may be used, and " + host + " has another";
      continue;
    }
    unique_fd fd{::socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol)};
    if (!fd) {
      error = std::strerror(errno);
      continue;
    }
    int failed = ::connect(fd.get(), a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    if (failed == EINPROGRESS) {
      socklen_t size = sizeof failed;
      if (!wait_until(fd.get(), POLLOUT, deadline))
        failed = ETIMEDOUT;
      else
        ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &failed, &size);
    }
    if (failed == 0) {
      int on = 1;
      ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      error.clear();
      return fd;
    }
    error = std::strerror(failed);
  }
  return {};
}

/// What went wrong with a certificate, and which of ours were used.
std::string with_files(std::string error, const link_identity& me) {
  if (error.find("certificate") != std::string::npos)
    error += "; " + me.files;
  return error;
}

/// Returns a plain stream on which the node has already begun to speak: CAF must not meet a silent one (docs/decisions/0003).
unique_fd plain_stream(unique_fd net, const link_identity& me, std::string& error) {
  if (!me.tls) {
    if (!wait_until(net.get(), POLLIN, clock::now() + answer_limit)) {
      error = "it takes connections but does not answer: it is stopped, hangs, speaks TLS, or is no conclave node";
      return {};
    }
    return net;
  }
  auto* reactor = child_reactor::get();
  if (!reactor) {
    error = "no thread for the connection";
    return {};
  }
  auto done = std::make_shared<std::promise<std::pair<unique_fd, std::string>>>();
  auto shared_net = std::make_shared<unique_fd>(std::move(net)); // tasks of the reactor are copyable
  reactor->post([done, shared_net, tls = me.tls] {
    tls_tunnel::start(tls, std::move(*shared_net), tls_tunnel::side::client, answer_limit, [done](unique_fd fd, std::string why) {
      done->set_value({std::move(fd), std::move(why)});
    });
  });
  auto [stream, why] = done->get_future().get(); // the tunnel decides within its limit
  error = with_files(std::move(why), me);
  return std::move(stream);
}

/// Connects, and tries again within the limit if the node hangs up: it may have too many strangers at its door.
unique_fd connect(const std::string& host, std::uint16_t port, const link_identity& me, std::string& error) {
  std::minstd_rand random{std::random_device{}()};
  for (auto deadline = clock::now() + reach_limit;;) {
    auto net = dial(host, port, me.tls == nullptr, deadline, error);
    if (!net) {
      error = "cannot be reached: " + error;
      return {};
    }
    auto stream = plain_stream(std::move(net), me, error);
    if (stream)
      return stream;
    auto pause = milliseconds(20 + random() % 80); // not in step with the others it turned away
    if (!hung_up(error) || clock::now() + pause > deadline) {
      error = "cannot be joined: " + error;
      return {};
    }
    std::this_thread::sleep_for(pause);
  }
}

caf::actor basp(caf::actor_system& sys) {
  return sys.middleman().named_broker<caf::io::basp_broker>(caf::atom("BASP"));
}

} // namespace

void configure_link(caf::actor_system_config& config) {
  config.load<caf::io::middleman>();
  config.set("middleman.heartbeat-interval", caf::timespan(std::chrono::seconds(1)));
  config.set("middleman.connection-timeout", caf::timespan(std::chrono::seconds(6)));
  config.set("middleman.app-identifiers", std::vector<std::string>{"conclave"});
}

link_identity load_link_identity(const tls_config& tls, std::string& error) {
  if (tls.insecure_loopback)
    return {nullptr, true};
  link_identity me;
  auto files = tls_files(tls, error);
  if (error.empty())
    me.tls = load_tls_identity(files, error);
  me.authority = certificate_fingerprint(files.ca);
  me.files = "this side shows " + files.cert + " and trusts " + files.ca;
  return me;
}

open_door::open_door() = default;
open_door::open_door(std::unique_ptr<node_listener> listener, std::shared_ptr<std::atomic<bool>> ending)
    : listener_(std::move(listener)), ending_(std::move(ending)) {}
open_door::open_door(open_door&&) noexcept = default;
open_door& open_door::operator=(open_door&& other) noexcept {
  if (ending_ && ending_ != other.ending_)
    *ending_ = true;
  listener_ = std::move(other.listener_);
  ending_ = std::move(other.ending_);
  return *this;
}
open_door::~open_door() {
  if (ending_)
    *ending_ = true;
}

std::uint16_t open_door::port() const {
  return listener_ ? listener_->port() : std::uint16_t{0};
}

open_door publish_door(caf::actor_system& sys, const door_actor& door, const std::string& host, std::uint16_t port,
                       const link_identity& me, std::string& error, note_taker keep) {
  if (error = not_allowed(me, host); !error.empty())
    return {};
  auto ending = std::make_shared<std::atomic<bool>>(false);
  caller_stream::over left;
  if (keep)
    left = [keep, ending](const std::string& peer, milliseconds after, bool by_us) {
      auto why = !by_us    ? "the caller closed it, or the line broke"
                 : *ending ? "this node ends"
                           : "this node closed it: silent for too long, or no sense in what it sent";
      keep({note_weight::info, "disconnected", {{"peer", peer}, {"why", why}, {"seconds", note_value::seconds(after.count())}}});
    };
  auto who = std::make_shared<std::string>(); // the listener names a peer right before it hands the stream over
  // One door per system, so one key for all its connections.
  auto& mx = static_cast<caf::io::network::default_multiplexer&>(sys.middleman().backend());
  auto take = [&mx, broker = basp(sys), door, who, left](unique_fd fd) {
    caf::io::scribe_ptr stream = caf::make_counted<caller_stream>(mx, fd.release(), *who, left);
    caf::anon_send(broker, caf::publish_atom::value, std::move(stream), std::uint16_t{1},
                   caf::actor_cast<caf::strong_actor_ptr>(door), std::set<std::string>{});
  };
  auto named = is_loopback_host(host) && host.find_first_not_of("0123456789abcdefABCDEF.:[]") != std::string::npos;
  auto numeric = named ? std::string("127.0.0.1") : host;
  auto tell = [keep, me, who](const std::string& peer, const std::string& refusal) {
    if (refusal.empty())
      *who = peer;
    if (!keep)
      return;
    if (refusal.empty())
      keep({note_weight::info, "connected", {{"peer", peer}}});
    else
      keep({note_weight::trouble, "refused", {{"peer", peer}, {"why", with_files(refusal, me)}}});
  };
  return open_door{node_listener::open(numeric, port, me.tls, std::move(take), error, std::move(tell)), ending};
}

peer_book_actor peer_book(caf::actor_system& sys) {
  return caf::actor_cast<peer_book_actor>(basp(sys));
}

node_actor join_node(caf::actor_system& sys, const std::string& address, const link_identity& me, std::string& error,
                     welcome* said) {
  std::string host;
  std::uint16_t port = 0;
  if (!split(address, host, port)) {
    error = "'" + address + "' is not HOST:PORT";
    return {};
  }
  auto failed = [&](const std::string& what) {
    error = "node " + address + " " + what;
    return node_actor{};
  };
  if (auto why = not_allowed(me, host); !why.empty())
    return failed("cannot be joined: " + why);
  caf::scoped_actor self{sys};
  caf::strong_actor_ptr found;
  std::string why;
  // Twice, because CAF may cut a connection that is not yet a millisecond old (docs/decisions/0003).
  for (int attempt = 0; attempt < 2 && !found; ++attempt) {
    auto stream = connect(host, port, me, why);
    if (!stream)
      return failed(why);
    auto again = false;
    self->request(basp(sys), handshake_limit, caf::connect_atom::value, sys.middleman().backend().new_scribe(stream.release()),
                  port)
        .receive([&](const caf::node_id&, caf::strong_actor_ptr& ptr, const std::set<std::string>&) { found = std::move(ptr); },
                 [&](const caf::error& e) {
                   why = sys.render(e);
                   again = e == caf::sec::connection_timeout;
                 });
    if (!again)
      break;
  }
  if (!found)
    return failed(why.empty() ? "offers nothing: it is no conclave node" : "refused the connection: " + why);
  node_actor node;
  self->request(caf::actor_cast<door_actor>(found), hello_limit, hello{protocol_min, protocol_max, me.build})
      .receive(
          [&](const welcome& w) {
            if (said != nullptr)
              *said = w;
            if (w.version == 0 || !w.node)
              error = "node " + address + ": " + (w.reason.empty() ? "refused" : w.reason);
            else
              node = caf::actor_cast<node_actor>(w.node);
          },
          [&](const caf::error& e) { error = "node " + address + " did not say hello: " + text_of(e); });
  return node;
}

} // namespace conclave
