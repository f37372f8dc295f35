// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to wire/quirks*.cpp: a refusal as it is judged, and the words it is judged by.

#include "protocols/wire/json_util.hpp"
#include "protocols/wire/quirks.hpp"

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace conclave::wire {

inline constexpr std::size_t max_learned = 500; ///< names of each kind

/// The refusal as it is judged.
struct refusal {
  std::string text; ///< lower case
  const model_request& req;
  json body;
  std::vector<std::string> offered; ///< names of the tools that were sent, in their order
};

/// A name may hold letters, digits, '_' and '-'.
bool is_name_char(char c);

/// Returns the positions behind each occurrence of `word` that is no part of a longer name.
std::vector<std::size_t> ends_of(std::string_view text, std::string_view word);

/// Returns whether `word` stands in the text by itself.
bool names(std::string_view text, std::string_view word);

/// Returns the names in back quotes, with commas.
std::string quoted(const std::set<std::string>& list);

/// Learns that images are not taken at all; never from what is said of one image.
std::string learn_images(quirks& known, const refusal& r);

/// Learns from what is said of the tools of the request.
std::string learn_tools(quirks& known, const refusal& r);

} // namespace conclave::wire
