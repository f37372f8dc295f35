// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to wire/*.cpp: where replies name what a provider's own tools have read. `use(title, address)`: either may be empty.

#include "protocols/wire/json_util.hpp"

#include <functional>
#include <string>

namespace conclave::wire {

using source_use = std::function<void(const std::string& title, const std::string& address)>;

/// Of a Chat Completions reply: addresses, or objects with one (xAI, Z.ai), or annotations (OpenAI, OpenRouter).
void each_listed_source(const json& list, const source_use& use);

/// Of Gemini's groundingMetadata, urlContextMetadata or citationMetadata.
void each_grounding_source(const json& metadata, const source_use& use);

/// Of one citation of Anthropic's.
void cited_source(const json& citation, const source_use& use);

/// Returns a source for people: title, address, or both.
std::string source_text(const std::string& title, const std::string& address);

} // namespace conclave::wire
