// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to wire/*.cpp: finds the server's own sentence in whatever came as the body of an error.

#include "protocols/wire/json_util.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace conclave::wire {

/// What a server says of an error. Not cut, secrets not hidden.
struct reason {
  std::string message;
  std::string code;          ///< machine-readable: codes, types, the parameter meant; separated by blanks
  int status = 0;            ///< HTTP status if the body names one (300-599)
  std::int64_t wait_ms = -1; ///< as the body asks; -1 = not said
};

/// Reads an error value of any provider: {"error": {message, type, code, param, metadata.raw, details}}, {"error": "..."},
/// {"object": "error", "message"}, {"errors": [..]}, {"detail": "..." | [{loc, msg}]}, {"title", "detail"}, {"code", "message"},
/// {"base_resp": {status_code, status_msg}}, arrays of these, JSON inside a string; the innermost sentence wins.
reason read_reason(const json& value);

/// Reads a body: JSON as above, a web page (its title and words, no scripts and style sheets), or plain text.
reason read_reason(std::string_view body);

} // namespace conclave::wire
