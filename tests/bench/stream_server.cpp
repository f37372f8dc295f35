// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// A model server for load measurements: answers every POST with a Chat Completions stream, in a process of its own.
///
/// Prints its port, then serves until its stdin closes. Settings come from the environment or, stronger, from the query:
///   STREAM_CHUNKS / chunks   text chunks per stream (200)
///   STREAM_RATE   / rate     chunks per second and stream, 0 = as fast as the socket takes them (50)
///   STREAM_SIZE   / size     least bytes of text per chunk (24)
///   STREAM_BURST  / burst    chunks per write (1)
/// A write is one packet on loopback, if it fits; every chunk is an HTTP chunk of its own and its text opens with "t=<nanoseconds
/// of CLOCK_MONOTONIC>;" of its sending. A request that offers the tool `vote` gets a vote for agent1 after the text, else one that
/// offers `new_answer` gets an answer.

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <queue>
#include <string>
#include <string_view>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock; // CLOCK_MONOTONIC on Linux

constexpr std::size_t max_request_bytes = 64 << 20;
constexpr std::size_t max_setting = 100'000'000;

struct settings {
  std::size_t chunks = 200;
  std::size_t rate = 50;
  std::size_t size = 24;
  std::size_t burst = 1;
};

struct connection {
  int fd = -1;
  std::uint64_t serial = 0; ///< tells a reused fd from its former owner in the queue of due writes
  std::string in;
  std::string out;  ///< what the socket did not take
  std::string tool; ///< offered and to be called, or empty
  settings set;
  std::size_t sent = 0;
  clock_type::time_point start;
  bool streaming = false;
  bool watched_for_writing = false;
};

struct due {
  clock_type::time_point at;
  int fd;
  std::uint64_t serial;
  bool operator>(const due& other) const { return at > other.at; }
};

std::size_t number(std::string_view text, std::size_t otherwise) {
  if (text.empty() || text.size() > 9 || text.find_first_not_of("0123456789") != std::string_view::npos)
    return otherwise;
  return std::min<std::size_t>(std::strtoull(std::string{text}.c_str(), nullptr, 10), max_setting);
}

std::size_t from_environment(const char* name, std::size_t otherwise) {
  auto* text = std::getenv(name);
  return text == nullptr ? otherwise : number(text, otherwise);
}

settings with_query(settings s, std::string_view target) {
  auto mark = target.find('?');
  auto query = mark == std::string_view::npos ? std::string_view{} : target.substr(mark + 1);
  while (!query.empty()) {
    auto pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    auto equals = pair.find('=');
    if (equals == std::string_view::npos)
      continue;
    auto name = pair.substr(0, equals);
    auto value = pair.substr(equals + 1);
    if (name == "chunks")
      s.chunks = number(value, s.chunks);
    else if (name == "rate")
      s.rate = number(value, s.rate);
    else if (name == "size")
      s.size = number(value, s.size);
    else if (name == "burst")
      s.burst = std::max<std::size_t>(number(value, s.burst), 1);
  }
  return s;
}

/// Returns the decision tool to call for this request.
std::string tool_of(const std::string& body) {
  auto json = nlohmann::json::parse(body, nullptr, false);
  bool answer = false;
  if (!json.is_object() || !json.contains("tools") || !json["tools"].is_array())
    return {};
  for (auto& tool : json["tools"]) {
    if (!tool.is_object() || !tool.contains("function") || !tool["function"].is_object())
      continue;
    auto& function = tool["function"];
    auto name = function.contains("name") && function["name"].is_string() ? function["name"].get<std::string>() : std::string{};
    if (name == "vote")
      return name;
    answer = answer || name == "new_answer";
  }
  return answer ? "new_answer" : "";
}

std::string event(std::string_view delta, std::string_view finish = "null") {
  std::string text =
      "data: {\"id\":\"load\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"load\",\"choices\":[{\"index\":0,"
      "\"delta\":";
  text.append(delta).append(",\"finish_reason\":").append(finish).append("}]}\n\n");
  return text;
}

