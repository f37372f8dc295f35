// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#include "transports/http_client_transfer.hpp"

#include "protocols/address_kind.hpp"
#include "protocols/config.hpp"
#include "protocols/config_url.hpp"
#include "protocols/text.hpp"

#include <climits>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <netinet/in.h>
#include <string_view>
#include <sys/socket.h>

namespace conclave::http_detail {

namespace {

constexpr std::size_t max_url_bytes = 32 << 10;
constexpr std::size_t max_head_bytes = 256 << 10;   ///< of all heads of one transfer: libcurl 7.88 bounds one line only
constexpr std::size_t max_pending_bytes = 64 << 10; ///< handed on at the latest then, however much one socket event brought
constexpr std::int64_t least_raw_bytes = 1 << 20;   ///< framing of a body however small it must be
constexpr std::int64_t most_per_raw_byte = 100;     ///< compressed event streams reach 40
constexpr std::size_t max_shown_path = 200;
constexpr std::size_t max_turn_bytes = 64 << 10; ///< of one stream's body, then the others are served
constexpr int many_full_turns = 8;               ///< by then it is a flood
constexpr std::int64_t small_body = 256 << 10;   ///< nobody is asked whether it takes long
constexpr int max_redirects = 3;
constexpr long buffer_bytes = 16 << 10; ///< per open stream; the default buffers would quadruple the cost of 1,000 streams

struct url_closer {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using url_ptr = std::unique_ptr<CURLU, url_closer>;

// -- validation --------------------------------------------------------------------------------------------------------------

/// RFC 9110 §5.6.2: methods and header names are tokens.
bool is_token(std::string_view text) {
  constexpr std::string_view punctuation = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || punctuation.find(c) != std::string_view::npos;
  });
}

std::string url_part(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK || text == nullptr)
    return {};
  std::string result = text;
  curl_free(text);
  return result;
}

struct checked_url {
  std::string shown; ///< without query, fragment and userinfo
  bool loopback = false;
  bool plain = false; ///< http
};

/// Returns nothing if `text` is no absolute http or https URL.
std::optional<checked_url> check_url(const std::string& text) {
  auto bad = [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; };
  if (text.empty() || text.size() > max_url_bytes || std::ranges::any_of(text, bad))
    return std::nullopt;
  url_ptr url{curl_url()};
  if (!url || curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK)
    return std::nullopt;
  auto scheme = lower(url_part(url.get(), CURLUPART_SCHEME));
  auto host = lower(url_part(url.get(), CURLUPART_HOST));
  if ((scheme != "http" && scheme != "https") || host.empty())
    return std::nullopt;
  auto port = url_part(url.get(), CURLUPART_PORT);
  auto path = url_part(url.get(), CURLUPART_PATH);
  if (path.size() > max_shown_path)
    path = path.substr(0, max_shown_path) + "...";
  return checked_url{scheme + "://" + host + (port.empty() ? "" : ":" + port) + path, is_loopback_host(host), scheme == "http"};
}

/// Returns where a redirect leads, empty unless that is another place of the same origin: scheme, host and port. The headers hold a
/// key, which must go to no other.
std::string same_origin(const std::string& from, const std::string& location) {
  url_ptr base{curl_url()};
  url_ptr target{curl_url()};
  for (auto* url : {base.get(), target.get()})
    if (url == nullptr || curl_url_set(url, CURLUPART_URL, from.c_str(), 0) != CURLUE_OK)
      return {};
  if (location.empty() || curl_url_set(target.get(), CURLUPART_URL, location.c_str(), 0) != CURLUE_OK)
    return {};
  for (auto part : {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT, CURLUPART_USER, CURLUPART_PASSWORD})
    if (lower(url_part(base.get(), part, CURLU_DEFAULT_PORT)) != lower(url_part(target.get(), part, CURLU_DEFAULT_PORT)))
      return {};
  auto url = url_part(target.get(), CURLUPART_URL);
  return check_url(url) ? url : std::string{};
}

/// Returns why the header may not be sent, empty if it may. Never quotes the value: it may be a key.
std::string header_fault(const std::string& name, const std::string& value) {
  if (!is_token(name))
    return "a header name is not a token";
  auto control = [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; };
  if (std::ranges::any_of(value, control))
    return "header " + name + " holds a control character"; // a line break would start another header
  auto low = lower(name);
  if (low == "content-length" || low == "transfer-encoding")
    return "header " + name + " is set by the client itself"; // another value would let the body pass for a second request
  return {};
}

