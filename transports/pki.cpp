// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/pki.hpp"

#include "transports/home.hpp"

#include <climits>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <memory>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace conclave {

namespace {

template <class T, void (*F)(T*)>
struct freer {
  void operator()(T* p) const { F(p); }
};
using key_ptr = std::unique_ptr<EVP_PKEY, freer<EVP_PKEY, EVP_PKEY_free>>;
using cert_ptr = std::unique_ptr<X509, freer<X509, X509_free>>;
struct free_bio {
  void operator()(BIO* b) const { BIO_free(b); }
};
using bio_ptr = std::unique_ptr<BIO, free_bio>;
using store_ptr = std::unique_ptr<X509_STORE, freer<X509_STORE, X509_STORE_free>>;
using context_ptr = std::unique_ptr<X509_STORE_CTX, freer<X509_STORE_CTX, X509_STORE_CTX_free>>;

constexpr long ten_years = 10L * 365 * 24 * 3600;

std::string last_error() {
  auto code = ERR_get_error();
  ERR_clear_error();
  if (ERR_SYSTEM_ERROR(code))
    return std::strerror(ERR_GET_REASON(code));
  auto* text = code == 0 ? nullptr : ERR_reason_error_string(code);
  return text == nullptr ? "unknown reason" : text;
}

bool extend(X509* cert, X509* issuer, int nid, const char* value) {
  X509V3_CTX ctx;
  X509V3_set_ctx(&ctx, issuer, cert, nullptr, nullptr, 0);
  auto* e = X509V3_EXT_conf_nid(nullptr, &ctx, nid, value);
  if (e == nullptr)
    return false;
  auto ok = X509_add_ext(cert, e, -1) == 1;
  X509_EXTENSION_free(e);
  return ok;
}

/// Makes a certificate for `key`, signed by `issuer` (nullptr: by itself, as a CA).
cert_ptr make_cert(EVP_PKEY* key, const char* name, X509* issuer, EVP_PKEY* issuer_key) {
  cert_ptr cert{X509_new()};
  unsigned char serial[8];
  if (!cert || RAND_bytes(serial, sizeof serial) != 1)
    return nullptr;
  serial[0] &= 0x7F;
  std::uint64_t n = 0;
  std::memcpy(&n, serial, sizeof n);
  auto* subject = X509_get_subject_name(cert.get());
  auto ok = X509_set_version(cert.get(), 2) == 1 && ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert.get()), n >> 1) == 1
            && X509_gmtime_adj(X509_getm_notBefore(cert.get()), -3600) != nullptr
            && X509_gmtime_adj(X509_getm_notAfter(cert.get()), ten_years) != nullptr && X509_set_pubkey(cert.get(), key) == 1
            && X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(name), -1, -1, 0) == 1
            && X509_set_issuer_name(cert.get(), issuer == nullptr ? subject : X509_get_subject_name(issuer)) == 1;
  auto* above = issuer == nullptr ? cert.get() : issuer;
  ok = ok && extend(cert.get(), above, NID_basic_constraints, issuer == nullptr ? "critical,CA:TRUE" : "critical,CA:FALSE")
       && extend(cert.get(), above, NID_key_usage, issuer == nullptr ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature")
       && extend(cert.get(), above, NID_subject_key_identifier, "hash") && X509_sign(cert.get(), issuer_key, EVP_sha256()) > 0;
  return ok ? std::move(cert) : nullptr;
}

std::string pem(X509* cert) {
  bio_ptr b{BIO_new(BIO_s_mem())};
  PEM_write_bio_X509(b.get(), cert);
  char* data = nullptr;
  auto n = BIO_get_mem_data(b.get(), &data);
  return {data, static_cast<std::size_t>(n)};
}

