// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/arguments.hpp"

#include "protocols/text.hpp"
#include "protocols/wire/surrogates.hpp"

#include <algorithm>
#include <cctype>

namespace conclave::wire {

namespace {

constexpr std::string_view blanks = " \t\r\n";
constexpr int max_wraps = 3;

/// Without a Markdown fence around all of it.
std::string_view unfenced(std::string_view x) {
  x = trimmed_start_mark(x);
  if (!x.starts_with("```") || x.size() < 6 || !x.ends_with("```"))
    return x;
  x = x.substr(3, x.size() - 6);
  auto body = x.find_first_of("{\"\n");
  return body == std::string_view::npos ? x : trimmed_start_mark(x.substr(body));
}

void escape_control(std::string& out, char c) {
  static const char* digits = "0123456789abcdef";
  out += "\\u00";
  out += digits[static_cast<unsigned char>(c) >> 4];
  out += digits[static_cast<unsigned char>(c) & 15];
}

/// Raw control characters inside strings become escapes.
std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 16);
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto c = text[i];
    if (in_string && static_cast<unsigned char>(c) < 0x20) {
      escape_control(out, c);
      continue;
    }
    out += c;
    if (in_string && c == '\\' && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) >= 0x20)
      out += text[++i];
    else if (c == '"')
      in_string = !in_string;
  }
  return out;
}

/// The end of the object or string at the beginning of `text`; 0 if there is none.
std::size_t end_of_value(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto c = text[i];
    if (in_string && c == '\\')
      ++i;
    else if (c == '"')
      in_string = !in_string;
    else if (!in_string && (c == '{' || c == '['))
      ++depth;
    else if (!in_string && (c == '}' || c == ']'))
      --depth;
    else
      continue;
    if (depth <= 0 && !in_string)
      return i + 1;
  }
  return 0;
}

/// Of the objects of a text one may count: empty ones say nothing, the same again adds nothing.
struct sole_object {
  std::optional<json> value;
  bool several = false;

  void add(json v) {
    if (!value || value->empty())
      value = std::move(v);
    else if (!v.empty() && v != *value)
      several = true;
  }

  std::optional<json> get() && { return several ? std::nullopt : std::move(value); }
};

std::optional<json> read_lossless(std::string_view given, int wraps = 0) {
  auto text = unfenced(given);
  if (text.empty())
    return json::object();
  if (auto v = parse(text, true); v && v->is_object())
    return v;
  if (text.front() != '{' && text.front() != '"')
    return std::nullopt;
  auto inner = wraps < max_wraps && text.starts_with("{\\\"") // a string that lost its quotes
                   ? parse("\"" + std::string(text) + "\"", true)
                   : std::nullopt;
  if (inner)
    return read_lossless(inner->get<std::string>(), wraps + 1);
  auto mended = without_halves(valid_utf8(escaped(text)), false);
  sole_object found;
  for (auto rest = std::string_view(mended); !rest.empty(); rest = trimmed_start_mark(rest)) {
    auto end = end_of_value(rest);
    auto v = end == 0 ? std::nullopt : parse(rest.substr(0, end), true);
    if (v && v->is_string() && wraps < max_wraps)
      v = read_lossless(v->get<std::string>(), wraps + 1);
    if (!v || !v->is_object())
      return std::nullopt;
    found.add(std::move(*v));
    rest.remove_prefix(end);
  }
  return std::move(found).get();
}

/// Writes the first object of a text as strict JSON, guessing where it must: a quote ends a string only where the text goes on as
/// an object or list would, and brackets left open are closed. A string that is not closed is not guessed: it may have been cut.
class mender {
public:
  explicit mender(std::string_view text) : text_(text) {}

  /// Returns the next object, or nothing: there is none, or it makes no sense.
  std::optional<json> next() {
    at_ = std::min(text_.find('{', at_), text_.size());
    out_.clear();
    open_.clear();
    for (; at_ < text_.size(); ++at_) {
      auto c = text_[at_];
      if (c == '"' || c == '\'') {
        if (!string())
          return std::nullopt;
      } else if (c == '{' || c == '[') {
        if (open_.size() >= max_depth)
          return std::nullopt;
        open_ += c == '{' ? '}' : ']';
        out_ += c;
      } else if (c == '}' || c == ']') {
        if (open_.empty() || open_.back() != c)
          return std::nullopt;
        drop_comma();
        open_.pop_back();
        out_ += c;
        if (open_.empty()) {
          ++at_;
          return parse(out_, true);
        }
      } else if (std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_') {
        word();
      } else {
        out_ += c;
      }
    }
    if (open_.empty())
      return std::nullopt;
    drop_comma();
    out_.append(open_.rbegin(), open_.rend());
    auto v = parse(out_, true);
    return v && v->empty() ? std::nullopt : v; // "{" says nothing at all
  }

private:
  std::size_t skip(std::size_t i, std::string_view of) const { return std::min(text_.find_first_not_of(of, i), text_.size()); }

