// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.http_client

#include "transports/http_client.hpp"

#include "caf/test/unit_test.hpp"
#include "support/imposter.hpp"

#include <cstdlib>

using namespace conclave;
using conclave::test::imposter;
using conclave::test::reply;
using namespace std::chrono_literals;
using std::chrono::steady_clock;

namespace {

constexpr auto deadline = 10s;

/// Records what one transfer calls back, and waits for it.
struct probe {
  struct record {
    std::vector<http_head> heads;
    std::vector<std::string> pieces;
    std::vector<http_end> ends;
    bool late = false; ///< something came after on_done

    std::string body() const {
      std::string all;
      for (auto& p : pieces)
        all += p;
      return all;
    }
  };

  struct shared {
    std::mutex mutex;
    std::condition_variable changed;
    record seen;
  };

  std::shared_ptr<shared> state = std::make_shared<shared>();

  http_client::callbacks callbacks() const {
    auto add = [s = state](auto f) {
      std::lock_guard guard{s->mutex};
      s->seen.late = s->seen.late || !s->seen.ends.empty();
      f(s->seen);
      s->changed.notify_all();
    };
    return {
        [add](http_head head) { add([&](record& r) { r.heads.push_back(std::move(head)); }); },
        [add](std::string data) { add([&](record& r) { r.pieces.push_back(std::move(data)); }); },
        [add](http_end end) { add([&](record& r) { r.ends.push_back(std::move(end)); }); },
    };
  }

  bool wait(const std::function<bool(const record&)>& test) const {
    std::unique_lock guard{state->mutex};
    return state->changed.wait_for(guard, deadline, [&] { return test(state->seen); });
  }

  bool wait_body(const std::string& text) const {
    return wait([&](auto& r) { return r.body() == text; });
  }

  record inspect() const {
    std::lock_guard guard{state->mutex};
    return state->seen;
  }

  /// The end of the transfer; a code no test expects if it did not come in time.
  http_end end() const {
    if (!wait([](auto& r) { return !r.ends.empty(); }))
      return {ec::unknown, "no on_done within the deadline", -1, false};
    return inspect().ends.front();
  }
};

http_request get(std::string url) {
  http_request r;
  r.method = "GET";
  r.url = std::move(url);
  return r;
}

http_request post(std::string url, std::string body = "{}") {
  http_request r;
  r.url = std::move(url);
  r.headers = {{"Content-Type", "application/json"}};
  r.body = std::move(body);
  return r;
}

http_end run(http_client& client, http_request r) {
  probe p;
  client.start(std::move(r), p.callbacks());
  return p.end();
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

/// A loopback port nobody listens on: bound, so that nobody else gets it, but closed to connections.
struct closed_port {
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::string url;

  closed_port() {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof a;
    ::bind(fd, reinterpret_cast<sockaddr*>(&a), size);
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&a), &size);
    url = "http://127.0.0.1:" + std::to_string(ntohs(a.sin_port));
  }
  ~closed_port() { ::close(fd); }
};

} // namespace

CAF_TEST(a plain reply comes with head body and one end) {
  imposter server;
  server.when("/v1/x", reply{"hello"}.header("X-Request-ID", "abc"));
  http_client client;
  probe p;
  auto r = post(server.url("/v1/x?key=1"), "{\"a\":1}");
  r.headers.emplace_back("Authorization", "Bearer k");
  CAF_CHECK_NOT_EQUAL(client.start(r, p.callbacks()), 0u);
  auto end = p.end();
  CAF_CHECK_EQUAL(end.code, ec::none);
  CAF_CHECK_EQUAL(end.error, "");
  CAF_CHECK_EQUAL(end.status, 200);
  CAF_CHECK(end.sent);
  auto seen = p.inspect();
  CAF_CHECK_EQUAL(seen.body(), "hello");
  CAF_REQUIRE_EQUAL(seen.heads.size(), 1u);
  CAF_CHECK_EQUAL(seen.heads[0].status, 200);
  auto* id = find_header(seen.heads[0], "x-request-id");
  CAF_REQUIRE(id != nullptr);
  CAF_CHECK_EQUAL(*id, "abc");
  auto got = server.inspect().requests;
  CAF_REQUIRE_EQUAL(got.size(), 1u);
  CAF_CHECK_EQUAL(got[0].method, "POST");
  CAF_CHECK_EQUAL(got[0].target, "/v1/x?key=1");
  CAF_CHECK_EQUAL(got[0].body, "{\"a\":1}");
  CAF_CHECK_EQUAL(got[0].header("authorization"), "Bearer k");
  CAF_CHECK_EQUAL(got[0].header("content-type"), "application/json");
  CAF_CHECK_EQUAL(got[0].header("expect"), "");
}

