// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// CAF 0.17.6 does not empty OpenSSL's error queue before an operation, as SSL_get_error(3) requires. With OpenSSL 3 a peer that is
/// killed leaves "unexpected eof" in the queue of the network thread, and the next read of *another* connection that merely has to
/// wait is taken for a failure: the loss of one node closed the link to a healthy one in a quarter of all cases. These wrappers
/// stand in front of libssl for the whole program. In executables only: a library must not decide that. Source:
/// https://www.openssl.org/docs/man3.0/man3/SSL_get_error.html, read 2026-11-24.

#include <dlfcn.h>

extern "C" {

struct ssl_st;
void ERR_clear_error(void);

#define CONCLAVE_CLEAN(name, parameters, arguments)                                                                                \
  __attribute__((visibility("default"))) int name parameters {                                                                     \
    static auto real = reinterpret_cast<int(*) parameters>(dlsym(RTLD_NEXT, #name));                                               \
    ERR_clear_error();                                                                                                             \
    return real arguments;                                                                                                         \
  }

CONCLAVE_CLEAN(SSL_read, (ssl_st * s, void* buffer, int size), (s, buffer, size))
CONCLAVE_CLEAN(SSL_write, (ssl_st * s, const void* buffer, int size), (s, buffer, size))
CONCLAVE_CLEAN(SSL_connect, (ssl_st * s), (s))
CONCLAVE_CLEAN(SSL_accept, (ssl_st * s), (s))

} // extern "C"
