// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/http_reply.hpp"

#include "protocols/text.hpp"
#include "protocols/wire/error_body.hpp"
#include "protocols/wire/error_kind.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <ctime>

namespace conclave::wire {

namespace {

/// Of a text that is cut to a few hundred bytes: no key is longer than what is searched for one beyond the cut.
constexpr std::size_t max_searched = 64 << 10;

/// What is judged of a sentence: a tool or field may be named late in it.
constexpr std::size_t max_said = 2000;

/// The provider's safety system refused the prompt. Codes of OpenAI and Azure, which has the second inside `innererror`.
bool is_policy(std::string_view codes) {
  return says(codes, {"content_filter", "responsibleaipolicyviolation", "content_policy_violation", "bio_policy",
                      "misalignment_policy_violation"});
}

/// Fills what the server said and what follows from it; `status` 0 = none.
void refused(completion& out, const reason& r, int status, const secrets& hidden) {
  auto text = lower(r.message.substr(0, max_searched) + " " + r.code.substr(0, max_said));
  out.status = completion_status::broken;
  out.code = code_for(status, text);
  out.model_fault = is_model_fault(text);
  if (is_policy(lower(r.code.substr(0, max_said)))) { // no fault of the request that another form or try would mend
    out.status = completion_status::refused;
    out.code = ec::none;
  }
  out.said = brief(r.code.empty() ? r.message : r.message + (r.message.empty() ? "(" : " (") + r.code + ")", max_said, hidden);
  if (out.code == ec::rate_limited || out.code == ec::unavailable)
    out.retry_after_ms = r.wait_ms >= 0 ? r.wait_ms : wait_in(text);
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
  line = for_terminal(line);
  if (line.size() <= limit && text.size() <= limit)
    return line;
  line.resize(whole_characters(line, limit));
  return line + "...";
}

bool is_body(const http_head& head, std::string_view beginning) {
  auto* type = find_header(head, "content-type");
  auto first = beginning.substr(0, 1);
  if (type != nullptr && lower(*type).find("event-stream") != std::string::npos)
    return first == "<";                                                  // bare JSON in it is an event
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
    if (text.empty() || text.find_first_not_of("0123456789.") != std::string::npos) // no "inf", no "1e300"
      return false;
    char* end = nullptr;
    out = std::strtod(text.c_str(), &end); // more digits than a double holds are infinite: the longest wait
    return *end == '\0';
  };
  double n = 0;
  if (auto* ms = find_header(head, "retry-after-ms"); ms != nullptr && number(*ms, n))
    return wait_ms(n);
  auto* after = find_header(head, "retry-after");
  if (after == nullptr)
    return -1;
  if (number(*after, n))
    return wait_ms(n * 1000);
  // RFC 9110 section 5.6.7: a recipient reads all three forms of a date.
  for (auto* form : {"%a, %d %b %Y %H:%M:%S GMT", "%a, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"}) {
    std::tm tm{};
    if (strptime(after->c_str(), form, &tm) != nullptr)
      return wait_ms(std::max(static_cast<double>(timegm(&tm)) - static_cast<double>(now_s), 0.0) * 1000);
  }
  return duration_ms(lower(*after)); // "30s", as some proxies write it
}

void http_failure(completion& out, const http_head& head, std::string_view body, const secrets& hidden) {
  auto r = read_reason(body);
  refused(out, r, head.status, hidden);
  if (auto wait = retry_after_ms(head, head.at_s); wait >= 0)
    out.retry_after_ms = wait;
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
  refused(out, r, r.status, hidden);
  if (semantic && is_transient(out.code) && !out.model_fault)
    out.code = ec::stream_broken;
  auto said = brief(r.message.empty() ? dump(error) : r.message, 300, hidden);
  out.error = "the server reported an error in its stream: \"" + said + "\"" + advice(out.code, r.status, out.said);
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

std::string percent_encoded(std::string_view text) {
  static constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (unsigned char c : text) {
    if (std::isalnum(c) || c == '-' || c == '_' || c == '.' || c == '~')
      out += static_cast<char>(c);
    else
      (out += '%') += {digits[c >> 4], digits[c & 15]};
  }
  return out;
}

std::string with_query(std::string url, const std::map<std::string, std::string>& query) {
  for (auto& [key, value] : query)
    url += (url.find('?') == std::string::npos ? "?" : "&") + percent_encoded(key) + "=" + percent_encoded(value);
  return url;
}

} // namespace conclave::wire
