// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Reads the certificate authorities a configuration or an environment names, before the first call needs them. Any thread; blocks
/// for file access.

#include "protocols/key_route.hpp"
#include "protocols/wire/http.hpp"

#include <memory>
#include <string>

namespace conclave {

/// Returns what to trust, nullptr for the system's authorities. A file of at most 8 MiB with at least one certificate, or a folder;
/// anything else is an `error` that names the setting and the path. A leading `~` is the user's home.
std::shared_ptr<const tls_trust> load_trust(const ca_choice& choice, std::string& error);

} // namespace conclave