/// Fills the header list. Returns a fault, empty if all is well.
std::string build_headers(transfer& t) {
  curl_slist* list = nullptr;
  auto add = [&](const std::string& line) {
    auto* longer = curl_slist_append(list, line.c_str());
    if (longer != nullptr)
      list = longer;
    return longer != nullptr;
  };
  bool ok = add("Expect:"); // libcurl would wait a second for a 100 that model servers never send
  bool has_type = false;
  std::string fault;
  for (auto& [name, value] : t.request.headers) {
    fault = header_fault(name, value);
    if (!fault.empty())
      break;
    has_type = has_type || lower(name) == "content-type";
    ok = ok && add(is_blank(value) ? name + ";" : name + ": " + value);
  }
  if (!has_type)
    ok = ok && add("Content-Type:"); // else libcurl calls every body a form
  t.header_list.reset(list);
  return fault.empty() && !ok ? "out of memory" : fault;
}

// -- libcurl's callbacks -----------------------------------------------------------------------------------------------------

std::size_t refuse(transfer& t, std::string why) {
  t.refusal = std::move(why);
  return 0; // any count but the given one ends the transfer with CURLE_WRITE_ERROR
}

void take_status_line(transfer& t, std::string_view line) {
  auto space = line.find(' ');
  t.head = {};
  if (space == std::string_view::npos || line.size() < space + 4)
    return;
  for (auto c : line.substr(space + 1, 3))
    t.head.status = c >= '0' && c <= '9' ? t.head.status * 10 + (c - '0') : 0;
}

void take_header(transfer& t, std::string_view line) {
  auto& headers = t.head.headers;
  if (line.front() == ' ' || line.front() == '\t') { // RFC 9112 §5.2: a folded line continues the value before
    if (!headers.empty())
      headers.back().second.append(" ").append(trimmed(line));
    return;
  }
  auto colon = line.find(':');
  if (colon != std::string_view::npos)
    headers.emplace_back(lower(std::string{trimmed(line.substr(0, colon))}), std::string{trimmed(line.substr(colon + 1))});
}

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* user) {
  auto& t = *static_cast<transfer*>(user);
  auto bytes = size * count;
  std::string_view line{data, bytes};
  t.last_byte = clock_type::now();
  t.head_bytes += bytes;
  if (t.head_bytes > max_head_bytes)
    return refuse(t, "the reply's headers exceed " + std::to_string(max_head_bytes) + " bytes");
  if (t.head_seen || bytes == 0)
    return bytes; // trailers after a chunked body
  if (line.starts_with("HTTP/"))
    take_status_line(t, line);
  else if (!is_blank(line))
    take_header(t, line);
  else if (t.head.status >= 200) { // an empty line ends the head; those of 1xx only announce another one
    t.head_seen = true;
    t.status = t.head.status;
    // libcurl unpacks whatever it can, asked for or not; a window of zstd may take 128 MiB.
    auto* packed = find_header(t.head, "content-encoding");
    t.packed = packed != nullptr;
    if (packed != nullptr && lower(*packed).find("zstd") != std::string::npos)
      return refuse(t, "the reply is compressed by zstd, which was not asked for");
    // These two keep method and body (RFC 9110 §15.4.8, §15.4.9); others would make a GET of it.
    if (auto* location = find_header(t.head, "location"); location != nullptr && (t.status == 307 || t.status == 308))
      if (t.redirects < std::min(t.request.max_redirects, max_redirects))
        t.next_url = same_origin(t.request.url, *location);
    t.head.redirects = t.redirects;
    t.head.at_s = std::time(nullptr);
    if (t.next_url.empty())
      call(t.cb.on_head, std::move(t.head));
    t.head = {};
  }
  return bytes;
}

/// A server that sends faster than we decode keeps its socket readable, and libcurl goes on reading it. Its bytes wait in the
/// socket instead. Not of a compressed body: what came before the pause would be unpacked whole; nor of one that shares its
/// connection.
bool holds(transfer& t, std::size_t bytes) {
  if (t.slow && !t.served && t.pending.size() + bytes > max_pending_bytes)
    return t.paused = true;
  if (!t.request.stream || t.request.http2 || t.body_bytes > t.raw_bytes)
    return false;
  if (std::exchange(t.turn, *t.turn_now) != *t.turn_now)
    t.turn_bytes = 0;
  t.turn_bytes += bytes;
  if (t.turn_bytes <= max_turn_bytes)
    return false;
  ++t.full_turns;
  t.held->push_back(&t);
  return true;
}

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) {
  auto& t = *static_cast<transfer*>(user);
  auto bytes = size * count;
  t.last_byte = clock_type::now();
  if (holds(t, bytes))
    return CURL_WRITEFUNC_PAUSE;
  if (static_cast<std::int64_t>(bytes) > t.request.max_bytes - t.body_bytes)
    return refuse(t, "the reply exceeds " + std::to_string(t.request.max_bytes) + " bytes");
  t.body_bytes += static_cast<std::int64_t>(bytes);
  // One read of a bomb is 16 MB of text, which would keep all other transfers waiting.
  if (t.body_bytes > most_per_raw_byte * t.raw_bytes + least_raw_bytes)
    return refuse(t, "the reply is " + std::to_string(most_per_raw_byte) + " times as large as what came over the wire");
  if (!t.next_url.empty())
    return bytes; // a page for people
  t.pending.append(data, bytes);
  if (!t.request.stream)
    return bytes;
  if (t.pending.size() >= max_pending_bytes) {
    auto marked = t.marked;
    flush(t);
    t.marked = marked;
  } else if (!t.marked) {
    t.marked = true;
    t.dirty->push_back(&t);
  }
  return bytes;
}