std::string chunked(std::string_view bytes) {
  char size[24];
  auto count = std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  std::string text{size, static_cast<std::size_t>(count)};
  return text.append(bytes).append("\r\n");
}

std::string text_chunk(const settings& s) {
  auto text = "t=" + std::to_string(clock_type::now().time_since_epoch().count()) + ";";
  if (text.size() < s.size)
    text.append(s.size - text.size(), 'x');
  return chunked(event("{\"content\":\"" + text + " \"}"));
}

/// The end of a stream: the decision, the finish reason, the usage, the marker.
std::string closing(const connection& c) {
  std::string body;
  if (!c.tool.empty()) {
    std::string arguments =
        c.tool == "vote" ? R"({\"agent_id\":\"agent1\",\"reason\":\"load\"})" : R"({\"content\":\"An answer under load.\"})";
    body += event(R"({"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":")" + c.tool
                  + R"(","arguments":")" + arguments + R"("}}]})");
  }
  body += event("{}", c.tool.empty() ? "\"stop\"" : "\"tool_calls\"");
  auto count = std::to_string(c.set.chunks);
  body +=
      R"(data: {"id":"load","object":"chat.completion.chunk","created":1,"model":"load","choices":[],"usage":{"prompt_tokens":1,)"
      R"("completion_tokens":)"
      + count + R"(,"total_tokens":)" + count + "}}\n\ndata: [DONE]\n\n";
  return chunked(body) + "0\r\n\r\n";
}

class server {
public:
  explicit server(settings s) : defaults_(s) {}

  /// Returns the process's exit code.
  int run() {
    if (!listen_on_loopback())
      return std::perror("stream_server"), 1;
    std::printf("%d\n", port_);
    std::fflush(stdout);
    std::array<epoll_event, 512> events;
    for (;;) {
      auto count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), wait_ms());
      for (int i = 0; i < count; ++i) {
        auto fd = events[static_cast<std::size_t>(i)].data.fd;
        if (fd == STDIN_FILENO)
          return 0; // whoever started us is gone
        if (fd == listener_)
          accept_all();
        else if (auto c = connections_.find(fd); c != connections_.end())
          serve(*c->second);
      }
      serve_due();
    }
  }

