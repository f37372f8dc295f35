// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/tls_tunnel.hpp"

#include "transports/pki.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cerrno>
#include <cstring>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace conclave {

namespace {

constexpr std::size_t buffer_size = std::size_t{16} * 1024; // one TLS record
constexpr int rounds_per_turn = 16;                         // then the other descriptors of the reactor have their turn
constexpr auto stall_limit = std::chrono::seconds(10);

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
  SSL_CTX_set_mode(ctx.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  return ctx;
}

void tls_tunnel::free_ssl::operator()(ssl_st* s) const {
  SSL_free(s);
}

tls_tunnel::~tls_tunnel() = default;

std::shared_ptr<tls_tunnel> tls_tunnel::start(const tls_identity& identity, unique_fd net, side s, std::chrono::milliseconds limit,
                                              ready done) {
  std::shared_ptr<tls_tunnel> t{new tls_tunnel};
  t->done_ = std::move(done);
  t->side_ = s;
  t->net_ = std::move(net);
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
    t->close(std::string("no socket pair: ") + std::strerror(errno));
    return t;
  }
  t->plain_.reset(pair[0]);
  t->other_.reset(pair[1]);
  ERR_clear_error();
  t->ssl_.reset(SSL_new(identity.get()));
  if (!t->ssl_ || SSL_set_fd(t->ssl_.get(), t->net_.get()) != 1) {
    t->close("TLS does not start: " + last_tls_error());
    return t;
  }
  s == side::client ? SSL_set_connect_state(t->ssl_.get()) : SSL_set_accept_state(t->ssl_.get());
  child_reactor::get()->after(limit, [weak = std::weak_ptr(t)] {
    if (auto self = weak.lock(); self && !self->decided())
      self->close("it takes connections but does not answer: it is stopped, hangs, or is no conclave node");
  });
  t->step();
  return t;
}

void tls_tunnel::close(const std::string& reason) {
  if (std::exchange(closed_, true))
    return;
  auto self = shared_from_this(); // the watches may hold the last references
  for (auto* w : {&net_watch_, &plain_watch_})
    child_reactor::get()->unwatch(std::exchange(w->id, 0));
  ssl_.reset();
  net_.reset();
  plain_.reset();
  other_.reset();
  if (auto done = std::exchange(done_, nullptr))
    done({}, reason);
}

void tls_tunnel::decide() {
  if (auto done = std::exchange(done_, nullptr))
    done(std::move(other_), {});
}

std::string tls_tunnel::explain(int code) const {
  auto saved = errno;
  auto error = ERR_peek_last_error();
  auto reason = ERR_GET_REASON(error);
  if (auto verdict = SSL_get_verify_result(ssl_.get()); verdict != X509_V_OK)
    return peer_certificate_fault(verdict);
  if (code == SSL_ERROR_SSL && reason >= SSL_AD_REASON_OFFSET)
    return own_certificate_refused(last_tls_error());
  if (code == SSL_ERROR_SSL && speaks_no_tls(reason))
    return "it does not speak TLS 1.3: it is no conclave node, or one without TLS";
  if (code == SSL_ERROR_SSL && reason != SSL_R_UNEXPECTED_EOF_WHILE_READING)
    return "TLS failed: " + last_tls_error();
  if (code == SSL_ERROR_SYSCALL && saved != 0)
    return std::string("the connection broke: ") + std::strerror(saved);
  return "it closed the connection";
}

void tls_tunnel::step() {
  if (!closed_ && (shaken_ || shake_hands()))
    transfer();
}

/// Returns true once the peer has proven who it is.
bool tls_tunnel::shake_hands() {
  ERR_clear_error(); // SSL_get_error(3): the queue is per thread, and other connections use it too
  errno = 0;
  auto rc = SSL_do_handshake(ssl_.get());
  if (rc == 1) {
    shaken_ = true;
    in_.bytes.resize(buffer_size);
    out_.bytes.resize(buffer_size);
    if (side_ == side::server)
      decide();
    return true;
  }
  auto code = SSL_get_error(ssl_.get(), rc);
  if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE)
    wait_for(net_watch_, net_.get(), code == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLOUT);
  else
    close(explain(code));
  return false;
}

void tls_tunnel::transfer() {
  for (int round = 0; round < rounds_per_turn; ++round) {
    auto moved = read_net();
    moved |= write_plain();
    moved |= read_plain();
    moved |= write_net();
    if (net_over_ && in_.empty())
      return close(why_over_);
    if (plain_over_ && out_.empty()) {
      ERR_clear_error();
      SSL_shutdown(ssl_.get()); // tells the peer that this end is meant; its answer is not waited for
      return close("the local end was closed");
    }
    if (!moved)
      return arm();
  }
  // Bytes that OpenSSL holds already are invisible to epoll, so the rest must not wait for an event.
  if (!std::exchange(posted_, true))
    child_reactor::get()->post([self = shared_from_this()] {
      self->posted_ = false;
      self->step();
    });
}

