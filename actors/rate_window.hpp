// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// How long a request to a provider waits for its key's limits: those of the configuration (`rate_limits`), and those the server
/// tells in its headers. Pure, times from the caller in milliseconds of any clock that does not go back.

#include "protocols/wire/rate_headers.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

namespace conclave {

/// 0 = not limited.
struct rate_limits {
  std::int64_t rpm = 0; ///< requests in any 60 s
  std::int64_t tpm = 0; ///< tokens in any 60 s, of prompt and reply
  std::int64_t rpd = 0; ///< requests in any 24 h
  bool operator==(const rate_limits&) const = default;
};

/// Returns limits that keep both.
rate_limits strictest(const rate_limits& a, const rate_limits& b);

/// At most `most` in any `span_ms`.
class sliding_window {
public:
  explicit sliding_window(std::int64_t span_ms) : span_ms_(span_ms) {}
  void set(std::int64_t most) { most_ = most; }
  std::int64_t most() const { return most_; }

  /// Returns how long `amount` waits; 0 = it fits. What is more than fits at all waits until nothing else is there.
  std::int64_t wait(std::int64_t now, std::int64_t amount);
  void take(std::int64_t now, std::uint64_t id, std::int64_t amount); ///< ids grow
  void correct(std::uint64_t id, std::int64_t amount);                ///< it took this much

private:
  struct entry {
    std::int64_t at;
    std::uint64_t id;
    std::int64_t amount;
  };
  void forget(std::int64_t now);

  std::int64_t span_ms_, most_ = 0, sum_ = 0;
  std::deque<entry> entries_;
};

class rate_limiter {
public:
  /// What a request has to wait for.
  struct verdict {
    std::int64_t ms = 0;
    std::string limit;     ///< for people, as of the configuration: "`rpm: 10`"; empty = the server's
    bool of_model = false; ///< requests to other models need not wait behind it
  };

  void limit(const rate_limits& to); ///< together with what held before
  void learn(const std::string& model, const std::vector<wire::rate_state>& told, std::int64_t now);

  /// `longest`: of a wait for what the server told; a request that would have to wait longer is let pass, the server has the word.
  verdict wait(const std::string& model, std::int64_t tokens, std::int64_t now, std::int64_t longest);
  std::uint64_t take(const std::string& model, std::int64_t tokens, std::int64_t now);
  void correct(std::uint64_t id, std::int64_t tokens);

private:
  struct learned {
    wire::rate_state told;
    std::int64_t at = 0;
    std::int64_t taken = 0; ///< since then
  };
  static std::int64_t wait_for(const learned& w, std::int64_t tokens, std::int64_t now);

  rate_limits limits_;
  sliding_window requests_{60'000}, tokens_{60'000}, day_{86'400'000};
  std::map<std::string, std::vector<learned>> learned_; ///< by model: providers count each apart
  std::uint64_t ids_ = 0;
};

} // namespace conclave
