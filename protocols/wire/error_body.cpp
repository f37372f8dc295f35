// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/error_body.hpp"

#include "protocols/text.hpp"
#include "protocols/wire/error_kind.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <utility>

namespace conclave::wire {

namespace {

constexpr int max_nesting = 6;
constexpr std::size_t max_parts = 3;        ///< of a list of errors
constexpr std::size_t max_page = 256 << 10; ///< of a web page, which may begin with a style sheet
constexpr std::size_t max_text = 64 << 10;

bool is_space(char c) {
  return std::isspace(static_cast<unsigned char>(c)) != 0;
}

/// A code as text: numbers, words.
std::string scalar(const json& v) {
  return v.is_string() ? v.get<std::string>() : v.is_number_integer() ? dump(v) : std::string{};
}

void add(std::string& list, const std::string& word, const char* between) {
  if (word.empty() || list == word || (word.size() > 3 && list.find(word) != std::string::npos))
    return;
  list += (list.empty() ? "" : between) + word;
}

int status_of(const json& v) {
  auto text = scalar(v);
  return text.size() == 3 && text[0] >= '3' && text[0] <= '5' && std::isdigit(static_cast<unsigned char>(text[1])) != 0
                 && std::isdigit(static_cast<unsigned char>(text[2])) != 0
             ? std::atoi(text.c_str())
             : 0;
}

/// A sentence that says nothing of the cause, in front of one that does.
bool is_generic(const std::string& message) {
  auto text = lower(message);
  while (!text.empty() && (is_space(text.back()) || text.back() == '.' || text.back() == ':'))
    text.pop_back();
  return says(text, {"provider returned error", "upstream error", "upstream request failed"}) || text == "error"
         || text == "bad request" || text == "validation error" || text == "internal server error" || text == "unknown error";
}

bool is_word(const std::string& message) {
  return !message.empty() && message.find('_') != std::string::npos && message.find(' ') == std::string::npos;
}

reason read_value(const json& v, int depth);
reason read_object(const json& v, int depth);

/// What a string holds: JSON of an error within, or the sentence itself.
reason read_string(const std::string& text, int depth) {
  auto start = text.find_first_not_of(" \t\r\n");
  if (depth < max_nesting && start != std::string::npos && (text[start] == '{' || text[start] == '['))
    if (auto inner = parse_lenient(std::string_view(text).substr(0, max_text)))
      if (auto r = read_value(*inner, depth + 1); !r.message.empty())
        return r;
  reason r;
  r.message = text;
  return r;
}

void take(reason& to, reason from, const char* between = ": ") {
  add(to.message, from.message, between);
  add(to.code, from.code, " ");
  if (to.status == 0)
    to.status = from.status;
  if (to.wait_ms < 0)
    to.wait_ms = from.wait_ms;
}

/// {"loc": ["body", "tools", 3], "msg": "..."}: the place first, as a path.
std::string place_of(const json& v) {
  std::string out;
  if (auto* loc = member(v, "loc"); loc != nullptr && loc->is_array())
    for (auto& part : *loc)
      if (auto text = scalar(part); !text.empty())
        out += (out.empty() ? "" : ".") + text;
  return out;
}

void take_waits(reason& r, const json& v) {
  for (auto* key : {"retryDelay", "retry_delay", "retry_after", "retry_after_seconds", "retryAfter", "Retry-After", "retry-after",
                    "estimated_time"})
    if (auto* wait = member(v, key); wait != nullptr && r.wait_ms < 0) {
      if (wait->is_string())
        r.wait_ms = duration_ms(lower(wait->get<std::string>()));
      else if (wait->is_number())
        r.wait_ms = wait_ms(wait->get<double>() * 1000);
      else if (auto* seconds = member(*wait, "seconds"); seconds != nullptr && seconds->is_number())
        r.wait_ms = wait_ms(seconds->get<double>() * 1000);
    }
}

reason read_list(const json& v, int depth) {
  reason r;
  for (std::size_t i = 0; i < std::min(v.size(), max_parts); ++i)
    take(r, read_value(v[i], depth + 1), "; ");
  return r;
}

/// A list, or the messages of each field by its name.
reason read_errors(const json& v, int depth) {
  auto* errors = member(v, "errors");
  if (errors == nullptr || !errors->is_object())
    return errors == nullptr ? reason{} : read_value(*errors, depth + 1);
  reason r;
  std::size_t parts = 0;
  for (auto& [name, value] : errors->items())
    if (auto more = read_value(value, depth + 1); !more.message.empty() && ++parts <= max_parts) {
      more.message = name + ": " + more.message;
      take(r, std::move(more), "; ");
    }
  return r.message.empty() ? read_object(*errors, depth + 1) : r;
}

reason read_object(const json& v, int depth) {
  reason r;
  take_waits(r, v);
  for (auto* key : {"status", "status_code", "statusCode", "code", "error_code"})
    if (auto* x = member(v, key); x != nullptr && r.status == 0)
      r.status = status_of(*x);
  for (auto* key :
       {"code", "type", "status", "error_type", "error_code", "status_code", "err_code", "errorCode", "param", "__type"})
    if (auto* x = member(v, key))
      if (auto word = scalar(*x); word != "error")
        add(r.code, word, " ");
  auto inner = [&](const char* key) {
    auto* x = member(v, key);
    return x != nullptr && (x->is_object() || x->is_array() || x->is_string()) ? read_value(*x, depth + 1) : reason{};
  };
  if (auto* metadata = member(v, "metadata")) { // OpenRouter: what the provider behind it said
    if (auto* raw = member(*metadata, "raw"); raw != nullptr && !raw->is_null())
      take(r, read_value(*raw, depth + 1));
    take_waits(r, *metadata);
    if (auto* headers = member(*metadata, "headers"))
      take_waits(r, *headers);
    if (auto provider = string_at(*metadata, "provider_name"); !provider.empty() && !r.message.empty())
      r.message = provider + ": " + r.message;
  }
  static constexpr std::array<std::string_view, 18> sentences{
      "error",      "fault",     "base_resp", "message",           "Message",      "msg",
      "status_msg", "error_msg", "errmsg",    "error_message",     "errorMessage", "faultstring",
      "title",      "detail",    "errors",    "error_description", "reason",       "innererror"};
  for (auto key : sentences) {
    auto more = key == "errors" ? read_errors(v, depth) : inner(key.data());
    // The first sentence counts; a second one only if it adds to it, or if the first was none: a code word, "Bad Request".
    auto adds = key == "detail" || key == "errors" || key == "error_description";
    if (!more.message.empty() && is_word(r.message))
      add(r.code, std::exchange(r.message, {}), " ");
    if (!more.message.empty() && is_generic(r.message))
      r.message.clear();
    else if (!r.message.empty() && !adds)
      more.message.clear();
    take(r, std::move(more));
  }
  if (auto place = place_of(v); !place.empty() && !r.message.empty())
    r.message = place + ": " + r.message;
  if (auto* details = member(v, "details")) {
    if (details->is_array()) // google.rpc: RetryInfo and others
      for (std::size_t i = 0; i < std::min<std::size_t>(details->size(), 16); ++i) {
        take_waits(r, (*details)[i]);
        add(r.code, string_at((*details)[i], "reason"), " ");
      }
    else
      add(r.code, string_at(*details, "error_code"), " ");
    if (r.message.empty())
      r.message = details->is_string() ? details->get<std::string>() : std::string{};
  }
  return r;
}

reason read_value(const json& v, int depth) {
  if (depth > max_nesting)
    return {};
  if (v.is_string())
    return read_string(v.get<std::string>(), depth);
  if (v.is_array())
    return read_list(v, depth);
  return v.is_object() ? read_object(v, depth) : reason{};
}

/// The character that an entity at the beginning of `text` stands for; `length` is that of the entity, 0 if it is none.
std::string entity(std::string_view text, std::size_t& length) {
  length = 0;
  auto end = text.substr(0, 12).find(';');
  if (end == std::string_view::npos || end < 2)
    return {};
  auto name = text.substr(1, end - 1);
  static constexpr std::pair<std::string_view, std::string_view> named[] = {
      {"amp", "&"},      {"lt", "<"},     {"gt", ">"},     {"quot", "\""}, {"apos", "'"},   {"nbsp", " "},
      {"mdash", "-"},    {"ndash", "-"},  {"rsquo", "'"},  {"lsquo", "'"}, {"ldquo", "\""}, {"rdquo", "\""},
      {"hellip", "..."}, {"copy", "(c)"}, {"middot", "-"}, {"bull", "-"}};
  for (auto& [key, value] : named)
    if (name == key) {
      length = end + 1;
      return std::string(value);
    }
  if (name.size() < 2 || name[0] != '#')
    return {};
  auto hex = name[1] == 'x' || name[1] == 'X';
  auto digits = std::string(name.substr(hex ? 2 : 1));
  if (digits.empty() || digits.find_first_not_of(hex ? "0123456789abcdefABCDEF" : "0123456789") != std::string::npos)
    return {};
  auto code = std::strtoul(digits.c_str(), nullptr, hex ? 16 : 10);
  length = end + 1;
  return code >= 0x20 && code < 0x7f ? std::string(1, static_cast<char>(code)) : std::string(" ");
}

/// Reads a page tag by tag: the words outside of what a browser does not show, and the title.
struct page {
  std::string title, words;