/// Twice what the body may hold: framing and padding of honest servers take less than the text.
std::int64_t max_raw(const http_request& r) {
  return r.max_bytes > INT64_MAX / 2 ? INT64_MAX : std::max(r.max_bytes * 2, least_raw_bytes);
}

/// Sees what the other callbacks do not: a body still being sent, compressed bytes that yield no text yet.
int on_progress(void* user, curl_off_t, curl_off_t down, curl_off_t, curl_off_t up) {
  auto& t = *static_cast<transfer*>(user);
  if (std::exchange(t.moved, down + up) != down + up)
    t.last_byte = clock_type::now();
  // What yields no text is bounded too: extensions of chunks, compressed input that says nothing.
  if (auto most = max_raw(t.request); t.raw_bytes > most) {
    refuse(t, "the reply exceeds " + std::to_string(most) + " bytes as it comes, with its framing");
    return 1;
  }
  return 0;
}

/// libcurl hands the bytes of a body here before it takes chunks and compression apart, and counts them so nowhere else.
int on_raw(CURL*, curl_infotype type, char*, std::size_t bytes, void* user) {
  if (type == CURLINFO_DATA_IN)
    static_cast<transfer*>(user)->raw_bytes += static_cast<std::int64_t>(bytes);
  return 0;
}

/// Runs once the connection stands and nothing was sent. A second time means that libcurl wants to send the request again, because
/// a pooled connection died under it. Whether to retry is the breaker's business: the peer may have acted on the first.
int on_ready(void* user, char*, char*, int, int) {
  auto& t = *static_cast<transfer*>(user);
  if (t.sent) {
    t.refusal = "connection closed before a reply";
    t.refusal_code = ec::unavailable;
    return CURL_PREREQFUNC_ABORT;
  }
  t.sent = true;
  t.last_byte = clock_type::now();
  curl_easy_setopt(t.easy.get(), CURLOPT_VERBOSE, 1L); // for on_raw; not before the handshake, which would trace every TLS record
  return CURL_PREREQFUNC_OK;
}

/// Judges each address as it is connected to, whatever a name meant a moment before. One that is refused ends the transfer, though
/// the host may have others.
curl_socket_t on_socket(void* user, curlsocktype, curl_sockaddr* to) {
  auto& t = *static_cast<transfer*>(user);
  const auto* raw = reinterpret_cast<const std::uint8_t*>(&to->addr);
  std::vector<std::uint8_t> address;
  if (to->family == AF_INET)
    address.assign(raw + offsetof(sockaddr_in, sin_addr), raw + offsetof(sockaddr_in, sin_addr) + 4);
  else if (to->family == AF_INET6)
    address.assign(raw + offsetof(sockaddr_in6, sin6_addr), raw + offsetof(sockaddr_in6, sin6_addr) + 16);
  auto why = not_public(address);
  if (t.request.reach == reachable::public_and_self && is_loopback_address(address))
    why.clear();
  if (!why.empty()) {
    refuse(t, "the host has " + why + ", which is not fetched from");
    t.refusal_code = ec::denied;
    return CURL_SOCKET_BAD;
  }
  return ::socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

// -- set-up and verdict ------------------------------------------------------------------------------------------------------

void set_method(CURL* easy, const http_request& request) {
  auto& method = request.method;
  if (method == "HEAD") {
    curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    return;
  }
  if (!request.body.empty() || method == "POST" || method == "PUT" || method == "PATCH") {
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.c_str()); // not copied: the transfer owns it
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  }
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method.c_str());
}

/// libcurl reads all proxy variables but HTTP_PROXY, which a CGI program would take from a request's `Proxy` header. Everybody else
/// reads it.
void set_plain_proxy(CURL* easy) {
  auto set = [](const char* name) {
    const auto* value = std::getenv(name);
    return value != nullptr && *value != '\0';
  };
  if (set("HTTP_PROXY") && !set("http_proxy") && !set("REQUEST_METHOD"))
    curl_easy_setopt(easy, CURLOPT_PROXY, std::getenv("HTTP_PROXY")); // NO_PROXY still counts
}

