// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Streams of many small packets are read in steps as long as their readers have patience; nothing else waits.

#define CAF_SUITE transports.http_client_steps

#include "caf/test/unit_test.hpp"
#include "support/http_probe.hpp"
#include "support/imposter.hpp"

#include <atomic>

using namespace conclave;
using namespace conclave::test;
using std::chrono::milliseconds;

namespace {

struct readers : text_readers {
  std::atomic<int> patience_ms, holds{0}, goes{0};
  explicit readers(int ms) : patience_ms(ms) {}
  milliseconds patience() const override { return milliseconds(patience_ms.load()); }
  void hold() override { ++holds; }
  void go_on() override { ++goes; }
};

std::string piece(int i) {
  return "data: " + std::to_string(i) + "\n\n";
}

/// `count` pieces with a pause before each.
std::string flow(reply& out, int count, int pause_ms) {
  std::string all;
  for (int i = 0; i < count; ++i) {
    out.pause(milliseconds(pause_ms)).send(piece(i));
    all += piece(i);
  }
  return all;
}

http_client client_of(const std::shared_ptr<readers>& r) {
  http_client::options o;
  o.readers = r;
  return http_client(std::move(o));
}

} // namespace

CAF_TEST(a stream of small packets is read in few steps and whole) {
  imposter server;
  auto script = reply{}.sse();
  auto all = flow(script, 300, 2);
  server.when("/flow", script);
  auto r = std::make_shared<readers>(100);
  probe seen;
  {
    auto client = client_of(r);
    client.start(post(server.url("/flow")), seen.callbacks());
    CAF_CHECK_EQUAL(seen.end().code, ec::none);
  }
  CAF_CHECK_EQUAL(seen.inspect().body(), all);
  CAF_CHECK_LESS(seen.inspect().pieces.size(), 150u); // one each, read as they come
  CAF_CHECK_GREATER(r->holds.load(), 0);
  CAF_CHECK_EQUAL(r->holds.load(), r->goes.load());
}

CAF_TEST(readers without patience are never held) {
  imposter server;
  auto script = reply{}.sse();
  auto all = flow(script, 50, 1);
  server.when("/flow", script);
  auto r = std::make_shared<readers>(0);
  auto client = client_of(r);
  probe seen;
  client.start(post(server.url("/flow")), seen.callbacks());
  CAF_CHECK_EQUAL(seen.end().code, ec::none);
  CAF_CHECK_EQUAL(seen.inspect().body(), all);
  CAF_CHECK_EQUAL(r->holds.load(), 0);
}

CAF_TEST(patience that ends holds for streams under way) {
  imposter server;
  auto script = reply{}.sse();
  auto all = flow(script, 100, 2);
  script.gate("on");
  all += flow(script, 100, 1);
  server.when("/flow", script);
  auto r = std::make_shared<readers>(100);
  auto client = client_of(r);
  probe seen;
  client.start(post(server.url("/flow")), seen.callbacks());
  CAF_CHECK(seen.wait([](auto& s) { return s.body().ends_with(piece(99)); }));
  r->patience_ms = 0;
  auto held = r->holds.load();
  server.open("on");
  CAF_CHECK_EQUAL(seen.end().code, ec::none);
  CAF_CHECK_EQUAL(seen.inspect().body(), all);
  CAF_CHECK_LESS(r->holds.load(), held + 2); // a look may have been under way
}

CAF_TEST(what else there is goes on beside a stream in steps) {
  imposter server;
  auto script = reply{}.sse();
  flow(script, 100, 2);
  flow(script.gate("other is done"), 5, 2);
  server.when("/flow", script);
  std::string much(std::size_t{1} << 20, 'x');
  server.when("/other", reply{much});
  auto client = client_of(std::make_shared<readers>(100));
  probe seen, other;
  client.start(post(server.url("/flow")), seen.callbacks());
  CAF_CHECK(seen.wait([](auto& s) { return s.pieces.size() > 9; })); // in steps by now
  client.start(post(server.url("/other")), other.callbacks());
  CAF_CHECK_EQUAL(other.end().code, ec::none);
  CAF_CHECK_EQUAL(other.inspect().body(), much);
  server.open("other is done");
  CAF_CHECK_EQUAL(seen.end().code, ec::none);
  // The connection is used again, and is not in steps any more.
  CAF_CHECK_EQUAL(run(client, post(server.url("/other"))).code, ec::none);
}

CAF_TEST(a transfer in steps is cancelled at once) {
  imposter server;
  auto script = reply{}.sse();
  flow(script, 100, 2);
  server.when("/flow", script.hang());
  auto client = client_of(std::make_shared<readers>(100));
  probe seen;
  auto id = client.start(post(server.url("/flow")), seen.callbacks());
  CAF_CHECK(seen.wait([](auto& s) { return s.pieces.size() > 9; }));
  client.cancel(id);
  CAF_CHECK_EQUAL(seen.end().code, ec::cancelled);
  CAF_CHECK(server.wait([](auto& s) { return s.closed_by_client == 1; }));
}
