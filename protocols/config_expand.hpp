// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// References to variables in the texts of a configuration: `${NAME}`. Pure.

#include <functional>
#include <string>
#include <vector>

namespace conclave {

using lookup = std::function<const std::string*(const std::string& name)>;

/// Returns where the value of a variable came from: `process_source`, or the path of a .env file. An empty function means the
/// process.
using source_lookup = std::function<std::string(const std::string& name)>;
inline constexpr const char* process_source = "the environment";
inline constexpr const char* project_source = "./.env"; ///< of a folder one happens to work in, maybe written by others

/// Expands `${NAME}` and `${NAME:-default}`, once; `$${` is a literal `${`. Unset or blank without default: returns false and names
/// the variable in `missing`.
bool expand(std::string& text, const lookup& env, std::string& missing);

/// Returns the text with `${cwd}` as this path, so that expand() leaves it as it is; `$${cwd}` is none.
std::string with_cwd(const std::string& text, const std::string& path);

/// Returns the names of the variables a text refers to, in order.
std::vector<std::string> references_in(const std::string& text);

/// Returns whether the text holds a literal secret, i.e. is non-empty and not wholly made of ${NAME} references.
bool is_literal_secret(const std::string& text);

} // namespace conclave
