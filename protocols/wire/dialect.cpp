// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/dialect.hpp"

#include "protocols/wire/dialects.hpp"

namespace conclave::wire {

const dialect* find_dialect(std::string_view name) {
  static const dialect table[] = {
      {"openai_chat", encode_openai_chat, decode_openai_chat},
      {"azure_openai", encode_azure_openai, decode_openai_chat},
      {"anthropic", encode_anthropic, decode_anthropic},
      {"gemini", encode_gemini, decode_gemini},
      {"openai_responses", encode_openai_responses, decode_openai_responses},
  };
  for (auto& d : table)
    if (name == d.name)
      return &d;
  return nullptr;
}

} // namespace conclave::wire