  void add(std::string& to, std::string_view text) {
    for (char c : text)
      if (!is_space(c))
        to += c;
      else if (!to.empty() && to.back() != ' ')
        to += ' ';
  }

  explicit page(std::string_view text) {
    static constexpr std::array hidden{"script", "style", "svg", "template", "noscript"};
    auto* to = &words;
    for (std::size_t i = 0; i < text.size() && words.size() < 2000;) {
      if (text[i] == '&') {
        std::size_t length = 0;
        auto c = entity(text.substr(i), length);
        add(*to, length > 0 ? std::string_view(c) : text.substr(i, 1));
        i += std::max<std::size_t>(length, 1);
        continue;
      }
      if (text[i] != '<') {
        auto end = std::min(text.find_first_of("<&", i), text.size());
        add(*to, text.substr(i, end - i));
        i = end;
        continue;
      }
      auto comment = text.substr(i, 4) == "<!--";
      auto end = comment ? text.find("-->", i) : text.find('>', i);
      if (end == std::string_view::npos)
        break;
      auto start = i;
      i = end + (comment ? 3 : 1);
      if (comment)
        continue;
      auto name_end = text.find_first_of(" \t\r\n/>", start + 2);
      auto name = lower(std::string(text.substr(start + 1, std::min(name_end, end) - start - 1)));
      for (auto* h : hidden)
        if (name == h) { // everything up to its end tag, whatever it holds
          auto close = "</" + name;
          auto at = std::search(text.begin() + static_cast<std::ptrdiff_t>(i), text.end(), close.begin(), close.end(),
                                [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; });
          i = static_cast<std::size_t>(at - text.begin());
        }
      to = name == "title" ? &title : name == "/title" ? &words : to;
      add(*to, " ");
    }
    for (auto* x : {&title, &words})
      while (!x->empty() && x->back() == ' ')
        x->pop_back();
  }
};

} // namespace

reason read_reason(const json& value) {
  return read_value(value, 0);
}

reason read_reason(std::string_view body) {
  if (auto v = parse_lenient(body))
    return read_reason(*v);
  reason r;
  auto start = body.find_first_not_of(" \t\r\n");
  if (start == std::string_view::npos)
    return r;
  if (body[start] != '<') {
    r.message = body.substr(start, max_text);
    while (!r.message.empty() && is_space(r.message.back()))
      r.message.pop_back();
    return r;
  }
  page p(body.substr(start, max_page));
  r.message = p.title;
  if (!p.words.starts_with(p.title) || p.title.empty())
    r.message += (p.title.empty() || p.words.empty() ? "" : ": ") + p.words;
  else
    r.message = p.words;
  return r;
}

} // namespace conclave::wire
