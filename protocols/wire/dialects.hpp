// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to wire/*.cpp: the functions behind the rows of the dialect table.

#include "protocols/wire/dialect.hpp"

namespace conclave::wire {

http_request encode_openai_chat(const model_request& req, const endpoint& to, const quirks& known, std::string& error);
std::unique_ptr<decoder> decode_openai_chat(const endpoint& to);

http_request encode_azure_openai(const model_request& req, const endpoint& to, const quirks& known, std::string& error);

http_request encode_anthropic(const model_request& req, const endpoint& to, const quirks& known, std::string& error);
std::unique_ptr<decoder> decode_anthropic(const endpoint& to);

http_request encode_gemini(const model_request& req, const endpoint& to, const quirks& known, std::string& error);
std::unique_ptr<decoder> decode_gemini(const endpoint& to);

http_request encode_openai_responses(const model_request& req, const endpoint& to, const quirks& known, std::string& error);
std::unique_ptr<decoder> decode_openai_responses(const endpoint& to);

} // namespace conclave::wire
