// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a model server on this machine says it has. Pure.

#include <string>
#include <string_view>
#include <vector>

namespace conclave::wire {

/// Returns the names of a list of models: {"data": [{"id": ...}]} as OpenAI's API has it (LM Studio, vLLM, SGLang, Ollama), or
/// {"models": [{"name": ...}]} as Ollama's own; the first 1,000, each of at most 256 bytes; empty if it is neither.
/// Source: https://github.com/ollama/ollama/blob/main/docs/api.md, "List Local Models", read 2026-11-26.
std::vector<std::string> model_names(std::string_view body);

} // namespace conclave::wire
