// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Transfers whose callbacks take long: on a thread of their own, one at a time, in order.

#define CAF_SUITE transports.http_client_slow

#include "caf/test/unit_test.hpp"
#include "support/http_probe.hpp"
#include "support/imposter.hpp"

#include <atomic>
#include <thread>

using namespace conclave;
using namespace conclave::test;

namespace {

constexpr std::size_t large = std::size_t{4} << 20;

std::string text_of(std::size_t size) {
  std::string out;
  while (out.size() < size)
    out += "data: " + std::to_string(out.size()) + "\n\n";
  return out;
}

/// Lets one callback wait until the test says so.
struct barrier {
  std::mutex mutex;
  std::condition_variable changed;
  bool reached = false, open = false;

  void pass() {
    std::unique_lock guard{mutex};
    reached = true;
    changed.notify_all();
    changed.wait_for(guard, deadline, [&] { return open; });
  }
  bool wait() {
    std::unique_lock guard{mutex};
    return changed.wait_for(guard, deadline, [&] { return reached; });
  }
  void let_go() {
    std::lock_guard guard{mutex};
    open = true;
    changed.notify_all();
  }
};

/// One that says that it takes long, and then does.
struct slow_reader {
  probe seen;
  barrier stop;
  std::atomic<bool> slow{false};

  http_client::callbacks callbacks(std::size_t from) {
    auto cb = seen.callbacks();
    cb.takes_long = [this, from] { return slow = seen.inspect().body().size() >= from; };
    cb.on_data = [this, add = cb.on_data](std::string bytes) {
      if (slow)
        stop.pass();
      add(std::move(bytes));
    };
    return cb;
  }
};

} // namespace

CAF_TEST(an event that took long to read held up all other streams) {
  imposter server;
  auto body = text_of(large);
  server.when("/slow", reply{}.sse().send(body));
  server.when("/calm", reply{}.sse().send("data: 1\n\n").gate("a").send("data: 2\n\n"));
  http_client client;
  slow_reader slow;
  probe calm;
  client.start(post(server.url("/calm")), calm.callbacks());
  CAF_REQUIRE(calm.wait_body("data: 1\n\n"));
  client.start(post(server.url("/slow")), slow.callbacks(300'000));
  CAF_REQUIRE(slow.stop.wait());
  server.open("a");
  CAF_CHECK_EQUAL(calm.end().code, ec::none);
  auto before = slow.seen.inspect();
  CAF_CHECK(before.ends.empty() && before.body().size() < large); // it still waits
  slow.stop.let_go();
  CAF_CHECK_EQUAL(slow.seen.end().code, ec::none);
  auto after = slow.seen.inspect();
  CAF_CHECK(after.body() == body && !after.late && after.ends.size() == 1);
}

CAF_TEST(what a slow reader has not taken waits in the socket) {
  imposter server;
  server.when("/slow", reply{}.sse().send(std::string(std::size_t{64} << 20, 'x')));
  server.when("/other", reply{"ok"});
  http_client client;
  slow_reader slow;
  client.start(post(server.url("/slow")), slow.callbacks(300'000));
  CAF_REQUIRE(slow.stop.wait());
  for (int i = 0; i < 20; ++i) // many turns
    CAF_CHECK_EQUAL(run(client, post(server.url("/other"))).code, ec::none);
  slow.stop.let_go();
  CAF_REQUIRE(slow.seen.wait([](auto& r) { return r.pieces.size() > 100; }));
  for (auto& piece : slow.seen.inspect().pieces)
    CAF_CHECK(piece.size() <= std::size_t{128} << 10);
}

CAF_TEST(a slow transfer that is cancelled ends once behind what was read) {
  imposter server;
  server.when("/slow", reply{}.sse().send(text_of(large)).hang());
  server.when("/other", reply{"ok"});
  http_client client;
  slow_reader slow;
  auto id = client.start(post(server.url("/slow")), slow.callbacks(300'000));
  CAF_REQUIRE(slow.stop.wait());
  client.cancel(id);
  CAF_CHECK(server.wait([](auto& s) { return s.closed_by_client == 1; })); // the connection does not wait for the reader
  CAF_CHECK(slow.seen.inspect().ends.empty());
  slow.stop.let_go();
  CAF_CHECK_EQUAL(slow.seen.end().code, ec::cancelled);
  CAF_CHECK_EQUAL(run(client, post(server.url("/other"))).code, ec::none);
  auto after = slow.seen.inspect();
  CAF_CHECK(after.ends.size() == 1 && !after.late);
}

CAF_TEST(a client that ends waits for its slow readers) {
  imposter server;
  server.when("/slow", reply{}.sse().send(text_of(large)).hang());
  slow_reader slow;
  auto client = std::make_unique<http_client>();
  client->start(post(server.url("/slow")), slow.callbacks(300'000));
  CAF_REQUIRE(slow.stop.wait());
  std::thread other([&] { slow.stop.let_go(); });
  client.reset();
  other.join();
  auto after = slow.seen.inspect(); // no waiting: the destructor has returned
  CAF_CHECK(after.ends.size() == 1 && after.ends[0].code == ec::cancelled && !after.late);
}

CAF_TEST(a flood is read whole and in order beside the others) {
  imposter server;
  auto body = text_of(std::size_t{8} << 20);
  server.when("/flood", reply{}.sse().send(body));
  http_client client;
  std::vector<probe> all(4);
  for (auto& p : all)
    client.start(post(server.url("/flood")), p.callbacks());
  for (auto& p : all) {
    CAF_CHECK_EQUAL(p.end().code, ec::none);
    CAF_CHECK(p.inspect().body() == body);
  }
}
