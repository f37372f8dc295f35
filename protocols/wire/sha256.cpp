// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/sha256.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace conclave::wire {

namespace {

// Looked up once: EVP_sha256() is looked up in each call, which takes longer than a short text. It stays until the process ends.
// Source: https://docs.openssl.org/3.0/man7/crypto/, "Performance", read 2026-11-26.
const EVP_MD* algorithm() {
  static const EVP_MD* const found = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return found;
}

[[noreturn]] void give_up() {
  std::fputs("SHA-256 is not to be had from OpenSSL\n", stderr);
  std::abort();
}

} // namespace

digest sha256_digest(std::string_view bytes) {
  digest out{};
  unsigned int size = 0;
  // Source: https://docs.openssl.org/3.0/man3/EVP_DigestInit/, EVP_Digest, read 2026-11-26: 1 for success.
  if (algorithm() == nullptr || EVP_MD_get_size(algorithm()) != static_cast<int>(out.size())
      || EVP_Digest(bytes.data(), bytes.size(), out.data(), &size, algorithm(), nullptr) != 1)
    give_up();
  return out;
}

std::string to_hex(const digest& d) {
  static constexpr const char* digits = "0123456789abcdef";
  std::string out(2 * d.size(), '0');
  auto* to = out.data();
  for (auto byte : d) {
    *to++ = digits[byte >> 4];
    *to++ = digits[byte & 15];
  }
  return out;
}

bool from_hex(std::string_view text, digest& out) {
  if (!is_sha256(text))
    return false;
  auto value = [](char c) { return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10); };
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<unsigned char>(value(text[2 * i]) << 4 | value(text[2 * i + 1]));
  return true;
}

std::string sha256(std::string_view bytes) {
  return to_hex(sha256_digest(bytes));
}

struct sha256_stream::state {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
  bool begun = false;
};

sha256_stream::sha256_stream() : state_(std::make_unique<state>()) {
  if (algorithm() == nullptr || state_->context == nullptr || EVP_MD_get_size(algorithm()) != 32)
    give_up();
}

sha256_stream::~sha256_stream() = default;

void sha256_stream::add(std::string_view bytes) {
  if (!state_->begun && EVP_DigestInit_ex(state_->context.get(), algorithm(), nullptr) != 1)
    give_up();
  state_->begun = true;
  if (EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()) != 1)
    give_up();
}

digest sha256_stream::end() {
  add({});
  digest out{};
  unsigned int size = 0;
  if (EVP_DigestFinal_ex(state_->context.get(), out.data(), &size) != 1)
    give_up();
  state_->begun = false;
  return out;
}

bool is_sha256(std::string_view text) {
  return text.size() == 64
         && std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

} // namespace conclave::wire
