// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/http_reply.hpp"

#include "protocols/prompts.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <ctime>

namespace conclave::wire {

namespace {

/// Of a text that is cut to a few hundred bytes: no key is longer than what is searched for one beyond the cut.
constexpr std::size_t max_searched = 64 << 10;

std::string lower(std::string x) {
  for (auto& c : x)
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
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

/// What an error page says to a reader: a proxy answers with HTML where an API would not.
std::string page_text(std::string_view body) {
  body = body.substr(0, 4096);
  if (auto start = body.find_first_not_of(" \t\r\n"); start == std::string_view::npos || body[start] != '<')
    return std::string(body.substr(0, 400));
  std::string out;
  bool in_tag = false;
  for (char c : body) {
    if (c == '<')
      in_tag = true;
    else if (c == '>')
      in_tag = false;
    else if (!in_tag && (std::isspace(static_cast<unsigned char>(c)) == 0 || (!out.empty() && out.back() != ' ')))
      out += std::isspace(static_cast<unsigned char>(c)) == 0 ? c : ' ';
  }
  return out.substr(0, 400);
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

std::string brief(std::string_view text, std::size_t limit, const secrets& hidden) {
  std::string clean;
  if (!hidden.empty()) {
    clean = text.substr(0, max_searched);
    hidden.hide(clean);
    text = clean;
  }
  std::string line(text.substr(0, limit + 4)); // at most one more character than may stay
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\n' || c == '\r' || c == '\t'; }, ' ');
  line = prompts::for_terminal(line);
  if (line.size() <= limit && text.size() <= limit)
    return line;
  auto end = std::min(limit, line.size());
  while (end > 0 && end < line.size() && (static_cast<unsigned char>(line[end]) & 0xC0) == 0x80)
    --end;
  line.resize(end);
  return line + "...";
}

bool is_body(const http_head& head, std::string_view beginning) {
  auto* type = find_header(head, "content-type");
  auto first = beginning.substr(0, 1);
  if (type != nullptr && lower(*type).find("event-stream") != std::string::npos)
    return first == "<"; // bare JSON in it is an event
  return std::string_view("deir:").find(first) == std::string_view::npos; // data, event, error, id, retry, a comment
}

secrets secrets_of(const endpoint& to) {
  auto out = to.hidden;
  out.add_key(to.api_key);
  out.add_query(to.base_url);
  for (auto* values : {&to.headers, &to.query})
    for (auto& [name, value] : *values)
      out.add_named(name, value);
  return out;
}

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

void http_failure(completion& out, const http_head& head, std::string_view body, const secrets& hidden) {
  reason r;
  if (auto v = parse_lenient(body))
    r = read_reason(v->is_array() && !v->empty() ? v->front() : *v);
  else {
    r.message = body.substr(0, max_searched);
    hidden.hide(r.message); // before the page is cut
    r.message = page_text(r.message);
  }
  out.status = completion_status::broken;
  out.code = code_for(head.status, lower(r.message + " " + r.code));
  out.retry_after_ms = retry_after_ms(head, std::time(nullptr));
  if (auto* hint = find_header(head, "x-should-retry")) {
    out.retryable_hint = lower(*hint) != "false";
    out.retry_asked = lower(*hint) == "true";
  }
  out.error = std::to_string(head.status);
  if (!r.message.empty())
    out.error += ", \"" + brief(r.message, 300, hidden) + "\"";
  for (auto* name : {"x-request-id", "request-id", "apim-request-id", "x-generation-id"})
    if (auto* id = find_header(head, name)) {
      out.error += " (request " + brief(*id, 300, hidden) + ")";
      break;
    }
}

void transfer_failure(completion& out, const http_end& end, bool semantic) {
  out.calls.clear(); // never act on half a reply
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

void stream_failure(completion& out, const json& error, bool semantic, const secrets& hidden) {
  auto r = read_reason(error);
  auto text = lower(r.message + " " + r.code);
  out.status = completion_status::broken;
  auto status = std::atoi(r.code.substr(0, 4).c_str());
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
  auto said = brief(r.message.empty() ? dump(error) : r.message, 300, hidden);
  out.error = "the server reported an error in its stream: \"" + said + "\"";
}

bool merge(json& body, const std::string& object, null_member nulls) {
  if (object.empty())
    return true;
  auto v = parse(object);
  if (!v || !v->is_object())
    return false;
  for (auto& [key, value] : v->items())
    if (!value.is_null())
      body[key] = value;
    else if (nulls == null_member::removes)
      body.erase(key);
  return true;
}

std::string with_path(const std::string& base, const std::string& path) {
  auto query_at = std::min(base.find('?'), base.size());
  auto url = base.substr(0, query_at);
  while (!url.empty() && url.back() == '/')
    url.pop_back();
  if (url.size() < path.size() || url.compare(url.size() - path.size(), path.size(), path) != 0)
    url += path;
  return url + base.substr(query_at);
}

void add_headers(key_values& headers, const endpoint& to) {
  for (auto& own : to.headers) {
    std::erase_if(headers, [&](auto& h) { return lower(h.first) == lower(own.first); });
    headers.emplace_back(own.first, own.second);
  }
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
