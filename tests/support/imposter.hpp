// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A scriptable HTTP/1.1 server on the loopback interface: says what it was told, then tells what it heard.
///
///   imposter server;
///   server.when("/v1/chat", reply{}.chunked().send("data: a\n\n").gate("go").send("data: b\n\n"));
///   ... client.start(server.url("/v1/chat")) ...
///   server.open("go");                              // lets every reply pass the gate of that name
///   CHECK(server.wait([](auto& s) { return s.requests.size() == 1; }));
///
/// One thread, plain sockets. `when` may be called often for a path: replies are used in turn, the last one for good.

#include "support/imposter_reply.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <poll.h>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace conclave::test {

class imposter {
public:
  struct request {
    std::string method;
    std::string target; ///< with query
    std::string path;
    std::vector<std::pair<std::string, std::string>> headers; ///< names lower-cased
    std::string body;
    std::size_t connection = 0; ///< which accept it came by, from 1

    /// The value of a lower-case header name, empty if there is none.
    std::string header(std::string_view name) const {
      for (auto& [key, value] : headers)
        if (key == name)
          return value;
      return {};
    }
  };

  /// All the server has seen. Only valid inside wait() and inspect().
  struct seen {
    std::vector<request> requests;
    std::size_t accepts = 0;
    std::size_t closed_by_client = 0; ///< connections the client left, in whatever state
    std::size_t closed_by_server = 0;
    std::size_t replied = 0; ///< replies carried out to their end
  };

  using handler = std::function<reply(const request&)>;

  imposter() {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    wake_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 1024) != 0
        || ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      throw std::runtime_error("imposter: no loopback socket");
    port_ = ntohs(address.sin_port);
    thread_ = std::thread{[this] { run(); }};
  }

  ~imposter() {
    stop_ = true;
    wake();
    thread_.join();
    for (auto& c : connections_)
      ::close(c.fd);
    ::close(listener_);
    ::close(wake_);
  }

  imposter(const imposter&) = delete;
  imposter& operator=(const imposter&) = delete;

  std::uint16_t port() const { return port_; }
  std::string url(const std::string& target = "/") const { return "http://127.0.0.1:" + std::to_string(port_) + target; }

  /// Requests for `path` (compared without query) get this reply. Others get 404.
  void when(const std::string& path, reply r) {
    std::lock_guard guard{mutex_};
    scripts_[path].push_back(std::move(r));
  }

  /// As above, with a reply made from the request. It runs on the server's thread.
  void when(const std::string& path, handler h) {
    std::lock_guard guard{mutex_};
    handlers_[path] = std::move(h);
  }

  /// Lets replies pass `gate(name)`, now and later.
  void open(const std::string& name) {
    {
      std::lock_guard guard{mutex_};
      open_.insert(name);
    }
    wake();
  }

  /// Returns whether `test` came true before the deadline.
  bool wait(const std::function<bool(const seen&)>& test, std::chrono::milliseconds limit = std::chrono::seconds{10}) {
    std::unique_lock guard{mutex_};
    return changed_.wait_for(guard, limit, [&] { return test(seen_); });
  }

  seen inspect() {
    std::lock_guard guard{mutex_};
    return seen_;
  }

