// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What is known of providers, as tables: types of backends, hosts and whose they are, which key goes to which host, variables that
/// redirect a vendor's library, names people write, what a model's name tells. One place; a new provider is a row here. Pure.

#include "protocols/config.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace conclave {

/// What a backend type means.
struct backend_kind {
  const char* type;
  const char* dialect;          ///< name in wire/dialect; "" = not built yet; "scripted" and "local" are handled by the node
  const char* provider;         ///< display name
  const char* base_url;         ///< default, "" = required
  const char* key_env;          ///< comma separated, first that is set wins; "" = none needed
  const char* default_model;    ///< "" = the model is required
  const char* default_key = ""; ///< sent when no key is set (servers that want any key); "" = send none
};
const std::vector<backend_kind>& backend_kinds();
const backend_kind* find_backend_kind(const std::string& type);

/// Returns whether backends of this type can run in this version.
bool is_available(const backend_kind& kind);

/// A provider: whose hosts they are, which key goes there.
struct provider_info {
  const char* id;
  const char* name;     ///< for people
  const char* base_url; ///< capitals stand for what is the user's
  const char* key_env;  ///< comma separated, first that is set wins
};
const std::vector<provider_info>& providers();

/// Returns the id of a provider by its id, its display name, a backend type or a host, in any case; what is nobody's we know comes
/// back in lower case.
std::string provider_id(std::string_view name);

/// Returns whose models this backend asks: the id of a provider, the type of a server of one's own, or a host.
std::string provider_of(const backend_config& b);

/// Returns the address a configuration names, or the default one of its type; empty if there is none. Variables and options may
/// still send the bytes elsewhere.
std::string base_url_of(const backend_config& b);

/// Returns whether the Chat Completions of this provider are known to take PDF.
bool takes_documents_in_chat(std::string_view provider_id);

/// Returns whether this is a backend type of servers that people run themselves, where a token costs nothing.
bool is_own_server(std::string_view type);

/// Ollama is also reached as a chat API like any: it is known by its port, 11434.
bool is_ollama(const backend_config& b);

/// Returns the type for a model name by how it begins, empty if unknown.
std::string infer_backend_type(const std::string& model);

/// Returns the environment variable names that may hold the key for this connection, by host suffix of the base URL; empty = none.
/// A provider's key goes only to that provider's hosts.
std::vector<std::string> key_names(const backend_config& b);

/// Returns whose hosts a provider's key variable belongs to ("openai.com" for OPENAI_API_KEY), empty if it is no provider's, or if
/// this URL is one of them.
std::string key_stranger(const std::string& variable, const std::string& url);

/// Returns the names of all variables that keys of known providers are looked for under, sorted.
std::vector<std::string> known_key_names();

/// Returns whose API a host is, for people; empty if nobody's we know.
std::string provider_of_host(const std::string& host);

/// A variable by which a vendor's own library is sent elsewhere.
struct base_variable {
  const char* host; ///< that the library would call otherwise
  const char* name;
};
const std::vector<base_variable>& base_variables();

/// Returns whether OpenAI's own API takes only `max_completion_tokens` for this model.
bool wants_completion_tokens(const std::string& model, const std::string& base_url);

/// Returns whether OpenAI's own API has no sealed reasoning for this model, and refuses to be asked for it.
bool lacks_reasoning(const std::string& model, const std::string& base_url);

/// Returns how the backend that somebody calls `type` is reached, as the second half of a sentence ("Groq is reached by type
/// 'chatcompletion' with base_url ..."), or which of the types it is a slip of; empty if nobody knows. Never one company for
/// another: what is one letter from two of them that begin like it gets no answer. `type` may be one of ours that is not available
/// yet. Names are compared without case, blanks, dots, hyphens and underscores.
std::string type_hint(const std::string& type);

} // namespace conclave