CAF_TEST(every method arrives as named) {
  imposter server;
  server.when("/", reply{"ok"});
  http_client client;
  for (auto method : {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}) {
    auto r = get(server.url());
    r.method = method;
    CAF_CHECK_EQUAL(run(client, r).code, ec::none);
    auto last = server.inspect().requests.back();
    CAF_CHECK_EQUAL(last.method, method);
    CAF_CHECK_EQUAL(last.header("content-type"), ""); // no body, no invented type
  }
}

CAF_TEST(a large body arrives whole and without asking for leave) {
  imposter server;
  server.when("/", reply{"ok"});
  http_client client;
  std::string body(3 << 20, 'x');
  body[12345] = '\0';
  CAF_CHECK_EQUAL(run(client, post(server.url(), body)).code, ec::none);
  auto got = server.inspect().requests;
  CAF_REQUIRE_EQUAL(got.size(), 1u);
  CAF_CHECK(got[0].body == body);
  CAF_CHECK_EQUAL(got[0].header("expect"), "");
}

CAF_TEST(stream pieces arrive before the later ones are sent) {
  imposter server;
  server.when("/", reply{}.sse().send("data: 1\n\n").gate("a").send("data: 2\n\n").gate("b").send("data: 3\n\n"));
  http_client client;
  probe p;
  client.start(post(server.url()), p.callbacks());
  CAF_REQUIRE(p.wait_body("data: 1\n\n"));
  CAF_CHECK(p.inspect().ends.empty());
  server.open("a");
  CAF_REQUIRE(p.wait_body("data: 1\n\ndata: 2\n\n"));
  CAF_CHECK(p.inspect().ends.empty());
  server.open("b");
  CAF_CHECK_EQUAL(p.end().code, ec::none);
  CAF_CHECK(p.wait_body("data: 1\n\ndata: 2\n\ndata: 3\n\n"));
  CAF_CHECK_EQUAL(p.inspect().pieces.size(), 3u);
}

CAF_TEST(a character split over two reads is passed on byte by byte) {
  imposter server;
  server.when("/", reply{}.sse().send("data: \xe2\x82").gate("rest").send("\xac\n\n"));
  http_client client;
  probe p;
  client.start(post(server.url()), p.callbacks());
  CAF_REQUIRE(p.wait_body("data: \xe2\x82"));
  server.open("rest");
  CAF_CHECK_EQUAL(p.end().code, ec::none);
  CAF_CHECK_EQUAL(p.inspect().body(), "data: \xe2\x82\xac\n\n");
}

CAF_TEST(many chunks in one packet become one call) {
  imposter server;
  std::string packet = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 50; ++i)
    packet += "2\r\nab\r\n";
  server.when("/", reply{}.raw().send(packet + "0\r\n\r\n"));
  http_client client;
  probe p;
  client.start(post(server.url()), p.callbacks());
  CAF_CHECK_EQUAL(p.end().code, ec::none);
  auto seen = p.inspect();
  CAF_CHECK_EQUAL(seen.body().size(), 100u);
  CAF_CHECK_EQUAL(seen.pieces.size(), 1u);
}

