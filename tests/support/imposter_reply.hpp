// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The script of one reply of the imposter server. Include imposter.hpp.

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace conclave::test {

/// What the server does with one request. Without raw() it writes a head by itself: Content-Length over all that is sent, or
/// chunks.
class reply {
public:
  enum class kind { send, pause, gate, disconnect, reset, hang };
  struct step {
    kind what;
    std::string text;
    std::chrono::milliseconds time{0};
  };

  reply() = default;
  explicit reply(std::string body) { send(std::move(body)); }

  reply& status(int code, std::string reason = "Imposter") { return code_ = code, reason_ = std::move(reason), *this; }
  reply& header(std::string name, std::string value) { return headers_.emplace_back(std::move(name), std::move(value)), *this; }
  reply& chunked() { return framing_ = framing::chunked, *this; }
  reply& until_close() { return framing_ = framing::close, *this; } ///< no length: the body ends with the connection
  reply& raw() { return framing_ = framing::raw, *this; }           ///< no head: every byte on the wire is yours
  reply& sse() { return header("Content-Type", "text/event-stream").chunked(); }
  /// Promises more bytes than are sent.
  reply& content_length(std::size_t count) { return length_ = count, *this; }

  reply& send(std::string bytes) { return add({kind::send, std::move(bytes)}); } ///< one write, thus one packet on loopback
  reply& pause(std::chrono::milliseconds time) { return add({kind::pause, {}, time}); }
  reply& gate(std::string name) { return add({kind::gate, std::move(name)}); } ///< waits for imposter::open(name)
  reply& disconnect() { return add({kind::disconnect, {}}); }
  reply& reset() { return add({kind::reset, {}}); } ///< as disconnect, by RST
  reply& hang() { return add({kind::hang, {}}); }   ///< says nothing more until the client leaves

private:
  friend class imposter;
  enum class framing { length, chunked, close, raw };

  reply& add(step s) { return steps_.push_back(std::move(s)), *this; }

  std::string head() const {
    if (framing_ == framing::raw)
      return {};
    auto text = "HTTP/1.1 " + std::to_string(code_) + " " + reason_ + "\r\n";
    for (auto& [name, value] : headers_)
      text += name + ": " + value + "\r\n";
    if (framing_ == framing::chunked)
      text += "Transfer-Encoding: chunked\r\n";
    if (framing_ == framing::close)
      text += "Connection: close\r\n";
    if (framing_ == framing::length) {
      std::size_t sum = 0;
      for (auto& s : steps_)
        sum += s.what == kind::send ? s.text.size() : 0;
      text += "Content-Length: " + std::to_string(length_.value_or(sum)) + "\r\n";
    }
    return text + "\r\n";
  }

  std::string framed(const std::string& bytes) const {
    if (framing_ != framing::chunked || bytes.empty())
      return bytes;
    char size[32];
    auto count = static_cast<std::size_t>(snprintf(size, sizeof size, "%zx\r\n", bytes.size()));
    return std::string{size, count} + bytes + "\r\n";
  }

  int code_ = 200;
  std::string reason_ = "OK";
  std::vector<std::pair<std::string, std::string>> headers_;
  framing framing_ = framing::length;
  std::optional<std::size_t> length_;
  std::vector<step> steps_;
};

} // namespace conclave::test
