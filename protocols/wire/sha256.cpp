// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/sha256.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

namespace conclave::wire {

std::string sha256(std::string_view bytes) {
  // Looked up once: EVP_sha256() is looked up in each call, which takes longer than a short text. It stays until the process ends.
  // Source: https://docs.openssl.org/3.0/man7/crypto/, "Performance", read 2026-11-26.
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  // Source: https://docs.openssl.org/3.0/man3/EVP_DigestInit/, EVP_Digest, read 2026-11-26: 1 for success.
  if (algorithm == nullptr || EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, algorithm, nullptr) != 1 || size != 32) {
    std::fputs("SHA-256 is not to be had from OpenSSL\n", stderr);
    std::abort();
  }
  static constexpr const char* digits = "0123456789abcdef";
  std::string out(std::size_t{2} * size, '0');
  auto* to = out.data();
  for (unsigned int i = 0; i < size; ++i) {
    *to++ = digits[digest[i] >> 4];
    *to++ = digits[digest[i] & 15];
  }
  return out;
}

bool is_sha256(std::string_view text) {
  return text.size() == 64
         && std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

} // namespace conclave::wire
