// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/http_reply.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <ctime>

namespace conclave::wire {

namespace {

std::string lower(std::string x) {
  for (auto& c : x)
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return x;
}

/// One line, at most 300 bytes, cut at a character.
std::string brief(std::string x) {
  for (auto& c : x)
    if (static_cast<unsigned char>(c) < 0x20)
      c = ' ';
  if (x.size() > 300) {
    std::size_t end = 300;
    while (end > 0 && (static_cast<unsigned char>(x[end]) & 0xC0) == 0x80)
      --end;
    x.resize(end);
    x += "...";
  }
  return x;
}

/// Message and machine-readable code of an error value of any provider.
struct reason {
  std::string message, code;
};

std::string scalar(const json* v) {
  if (v == nullptr || v->is_null())
    return {};
  return v->is_string() ? v->get<std::string>() : v->is_number() || v->is_object() || v->is_array() ? dump(*v) : std::string{};
}

reason read_reason(const json& v) {
  reason r;
  auto* e = member(v, "error");
  if (e == nullptr)
    e = &v;
  if (e->is_string())
    return {e->get<std::string>(), {}};
  r.message = string_at(*e, "message");
  r.code = scalar(member(*e, "code"));
  if (r.code.empty())
    r.code = string_at(*e, "type");
  else if (auto type = string_at(*e, "type"); !type.empty())
    r.code += " " + type;
  if (r.message.empty())
    r.message = scalar(member(v, "detail"));
  if (r.message.empty())
    r.message = string_at(v, "message");
  return r;
}

bool says(const std::string& text, std::initializer_list<const char*> words) {
  return std::any_of(words.begin(), words.end(), [&](const char* w) { return text.find(w) != std::string::npos; });
}

bool is_overflow(const std::string& text) {
  return says(text, {"context_length", "context length", "context window", "maximum context", "too many tokens",
                     "prompt is too long", "exceed_context", "exceeds the available context"});
}

ec code_for(int status, const std::string& text) {
  if (says(text, {"insufficient_quota", "billing_error", "credit balance"}))
    return ec::unauthorized;
  if (status == 401 || status == 402 || status == 403)
    return ec::unauthorized;
  if (status == 429)
    return ec::rate_limited;
  if (status == 408 || status == 409 || status >= 500)
    return ec::unavailable;
  if (status >= 300 && status < 400)
    return ec::bad_config;
  return is_overflow(text) || (status == 413 && says(text, {"token"})) ? ec::context_overflow : ec::bad_request;
}

} // namespace

std::int64_t retry_after_ms(const http_head& head, std::int64_t now_s) {
  auto number = [](const std::string& text, double& out) {
    char* end = nullptr;
    out = std::strtod(text.c_str(), &end);
    return end != text.c_str() && *end == '\0' && std::isfinite(out) && out >= 0 && out < 1e9;
  };
  double n = 0;
  if (auto* ms = find_header(head, "retry-after-ms"); ms != nullptr && number(*ms, n))
    return static_cast<std::int64_t>(std::ceil(n));
  auto* after = find_header(head, "retry-after");
  if (after == nullptr)
    return -1;
  if (number(*after, n))
    return static_cast<std::int64_t>(std::ceil(n * 1000));
  std::tm tm{};
  if (strptime(after->c_str(), "%a, %d %b %Y %H:%M:%S GMT", &tm) == nullptr)
    return -1;
  return std::max<std::int64_t>((static_cast<std::int64_t>(timegm(&tm)) - now_s) * 1000, 0);
}

void http_failure(completion& out, const http_head& head, std::string_view body) {
  reason r;
  if (auto v = parse(body))
    r = read_reason(v->is_array() && !v->empty() ? v->front() : *v);
  else
    r.message = std::string(body.substr(0, 400));
  out.status = completion_status::broken;
  out.code = code_for(head.status, lower(r.message + " " + r.code));
  out.retry_after_ms = retry_after_ms(head, std::time(nullptr));
  if (auto* hint = find_header(head, "x-should-retry"))
    out.retryable_hint = lower(*hint) != "false";
  out.error = std::to_string(head.status);
  if (!r.message.empty())
    out.error += ", \"" + brief(r.message) + "\"";
  for (auto* name : {"x-request-id", "request-id", "apim-request-id", "x-generation-id"})
    if (auto* id = find_header(head, name)) {
      out.error += " (request " + brief(*id) + ")";
      break;
    }
}

void transfer_failure(completion& out, const http_end& end, bool semantic) {
  if (end.code == ec::cancelled) {
    out.status = completion_status::cancelled;
    out.code = ec::cancelled;
    out.error = end.error;
    return;
  }
  out.status = completion_status::broken;
  out.code = end.code == ec::none ? ec::unavailable : end.code;
  if (semantic && out.code == ec::unavailable)
    out.code = ec::stream_broken;
  out.error = end.error.empty() ? "the stream ended before the reply was complete" : end.error;
}

void stream_failure(completion& out, const json& error, bool semantic) {
  auto r = read_reason(error);
  auto text = lower(r.message + " " + r.code);
  out.status = completion_status::broken;
  auto status = std::atoi(r.code.c_str());
  if (status >= 300)
    out.code = code_for(status, text);
  else if (says(text, {"rate_limit", "rate limit"}))
    out.code = ec::rate_limited;
  else if (says(text, {"authentication", "permission", "insufficient_quota", "billing"}))
    out.code = ec::unauthorized;
  else if (is_overflow(text))
    out.code = ec::context_overflow;
  else if (says(text, {"invalid_request", "not_found"}))
    out.code = ec::bad_request;
  else
    out.code = ec::unavailable;
  if (semantic && is_transient(out.code))
    out.code = ec::stream_broken;
  out.error = "the server reported an error in its stream: \"" + brief(r.message.empty() ? dump(error) : r.message) + "\"";
}

bool merge(json& body, const std::string& object) {
  if (object.empty())
    return true;
  auto v = parse(object);
  if (!v || !v->is_object())
    return false;
  for (auto& [key, value] : v->items())
    if (!value.is_null())
      body[key] = value;
  return true;
}

std::string with_query(std::string url, const std::map<std::string, std::string>& query) {
  auto encode = [](const std::string& x) {
    static const char* digits = "0123456789ABCDEF";
    std::string out;
    for (unsigned char c : x) {
      if (std::isalnum(c) || c == '-' || c == '_' || c == '.' || c == '~')
        out += static_cast<char>(c);
      else
        (out += '%') += {digits[c >> 4], digits[c & 15]};
    }
    return out;
  };
  for (auto& [key, value] : query)
    url += (url.find('?') == std::string::npos ? "?" : "&") + encode(key) + "=" + encode(value);
  return url;
}

} // namespace conclave::wire
