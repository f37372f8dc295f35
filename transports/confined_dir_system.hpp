// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What the parts of transports/confined_dir share.

#include "transports/confined_dir.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace conclave {

/// The error of what just failed, by errno.
dir_error system_error(std::string_view path);
dir_error system_error(std::string_view path, int number);

/// Splits a relative path, without empty components and "."; false for "..", NUL and what is too long.
bool split_relative(std::string_view path, std::vector<std::string>& out);
std::string joined(const std::vector<std::string>& components);

/// The names in an open folder, sorted.
dir_result<std::vector<std::string>> names_of(int folder);

/// Of an entry itself, no link followed.
dir_result<entry_facts> facts_at(int folder, const std::string& name);

} // namespace conclave
