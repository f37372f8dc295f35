// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/tls_tunnel.hpp"

#include "transports/pki.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace conclave {

namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::size_t buffer_size = std::size_t{16} * 1024; // one TLS record
constexpr auto stall_limit = std::chrono::seconds(10);
constexpr const char* closed_by_peer = "it closed the connection";
constexpr const char* broken = "the connection broke: ";

std::string last_tls_error() {
  auto code = ERR_peek_last_error();
  char text[256] = "";
  if (code != 0)
    ERR_error_string_n(code, text, sizeof text);
  return text;
}

bool speaks_no_tls(int reason) {
  return reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_UNSUPPORTED_PROTOCOL || reason == SSL_R_HTTP_REQUEST
         || reason == SSL_R_HTTPS_PROXY_REQUEST || reason == SSL_R_PACKET_LENGTH_TOO_LONG
         || reason == SSL_R_BAD_PROTOCOL_VERSION_NUMBER || reason == SSL_R_RECORD_LENGTH_MISMATCH
         || reason == SSL_R_VERSION_TOO_LOW;
}

class tunnel final : public tls_tunnel, public std::enable_shared_from_this<tunnel> {
public:
  tunnel(asio::io_context& io, SSL* ssl, side s, ready done)
      : net_(asio::ip::tcp::socket(io), ssl), plain_(io), side_(s), done_(std::move(done)) {}

  void run(unique_fd net, std::chrono::milliseconds limit);
  void close(const std::string& reason) override;
  bool decided() const override { return !done_; }

private:
  void shaken();
  void read_net();
  void read_plain();
  void shut_down();
  void decide();
  std::string explain(const error_code& e);

  /// Calls `next` of this tunnel with what an operation of Asio ends with.
  template <class Next>
  auto then(Next next) {
    return [self = shared_from_this(), next](const error_code& e, std::size_t n = 0) {
      if (!self->closed_)
        next(*self, e, n);
    };
  }
  void close_after(std::chrono::milliseconds limit, const char* reason, bool undecided_only);

  asio::ssl::stream<asio::ip::tcp::socket> net_;
  asio::local::stream_protocol::socket plain_;
  unique_fd other_; ///< the end that is given away
  side side_;
  ready done_;
  bool closed_ = false;
  std::vector<char> in_, out_; ///< net -> plain, plain -> net
};

void tunnel::close_after(std::chrono::milliseconds limit, const char* reason, bool undecided_only) {
  child_reactor::get()->after(limit, [weak = weak_from_this(), reason, undecided_only] {
    if (auto self = weak.lock(); self && !(undecided_only && self->decided()))
      self->close(reason);
  });
}

void tunnel::run(unique_fd net, std::chrono::milliseconds limit) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
    return close(std::string("no socket pair: ") + std::strerror(errno));
  unique_fd ours{pair[0]};
  other_.reset(pair[1]);
  // A peer that takes no more bytes is given up, so that the end of a program does not leave a tunnel behind.
  unsigned stall = std::chrono::milliseconds(stall_limit).count();
  ::setsockopt(net.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, &stall, sizeof stall);
  error_code failed;
  if (net_.next_layer().assign(asio::ip::tcp::v4(), net.get(), failed)) // the family is never asked for again
    return close("the connection cannot be watched: " + failed.message());
  net.release();
  if (plain_.assign({}, ours.get(), failed))
    return close("the connection cannot be watched: " + failed.message());
  ours.release();
  close_after(limit, "it takes connections but does not answer: it is stopped, hangs, or is no conclave node", true);
  net_.async_handshake(side_ == side::client ? asio::ssl::stream_base::client : asio::ssl::stream_base::server,
                       then([](tunnel& t, const error_code& e, std::size_t) { e ? t.close(t.explain(e)) : t.shaken(); }));
}

void tunnel::shaken() {
  in_.resize(buffer_size);
  out_.resize(buffer_size);
  if (side_ == side::server)
    decide();
  read_net();
  read_plain();
}

