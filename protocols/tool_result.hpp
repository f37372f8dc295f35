// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A tool's result on its way to the model: without secrets, and bounded. Pure.

#include "protocols/chat.hpp"
#include "protocols/secrets.hpp"

namespace conclave {

/// Of the text of one result, and once more of the texts of its parts.
inline constexpr std::size_t max_result_text = std::size_t{16} << 20;
/// Base64 of one result, all parts together: some screenshots. Providers refuse an image of more than 5 MB.
inline constexpr std::size_t max_result_data = std::size_t{4} << 20;

/// Takes the secrets out of the result's texts, then cuts what is longer than `most`, with a mark. A result that was cut is not cut
/// again. Data stays as it is, unless it is a resource that spells a secret out: of that the text is left.
void admit(tool_result& r, const secrets& hidden = {}, std::size_t most = max_result_text);

/// Returns whether this is base64 with padding (RFC 4648, section 4) and not empty.
bool is_base64(const std::string& data);

/// Returns the bytes that valid base64 stands for.
std::string decode_base64(const std::string& data);

} // namespace conclave