CAF_TEST(gzip is decoded) {
  // printf 'hello gzip' | gzip -n
  static constexpr unsigned char bytes[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03,
                                            0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0x57, 0x48, 0xaf, 0xca, 0x2c,
                                            0x00, 0x00, 0x19, 0x6a, 0xd2, 0xdf, 0x0a, 0x00, 0x00, 0x00};
  std::string packed{reinterpret_cast<const char*>(bytes), sizeof bytes};
  imposter server;
  server.when("/ok", reply{packed}.header("Content-Encoding", "gzip"));
  server.when("/bad", reply{"this is no gzip at all"}.header("Content-Encoding", "gzip"));
  http_client client;
  probe p;
  client.start(get(server.url("/ok")), p.callbacks());
  CAF_CHECK_EQUAL(p.end().code, ec::none);
  CAF_CHECK_EQUAL(p.inspect().body(), "hello gzip");
  CAF_CHECK(has(server.inspect().requests[0].header("accept-encoding"), "gzip"));
  CAF_CHECK_EQUAL(run(client, get(server.url("/bad"))).code, ec::bad_reply);
}

CAF_TEST(a refused connection is an ordinary end without secrets) {
  closed_port port;
  http_client client;
  auto url = port.url;
  auto r = post(url.substr(0, 7) + "user:secret1@" + url.substr(7) + "/v1/x?key=secret2");
  r.headers.emplace_back("Authorization", "Bearer secret3");
  auto end = run(client, r);
  CAF_CHECK_EQUAL(end.code, ec::unavailable);
  CAF_CHECK_EQUAL(end.error, "POST " + url + "/v1/x: connection refused");
  CAF_CHECK_EQUAL(end.status, 0);
  CAF_CHECK(!end.sent);
}

CAF_TEST(silence ends with the idle timeout) {
  imposter server;
  server.when("/mute", reply{}.raw().hang());
  server.when("/stuck", reply{}.sse().send("data: 1\n\n").hang());
  http_client client;
  for (std::string path : {"/mute", "/stuck"}) {
    auto r = post(server.url(path));
    r.idle_timeout_ms = 200;
    r.total_timeout_ms = 0;
    auto began = steady_clock::now();
    auto end = run(client, r);
    auto took = steady_clock::now() - began;
    CAF_CHECK_EQUAL(end.code, ec::timeout);
    CAF_CHECK(has(end.error, path + ": no byte within the idle timeout of 200 ms"));
    CAF_CHECK(end.sent);
    CAF_CHECK(took >= 199ms);
    CAF_CHECK(took < 3s); // an idle 200 ms on a machine under sanitizers and load
    CAF_CHECK_EQUAL(end.status, path == "/stuck" ? 200 : 0);
  }
  CAF_CHECK(server.wait([](auto& s) { return s.closed_by_client == 2; }));
}

CAF_TEST(bytes in time keep the idle timeout away) {
  imposter server;
  reply slow;
  slow.sse();
  for (int i = 0; i < 12; ++i)
    slow.send(": ping\n\n").pause(100ms);
  server.when("/", slow);
  http_client client;
  auto r = post(server.url());
  r.idle_timeout_ms = 1'000; // the whole takes 1.2 s
  CAF_CHECK_EQUAL(run(client, r).code, ec::none);
}

