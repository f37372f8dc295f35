// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#include "protocols/text.hpp"
#include "protocols/wire/error_kind.hpp"
#include "transports/http_client_transfer.hpp"

#include <algorithm>
#include <string_view>
#include <system_error>

// How a transfer ended, in our codes and in words a person can act on.

namespace conclave::http_detail {

namespace {

/// libcurl 7.88 reports broken framing with the codes of a broken connection and of exhausted memory; retrying helps neither.
const char* framing_fault(CURLcode code, const transfer& t) {
  if (code == CURLE_RECV_ERROR && std::string_view{t.error_text.data()}.ends_with("in chunked-encoding"))
    return "the reply's chunked encoding is broken";
  if (code == CURLE_OUT_OF_MEMORY && t.sent && !t.head_seen)
    return "a header line of the reply is too long";
  return nullptr;
}

bool holds(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::ranges::any_of(words, [&](auto w) { return text.find(w) != std::string_view::npos; });
}

/// Whether another try meets the same fault of certificates, versions or addresses. What else ends a handshake (a reset, an
/// unexpected end) may pass.
bool is_lasting_tls_fault(CURLcode code, const transfer& t) {
  switch (code) {
  case CURLE_PEER_FAILED_VERIFICATION:
  case CURLE_SSL_CACERT_BADFILE:
  case CURLE_SSL_CERTPROBLEM:
  case CURLE_SSL_CIPHER:
  case CURLE_SSL_CRL_BADFILE:
  case CURLE_SSL_ISSUER_ERROR:
  case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
  case CURLE_SSL_INVALIDCERTSTATUS:
  case CURLE_SSL_CLIENTCERT:
    return true;
  case CURLE_SSL_CONNECT_ERROR:
    return holds(t.error_text.data(),
                 {"wrong version number", "packet length too long", "record layer", "http request", "unsupported protocol",
                  "protocol version", "no protocols available", "handshake failure", "no shared cipher", "unknown ca",
                  "certificate", "unrecognized name", "key too small", "md too weak", "legacy", "no alpn protocol"});
  default:
    return false;
  }
}

std::string tls_text(const transfer& t) {
  auto text = "TLS: " + std::string{t.error_text.data()};
  if (holds(text, {"wrong version number", "packet length too long", "record layer", "http request"}))
    text += "; the port does not speak TLS: write `http://` in `base_url` if that is meant";
  else if (holds(text, {"certificate", "unknown ca"}))
    text += "; the server's certificate does not fit this address or no known authority vouches for it";
  return text;
}

/// "HOST:PORT" of the proxy as libcurl connected to it.
std::string proxy_of(const transfer& t) {
  char* address = nullptr;
  long port = 0;
  curl_easy_getinfo(t.easy.get(), CURLINFO_PRIMARY_IP, &address);
  curl_easy_getinfo(t.easy.get(), CURLINFO_PRIMARY_PORT, &port);
  if (address == nullptr || *address == '\0')
    return "the proxy";
  std::string host = address;
  return "the proxy " + (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + std::to_string(port);
}

/// The status with which a proxy refused to open a tunnel, 0 if it did not.
long refused_tunnel(CURLcode code, const transfer& t) {
  long status = 0;
  curl_easy_getinfo(t.easy.get(), CURLINFO_HTTP_CONNECTCODE, &status);
  return code != CURLE_OK && !t.sent && status >= 300 ? status : 0;
}

std::string tunnel_text(long status, const transfer& t) {
  auto text = proxy_of(t) + " refused the tunnel (CONNECT): " + std::to_string(status);
  if (status == 407)
    text += "; it wants a user name and a password: write them into the proxy's URL";
  else if (status < 500)
    text += "; it does not let this host through: ask who runs it, or name the host in `no_proxy`";
  return text;
}

/// "Failed to connect to HOST port N ...": names the host where it is a proxy and not the one in the URL.
std::string unreachable_proxy(const transfer& t) {
  constexpr std::string_view start = "Failed to connect to ";
  std::string_view text = t.error_text.data();
  if (!text.starts_with(start))
    return {};
  text.remove_prefix(start.size());
  auto host = text.substr(0, text.find(' '));
  // `shown` is "METHOD scheme://host[:port]/path" with the host in lower case.
  auto asked = t.shown.substr(std::min(t.shown.find("://"), t.shown.size()));
  return host.empty() || asked.find(lower(std::string{host})) != std::string::npos ? std::string{}
                                                                                   : " (proxy " + std::string{host} + ")";
}

/// Whether the first reply of a new connection was no HTTP, as a port of TLS answers: every other try would bring the same. On a
/// connection that was used before it may be the rest of an older reply.
bool speaks_no_http(const transfer& t) {
  long connects = 0;
  curl_easy_getinfo(t.easy.get(), CURLINFO_NUM_CONNECTS, &connects);
  return t.sent && connects > 0;
}

ec code_of(CURLcode code, const transfer& t) {
  if (framing_fault(code, t) != nullptr)
    return ec::bad_reply;
  if (auto status = refused_tunnel(code, t); status > 0)
    return status < 500 && status != 408 && status != 429 ? ec::bad_config : ec::unavailable;
  if (is_lasting_tls_fault(code, t))
    return ec::bad_config;
  switch (code) {
  case CURLE_OK:
    return ec::none;
  case CURLE_OPERATION_TIMEDOUT:
    return ec::timeout;
  case CURLE_URL_MALFORMAT:
    return ec::bad_request;
  case CURLE_UNSUPPORTED_PROTOCOL: // once connected: HTTP/0.9, which is what a TLS alert looks like
    return speaks_no_http(t) ? ec::bad_config : t.sent ? ec::bad_reply : ec::bad_request;
  case CURLE_WRITE_ERROR:
  case CURLE_BAD_CONTENT_ENCODING:
  case CURLE_WEIRD_SERVER_REPLY:
    return ec::bad_reply;
  default:
    return t.delivered ? ec::stream_broken : ec::unavailable;
  }
}

std::string text_of(CURLcode code, const transfer& t) {
  if (auto* fault = framing_fault(code, t))
    return fault;
  if (auto status = refused_tunnel(code, t); status > 0)
    return tunnel_text(status, t);
  switch (code) {
  case CURLE_OPERATION_TIMEDOUT: { // the only deadline left to libcurl
    auto text = "no connection within the connect timeout of " + std::to_string(t.request.connect_timeout_ms) + " ms";
    return holds(t.error_text.data(), {"SSL"}) ? text + " (reached, but no TLS: does the port speak TLS?)" : text;
  }
  case CURLE_COULDNT_CONNECT: {
    long number = 0;
    curl_easy_getinfo(t.easy.get(), CURLINFO_OS_ERRNO, &number);
    return (number == 0 ? "could not connect" : lower(std::generic_category().message(static_cast<int>(number))))
           + unreachable_proxy(t);
  }
  case CURLE_COULDNT_RESOLVE_PROXY:
    return "could not resolve the proxy's host name";
  case CURLE_COULDNT_RESOLVE_HOST:
    return "could not resolve the host name";
  case CURLE_UNSUPPORTED_PROTOCOL:
    return t.sent ? "the reply is no HTTP; write `https://` if the port speaks TLS" : lower(curl_easy_strerror(code));
  case CURLE_GOT_NOTHING:
    return "connection closed before a reply";
  case CURLE_PARTIAL_FILE:
    return "connection closed in mid-reply";
  case CURLE_PEER_FAILED_VERIFICATION: // OpenSSL's reason names no secret and is what the user has to mend
  case CURLE_SSL_CONNECT_ERROR:
  case CURLE_SSL_CACERT_BADFILE:
    if (t.error_text[0] != '\0')
      return tls_text(t);
    [[fallthrough]];
  default:
    return lower(curl_easy_strerror(code));
  }
}

} // namespace

http_end verdict(CURLcode code, transfer& t) {
  if (!t.refusal.empty())
    return ended(t.refusal_code, t.refusal, t);
  if (code == CURLE_OK)
    return {ec::none, {}, t.status, t.sent, t.redirects};
  return ended(code_of(code, t), text_of(code, t), t);
}

} // namespace conclave::http_detail
