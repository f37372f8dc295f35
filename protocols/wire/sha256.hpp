// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The name of a body: what is kept beside the log is found by what it holds. Pure; any thread.

#include <array>
#include <memory>
#include <string>
#include <string_view>

namespace conclave::wire {

/// Returns the SHA-256 of `bytes` as 64 lower-case hexadecimal digits. A library without SHA-256 ends the process: no store could
/// be trusted then.
std::string sha256(std::string_view bytes);

/// The 32 bytes themselves, where many are kept.
using digest = std::array<unsigned char, 32>;

digest sha256_digest(std::string_view bytes);

/// Returns a digest as 64 lower-case hexadecimal digits.
std::string to_hex(const digest& d);

/// Reads what `to_hex` wrote. Returns false, with `out` as it was, if it is something else.
bool from_hex(std::string_view text, digest& out);

/// The digest of bytes that come in parts; begins anew after `end`. One thread at a time.
class sha256_stream {
public:
  sha256_stream();
  ~sha256_stream();
  sha256_stream(const sha256_stream&) = delete;
  sha256_stream& operator=(const sha256_stream&) = delete;

  void add(std::string_view bytes);
  digest end();

private:
  struct state;
  std::unique_ptr<state> state_;
};

/// Returns whether `text` is written as `sha256` writes.
bool is_sha256(std::string_view text);

} // namespace conclave::wire