/// Nothing of the system's stays: what adds to it holds it.
void set_trust(CURL* easy, const tls_trust& trust) {
  curl_blob pem{const_cast<char*>(trust.pem.data()), trust.pem.size(), CURL_BLOB_NOCOPY}; // the request keeps it
  curl_easy_setopt(easy, CURLOPT_CAINFO, trust.file.empty() ? nullptr : trust.file.c_str());
  if (!trust.pem.empty())
    curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &pem);
  curl_easy_setopt(easy, CURLOPT_CAPATH, trust.folder.empty() ? nullptr : trust.folder.c_str());
}

void set_options(CURL* easy, transfer& t, const checked_url& url, const http_client::options& o) {
  auto& r = t.request;
  curl_easy_setopt(easy, CURLOPT_URL, r.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &t);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); // else cancelling joins a resolver thread: every stream would wait for DNS
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t.header_list.get());
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "conclave");
  curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip, deflate, br");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, buffer_bytes);
  curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, buffer_bytes);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t.error_text.data());
  // Over TLS alone: libcurl's clear-text upgrade would ask every HTTP/1.1 server for h2c.
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, r.http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(easy, CURLOPT_PIPEWAIT, r.http2 ? 1L : 0L);
  auto connect_ms = std::clamp<std::int64_t>(r.connect_timeout_ms, 0, INT_MAX);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(connect_ms));
  if (r.reach != reachable::any) {
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, &t);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L); // one that stands was judged by other rules
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
  }
  if (url.loopback || r.reach != reachable::any)
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
  else if (url.plain)
    set_plain_proxy(easy);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, o.verify_tls ? 1L : 0L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, o.verify_tls ? 2L : 0L);
  if (!o.ca_bundle.empty())
    curl_easy_setopt(easy, CURLOPT_CAINFO, o.ca_bundle.c_str());
  if (r.trust)
    set_trust(easy, *r.trust);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &t);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &t);
  curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
  curl_easy_setopt(easy, CURLOPT_XFERINFODATA, &t);
  curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, on_raw);
  curl_easy_setopt(easy, CURLOPT_DEBUGDATA, &t);
  curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_ready);
  curl_easy_setopt(easy, CURLOPT_PREREQDATA, &t);
  set_method(easy, r);
}

/// Whether the next bytes may keep the others waiting, and can wait: see `holds`.
bool is_slow(const transfer& t) {
  if (t.body_bytes <= small_body || !t.request.stream || t.request.http2 || t.packed)
    return false;
  try {
    return t.full_turns >= many_full_turns || (t.cb.takes_long && t.cb.takes_long());
  } catch (...) {
    return false; // as `call`
  }
}

} // namespace

void flush(transfer& t) {
  t.marked = false;
  if (t.pending.empty() || !t.served)
    return;
  t.delivered = true;
  if (t.slow) {
    t.served = false;
    return t.lane->push({t.id, t.slow, std::exchange(t.pending, {}), std::nullopt});
  }
  call(t.cb.on_data, std::exchange(t.pending, {}));
  if (is_slow(t) && t.lane->start())
    t.slow = std::make_shared<const http_client::callbacks>(std::move(t.cb));
}

void deliver_end(transfer& t, http_end end) {
  if (t.slow)
    return t.lane->push({t.id, t.slow, std::exchange(t.pending, {}), std::move(end)});
  if (!t.pending.empty())
    call(t.cb.on_data, std::exchange(t.pending, {}));
  call(t.cb.on_done, std::move(end));
}

std::optional<http_end> prepare(transfer& t, const http_client::options& o) {
  if (!is_token(t.request.method))
    return ended(ec::bad_request, "the method is not a token", t);
  t.shown = t.request.method;
  auto url = check_url(t.request.url);
  if (!url)
    return ended(ec::bad_request, "the URL is malformed or neither http nor https", t);
  t.shown += " " + url->shown;
  if (auto fault = build_headers(t); !fault.empty())
    return ended(ec::bad_request, fault, t);
  t.easy.reset(curl_easy_init());
  if (!t.easy)
    return ended(ec::unavailable, "no memory for a transfer", t);
  set_options(t.easy.get(), t, *url, o);
  return std::nullopt;
}

void follow(transfer& t) {
  ++t.redirects;
  t.request.url = std::exchange(t.next_url, {});
  if (auto url = check_url(t.request.url))
    t.shown = t.request.method + " " + url->shown;
  t.head = {};
  t.status = 0;
  t.head_seen = t.sent = false;
  t.body_bytes = t.raw_bytes = 0;
  curl_easy_setopt(t.easy.get(), CURLOPT_URL, t.request.url.c_str());
}

http_end ended(ec code, const std::string& text, transfer& t) {
  return {code, t.shown + ": " + text, t.status, t.sent, t.redirects};
}

} // namespace conclave::http_detail