private:
  using clock = std::chrono::steady_clock;
  static constexpr std::size_t max_request_bytes = 64 << 20;

  struct connection {
    int fd = -1;
    std::size_t number = 0;
    std::string in;
    std::string out;
    std::size_t sent = 0; ///< of it
    std::optional<reply> script;
    std::size_t next = 0;
    clock::time_point resume{};
    bool dead = false;
    bool left = false; ///< by the client
    bool close_when_sent = false;
    bool hangs = false;
  };

  void wake() {
    std::uint64_t one = 1;
    (void) !::write(wake_, &one, sizeof one);
  }

  void run() {
    while (!stop_) {
      std::vector<pollfd> fds{{wake_, POLLIN, 0}, {listener_, POLLIN, 0}};
      for (auto& c : connections_)
        fds.push_back({c.fd, static_cast<short>(POLLIN | (c.out.empty() ? 0 : POLLOUT)), 0});
      ::poll(fds.data(), fds.size(), wait_ms());
      std::uint64_t count = 0;
      (void) !::read(wake_, &count, sizeof count);
      std::size_t i = 2;
      for (auto& c : connections_)
        if (fds[i++].revents != 0)
          receive(c);
      for (auto& c : connections_)
        progress(c);
      bury();
      if (fds[1].revents != 0)
        accept_all();
    }
  }

  int wait_ms() const {
    auto due = clock::time_point::max();
    for (auto& c : connections_)
      if (c.script && c.resume > clock::now())
        due = std::min(due, c.resume);
    if (due == clock::time_point::max())
      return -1;
    return static_cast<int>(std::max<long>(0, std::chrono::ceil<std::chrono::milliseconds>(due - clock::now()).count()));
  }

  void accept_all() {
    for (;;) {
      auto fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0)
        return;
      int one = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      note([&](seen& s) { ++s.accepts; });
      connections_.push_back({});
      connections_.back().fd = fd;
      connections_.back().number = seen_.accepts; // written by this thread alone
    }
  }

  template <class F>
  void note(F f) {
    std::lock_guard guard{mutex_};
    f(seen_);
    changed_.notify_all();
  }

  void receive(connection& c) {
    char buffer[16384];
    for (;;) {
      auto count = ::recv(c.fd, buffer, sizeof buffer, 0);
      if (count > 0) {
        c.in.append(buffer, static_cast<std::size_t>(count));
        c.dead = c.dead || c.in.size() > max_request_bytes;
        continue;
      }
      if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
      leave(c);
      return;
    }
  }

  void leave(connection& c) {
    c.dead = c.left = true;
    note([](seen& s) { ++s.closed_by_client; });
  }

  /// Runs the script as far as it goes without waiting, then looks for the next request.
  void progress(connection& c) {
    while (!c.dead) {
      if (!drain(c))
        return;
      if (!c.script && !next_request(c))
        return;
      if (c.resume > clock::now() || c.hangs || !run_step(c))
        return;
    }
  }

  /// Returns whether everything was sent. The other connections have their turn after each piece of a long reply.
  bool drain(connection& c) {
    if (!c.out.empty()) {
      auto count = ::send(c.fd, c.out.data() + c.sent, c.out.size() - c.sent, MSG_NOSIGNAL);
      if (count < 0 && errno != EAGAIN && errno != EINTR)
        leave(c);
      c.sent += static_cast<std::size_t>(std::max<ssize_t>(count, 0));
      if (c.sent < c.out.size())
        return false;
      c.out.clear();
      c.sent = 0;
    }
    c.dead = c.dead || c.close_when_sent;
    return !c.dead;
  }

  /// Returns false if the script has to wait.
  bool run_step(connection& c) {
    auto& r = *c.script;
    if (c.next == r.steps_.size()) {
      if (r.framing_ == reply::framing::chunked)
        c.out += "0\r\n\r\n";
      c.close_when_sent = r.framing_ == reply::framing::close;
      c.script.reset();
      note([](seen& s) { ++s.replied; });
      return true;
    }
    auto& s = r.steps_[c.next];
    if (s.what == reply::kind::gate) {
      std::lock_guard guard{mutex_};
      if (!open_.contains(s.text))
        return false;
    }
    ++c.next;
    switch (s.what) {
    case reply::kind::send:
      c.out += r.framed(s.text);
      break;
    case reply::kind::pause:
      c.resume = clock::now() + s.time;
      break;
    case reply::kind::reset: {
      linger hard{1, 0};
      ::setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
      c.dead = true;
      break;
    }
    case reply::kind::disconnect:
      c.dead = true;
      break;
    case reply::kind::hang:
      c.hangs = true;
      break;
    case reply::kind::gate:
      break;
    }
    return true;
  }

  /// Returns whether a whole request was there; its script is set then.
  bool next_request(connection& c) {
    auto end = c.in.find("\r\n\r\n");
    if (end == std::string::npos)
      return false;
    request r;
    auto head = c.in.substr(0, end);
    auto eol = head.find("\r\n");
    auto line = head.substr(0, eol);
    auto first = line.find(' ');
    auto second = line.find(' ', first + 1);
    if (first == std::string::npos || second == std::string::npos) {
      c.dead = true;
      return false;
    }
    r.method = line.substr(0, first);
    r.target = line.substr(first + 1, second - first - 1);
    r.path = r.target.substr(0, r.target.find('?'));
    r.connection = c.number;
    while (eol != std::string::npos) {
      auto start = eol + 2;
      eol = head.find("\r\n", start);
      add_header(r, head.substr(start, eol == std::string::npos ? eol : eol - start));
    }
    auto length = static_cast<std::size_t>(std::strtoull(r.header("content-length").c_str(), nullptr, 10));
    if (c.in.size() - end - 4 < length)
      return false;
    r.body = c.in.substr(end + 4, length);
    c.in.erase(0, end + 4 + length);
    begin(c, r);
    note([&](seen& s) { s.requests.push_back(std::move(r)); });
    return true;
  }

  static void add_header(request& r, const std::string& line) {
    auto colon = line.find(':');
    if (colon == std::string::npos)
      return;
    auto name = line.substr(0, colon);
    std::ranges::transform(name, name.begin(), [](char ch) { return ch >= 'A' && ch <= 'Z' ? static_cast<char>(ch + 32) : ch; });
    auto value = line.find_first_not_of(' ', colon + 1);
    r.headers.emplace_back(std::move(name), value == std::string::npos ? std::string{} : line.substr(value));
  }

  void begin(connection& c, const request& r) {
    c.script = choose(r);
    c.next = 0;
    c.resume = {};
    c.out += c.script->head();
  }

  reply choose(const request& r) {
    handler make;
    {
      std::lock_guard guard{mutex_};
      if (auto h = handlers_.find(r.path); h != handlers_.end()) {
        make = h->second;
      } else {
        auto s = scripts_.find(r.path);
        if (s == scripts_.end())
          return reply{"no script for " + r.path}.status(404, "Not Found");
        auto chosen = s->second.front();
        if (s->second.size() > 1)
          s->second.pop_front();
        return chosen;
      }
    }
    return make(r);
  }

  void bury() {
    connections_.remove_if([this](connection& c) {
      if (!c.dead)
        return false;
      ::close(c.fd);
      if (!c.left)
        note([](seen& s) { ++s.closed_by_server; });
      return true;
    });
  }

  int listener_ = -1;
  int wake_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::deque<reply>> scripts_; ///< guarded, as the rest down to seen_
  std::map<std::string, handler> handlers_;
  std::set<std::string> open_;
  seen seen_;
  std::list<connection> connections_; ///< the thread's own
  std::thread thread_;
};

} // namespace conclave::test
