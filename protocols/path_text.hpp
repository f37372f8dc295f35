// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Absolute paths as text: where one ends and the next begins, which is below which. Pure; knows nothing of links.

#include <string_view>
#include <vector>

namespace conclave::path_policy {

/// Returns the components, without empty ones.
std::vector<std::string_view> components(std::string_view path);

/// Returns whether it is absolute, without "//", "." or ".." and without '/' at its end.
bool is_canonical(std::string_view path);

/// Returns whether `path` is `folder` or below it, at a component's boundary. Both canonical.
bool is_within(std::string_view path, std::string_view folder);

/// Returns the part of `path` below `folder`, which holds it, without a '/' in front.
std::string_view below(std::string_view path, std::string_view folder);

/// Returns the folder that holds `path`; "/" of what is below it.
std::string_view parent_of(std::string_view path);

} // namespace conclave::path_policy
