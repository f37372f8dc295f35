// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What tests of http_client share: a recorder of callbacks, short requests, a port that refuses.

#include "transports/http_client.hpp"

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <netinet/in.h>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace conclave::test {

/// For everything a test waits for; long, as it only ever passes when something is wrong.
constexpr std::chrono::seconds deadline{10};

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

inline http_request get(std::string url) {
  http_request r;
  r.method = "GET";
  r.url = std::move(url);
  return r;
}

inline http_request post(std::string url, std::string body = "{}") {
  http_request r;
  r.url = std::move(url);
  r.headers = {{"Content-Type", "application/json"}};
  r.body = std::move(body);
  return r;
}

inline http_end run(http_client& client, http_request r) {
  probe p;
  client.start(std::move(r), p.callbacks());
  return p.end();
}

inline bool has(const std::string& text, std::string_view part) {
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

} // namespace conclave::test
