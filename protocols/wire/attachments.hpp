// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Files that go with a question, images and PDF: what they are by their first bytes, which API takes them, and in what form. Pure.

#include "protocols/catalogue_models.hpp"
#include "protocols/config.hpp"
#include "protocols/coordination.hpp"
#include "protocols/wire/json_util.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace conclave::wire {

/// Bytes of all files that one agent is shown, whatever its API would take.
inline constexpr std::uint64_t max_attached = std::uint64_t{32} << 20;
inline constexpr std::size_t max_attachments = 100;

/// Returns the type of a file by its first bytes: image/png, image/jpeg, image/gif, image/webp, application/pdf; empty for any
/// other.
std::string file_type(std::string_view bytes);

/// Returns what a file of another type is, for people ("a sound", "a film", "an archive, or an office document"); empty if nobody
/// knows. RIFF, ISO media and the like are told by more than their first word.
std::string other_type(std::string_view bytes);

/// Returns base64 with padding (RFC 4648, section 4).
std::string encode_base64(std::string_view bytes);

/// Returns why the model behind this connection cannot be shown these files, as a sentence; empty if it can, as far as is known.
/// `own`: a user's rows (protocols/catalogue_models.hpp).
std::string unfit(const backend_config& b, const std::vector<const attachment*>& files, const std::vector<model_row>& own = {});

/// Returns the content of a user's message: its text as a string where no file goes with it, else a list of parts, the text last,
/// as vendors advise for images and documents.
json chat_content(const message& m);
json responses_content(const message& m);
json anthropic_content(const message& m); ///< always a list; a blank text has no part
json gemini_parts(const message& m);      ///< as above

} // namespace conclave::wire