bool tls_tunnel::read_net() {
  if (net_over_ || !in_.empty())
    return false;
  ERR_clear_error();
  errno = 0;
  auto n = SSL_read(ssl_.get(), in_.bytes.data(), static_cast<int>(in_.bytes.size()));
  read_wants_write_ = false;
  if (n > 0) {
    in_.begin = 0;
    in_.end = static_cast<std::size_t>(n);
    return true;
  }
  auto code = SSL_get_error(ssl_.get(), n);
  if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE) {
    read_wants_write_ = code == SSL_ERROR_WANT_WRITE;
    return false;
  }
  net_over_ = true;
  why_over_ = explain(code);
  return true;
}

bool tls_tunnel::write_net() {
  if (out_.empty())
    return false;
  ERR_clear_error();
  auto n = SSL_write(ssl_.get(), out_.bytes.data() + out_.begin, static_cast<int>(out_.end - out_.begin));
  write_wants_read_ = false;
  if (n > 0) {
    out_.begin += static_cast<std::size_t>(n);
    sent_ += static_cast<std::uint64_t>(n);
    return true;
  }
  auto code = SSL_get_error(ssl_.get(), n);
  if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE) {
    write_wants_read_ = code == SSL_ERROR_WANT_READ;
    return false;
  }
  // Nobody reads any more. What has come in still goes to the local end.
  out_.begin = out_.end;
  plain_over_ = net_over_ = true;
  why_over_ = "the connection broke";
  return true;
}

bool tls_tunnel::read_plain() {
  if (plain_over_ || !out_.empty())
    return false;
  auto n = ::recv(plain_.get(), out_.bytes.data(), out_.bytes.size(), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return false;
  out_.begin = 0;
  out_.end = n > 0 ? static_cast<std::size_t>(n) : 0;
  plain_over_ = n <= 0;
  return true;
}

bool tls_tunnel::write_plain() {
  if (in_.empty())
    return false;
  auto n = ::send(plain_.get(), in_.bytes.data() + in_.begin, in_.end - in_.begin, MSG_NOSIGNAL);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return false;
  in_.begin = n < 0 ? in_.end : in_.begin + static_cast<std::size_t>(n);
  plain_over_ |= n < 0;
  decide(); // a client's first byte is on its way
  return true;
}

void tls_tunnel::arm() {
  std::uint32_t net = 0, plain = 0;
  if (!net_over_ && in_.empty())
    net |= read_wants_write_ ? EPOLLOUT : EPOLLIN;
  if (!out_.empty())
    net |= write_wants_read_ ? EPOLLIN : EPOLLOUT;
  if (!plain_over_ && out_.empty())
    plain |= EPOLLIN;
  if (!in_.empty())
    plain |= EPOLLOUT;
  wait_for(net_watch_, net_.get(), net);
  wait_for(plain_watch_, plain_.get(), plain);
  if (!closed_ && !out_.empty())
    watch_for_stall();
}

/// Nothing to wait for = no watch: epoll reports a hang-up even to those who ask for nothing, for ever.
void tls_tunnel::wait_for(watched& w, int fd, std::uint32_t events) {
  auto* reactor = child_reactor::get();
  if (closed_ || (w.id != 0 && w.events == events))
    return;
  if (events == 0) {
    reactor->unwatch(std::exchange(w.id, 0));
  } else if (w.id != 0) {
    reactor->change(w.id, events);
  } else {
    w.id = reactor->watch(fd, events, [self = shared_from_this()](std::uint32_t) { self->step(); });
    if (w.id == 0)
      return close("the connection cannot be watched: too many descriptors");
  }
  w.events = events;
}

/// A peer that takes no more bytes is given up, so that the end of a program does not leave a tunnel behind.
void tls_tunnel::watch_for_stall() {
  if (std::exchange(stall_watched_, true))
    return;
  child_reactor::get()->after(stall_limit, [weak = weak_from_this(), before = sent_] {
    auto self = weak.lock();
    if (!self || self->closed_)
      return;
    self->stall_watched_ = false;
    if (self->out_.empty())
      return;
    if (self->sent_ == before)
      self->close("it takes no more bytes");
    else
      self->watch_for_stall();
  });
}

} // namespace conclave
