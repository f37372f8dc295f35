// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Where a backend's configuration may hold a secret literally: the one list of such places, for what travels to a node
/// (`validate`) and for what is stored (protocols/opening.hpp). What is one there: protocols/secret_judge.hpp. Pure.

#include "protocols/config.hpp"
#include "protocols/secret_judge.hpp"
#include "protocols/secrets.hpp"

#include <functional>
#include <string>
#include <vector>

namespace conclave {

struct secret_text {
  std::string path;               ///< below the backend, for people: "mcp_servers[0].env.API_KEY", "api_key"
  std::string place;              ///< the same for a reader that must find it again: a tool server by its name
  std::vector<secret_span> spans; ///< in order, never overlapping, at least one
  bool expanded = false;          ///< variables in it were expanded when the file was read, so what stands there is literal
};

/// Returns what stands for the secret in a text that is stored.
std::string mark_of(const secret_span& s);

/// Returns `text` with `by` of each span in its place; an empty one leaves it as it is.
std::string replaced(const secret_text& place, const std::string& text, const std::function<std::string(const secret_span&)>& by);

/// Returns `text` with marks in place of what is literal.
std::string with_marks(const secret_text& place, const std::string& text);

/// Returns where a secret stands below its backend, for people: "mcp_servers[0].env.HEADERS.Authorization".
std::string path_of(const secret_text& text, const secret_span& s);

/// Calls `visit` for every text of `b` that holds a value under the name of a secret. `known` (may be null): secrets of this
/// machine, which `${NAME}` may have brought under any name into what is expanded when the file is read.
void each_secret(const backend_config& b, const std::function<void(const secret_text&, const std::string&)>& visit,
                 const secrets* known = nullptr);

/// The same, for one that changes the texts. Spans are those of before.
void each_secret(backend_config& b, const std::function<void(const secret_text&, std::string&)>& visit,
                 const secrets* known = nullptr);

/// Adds what stands in these places, of a configuration whose variables are expanded: what is sent there may be told back.
void add_secrets(const backend_config& b, secrets& to);

} // namespace conclave
