// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What is said of certificates that cannot be used, and how an authority is told from another.

#define CAF_SUITE transports.pki

#include "transports/pki.hpp"

#include "caf/test/unit_test.hpp"

#include <openssl/x509_vfy.h>

#include <cstdlib>
#include <filesystem>

using namespace conclave;

CAF_TEST(a certificate out of its time points to the clock and a foreign one to the folder) {
  for (long verdict : {X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_CERT_NOT_YET_VALID}) {
    auto text = peer_certificate_fault(verdict);
    CAF_CHECK(text.find("the clock of this machine says 20") != std::string::npos);
    CAF_CHECK(text.find("authority") == std::string::npos);
  }
  for (long verdict : {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, X509_V_ERR_CERT_SIGNATURE_FAILURE}) {
    auto text = peer_certificate_fault(verdict);
    CAF_CHECK(text.find("not of our authority") != std::string::npos);
    CAF_CHECK(text.find("clock") == std::string::npos);
  }
  auto refused = own_certificate_refused("alert");
  CAF_CHECK(refused.find("tls folder") != std::string::npos && refused.find("the clock of this machine says") != std::string::npos);
}

CAF_TEST(machines with one folder show one fingerprint) {
  auto print = [] {
    auto dir = (std::filesystem::temp_directory_path() / "conclave-pki-XXXXXX").string();
    CAF_REQUIRE(::mkdtemp(dir.data()) != nullptr);
    ::setenv("CONCLAVE_HOME", dir.c_str(), 1);
    std::string error;
    auto files = tls_files({}, error);
    CAF_REQUIRE_EQUAL(error, "");
    auto out = certificate_fingerprint(files.ca);
    CAF_CHECK_EQUAL(out, certificate_fingerprint(tls_files({}, error).ca));
    CAF_CHECK_EQUAL(certificate_fingerprint(files.key), "");
    CAF_CHECK_EQUAL(certificate_fingerprint(dir + "/none"), "");
    std::filesystem::remove_all(dir);
    return out;
  };
  auto a = print(), b = print();
  CAF_CHECK_EQUAL(a.size(), 95u);
  CAF_CHECK(a != b);
}
