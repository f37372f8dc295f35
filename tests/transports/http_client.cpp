// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.http_client

#include "caf/test/unit_test.hpp"
#include "support/http_probe.hpp"
#include "support/imposter.hpp"

#include <cstdlib>
#include <ctime>

using namespace conclave;
using namespace conclave::test;
using namespace std::chrono_literals;

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
  server.when("/", reply{}.raw().hang());
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

CAF_TEST(a redirect within the origin is followed with body and headers) {
  imposter server;
  server.when("/a", reply{"moved"}.status(307).header("Location", "/b?x=1"));
  server.when("/b", reply{}.status(308).header("Location", server.url("/c")).chunked().send("see ").send("there"));
  server.when("/c", reply{"here"}.header("X-Last", "yes"));
  http_client client;
  probe p;
  auto request = post(server.url("/a"));
  request.body = R"({"model":"m"})";
  request.headers.emplace_back("Authorization", "Bearer k");
  client.start(request, p.callbacks());
  CAF_CHECK_EQUAL(p.end().code, ec::none);
  CAF_CHECK_EQUAL(p.end().status, 200);
  auto seen = p.inspect();
  CAF_REQUIRE_EQUAL(seen.heads.size(), 1u);
  CAF_CHECK(find_header(seen.heads[0], "x-last") != nullptr && find_header(seen.heads[0], "location") == nullptr);
  CAF_CHECK(std::abs(seen.heads[0].at_s - std::time(nullptr)) < 60);
  CAF_CHECK_EQUAL(seen.body(), "here");
  auto sent = server.inspect().requests;
  CAF_REQUIRE_EQUAL(sent.size(), 3u);
  CAF_CHECK_EQUAL(sent[1].target, "/b?x=1");
  for (auto& r : sent) {
    CAF_CHECK_EQUAL(r.method, "POST");
    CAF_CHECK_EQUAL(r.body, request.body);
    CAF_CHECK_EQUAL(r.header("authorization"), "Bearer k");
    CAF_CHECK_EQUAL(r.connection, 1u);
  }
}

CAF_TEST(a redirect to another origin or without end is a reply like any other) {
  imposter server;
  imposter other;
  http_client client;
  auto port = server.url("").substr(server.url("").rfind(':'));
  for (auto& place : {other.url("/a"), "https://127.0.0.1" + port, "http://localhost" + port, "http://u:p@127.0.0.1" + port,
                      "//127.0.0.2" + port, std::string{"ftp://127.0.0.1/"}, std::string{"http://"}, std::string{}}) {
    auto path = "/" + std::to_string(server.inspect().requests.size());
    server.when(path, reply{"x"}.status(307).header("Location", place));
    CAF_CHECK_EQUAL(run(client, post(server.url(path))).status, 307);
  }
  CAF_CHECK_EQUAL(other.inspect().requests.size(), 0u);
  auto before = server.inspect().requests.size();
  server.when("/round", reply{"x"}.status(308).header("Location", "/round"));
  probe p;
  client.start(post(server.url("/round")), p.callbacks());
  CAF_CHECK_EQUAL(p.end().status, 308);
  CAF_CHECK_EQUAL(p.inspect().body(), "x");
  CAF_CHECK_EQUAL(p.inspect().heads.size(), 1u);
  CAF_CHECK_EQUAL(server.inspect().requests.size(), before + 4);
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

CAF_TEST(finished transfers leave their connection to the next) {
  imposter server;
  server.when("/", reply{"ok"});
  http_client client;
  for (int i = 0; i < 10; ++i)
    CAF_CHECK_EQUAL(run(client, post(server.url())).code, ec::none);
  CAF_CHECK_EQUAL(server.inspect().accepts, 1u);
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

CAF_TEST(a proxy that refuses the tunnel is named with its status) {
  imposter proxy;
  for (auto status : {407, 403, 502})
    proxy.when("192.0.2.1:443", reply{}.status(status));
  ::setenv("https_proxy", ("http://user:geheim@127.0.0.1:" + std::to_string(proxy.port())).c_str(), 1);
  for (auto status : {407, 403, 502}) {
    http_client client;
    auto end = run(client, get("https://192.0.2.1/"));
    CAF_CHECK_EQUAL(end.code, status < 500 ? ec::bad_config : ec::unavailable);
    CAF_CHECK(has(end.error, "the proxy 127.0.0.1:" + std::to_string(proxy.port())
                                 + " refused the tunnel (CONNECT): " + std::to_string(status)));
    CAF_CHECK(!has(end.error, "geheim") && !end.sent);
  }
  closed_port nobody;
  ::setenv("https_proxy", nobody.url.c_str(), 1);
  http_client client;
  auto end = run(client, get("https://192.0.2.1/"));
  CAF_CHECK(end.code == ec::unavailable && has(end.error, "(proxy 127.0.0.1)"));
  ::unsetenv("https_proxy");
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