CAF_TEST(the total timeout ends a stream that never pauses) {
  imposter server;
  reply endless;
  endless.sse();
  for (int i = 0; i < 1'000; ++i)
    endless.send("data: x\n\n").pause(20ms);
  server.when("/", endless);
  http_client client;
  auto r = post(server.url());
  r.total_timeout_ms = 300;
  auto began = steady_clock::now();
  auto end = run(client, r);
  CAF_CHECK_EQUAL(end.code, ec::timeout);
  CAF_CHECK(has(end.error, "not finished within the total timeout of 300 ms"));
  CAF_CHECK(steady_clock::now() - began >= 299ms);
  CAF_CHECK(steady_clock::now() - began < 4s);
}

CAF_TEST(a peer that never accepts ends with the connect timeout) {
  // A listener with a backlog of one that nobody serves: the kernel lets later connection attempts wait.
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof a;
  CAF_REQUIRE_EQUAL(::bind(fd, reinterpret_cast<sockaddr*>(&a), size), 0);
  CAF_REQUIRE_EQUAL(::listen(fd, 0), 0);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&a), &size);
  std::vector<int> fill;
  for (int i = 0; i < 4; ++i) {
    fill.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    (void) ::connect(fill.back(), reinterpret_cast<sockaddr*>(&a), size);
  }
  {
    http_client client;
    auto r = get("http://127.0.0.1:" + std::to_string(ntohs(a.sin_port)) + "/");
    r.connect_timeout_ms = 200;
    auto end = run(client, r);
    CAF_CHECK_EQUAL(end.code, ec::timeout);
    CAF_CHECK(has(end.error, "no connection within the connect timeout of 200 ms"));
    CAF_CHECK(!end.sent);
  }
  for (auto f : fill)
    ::close(f);
  ::close(fd);
}

CAF_TEST(a cut in mid stream is told from a failure before it) {
  imposter server;
  server.when("/cut", reply{}.sse().send("data: 1\n\n").disconnect());
  server.when("/rst", reply{}.sse().send("data: 1\n\n").gate("rst").reset());
  server.when("/short", reply{"abc"}.content_length(10).disconnect());
  server.when("/none", reply{}.raw().disconnect());
  server.when("/head", reply{}.sse().disconnect());
  http_client client;
  auto cut = run(client, post(server.url("/cut")));
  CAF_CHECK_EQUAL(cut.code, ec::stream_broken);
  CAF_CHECK_EQUAL(cut.status, 200);
  CAF_CHECK(has(cut.error, "/cut: connection closed in mid-reply"));
  probe rst;
  client.start(post(server.url("/rst")), rst.callbacks());
  CAF_REQUIRE(rst.wait_body("data: 1\n\n")); // an RST may overtake unread data
  server.open("rst");
  CAF_CHECK_EQUAL(rst.end().code, ec::stream_broken);
  CAF_CHECK_EQUAL(run(client, post(server.url("/short"))).code, ec::stream_broken);
  auto none = run(client, post(server.url("/none")));
  CAF_CHECK_EQUAL(none.code, ec::unavailable);
  CAF_CHECK(none.sent);
  CAF_CHECK_EQUAL(none.status, 0);
  CAF_CHECK_EQUAL(run(client, post(server.url("/head"))).code, ec::unavailable);
}

CAF_TEST(a body asked for as a whole comes in one piece or not at all) {
  imposter server;
  server.when("/whole", reply{}.chunked().send("a").pause(1ms).send("b").pause(1ms).send("c"));
  server.when("/cut", reply{}.chunked().send("a").disconnect());
  http_client client;
  probe p;
  auto r = post(server.url("/whole"));
  r.stream = false;
  client.start(r, p.callbacks());
  CAF_CHECK_EQUAL(p.end().code, ec::none);
  CAF_CHECK(p.inspect().pieces == std::vector<std::string>{"abc"});
  probe q;
  r.url = server.url("/cut");
  client.start(r, q.callbacks());
  CAF_CHECK_EQUAL(q.end().code, ec::unavailable);
  CAF_CHECK(q.inspect().pieces.empty());
}

