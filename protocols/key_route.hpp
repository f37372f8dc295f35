// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Where a connection goes, and which key goes there: one judgement for the node that runs an agent, for `validate`, and for what a
/// run says beforehand. Pure.
///
/// The rule: a key goes to the hosts it is bound to (key_names), to the base_url of the configuration that names it, or where the
/// base URL variable of its provider (OPENAI_BASE_URL, ...) points, if both variables come from the same place. In particular a
/// .env file never sends a key somewhere that came from elsewhere, nor says whom to trust with it.
/// --base-url TYPE=URL and CONCLAVE_BASE_URL_<TYPE> say where the bytes of a type go and nothing else: a server that is not the
/// key's own is sent a placeholder, unless --send-keys says otherwise.

#include "protocols/config.hpp"
#include "protocols/config_expand.hpp"
#include "protocols/secrets.hpp"

#include <map>
#include <string>
#include <vector>

namespace conclave {

/// A file or folder and the setting that named it, for messages.
struct named_path {
  std::string path; ///< empty = not set
  std::string from; ///< "ca_bundle", "SSL_CERT_FILE (the environment)"
};

/// The certificate authorities a connection trusts. `bundle` and `folder` replace the system's, `extra` adds to them.
struct ca_choice {
  named_path bundle, folder, extra;
};

/// A connection with its variables resolved. If `code` is not none, `error` says why it cannot be made and nothing else counts.
struct key_route {
  ec code = ec::none;
  std::string error;    ///< one sentence, without secrets
  std::string base_url; ///< where the bytes go
  std::string home;     ///< whose API it is, if the bytes go elsewhere by --base-url TYPE=URL; empty = base_url
  std::string api_key;  ///< empty = none is sent
  std::string key_name; ///< tells connections apart, says nothing of the key
  std::map<std::string, std::string> headers, query;
  std::string api_version; ///< as a variable says; empty = none does, or the configuration has its own
  ca_choice ca;
  secrets hidden;                   ///< what variables brought into headers and query
  std::vector<std::string> notices; ///< what redirects, and what was mended: to be said before the first call
  std::string withheld;             ///< a sentence if no key is sent to a host that may want one
};

/// Returns the variable that says where the bytes of this backend type go: CONCLAVE_BASE_URL_OPENAI.
std::string target_variable(const std::string& type);

/// Returns what is wrong with a URL as the target of --base-url TYPE=URL or its variable, as the end of a sentence; empty if
/// nothing.
std::string target_fault(const std::string& url);

/// Returns the route of an agent's HTTP connection on the machine whose variables these are. `known`: the secrets of that machine,
/// which `${NAME}` may have brought into the body under any name; may be null where nothing is sent.
key_route route_key(const backend_config& b, const lookup& env, const source_lookup& source, const secrets* known = nullptr);

/// Takes blanks, line feeds and quotes around a key off. Returns what is wrong with the rest, or empty. Never quotes the key.
std::string clean_key(std::string& key);

/// Returns the base URL that `OLLAMA_HOST` means, as its client reads it: [http[s]://]host[:port][/path], all of it optional. Other
/// than there, what is no host or no port stays so (see url_host), and [::] becomes 127.0.0.1. Source: ollama
/// envconfig/config.go, Host() and ConnectableHost(), read 2026-11-26.
std::string ollama_url(std::string text);

/// Returns "scheme://host:port" of a URL that url_host accepts, for messages.
std::string url_place(const std::string& url);

} // namespace conclave
