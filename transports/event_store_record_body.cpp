// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// How long bodies are compressed.

#include "transports/event_store_record.hpp"

#include <zlib.h>

namespace conclave {

namespace {

/// The fastest. What takes much more room than was said is JSON full of escapes; that becomes short at any level, at this one ten
/// times as fast as by default. A transaction waits for it.
constexpr int level = Z_BEST_SPEED;

const Bytef* bytes_of(std::string_view text) {
  return reinterpret_cast<const Bytef*>(text.data());
}

Bytef* bytes_of(std::string& text) {
  return reinterpret_cast<Bytef*>(text.data());
}

} // namespace

std::string pack_body(std::string_view bytes) {
  if (bytes.size() < short_body || bytes.size() > longest_packed)
    return {};
  std::string out(bytes.size() - 1, '\0'); // what does not become shorter does not fit
  uLongf size = out.size();
  if (::compress2(bytes_of(out), &size, bytes_of(bytes), bytes.size(), level) != Z_OK)
    return {};
  out.resize(size);
  return out;
}

bool unpack_body(std::string_view data, std::size_t size, std::string& bytes) {
  if (size > longest_packed || data.size() >= size)
    return false;
  bytes.resize(size);
  uLongf made = size, taken = data.size();
  return ::uncompress2(bytes_of(bytes), &made, bytes_of(data), &taken) == Z_OK && made == size && taken == data.size();
}

} // namespace conclave