CAF_TEST(cancel in mid stream closes the connection and ends once) {
  imposter server;
  server.when("/", reply{}.sse().send("data: 1\n\n").hang());
  http_client client;
  probe p;
  auto id = client.start(post(server.url()), p.callbacks());
  CAF_REQUIRE(p.wait_body("data: 1\n\n"));
  client.cancel(id);
  client.cancel(id);
  CAF_CHECK_EQUAL(p.end().code, ec::cancelled);
  CAF_CHECK(p.inspect().ends[0].sent);
  CAF_CHECK(server.wait([](auto& s) { return s.closed_by_client == 1; }));
  client.cancel(id);
  client.cancel(id + 1'000);
  CAF_CHECK_EQUAL(run(client, get(server.url("/none"))).status, 404); // both cancels were served by now
  CAF_CHECK_EQUAL(p.inspect().ends.size(), 1u);
  CAF_CHECK(!p.inspect().late);
}

CAF_TEST(cancel before the connection stands ends once) {
  imposter server;
  server.when("/", reply{"x"}.hang());
  http_client client;
  std::vector<probe> probes(50);
  for (auto& p : probes)
    client.cancel(client.start(post(server.url()), p.callbacks()));
  for (auto& p : probes) {
    CAF_CHECK_EQUAL(p.end().code, ec::cancelled);
    CAF_CHECK_EQUAL(p.inspect().ends.size(), 1u);
  }
}

CAF_TEST(two hundred streams run at once) {
  imposter server;
  server.when("/", reply{}.sse().send("data: 1\n\n").gate("all").send("data: 2\n\n"));
  http_client client;
  std::vector<probe> probes(200);
  for (auto& p : probes)
    client.start(post(server.url()), p.callbacks());
  for (auto& p : probes)
    CAF_REQUIRE(p.wait_body("data: 1\n\n"));
  CAF_CHECK_EQUAL(server.inspect().accepts, 200u);
  server.open("all");
  for (auto& p : probes) {
    CAF_CHECK_EQUAL(p.end().code, ec::none);
    CAF_CHECK_EQUAL(p.inspect().body(), "data: 1\n\ndata: 2\n\n");
    CAF_CHECK(!p.inspect().late);
  }
}

CAF_TEST(transfers beyond the connection limit wait their turn) {
  imposter server;
  server.when("/", reply{"ok"});
  http_client::options two;
  two.max_connections = 2;
  http_client client{two};
  std::vector<probe> probes(20);
  for (auto& p : probes)
    client.start(post(server.url()), p.callbacks());
  for (auto& p : probes)
    CAF_CHECK_EQUAL(p.end().code, ec::none);
  CAF_CHECK(server.inspect().accepts <= 2u);
  CAF_CHECK_EQUAL(server.inspect().requests.size(), 20u);
}

CAF_TEST(a reply beyond the bound is refused) {
  imposter server;
  server.when("/", reply{std::string(1'000, 'x')});
  http_client client;
  auto r = post(server.url());
  r.max_bytes = 999;
  auto end = run(client, r);
  CAF_CHECK_EQUAL(end.code, ec::bad_reply);
  CAF_CHECK(has(end.error, "the reply exceeds 999 bytes"));
  r.max_bytes = 1'000;
  CAF_CHECK_EQUAL(run(client, r).code, ec::none);
}

CAF_TEST(endless headers are refused) {
  imposter server;
  reply r;
  for (int i = 0; i < 100; ++i)
    r.header("X-Filler-" + std::to_string(i), std::string(8'000, 'x'));
  server.when("/", r);
  http_client client;
  CAF_CHECK_EQUAL(run(client, get(server.url())).code, ec::bad_reply);
}

CAF_TEST(a request that would break the framing is never sent) {
  imposter server;
  server.when("/", reply{"x"});
  http_client client;
  auto with = [&](std::string name, std::string value) {
    auto r = post(server.url());
    r.headers.emplace_back(std::move(name), std::move(value));
    return run(client, r);
  };
  auto end = with("X-Key", "secret\r\nX-Other: 1");
  CAF_CHECK_EQUAL(end.code, ec::bad_request);
  CAF_CHECK(has(end.error, "header X-Key holds a line break"));
  CAF_CHECK(!has(end.error, "secret"));
  CAF_CHECK_EQUAL(with("X-Key", std::string{"a\0b", 3}).code, ec::bad_request);
  CAF_CHECK_EQUAL(with("X-Key", "a\nb").code, ec::bad_request);
  CAF_CHECK_EQUAL(with("X Key", "a").code, ec::bad_request);
  CAF_CHECK_EQUAL(with("X-Key\r\nY", "a").code, ec::bad_request);
  CAF_CHECK_EQUAL(with("", "a").code, ec::bad_request);
  CAF_CHECK_EQUAL(with("Content-Length", "3").code, ec::bad_request);
  CAF_CHECK_EQUAL(with("transfer-encoding", "chunked").code, ec::bad_request);
  auto r = post(server.url());
  r.method = "GET / HTTP/1.1\r\nX: y";
  CAF_CHECK_EQUAL(run(client, r).code, ec::bad_request);
  for (auto url : {"", "nonsense", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://", "http://a b/", "http://127.0.0.1:99999/",
                   "http://127.0.0.1/\r\nX: y", "//127.0.0.1/"}) {
    auto bad = run(client, post(url));
    CAF_CHECK_EQUAL(bad.code, ec::bad_request);
    CAF_CHECK(!bad.sent);
  }
  CAF_CHECK_EQUAL(run(client, post("http://127.0.0.1/" + std::string(100'000, 'x'))).code, ec::bad_request);
  CAF_CHECK_EQUAL(server.inspect().requests.size(), 0u);
}

CAF_TEST(an error status is a reply like any other) {
  imposter server;
  server.when("/busy", reply{"slow down"}.status(429, "Too Many").header("Retry-After", "7"));
  server.when("/moved", reply{""}.status(302, "Found").header("Location", server.url("/busy")));
  http_client client;
  probe p;
  client.start(post(server.url("/busy")), p.callbacks());
  CAF_CHECK_EQUAL(p.end().code, ec::none);
  CAF_CHECK_EQUAL(p.end().status, 429);
  auto seen = p.inspect();
  CAF_REQUIRE_EQUAL(seen.heads.size(), 1u);
  auto* after = find_header(seen.heads[0], "retry-after");
  CAF_REQUIRE(after != nullptr);
  CAF_CHECK_EQUAL(*after, "7");
  CAF_CHECK_EQUAL(seen.body(), "slow down");
  CAF_CHECK_EQUAL(run(client, get(server.url("/moved"))).status, 302);
  CAF_CHECK_EQUAL(server.inspect().requests.size(), 2u); // the redirect was not followed
}

CAF_TEST(heads of 1xx folded lines and trailers leave one clean head) {
  imposter server;
  server.when("/", reply{}.raw().send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 201 Made\r\nX-A:  one \r\n two\r\n"
                                      "Trailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: late\r\n\r\n"));
  http_client client;
  probe p;
  client.start(get(server.url()), p.callbacks());
  CAF_CHECK_EQUAL(p.end().code, ec::none);
  auto seen = p.inspect();
  CAF_REQUIRE_EQUAL(seen.heads.size(), 1u);
  CAF_CHECK_EQUAL(seen.heads[0].status, 201);
  CAF_CHECK(find_header(seen.heads[0], "link") == nullptr);
  CAF_CHECK(find_header(seen.heads[0], "x-t") == nullptr);
  auto* folded = find_header(seen.heads[0], "x-a");
  CAF_REQUIRE(folded != nullptr);
  CAF_CHECK_EQUAL(*folded, "one two");
  CAF_CHECK_EQUAL(seen.body(), "ok");
}

CAF_TEST(what is no HTTP is a bad reply) {
  imposter server;
  server.when("/", reply{}.raw().send("SSH-2.0-OpenSSH_9.2\r\nmore and more\r\n").disconnect());
  http_client client;
  auto end = run(client, get(server.url()));
  CAF_CHECK_EQUAL(end.code, ec::bad_reply);
  CAF_CHECK(end.sent);
}

CAF_TEST(finished transfers leave their connection to the next) {
  imposter server;
  server.when("/", reply{"ok"});
  http_client client;
  for (int i = 0; i < 10; ++i)
    CAF_CHECK_EQUAL(run(client, post(server.url())).code, ec::none);
  CAF_CHECK_EQUAL(server.inspect().accepts, 1u);
}

CAF_TEST(a request lost on a pooled connection is not sent twice) {
  imposter server;
  server.when("/", reply{"ok"});
  server.when("/", reply{}.raw().disconnect());
  http_client client;
  CAF_CHECK_EQUAL(run(client, post(server.url())).code, ec::none);
  auto end = run(client, post(server.url()));
  CAF_CHECK_EQUAL(end.code, ec::unavailable);
  CAF_CHECK(end.sent);
  CAF_CHECK(has(end.error, "connection closed before a reply"));
  CAF_CHECK_EQUAL(server.inspect().requests.size(), 2u);
}

CAF_TEST(a proxy in the environment does not see loopback traffic) {
  closed_port proxy;
  ::setenv("http_proxy", proxy.url.c_str(), 1);
  imposter server;
  server.when("/", reply{"ok"});
  {
    http_client client;
    CAF_CHECK_EQUAL(run(client, get(server.url())).code, ec::none);
    CAF_CHECK_EQUAL(run(client, get("http://localhost:" + std::to_string(server.port()) + "/")).code, ec::none);
    CAF_CHECK_EQUAL(run(client, get("http://192.0.2.1/")).code, ec::unavailable); // goes to the proxy, which refuses
  }
  ::unsetenv("http_proxy");
}

CAF_TEST(destruction ends what runs) {
  imposter server;
  server.when("/", reply{}.sse().send("data: 1\n\n").hang());
  std::vector<probe> probes(20);
  {
    http_client client;
    for (std::size_t i = 0; i < 10; ++i)
      client.start(post(server.url()), probes[i].callbacks());
    for (std::size_t i = 0; i < 10; ++i)
      CAF_REQUIRE(probes[i].wait_body("data: 1\n\n"));
    for (std::size_t i = 10; i < 20; ++i)
      client.start(post(server.url()), probes[i].callbacks()); // may not even have begun
  }
  for (auto& p : probes) {
    auto seen = p.inspect(); // no waiting: the destructor has returned
    CAF_REQUIRE_EQUAL(seen.ends.size(), 1u);
    CAF_CHECK_EQUAL(seen.ends[0].code, ec::cancelled);
  }
}

CAF_TEST(a callback that throws hurts nobody) {
  imposter server;
  server.when("/", reply{"ok"});
  http_client client;
  auto burst = [](auto&&) { throw std::runtime_error("sink"); };
  client.start(get(server.url()), {burst, burst, burst});
  client.start(get(server.url()), {});
  CAF_CHECK_EQUAL(run(client, get(server.url())).code, ec::none);
}

CAF_TEST(starts and cancels from many threads at once all end) {
  imposter server;
  server.when("/", reply{"ok"});
  http_client client;
  std::vector<std::vector<probe>> probes(4, std::vector<probe>(50));
  for (auto& group : probes)
    for (auto& p : group)
      p = probe{};
  std::vector<std::thread> threads;
  for (auto& group : probes)
    threads.emplace_back([&] {
      for (std::size_t i = 0; i < group.size(); ++i) {
        auto id = client.start(post(server.url()), group[i].callbacks());
        if (i % 3 == 0)
          client.cancel(id);
      }
    });
  for (auto& t : threads)
    t.join();
  for (auto& group : probes)
    for (std::size_t i = 0; i < group.size(); ++i) {
      auto code = group[i].end().code;
      CAF_CHECK(code == ec::none || (i % 3 == 0 && code == ec::cancelled));
      CAF_CHECK_EQUAL(group[i].inspect().ends.size(), 1u);
    }
}
