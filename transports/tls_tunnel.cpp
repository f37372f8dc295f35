// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/tls_tunnel.hpp"

#include "transports/pki.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <netinet/tcp.h>
#include <optional>
#include <sys/socket.h>

namespace conclave {

namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using boost::system::system_error;

constexpr std::size_t buffer_size = std::size_t{16} * 1024; // one TLS record
constexpr auto stall_limit = std::chrono::seconds(10);
constexpr const char* closed_by_peer = "it closed the connection";
constexpr const char* broken = "the connection broke: ";

/// What OpenSSL says of a peer that speaks something else.
constexpr int no_tls[] = {SSL_R_WRONG_VERSION_NUMBER,   SSL_R_UNSUPPORTED_PROTOCOL,   SSL_R_HTTP_REQUEST,
                          SSL_R_HTTPS_PROXY_REQUEST,    SSL_R_PACKET_LENGTH_TOO_LONG, SSL_R_BAD_PROTOCOL_VERSION_NUMBER,
                          SSL_R_RECORD_LENGTH_MISMATCH, SSL_R_VERSION_TOO_LOW};

class tunnel final : public tls_tunnel, public std::enable_shared_from_this<tunnel> {
public:
  tunnel(asio::io_context& io, ready done) : net_(io), plain_(io), limit_(io), done_(std::move(done)) {}

  void close(const std::string& reason) override {
    auto self = shared_from_this(); // the operations may hold the last references
    error_code ignored;
    limit_.cancel();
    net_.close(ignored);
    plain_.close(ignored);
    decide({}, reason);
  }

  bool spoken() const override { return tls_.has_value(); }

  void close_after(std::chrono::milliseconds limit) {
    limit_.expires_after(limit);
    limit_.async_wait([self = shared_from_this()](const error_code& e) {
      if (!e)
        self->close(self->late_);
    });
  }

  asio::awaitable<void> run(std::shared_ptr<tunnel>, tls_identity identity, unique_fd net, side me) {
    try {
      net.give_to(net_, asio::ip::tcp::v4()); // the family is never asked for again
      char first = 0;
      if (me == side::server) // not async_wait(), which Asio also wakes with an event of a descriptor that is closed by now
        co_await net_.async_receive(asio::buffer(&first, 1), net_.message_peek, asio::use_awaitable);
      late_ = "it takes connections but does not answer: it is stopped, hangs, or is no conclave node";
      auto* ssl = SSL_new(identity.get());
      if (ssl == nullptr)
        throw system_error{asio::error::no_memory};
      tls_.emplace(net_, ssl); // which owns it now
      co_await tls_->async_handshake(me == side::client ? tls_->client : tls_->server, asio::use_awaitable);
      int pair[2];
      checked(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair));
      other_ = unique_fd{pair[1]};
      unique_fd{pair[0]}.give_to(plain_, asio::local::stream_protocol{});
      if (me == side::server)
        decide(std::move(other_), {});
      asio::co_spawn(net_.get_executor(), carry(plain_, *tls_), [self = shared_from_this()](std::exception_ptr read_all) {
        if (!read_all || !self->net_.is_open())
          return;
        self->close_after(stall_limit);
        self->tls_->async_shutdown([self](const error_code&) { self->close({}); }); // tells the peer that this end is meant
      });
      co_await carry(*tls_, plain_);
    } catch (const system_error& e) {
      late_ = explain(e.code());
      close_after({}); // not at once: start() may not have returned
    }
  }

private:
  /// Throws what ends the reading; ends if the writing fails: the reading of the other direction tells why, once it has brought
  /// what is still to come.
  template <class From, class To>
  asio::awaitable<void> carry(From& from, To& to) {
    std::array<char, buffer_size> bytes;
    for (error_code failed; !failed;) {
      auto n = co_await from.async_read_some(asio::buffer(bytes), asio::use_awaitable);
      co_await asio::async_write(to, asio::buffer(bytes, n), asio::redirect_error(asio::use_awaitable, failed));
      decide(std::move(other_), {}); // a client's first byte is on its way
    }
  }

  void decide(unique_fd plain, const std::string& error) {
    if (auto done = std::exchange(done_, nullptr)) {
      limit_.cancel();
      done(std::move(plain), error);
    }
  }

  std::string explain(const error_code& e) {
    if (auto verdict = tls_ ? SSL_get_verify_result(tls_->native_handle()) : X509_V_OK; verdict != X509_V_OK)
      return peer_certificate_fault(verdict);
    if (e.category() == asio::error::get_ssl_category()) {
      auto reason = ERR_GET_REASON(static_cast<unsigned long>(e.value()));
      if (reason >= SSL_AD_REASON_OFFSET)
        return own_certificate_refused(e.message());
      if (std::find(std::begin(no_tls), std::end(no_tls), reason) != std::end(no_tls))
        return "it does not speak TLS 1.3: it is no conclave node, or one without TLS";
      return "TLS failed: " + e.message();
    }
    if (e.category() == boost::system::system_category())
      return broken + e.message();
    return tls_ ? closed_by_peer : "it connected and hung up without a word";
  }

  asio::ip::tcp::socket net_;
  std::optional<asio::ssl::stream<asio::ip::tcp::socket&>> tls_; ///< once the peer of a server has spoken
  asio::local::stream_protocol::socket plain_;
  unique_fd other_;                                    ///< the end that is given away
  asio::steady_timer limit_;                           ///< until it is decided, and for saying goodbye
  std::string late_ = "it connected and said nothing"; ///< what it means if that is reached
  ready done_;
};

} // namespace

tls_identity load_tls_identity(const tls_config& wanted, std::string& error) {
  auto files = tls_files(wanted, error);
  if (!error.empty())
    return nullptr;
  try {
    auto ctx = std::make_shared<asio::ssl::context>(asio::ssl::context::tlsv13); // 1.3 only: both ends are ours
    ctx->use_certificate_chain_file(files.cert);
    ctx->use_private_key_file(files.key, ctx->pem);
    ctx->load_verify_file(files.ca);
    ctx->set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert);
    // No sessions and no tickets: every connection is proven anew.
    SSL_CTX_set_session_cache_mode(ctx->native_handle(), SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx->native_handle(), 0);
    return {ctx, ctx->native_handle()};
  } catch (const system_error& e) {
    error = "TLS cannot use " + files.cert + ", " + files.key + " and " + files.ca + ": " + e.what();
    return nullptr;
  }
}

std::shared_ptr<tls_tunnel> tls_tunnel::start(const tls_identity& identity, unique_fd net, side s, std::chrono::milliseconds limit,
                                              ready done) {
  // A peer that takes no more bytes is given up, so that the end of a program does not leave a tunnel behind.
  unsigned stall = std::chrono::milliseconds(stall_limit).count();
  ::setsockopt(net.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, &stall, sizeof stall);
  auto& io = child_reactor::get()->io();
  auto t = std::make_shared<tunnel>(io, std::move(done));
  t->close_after(limit);
  asio::co_spawn(io, t->run(t, identity, std::move(net), s), asio::detached); // which runs to its first wait now
  return t;
}

bool hung_up(const std::string& error) {
  return error == closed_by_peer || error.rfind(broken, 0) == 0;
}

} // namespace conclave