  void drop_comma() {
    auto last = out_.find_last_not_of(blanks);
    if (last != std::string::npos && out_[last] == ',')
      out_.resize(last);
  }

  /// Whether a member's name and a colon stand at `i`.
  bool name_at(std::size_t i) const {
    if (i == text_.size() || (text_[i] != '"' && text_[i] != '\''))
      return false;
    auto end = text_.substr(i + 1, 64).find(text_[i]);
    if (end == std::string_view::npos)
      return false;
    auto colon = skip(i + end + 2, blanks);
    return colon < text_.size() && text_[colon] == ':';
  }

  /// Whether the quote before `i` ends its string.
  bool ends(std::size_t i, bool name) const {
    i = skip(i, blanks);
    if (name)
      return i < text_.size() && text_[i] == ':';
    if (i == text_.size())
      return true;
    if (text_[i] == ',') {
      auto after = skip(i + 1, blanks);
      return open_.back() == ']' || after == text_.size() || text_[after] == '}' || name_at(after);
    }
    if (text_[i] != open_.back())
      return false;
    auto after = skip(i, " \t\r\n}]`");
    return after == text_.size() || text_[after] == ',' || text_[after] == '{' || open_.size() == 1;
  }

  bool is_name() const {
    auto last = out_.find_last_not_of(blanks);
    return !open_.empty() && open_.back() == '}' && last != std::string::npos && (out_[last] == '{' || out_[last] == ',');
  }

  /// A string from its quote on; false if it has no end.
  bool string() {
    auto quote = text_[at_];
    auto name = is_name();
    out_ += '"';
    for (++at_; at_ < text_.size(); ++at_) {
      auto c = text_[at_];
      if (c == quote && ends(at_ + 1, name)) {
        out_ += '"';
        return true;
      }
      if (c == '\\' && at_ + 1 < text_.size())
        escape(text_[++at_]);
      else if (c == '"' || c == '\\')
        (out_ += '\\') += c;
      else if (static_cast<unsigned char>(c) < 0x20)
        escape_control(out_, c);
      else
        out_ += c;
    }
    return false;
  }

  void escape(char c) {
    auto hex = [](char x) { return std::isxdigit(static_cast<unsigned char>(x)) != 0; };
    auto code = text_.substr(at_ + 1, 4);
    if (c == '\'') {
      out_ += c;
    } else if (std::string_view("\"\\/bfnrt").find(c) != std::string_view::npos
               || (c == 'u' && code.size() == 4 && std::all_of(code.begin(), code.end(), hex))) {
      (out_ += '\\') += c;
    } else { // no escape of JSON's: the backslash was meant
      out_ += "\\\\";
      --at_;
    }
  }

  /// A word outside strings: a name without quotes, or a literal of JSON or Python.
  void word() {
    auto end = at_;
    while (end < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[end])) != 0 || text_[end] == '_'))
      ++end;
    auto w = text_.substr(at_, end - at_);
    if (is_name())
      ((out_ += '"') += w) += '"';
    else
      out_ += w == "True" ? "true" : w == "False" ? "false" : w == "None" ? "null" : w;
    at_ = end - 1;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::string out_;
  std::string open_; ///< the closing brackets that are due
};

std::optional<json> read_best(std::string_view text) {
  auto clean = without_halves(valid_utf8(text), false);
  mender m(clean);
  sole_object found;
  while (auto v = m.next())
    if (v->is_object())
      found.add(std::move(*v));
  return std::move(found).get();
}

} // namespace

std::optional<json> read_arguments(std::string_view text, reading how) {
  auto v = read_lossless(text);
  return v || how == reading::lossless ? v : read_best(text);
}

std::string settled_arguments(const std::string& text) {
  auto v = parse(text);
  if (!v || !v->is_object())
    if (auto lenient = read_arguments(text, reading::lossless))
      return dump(*lenient);
  return text;
}

} // namespace conclave::wire