std::string pem(EVP_PKEY* key) {
  bio_ptr b{BIO_new(BIO_s_mem())};
  PEM_write_bio_PrivateKey(b.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  char* data = nullptr;
  auto n = BIO_get_mem_data(b.get(), &data);
  return {data, static_cast<std::size_t>(n)};
}

bool exists(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0;
}

cert_ptr read_cert(const std::string& path, std::string& error) {
  bio_ptr b{BIO_new_file(path.c_str(), "r")};
  cert_ptr c{b ? PEM_read_bio_X509(b.get(), nullptr, nullptr, nullptr) : nullptr};
  if (!c)
    error = "cannot read certificate " + path + ": " + last_error();
  return c;
}

key_ptr read_key(const std::string& path, std::string& error) {
  bio_ptr b{BIO_new_file(path.c_str(), "r")};
  auto refuse = [](char*, int, int, void*) { return 0; }; // never prompt for a passphrase
  key_ptr k{b ? PEM_read_bio_PrivateKey(b.get(), nullptr, refuse, nullptr) : nullptr};
  if (!k)
    error = "cannot read private key " + path + ": " + last_error();
  return k;
}

std::string time_text(const ASN1_TIME* at) {
  std::tm tm{};
  char text[32] = "an unreadable date";
  if (at != nullptr && ASN1_TIME_to_tm(at, &tm) == 1)
    std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &tm);
  return text;
}

std::string clock_text() {
  std::unique_ptr<ASN1_TIME, freer<ASN1_TIME, ASN1_TIME_free>> now{X509_gmtime_adj(nullptr, 0)};
  return "the clock of this machine says " + time_text(now.get());
}

/// About the dates of a certificate rather than about who signed it.
bool is_about_time(long verdict) {
  return verdict == X509_V_ERR_CERT_NOT_YET_VALID || verdict == X509_V_ERR_CERT_HAS_EXPIRED;
}

constexpr const char* same_folder = ": all machines of a cluster need the same tls folder (docs/cluster.md, \"Who may connect\")";

/// Why the check of our own certificate failed: which file, and for dates what the clock says.
std::string chain_fault(const tls_config& t, X509_STORE_CTX* ctx) {
  auto verdict = X509_STORE_CTX_get_error(ctx);
  auto* why = X509_verify_cert_error_string(verdict);
  auto* cert = X509_STORE_CTX_get_current_cert(ctx);
  if (!is_about_time(verdict) || cert == nullptr)
    return "certificate " + t.cert + " is not valid under " + t.ca + ": " + why;
  return "certificate " + (X509_STORE_CTX_get_error_depth(ctx) == 0 ? t.cert : t.ca) + ": " + why + "; it is valid from "
         + time_text(X509_get0_notBefore(cert)) + " to " + time_text(X509_get0_notAfter(cert)) + ", and " + clock_text()
         + ": set the clock, or make new certificates";
}

std::string verify(const tls_config& t) {
  std::string error;
  auto ca = read_cert(t.ca, error);
  auto cert = ca ? read_cert(t.cert, error) : nullptr;
  auto key = cert ? read_key(t.key, error) : nullptr;
  if (!key)
    return error;
  if (X509_check_private_key(cert.get(), key.get()) != 1)
    return "private key " + t.key + " does not belong to certificate " + t.cert;
  store_ptr store{X509_STORE_new()};
  context_ptr ctx{X509_STORE_CTX_new()};
  if (!store || !ctx || X509_STORE_add_cert(store.get(), ca.get()) != 1
      || X509_STORE_CTX_init(ctx.get(), store.get(), cert.get(), nullptr) != 1)
    return "cannot check certificate " + t.cert + ": " + last_error();
  if (X509_verify_cert(ctx.get()) != 1)
    return chain_fault(t, ctx.get());
  return {};
}