// A direction whose writing fails just stops: the reading of the other one tells why, once it has brought what is still to come.
void tunnel::read_net() {
  net_.async_read_some(asio::buffer(in_), then([](tunnel& t, const error_code& e, std::size_t n) {
                         if (e)
                           return t.close(t.explain(e));
                         asio::async_write(t.plain_, asio::buffer(t.in_.data(), n),
                                           t.then([](tunnel& u, const error_code& failed, std::size_t) {
                                             u.decide(); // a client's first byte is on its way
                                             if (!failed)
                                               u.read_net();
                                           }));
                       }));
}

void tunnel::read_plain() {
  plain_.async_read_some(asio::buffer(out_), then([](tunnel& t, const error_code& e, std::size_t n) {
                           if (e)
                             return t.shut_down();
                           asio::async_write(t.net_, asio::buffer(t.out_.data(), n),
                                             t.then([](tunnel& u, const error_code& failed, std::size_t) {
                                               if (!failed)
                                                 u.read_plain();
                                             }));
                         }));
}

// Tells the peer that this end is meant.
void tunnel::shut_down() {
  close_after(stall_limit, "the local end was closed", false);
  net_.async_shutdown(then([](tunnel& t, const error_code&, std::size_t) { t.close("the local end was closed"); }));
}

void tunnel::close(const std::string& reason) {
  if (std::exchange(closed_, true))
    return;
  auto self = shared_from_this(); // the operations may hold the last references
  error_code ignored;
  net_.next_layer().close(ignored);
  plain_.close(ignored);
  other_.reset();
  if (auto done = std::exchange(done_, nullptr))
    done({}, reason);
}

void tunnel::decide() {
  if (auto done = std::exchange(done_, nullptr))
    done(std::move(other_), {});
}

std::string tunnel::explain(const error_code& e) {
  if (auto verdict = SSL_get_verify_result(net_.native_handle()); verdict != X509_V_OK)
    return peer_certificate_fault(verdict);
  if (e.category() == asio::error::get_ssl_category()) {
    auto reason = ERR_GET_REASON(static_cast<unsigned long>(e.value()));
    if (reason >= SSL_AD_REASON_OFFSET)
      return own_certificate_refused(e.message());
    if (speaks_no_tls(reason))
      return "it does not speak TLS 1.3: it is no conclave node, or one without TLS";
    return "TLS failed: " + e.message();
  }
  return e.category() == boost::system::system_category() ? broken + e.message() : closed_by_peer;
}

} // namespace

tls_identity load_tls_identity(const tls_config& wanted, std::string& error) {
  auto files = tls_files(wanted, error);
  if (!error.empty())
    return nullptr;
  ERR_clear_error();
  tls_identity ctx{SSL_CTX_new(TLS_method()), SSL_CTX_free};
  // No sessions and no tickets: every connection is proven anew. 1.3 only: both ends are ours.
  auto ok = ctx && SSL_CTX_set_min_proto_version(ctx.get(), TLS1_3_VERSION) == 1 && SSL_CTX_set_num_tickets(ctx.get(), 0) == 1
            && SSL_CTX_use_certificate_chain_file(ctx.get(), files.cert.c_str()) == 1
            && SSL_CTX_use_PrivateKey_file(ctx.get(), files.key.c_str(), SSL_FILETYPE_PEM) == 1
            && SSL_CTX_check_private_key(ctx.get()) == 1
            && SSL_CTX_load_verify_locations(ctx.get(), files.ca.c_str(), nullptr) == 1;
  if (!ok) {
    error = "TLS cannot use " + files.cert + ", " + files.key + " and " + files.ca + ": " + last_tls_error();
    return nullptr;
  }
  SSL_CTX_set_verify(ctx.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_session_cache_mode(ctx.get(), SSL_SESS_CACHE_OFF);
  return ctx;
}

std::shared_ptr<tls_tunnel> tls_tunnel::start(const tls_identity& identity, unique_fd net, side s, std::chrono::milliseconds limit,
                                              ready done) {
  ERR_clear_error();
  auto* ssl = SSL_new(identity.get());
  if (ssl == nullptr) {
    done({}, "TLS does not start: " + last_tls_error());
    return nullptr;
  }
  auto t = std::make_shared<tunnel>(child_reactor::get()->io(), ssl, s, std::move(done)); // it owns the SSL now
  t->run(std::move(net), limit);
  return t;
}

bool hung_up(const std::string& error) {
  return error == closed_by_peer || error.rfind(broken, 0) == 0;
}

} // namespace conclave
