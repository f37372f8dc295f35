// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The one judge of what is secret in a text that stands under a name: a setting, a variable, a header, an argument, a member of a
/// JSON text, and whatever of these stands within another one. Which names are those of secrets: protocols/secrets.hpp. Pure.
///
///   find_secrets({"HOOK"}, "https://h/x?token=abc"); // "abc", named token
///   find_secrets({"HDR"}, "Bearer abc");             // "abc", named HDR
///   find_secrets({"MODE"}, "production");            // none

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace conclave {

/// A value under the name of a secret, within a text.
struct secret_span {
  std::string name;      ///< of the header, parameter, variable, argument or member; empty where the text is the secret
  std::size_t begin = 0; ///< byte positions
  std::size_t end = 0;
  bool literal = false; ///< stands there itself: no wholly ${NAME}
  bool quoted = false;  ///< a whole value of a JSON text: a string with its quotes, or a number
  std::string path;     ///< of what stands in a JSON text, its member: "headers.Authorization"; else empty
};

/// What a text stands under.
struct secret_place {
  std::string name;    ///< may be empty
  bool header = false; ///< sent as a header, where any value may begin with a scheme of authorization
};

/// Finds the secrets in `text`: all of it where its name says so (without `Bearer ` and the like in front), else what stands under
/// such names within it (JSON, parameters of URLs, NAME=VALUE, "Header: VALUE", --option VALUE), what follows a scheme of
/// authorization, who is named in front of a URL's host, and what begins like the keys of known services. In order, never
/// overlapping. O(bytes).
std::vector<secret_span> find_secrets(const secret_place& at, std::string_view text);

/// The same for an argument of a command; `before` is the one in front of it, whose value it may be.
std::vector<secret_span> find_argument_secrets(const std::string& before, std::string_view text);

/// Returns how long the scheme of authorization is that `value` begins with, with its blanks; 0 if there is none.
std::size_t scheme_length(std::string_view value);

/// Returns the texts by which a secret gives itself away: itself, decoded (percent escapes, the base64 of user:password), and the
/// secrets and key-like words within it. At most 64.
std::vector<std::string> secret_forms(const std::string& value);

/// Returns what a word of eight bytes or more begins with if it begins as keys of known services do ("sk-"), else nothing.
std::string_view key_start(std::string_view word);

/// Returns what a value of a JSON text says: a string unquoted, anything else as it is.
std::string json_value(std::string_view raw);

} // namespace conclave