/// Creates what is missing, under a lock: two processes may start at once.
std::string create(const std::string& dir, const tls_config& t) {
  if (::mkdir(dir.c_str(), 0700) != 0 && errno != EEXIST)
    return "cannot create " + dir + ": " + std::strerror(errno);
  auto lock = ::open((dir + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0 || ::flock(lock, LOCK_EX) != 0) {
    if (lock >= 0)
      ::close(lock);
    return "cannot lock " + dir + ": " + std::strerror(errno);
  }
  std::string error;
  auto ca_key_path = dir + "/ca.key";
  key_ptr ca_key;
  cert_ptr ca;
  auto write = [&](const std::string& path, const std::string& text) {
    if (error.empty())
      error = write_atomically(path, text, 0600);
  };
  if (!exists(t.ca)) {
    ca_key.reset(EVP_EC_gen("P-256"));
    if (ca_key)
      ca = make_cert(ca_key.get(), "conclave user CA", nullptr, ca_key.get());
    if (!ca)
      error = "cannot make the certificate authority: " + last_error();
    else {
      write(ca_key_path, pem(ca_key.get()));
      write(t.ca, pem(ca.get()));
    }
  } else if (!exists(t.cert) || !exists(t.key)) {
    ca = read_cert(t.ca, error);
    if (ca)
      ca_key = read_key(ca_key_path, error);
  }
  if (error.empty() && (!exists(t.cert) || !exists(t.key))) {
    key_ptr key{EVP_EC_gen("P-256")};
    auto cert = key ? make_cert(key.get(), "conclave node", ca.get(), ca_key.get()) : nullptr;
    if (!cert)
      error = "cannot make the node's certificate: " + last_error();
    else {
      write(t.key, pem(key.get()));
      write(t.cert, pem(cert.get()));
    }
  }
  ::close(lock); // releases it
  return error;
}

} // namespace

std::string certificate_fingerprint(const std::string& path) {
  std::string ignored;
  auto cert = read_cert(path, ignored);
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes;
  unsigned size = 0;
  if (!cert || X509_digest(cert.get(), EVP_sha256(), bytes.data(), &size) != 1)
    return {};
  std::string out;
  for (unsigned i = 0; i < size; ++i) {
    char text[4];
    std::snprintf(text, sizeof text, "%s%02X", i == 0 ? "" : ":", bytes[i]);
    out += text;
  }
  return out;
}

std::string peer_certificate_fault(long verdict) {
  std::string why = X509_verify_cert_error_string(verdict);
  if (is_about_time(verdict))
    return "its certificate cannot be used now (" + why + "): " + clock_text()
           + "; set the clocks of both machines, or make new certificates";
  return "its certificate is not of our authority (" + why + ")" + same_folder;
}

std::string own_certificate_refused(const std::string& alert) {
  return "it refuses our certificate (" + alert + ")" + same_folder + ", and clocks that agree: " + clock_text();
}

std::string certificates_fault(const std::string& pem) {
  bio_ptr in{BIO_new_mem_buf(pem.data(), static_cast<int>(std::min<std::size_t>(pem.size(), INT_MAX)))};
  std::size_t count = 0;
  ERR_clear_error();
  while (in && cert_ptr{PEM_read_bio_X509_AUX(in.get(), nullptr, nullptr, nullptr)})
    ++count;
  auto at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  auto why = last_error();
  if (count == 0 && at_end)
    return "holds no PEM certificate (BEGIN CERTIFICATE)";
  return at_end ? "" : "holds a certificate that cannot be read: " + why;
}

tls_config tls_files(const tls_config& wanted, std::string& error) {
  auto t = wanted;
  for (auto* path : {&t.cert, &t.key, &t.ca})
    if (auto fault = expand_home(*path); !fault.empty())
      error = fault;
  if (!error.empty())
    return t;
  if (t.cert.empty() && t.key.empty() && t.ca.empty()) {
    auto home = home_dir(error);
    if (home.empty())
      return t;
    auto dir = home + "/tls";
    t.ca = dir + "/ca.pem";
    t.cert = dir + "/node.pem";
    t.key = dir + "/node.key";
    if (!exists(t.ca) || !exists(t.cert) || !exists(t.key))
      error = create(dir, t);
    if (!error.empty())
      return t;
  } else if (t.cert.empty() || t.key.empty() || t.ca.empty()) {
    error = "cluster.tls needs all of cert, key and ca, or none";
    return t;
  }
  error = verify(t);
  return t;
}

} // namespace conclave
