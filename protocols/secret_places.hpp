// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Where a backend's configuration may hold a secret literally: the one list of such places, for what travels to a node
/// (`validate`) and for what is stored (protocols/opening.hpp). What counts as a secret: protocols/secrets.hpp. Pure.

#include "protocols/config.hpp"
#include "protocols/secrets.hpp"

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace conclave {

/// A value under the name of a secret, within a text of the configuration.
struct secret_span {
  std::string name;      ///< of the header, parameter, variable, argument or member; empty where the text is the secret
  std::size_t begin = 0; ///< byte positions; of a JSON text with the quotes around the value
  std::size_t end = 0;
  bool literal = false; ///< stands there itself: no wholly ${NAME}
};

struct secret_text {
  std::string path;               ///< below the backend, for people: "mcp_servers[0].env.API_KEY", "api_key"
  std::string place;              ///< the same for a reader that must find it again: a tool server by its name
  std::vector<secret_span> spans; ///< in order, never overlapping, at least one
  bool expanded = false;          ///< variables in it were expanded when the file was read, so what stands there is literal
  bool json = false;
};

/// Calls `visit` for every text of `b` that holds a value under the name of a secret.
void each_secret(const backend_config& b, const std::function<void(const secret_text&, const std::string&)>& visit);

/// The same, for one that changes the texts. Spans are those of before.
void each_secret(backend_config& b, const std::function<void(const secret_text&, std::string&)>& visit);

/// Adds what stands in these places, of a configuration whose variables are expanded: what is sent there may be told back.
void add_secrets(const backend_config& b, secrets& to);

} // namespace conclave