private:
  bool watch(int operation, int fd, std::uint32_t what) const {
    epoll_event e{};
    e.events = what;
    e.data.fd = fd;
    return epoll_ctl(epoll_, operation, fd, &e) == 0;
  }

  bool listen_on_loopback() {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* plain = reinterpret_cast<sockaddr*>(&address);
    if (epoll_ < 0 || listener_ < 0 || bind(listener_, plain, size) != 0 || listen(listener_, 4096) != 0
        || getsockname(listener_, plain, &size) != 0)
      return false;
    port_ = ntohs(address.sin_port);
    watch(EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN | EPOLLHUP); // fails for a plain file such as /dev/null: then we serve until killed
    return watch(EPOLL_CTL_ADD, listener_, EPOLLIN);
  }

  void accept_all() {
    for (;;) {
      auto fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0)
        return;
      int one = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      auto c = std::make_unique<connection>();
      c->fd = fd;
      c->serial = ++serial_;
      connections_[fd] = std::move(c);
      watch(EPOLL_CTL_ADD, fd, EPOLLIN);
    }
  }

  void drop(const connection& c) {
    auto fd = c.fd;
    close(fd);
    connections_.erase(fd);
  }

  void serve(connection& c) {
    char buffer[16384];
    for (;;) {
      auto count = recv(c.fd, buffer, sizeof buffer, 0);
      if (count > 0)
        c.in.append(buffer, static_cast<std::size_t>(count));
      if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR) || c.in.size() > max_request_bytes)
        return drop(c);
      if (count < 0 || static_cast<std::size_t>(count) < sizeof buffer)
        break;
    }
    if (!c.streaming && !begin(c))
      return;
    advance(c);
  }

  /// Starts a stream if a whole request has come.
  bool begin(connection& c) {
    auto end = c.in.find("\r\n\r\n");
    if (end == std::string::npos)
      return false;
    auto head = c.in.substr(0, end);
    auto target = head.substr(0, head.find("\r\n"));
    std::ranges::transform(head, head.begin(), [](char ch) { return ch >= 'A' && ch <= 'Z' ? static_cast<char>(ch + 32) : ch; });
    std::size_t length = 0;
    if (auto at = head.find("\r\ncontent-length:"); at != std::string::npos)
      length = std::strtoull(head.c_str() + at + 17, nullptr, 10);
    if (length > max_request_bytes || c.in.size() - end - 4 < length)
      return false;
    c.tool = tool_of(c.in.substr(end + 4, length));
    c.in.erase(0, end + 4 + length);
    auto first = target.find(' ');
    auto second = target.rfind(' ');
    c.set =
        with_query(defaults_, first < second ? std::string_view{target}.substr(first + 1, second - first - 1) : std::string_view{});
    c.sent = 0;
    c.streaming = true;
    c.start = clock_type::now();
    if (c.set.rate != 0) // streams that began together must not beat in step: models do not
      c.start += std::chrono::nanoseconds{1'000'000'000ULL / c.set.rate * (c.serial * 619 % 1'000) / 1'000};
    c.out += "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    return true;
  }

  /// Sends what is due, one write per chunk, as far as the socket takes it.
  void advance(connection& c) {
    while (put(c) && c.streaming) {
      if (c.sent == c.set.chunks) {
        c.out = closing(c);
        c.streaming = false;
        continue;
      }
      if (auto at = due_at(c); at > clock_type::now()) {
        queue_.push({at, c.fd, c.serial});
        return;
      }
      for (std::size_t i = 0; i < c.set.burst && c.sent < c.set.chunks; ++i, ++c.sent)
        c.out += text_chunk(c.set);
    }
  }

  static clock_type::time_point due_at(const connection& c) {
    if (c.set.rate == 0)
      return c.start;
    return c.start + std::chrono::nanoseconds{1'000'000'000ULL * c.sent / c.set.rate};
  }

  /// Returns whether everything was sent and the connection still stands.
  bool put(connection& c) {
    while (!c.out.empty()) {
      auto count = send(c.fd, c.out.data(), c.out.size(), MSG_NOSIGNAL);
      if (count > 0) {
        c.out.erase(0, static_cast<std::size_t>(count));
        continue;
      }
      if (errno != EAGAIN && errno != EINTR) {
        drop(c);
        return false;
      }
      if (!c.watched_for_writing)
        c.watched_for_writing = watch(EPOLL_CTL_MOD, c.fd, EPOLLIN | EPOLLOUT);
      return false;
    }
    if (c.watched_for_writing)
      c.watched_for_writing = !watch(EPOLL_CTL_MOD, c.fd, EPOLLIN);
    return true;
  }

  int wait_ms() const {
    if (queue_.empty())
      return -1;
    auto left = std::chrono::ceil<std::chrono::milliseconds>(queue_.top().at - clock_type::now()).count();
    return static_cast<int>(std::clamp<long>(left, 0, 60'000));
  }

  void serve_due() {
    auto now = clock_type::now();
    while (!queue_.empty() && queue_.top().at <= now) {
      auto next = queue_.top();
      queue_.pop();
      auto c = connections_.find(next.fd);
      if (c != connections_.end() && c->second->serial == next.serial && c->second->streaming)
        advance(*c->second);
    }
  }

  settings defaults_;
  int epoll_ = -1;
  int listener_ = -1;
  int port_ = 0;
  std::uint64_t serial_ = 0;
  std::unordered_map<int, std::unique_ptr<connection>> connections_;
  std::priority_queue<due, std::vector<due>, std::greater<>> queue_;
};

} // namespace

int main() {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  settings s;
  s.chunks = from_environment("STREAM_CHUNKS", s.chunks);
  s.rate = from_environment("STREAM_RATE", s.rate);
  s.size = from_environment("STREAM_SIZE", s.size);
  s.burst = std::max<std::size_t>(from_environment("STREAM_BURST", s.burst), 1);
  return server{s}.run();
}
