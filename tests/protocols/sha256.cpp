// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.sha256

#include "protocols/wire/sha256.hpp"

#include "caf/test/unit_test.hpp"

using namespace conclave::wire;

// Source: https://csrc.nist.gov/projects/cryptographic-standards-and-guidelines/example-values, SHA-256, read 2026-11-26.
CAF_TEST(bodies are named as the standard says) {
  CAF_CHECK_EQUAL(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CAF_CHECK_EQUAL(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CAF_CHECK_EQUAL(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CAF_CHECK_EQUAL(sha256(std::string(1'000'000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

CAF_TEST(every byte of a body counts) {
  CAF_CHECK(sha256(std::string("a\0b", 3)) != sha256(std::string("a\0c", 3)));
  CAF_CHECK(sha256(std::string(1, '\0')) != sha256(""));
  CAF_CHECK(sha256("\xFF\xFE") != sha256("\xEF\xBF\xBD\xEF\xBF\xBD"));
}

CAF_TEST(a name of a body is told from other texts) {
  auto name = sha256("x");
  CAF_CHECK(is_sha256(name));
  for (auto bad :
       {std::string{}, name.substr(1), name + "0", std::string(64, 'A'), std::string(63, '0') + "g", "../" + name.substr(3)})
    CAF_CHECK(!is_sha256(bad));
}
