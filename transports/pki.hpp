// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The per-user certificate authority behind a cluster's mutual TLS. Made on first use in $CONCLAVE_HOME/tls (0700, files 0600):
/// ca.pem, ca.key, node.pem, node.key. Joining two hosts copies that folder. Any thread; blocks for file access.

#include "protocols/config.hpp"

#include <string>

namespace conclave {

/// Returns the paths to use: those of `wanted` if any is set, else the per-user ones, created if missing. Every file is read and
/// the key is checked against its certificate and the certificate against the CA, because the TLS stack would only find out at the
/// first connection. On failure `error` says what and where.
tls_config tls_files(const tls_config& wanted, std::string& error);

/// Returns the SHA-256 of the first certificate in this file, as `openssl x509 -noout -fingerprint -sha256` prints it; empty if
/// there is none. Machines of one cluster show the same one.
std::string certificate_fingerprint(const std::string& path);

/// Returns what a failed check of a peer's certificate means (`verdict`: X509_V_ERR_...), and what to do.
std::string peer_certificate_fault(long verdict);

/// Returns what it means that a peer turned our certificate down with this alert, and what to do.
std::string own_certificate_refused(const std::string& alert);

/// Returns why this text is no list of PEM certificates, or empty: it needs one, and each must be readable.
std::string certificates_fault(const std::string& pem);

} // namespace conclave
