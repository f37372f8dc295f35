// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/error_kind.hpp"

#include "protocols/text.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>

// The wordings are those of OpenAI, Azure, Anthropic, Bedrock, Gemini, Mistral, Groq, Cerebras, Cohere, Together, Fireworks,
// OpenRouter, DeepSeek, Moonshot, Z.ai, DashScope, MiniMax, xAI, vLLM, SGLang, TGI, llama.cpp, Ollama and LM Studio as quoted in
// public issue trackers, read 2026-11-26.

namespace conclave::wire {

bool says(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::any_of(words.begin(), words.end(), [&](auto w) { return text.find(w) != std::string_view::npos; });
}

namespace {

bool is_pace(std::string_view text) {
  return says(text, {"per minute", "per day", "per hour", "per second", "rate limit", "rate_limit", "ratelimit", "(tpm)", "(rpm)",
                     "(tpd)", "too many requests"});
}

/// A request that alone is more than the account may send in a minute: waiting does not help, less text does.
bool is_too_large_for_the_pace(std::string_view text) {
  return says(text, {"request too large", "request is too large"})
         || (says(text, {"tokens must be reduced", "reduce your message size"}) && says(text, {"token"}));
}

} // namespace

bool is_overflow(std::string_view text) {
  if (is_too_large_for_the_pace(text))
    return true;
  if (is_pace(text))
    return false;
  if (says(text, {"context_length",
                  "context length",
                  "context window",
                  "context limit",
                  "context size",
                  "contextlength",
                  "maximum context",
                  "max context",
                  "exceed_context",
                  "available context",
                  "context overflow",
                  "contextoverflow",
                  "prompt is too long",
                  "prompt too long",
                  "input is too long",
                  "input too long",
                  "prompt exceeds max",
                  "maximum prompt length",
                  "maximum model length",
                  "max model len",
                  "max_model_len",
                  "reduce the length",
                  "range of input length",
                  "input length should",
                  "token limit: ",
                  "tokens_limit_reached",
                  "token limit exceeded",
                  "exceeds the maximum size",
                  "request_too_large",
                  "request entity too large",
                  "payload too large",
                  "content too large",
                  "request body too large",
                  "input is too large to process",
                  "longer than the model",
                  "max_input_tokens",
                  "max_tokens must be at least 1, got -", // what the prompt left, in vLLM
                  "max_completion_tokens must be at least 1, got -",
                  "\xE8\xBE\x93\xE5\x85\xA5\xE9\x95\xBF\xE5\xBA\xA6"}))
    return true;
  if (says(text, {"messages"}) && says(text, {"string too long", "string_above_max_length"}))
    return true;
  // "too many tokens: 9 > 8", "`inputs` must have less than 8 tokens", "The input token count (9) exceeds the maximum ..."; but a
  // limit of the reply alone is the user's max_tokens.
  if (!says(text, {"token"}) || says(text, {"unexpected token", "invalid token", "token expired", "auth", "bearer"}))
    return false;
  auto of_the_reply = says(text, {"max_tokens", "max_completion_tokens", "maxoutputtokens", "output tokens", "completion tokens"})
                      && !says(text, {"prompt", "input", "message"});
  return !of_the_reply
         && says(text,
                 {"too many tokens", "too many input tokens", "too many total", "exceed", "must be <=", "less than", "longer than",
                  "too large for model", "only supports up to", "only support up to", "too long", "token limit"})
         && says(text, {"input", "prompt", "message", "context", "request", "too many"});
}

bool is_model_fault(std::string_view text) {
  return says(text, {"tool_use_failed",
                     "failed_generation",
                     "failed to call a function",
                     "json_validate_failed",
                     "failed to generate json",
                     "failed to validate json",
                     "failed to parse tool call",
                     "error parsing tool call",
                     "invalid tool call generated",
                     "tool call validation failed",
                     "malformed function call",
                     "malformed_function_call",
                     "malformed tool call",
                     "malformed_response",
                     "model output is not valid",
                     "model output is not json",
                     "model produced invalid",
                     "model generated invalid",
                     "model returned invalid",
                     "model's output could not",
                     "model output could not",
                     "failed to parse model output",
                     "failed to parse function call",
                     "could not parse the model",
                     "unable to parse model",
                     "output_parse_failed",
                     "unexpected tokens remaining in message",
                     "failed to parse input at pos",
                     "the model produced output that",
                     "invalid tool calls generated",
                     "parsing failed. the model generated",
                     "attempted to call tool",
                     "xml syntax error",
                     "harmonyerror"});
}

bool is_out_of_credit(std::string_view text) {
  return says(text, {"insufficient_quota",
                     "insufficient quota",
                     "billing_error",
                     "billing_not_active",
                     "billing_hard_limit",
                     "billing hard limit",
                     "credit balance",
                     "insufficient credit",
                     "insufficient_credit",
                     "insufficient balance",
                     "insufficient_balance",
                     "insufficient funds",
                     "insufficient_funds",
                     "out of credits",
                     "no credits",
                     "requires more credits",
                     "add credits",
                     "purchase credits",
                     "arrearage",
                     "overdue payment",
                     "exceeded your monthly",
                     "monthly included credits",
                     "payment required",
                     "account is not active",
                     "spending limit",
                     "credit limit",
                     "recharge"});
}

bool is_loading(std::string_view text) {
  return says(text,
              {"loading model", "model is loading", "model loading", "currently loading", "still loading", "model is being loaded",
               "is being loaded", "loading the model", "model is not ready", "model not ready", "model is not yet ready",
               "model is warming", "warming up", "model is starting", "is loading", "not yet loaded", "server is starting"});
}

bool wants_tls(std::string_view text) {
  return says(text, {"plain http request was sent to https port", "http request to an https server", "plain http to an ssl-enabled",
                     "http to https port", "requires tls", "use https", "https required", "https_required", "ssl required"});
}

namespace {

void skip_blanks(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
}

/// Takes a number like "1.5" from the beginning of `text`; -1 = none.
double take_number(std::string_view& text) {
  auto is_digit = [&](std::size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; };
  double n = 0, scale = 1;
  std::size_t i = 0;
  for (; is_digit(i); ++i)
    n = n * 10 + (text[i] - '0');
  if (i == 0)
    return -1;
  if (i < text.size() && text[i] == '.' && is_digit(i + 1))
    for (++i; is_digit(i); ++i) {
      scale /= 10;
      n += (text[i] - '0') * scale;
    }
  text.remove_prefix(i);
  return n;
}

/// Returns milliseconds per unit; 0 = no unit of time.
double unit_ms(std::string_view unit) {
  if (unit == "ms" || unit.starts_with("milli"))
    return 1;
  if (unit == "s" || unit.starts_with("sec"))
    return 1'000;
  if (unit == "m" || unit.starts_with("min"))
    return 60'000;
  if (unit == "h" || unit == "hr" || unit.starts_with("hour"))
    return 3'600'000;
  return unit == "d" || unit.starts_with("day") ? 86'400'000 : 0;
}

} // namespace

std::int64_t duration_ms(std::string_view text) {
  double total = 0;
  bool any = false;
  for (;;) {
    skip_blanks(text);
    auto n = take_number(text);
    if (n < 0)
      break;
    skip_blanks(text);
    std::size_t length = 0;
    while (length < text.size() && text[length] >= 'a' && text[length] <= 'z')
      ++length;
    auto scale = unit_ms(text.substr(0, length));
    if (scale == 0) {
      if (any) // "1m30s 5 apples"
        break;
      if (length > 0)
        return -1;
      scale = 1'000; // a bare number is seconds, as in the header
    }
    text.remove_prefix(length);
    total += n * scale;
    any = true;
    if (length == 0)
      break;
  }
  return any ? wait_ms(total - 1e-6) : -1;
}

std::int64_t wait_ms(double ms) {
  if (!(ms > -1))
    return -1;
  return ms < static_cast<double>(max_wait_ms) ? static_cast<std::int64_t>(std::ceil(ms)) : max_wait_ms;
}

std::int64_t wait_in(std::string_view text) {
  for (std::string_view words : {"try again in ", "retry in ", "retry after ", "retry after: ", "try again after ", "wait ",
                                 "retry-after: ", "reset in ", "resets in ", "reset after ", "retrydelay\":\"", "available in "})
    for (auto at = text.find(words); at != std::string_view::npos; at = text.find(words, at + 1)) {
      auto rest = text.substr(at + words.size(), 64);
      for (std::string_view filler : {"for ", "at least ", "about ", "approximately "})
        if (rest.starts_with(filler))
          rest.remove_prefix(filler.size());
      if (auto ms = duration_ms(rest); ms >= 0)
        return ms;
    }
  return -1;
}

ec code_for(int status, std::string_view text) {
  if (is_model_fault(text))
    return ec::bad_reply;
  if (is_out_of_credit(text))
    return ec::unauthorized;
  if (status == 401 || status == 402 || status == 403)
    return ec::unauthorized;
  if (status == 407)
    return ec::bad_config;
  if (status == 413)
    return ec::context_overflow; // less text is the only remedy
  if ((status != 429 || is_too_large_for_the_pace(text)) && is_overflow(text))
    return ec::context_overflow;
  if (status == 429)
    return ec::rate_limited;
  // llama.cpp's server answers 500 to what its flags or the model's template never take.
  if (status == 501
      || (status == 500 && says(text, {"jinja", "template", "requires --", "not supported", "unsupported", "does not support"})))
    return ec::bad_request;
  if (status == 408 || status == 409 || status == 425 || status == 499 || status >= 500)
    return ec::unavailable;
  if (says(text, {"api key not valid", "api_key_invalid", "invalid api key", "incorrect api key", "invalid_api_key"}))
    return ec::unauthorized;
  if (status >= 300 && status < 400)
    return ec::bad_config;
  if (status >= 400)
    return ec::bad_request;
  if (is_pace(text) || says(text, {"resource_exhausted"}))
    return ec::rate_limited;
  if (says(text, {"authentication", "permission", "unauthorized", "login fail"}))
    return ec::unauthorized;
  if (says(text, {"invalid_request", "not_found", "badrequest", "bad_request", "invalid_argument", "invalid params",
                  "invalid_prompt", "data_residency_mismatch"}))
    return ec::bad_request;
  return ec::unavailable;
}

std::string advice(ec code, int status, const std::string& said, bool keyless) {
  auto text = lower(said);
  if (status == 407)
    return "; the proxy wants a user name and a password: write them into the proxy's URL";
  if (code == ec::unauthorized)
    return status == 402 || is_out_of_credit(text)
               ? "; the account has no credit or quota left: check its plan and billing, the key itself is not the fault"
           : keyless ? "; no key was sent: name its variable by `api_key_env` (--api-key-env)"
                     : "; check the key";
  if (status >= 400 && status < 500 && wants_tls(text))
    return "; this port speaks TLS: write `https://` in `base_url`";
  if (status >= 300 && status < 400) // to another origin, or by a status that makes a GET of it
    return "; the server sends the call elsewhere, which is not followed, as the key would go along: correct `base_url`";
  return status == 404 ? "; check `model` and `base_url`" : "";
}

} // namespace conclave::wire
