// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.http_client_faults

#include "caf/test/unit_test.hpp"
#include "support/http_probe.hpp"
#include "support/imposter.hpp"

#include <atomic>
#include <chrono>
#include <stdexcept>

using namespace conclave;
using namespace conclave::test;
using namespace std::chrono_literals;
using std::chrono::steady_clock;

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
  server.when("/many", r);
  server.when("/long", reply{}.header("X-Filler", std::string(200'000, 'x')));
  http_client client;
  for (std::string path : {"/many", "/long"})
    CAF_CHECK_EQUAL(run(client, get(server.url(path))).code, ec::bad_reply);
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
  CAF_CHECK(has(end.error, "header X-Key holds a control character"));
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

CAF_TEST(what is no HTTP from the start on will be none at the next try and what goes bad later is a bad reply) {
  imposter server;
  server.when("/ssh", reply{}.raw().send("SSH-2.0-OpenSSH_9.2\r\nmore and more\r\n").disconnect());
  server.when("/chunk", reply{}.raw().send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nab\r\n").disconnect());
  http_client client;
  for (auto [path, code] : {std::pair{"/ssh", ec::bad_config}, std::pair{"/chunk", ec::bad_reply}}) {
    auto end = run(client, get(server.url(path)));
    CAF_CHECK_EQUAL(end.code, code);
    CAF_CHECK(end.sent);
  }
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

CAF_TEST(a callback that throws hurts nobody) {
  imposter server;
  server.when("/", reply{"ok"});
  http_client client;
  auto burst = [](auto&&) { throw std::runtime_error("sink"); };
  client.start(get(server.url()), {burst, burst, burst});
  client.start(get(server.url()), {});
  CAF_CHECK_EQUAL(run(client, get(server.url())).code, ec::none);
}

CAF_TEST(a pooled connection the server has closed is replaced) {
  imposter server;
  server.when("/", reply{"ok"}.disconnect());
  http_client client;
  for (std::size_t i = 1; i <= 5; ++i) {
    CAF_CHECK_EQUAL(run(client, post(server.url())).code, ec::none);
    CAF_REQUIRE(server.wait([&](auto& s) { return s.closed_by_server == i; }));
  }
  CAF_CHECK_EQUAL(server.inspect().accepts, 5u);
}

CAF_TEST(a body that is all framing ends like one that is too long) {
  imposter server;
  reply endless; // one byte of text in each chunk, the rest is an extension of the chunk
  endless.raw().send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
  auto chunk = "1;" + std::string(60'000, 'e') + "\r\n:\r\n";
  for (int i = 0; i < 200; ++i)
    endless.send(chunk);
  server.when("/", endless);
  http_client client;
  auto r = post(server.url());
  r.max_bytes = 1 << 20;
  auto end = run(client, r);
  CAF_CHECK_EQUAL(end.code, ec::bad_reply);
  CAF_CHECK(has(end.error, "the reply exceeds 2097152 bytes as it comes, with its framing"));
}

CAF_TEST(a small body that unpacks to a large one keeps nobody waiting) {
  std::string packed("\x1f\x8b\x08\0\0\0\0\0\0\3", 10); // gzip; one block of fixed codes: "x", then 258 times the byte before
  int used = 8;
  auto put = [&](unsigned code, int bits) { // the first bit of a code is its highest, in a byte it is the lowest
    for (auto i = bits - 1; i >= 0; --i, ++used) {
      if (used == 8) {
        packed += '\0';
        used = 0;
      }
      packed.back() = static_cast<char>(packed.back() | static_cast<int>(code >> i & 1U) << used);
    }
  };
  put(0b110, 3);
  put(0x30 + 'x', 8);
  for (int i = 0; i < 100'000; ++i)
    put(0b11000101'00000, 13); // 25 MB in all
  imposter server;
  server.when("/gzip", reply{packed}.header("Content-Encoding", "gzip"));
  server.when("/zstd", reply{"any"}.header("Content-Encoding", "gzip, ZSTD"));
  http_client client;
  auto end = run(client, post(server.url("/gzip")));
  CAF_CHECK_EQUAL(end.code, ec::bad_reply);
  CAF_CHECK(has(end.error, "the reply is 100 times as large as what came over the wire"));
  end = run(client, post(server.url("/zstd"))); // libcurl would unpack it, with a window of up to 128 MiB
  CAF_CHECK_EQUAL(end.code, ec::bad_reply);
  CAF_CHECK(has(end.error, "the reply is compressed by zstd, which was not asked for"));
}

CAF_TEST(a stream that comes faster than it is read leaves the others their turn) {
  imposter server;
  server.when("/flood", reply{}.sse().send(std::string(64 << 20, 'x')));
  server.when("/calm", reply{}.sse().send("data: 1\n\n"));
  http_client client;
  probe flood, calm;
  std::atomic<std::size_t> read{0};
  auto slow = flood.callbacks();
  slow.on_data = [&](const std::string& bytes) { // as dear to read as events may be
    for (auto until = steady_clock::now() + 1ms; steady_clock::now() < until;) {
    }
    if (read.exchange(read + bytes.size()) == 0)
      client.start(post(server.url("/calm")), calm.callbacks());
  };
  client.start(post(server.url("/flood")), slow);
  CAF_CHECK_EQUAL(calm.end().code, ec::none);
  CAF_CHECK(read.load() < std::size_t{64} << 20); // reading all of it takes a second and more
  CAF_CHECK_EQUAL(flood.end().code, ec::none);
  CAF_CHECK_EQUAL(read.load(), std::size_t{64} << 20);
}
