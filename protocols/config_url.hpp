// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// URLs and addresses as a configuration names them. Strict: what curl might read differently from us is refused, because keys are
/// bound to hosts. Pure.

#include <string>

namespace conclave {

/// Returns the lower-case host of an http or https URL (IPv6 without brackets), or empty for anything else: other schemes, user
/// names in the URL, a bad port, characters no host has.
std::string url_host(const std::string& url);

/// Returns whether `host` (any case; IPv6 with or without brackets) is localhost or below it, in 127.0.0.0/8 in its dotted form, or
/// ::1 in any form, also mapped. Spellings that programs read differently (127.1, 2130706433, 0x7f.1) are not.
bool is_loopback_host(const std::string& host);

/// Returns whether `address` is host:port, name or IPv4 or [IPv6], port 1-65535.
bool is_host_port(const std::string& address);

/// Returns why a text is no version of the API that backends of this type speak, or empty; an empty text is the default.
std::string version_fault(const std::string& type, const std::string& version);

} // namespace conclave
