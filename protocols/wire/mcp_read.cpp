// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What a server's line holds. Servers print banners without a line feed, cut characters, write NaN: what can be understood is, and
// what cannot says whether a reply of ours is lost in it, so that nobody waits for it.

#include "protocols/text.hpp"
#include "protocols/wire/http_reply.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/wire/json_util.hpp"
#include "protocols/wire/mcp.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <iterator>

namespace conclave::wire::mcp {

namespace {

constexpr std::size_t max_messages = 1000;   ///< in one line: members of a batch, or objects side by side
constexpr int max_misses = 16;               ///< brackets of a banner that begin nothing readable
constexpr std::size_t max_foreign_id = 1024; ///< of a request of the server's; it is sent back
constexpr std::size_t quoted_bytes = 120;    ///< of what cannot be read, in a sentence about it
constexpr auto nowhere = std::string_view::npos;

std::size_t skip_blanks(std::string_view t, std::size_t i) {
  return std::min(t.find_first_not_of(white_space, i), t.size());
}

/// Four hexadecimal digits at `i`, or -1.
int hex4(std::string_view t, std::size_t i) {
  if (i + 4 > t.size())
    return -1;
  int out = 0;
  for (auto c : t.substr(i, 4)) {
    if (std::isxdigit(static_cast<unsigned char>(c)) == 0)
      return -1;
    out = out * 16 + (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return out;
}

/// Copies the escape at `i` (a backslash), made valid: half a surrogate pair becomes U+FFFD. Returns where it ends.
std::size_t mend_escape(std::string_view t, std::size_t i, std::string& out) {
  auto next = i + 1 < t.size() ? t[i + 1] : '\0';
  if (next != 'u') {
    auto known = next != '\0' && std::string_view("\"\\/bfnrt").find(next) != nowhere;
    out += known ? std::string(t.substr(i, 2)) : "\\\\";
    return i + (known ? 2 : 1);
  }
  auto first = hex4(t, i + 2);
  if (first < 0) {
    out += "\\\\";
    return i + 1;
  }
  if (first < 0xD800 || first > 0xDFFF) {
    out += t.substr(i, 6);
    return i + 6;
  }
  auto second = first < 0xDC00 && t.substr(i + 6, 2) == "\\u" ? hex4(t, i + 8) : -1;
  auto pair = second >= 0xDC00 && second <= 0xDFFF;
  out += pair ? std::string(t.substr(i, 12)) : "\\ufffd";
  return i + (pair ? 12 : 6);
}

/// What some servers write although JSON has no such thing: NaN and its kind become null, raw control characters are escaped, half
/// surrogate pairs and unknown escapes are made valid.
std::string mended(std::string_view t) {
  static const char* digits = "0123456789abcdef";
  std::string out;
  out.reserve(t.size() + 16);
  bool in_string = false;
  for (std::size_t i = 0; i < t.size();) {
    auto c = t[i];
    auto u = static_cast<unsigned char>(c);
    if (in_string && c == '\\') {
      i = mend_escape(t, i, out);
      continue;
    }
    if (c == '"') {
      in_string = !in_string;
    } else if (in_string && u < 0x20) {
      out += std::string("\\u00") + digits[u >> 4] + digits[u & 15];
      ++i;
      continue;
    } else if (!in_string && (c == 'N' || c == 'I' || c == '-' || c == 'u')) {
      std::size_t taken = 0;
      for (std::string_view word : {"NaN", "-NaN", "Infinity", "-Infinity", "undefined"})
        if (t.substr(i, word.size()) == word)
          taken = word.size();
      if (taken > 0) {
        out += "null";
        i += taken;
        continue;
      }
    }
    out += c;
    ++i;
  }
  return out;
}

std::optional<json> parse_mended(std::string_view t) {
  auto v = parse(t);
  return v || t.size() > max_mended ? v : parse_lenient(mended(t));
}

/// What the brackets and the outermost keys of a text tell, readable or not.
struct outline {
  std::size_t end = nowhere; ///< behind the closing bracket; nowhere = it is cut
  int depth = 0;             ///< deepest
  bool version = false, method = false, reply = false;
  std::uint64_t id = 0;
};

std::uint64_t number_at(std::string_view t, std::size_t i) {
  i = skip_blanks(t, i);
  if (i < t.size() && t[i] == '"')
    ++i;
  std::uint64_t out = 0;
  for (int n = 0; i < t.size() && std::isdigit(static_cast<unsigned char>(t[i])) != 0 && n < 18; ++i, ++n)
    out = out * 10 + static_cast<std::uint64_t>(t[i] - '0');
  return out;
}

void note_key(outline& o, std::string_view key, std::string_view t, std::size_t value) {
  if (key == "jsonrpc")
    o.version = true;
  else if (key == "method")
    o.method = true;
  else if (key == "result" || key == "error")
    o.reply = true;
  else if (key == "id")
    o.id = number_at(t, value);
}

/// `t` begins with a bracket.
outline outline_of(std::string_view t) {
  outline o;
  int depth = 0;
  auto level = t[0] == '[' ? 2 : 1; // of the keys of a message
  for (std::size_t i = 0; i < t.size(); ++i) {
    if (t[i] == '"') {
      auto begin = i + 1;
      for (++i; i < t.size() && t[i] != '"'; ++i)
        if (t[i] == '\\')
          ++i;
      auto colon = skip_blanks(t, std::min(i + 1, t.size()));
      if (depth == level && colon < t.size() && t[colon] == ':')
        note_key(o, t.substr(begin, i - begin), t, colon + 1);
    } else if (t[i] == '{' || t[i] == '[') {
      o.depth = std::max(o.depth, ++depth);
    } else if ((t[i] == '}' || t[i] == ']') && --depth == 0) {
      o.end = i + 1;
      return o;
    }
  }
  return o;
}

/// Whether a bracket at `i` begins what a person would take for JSON, not for a part of a sentence.
bool begins_json(std::string_view t, std::size_t i) {
  if (t[i] == '[')
    i = skip_blanks(t, i + 1);
  return i < t.size() && t[i] == '{' && skip_blanks(t, i + 1) < t.size() && t[skip_blanks(t, i + 1)] == '"';
}

std::string quoted(std::string_view t, const secrets& hidden) {
  return "\"" + brief(t, quoted_bytes, hidden) + "\"";
}

/// A message that cannot be read. `t` is what there is of it.
incoming unreadable(std::string_view t, const outline& o, const secrets& hidden) {
  incoming out;
  out.message = o.end == nowhere      ? "it is cut"
                : o.depth > max_depth ? "it is nested deeper than 64"
                : too_many_values(t)  ? "it holds more than " + std::to_string(max_values) + " values"
                                      : "it is no valid JSON";
  out.message += ": " + quoted(t, hidden);
  if (t[0] == '{')
    out.id = o.id;
  if (o.method)
    return out;
  out.lost = o.reply ? lost_reply::certain : lost_reply::perhaps;
  return out;
}

/// Our ids are whole numbers; some servers send them back as text or with a fraction of 0.
std::uint64_t own_id(const json& id) {
  if (id.is_number_unsigned())
    return id.get<std::uint64_t>();
  if (id.is_number_float()) {
    auto d = id.get<double>();
    return d >= 1 && d < 9e15 && std::floor(d) == d ? static_cast<std::uint64_t>(d) : 0;
  }
  if (!id.is_string())
    return 0;
  auto text = id.get<std::string>();
  text = trimmed_start_mark(text);
  if (text.ends_with(".0"))
    text.resize(text.size() - 2);
  auto digits = !text.empty() && text.size() < 19 && text.find_first_not_of("0123456789") == std::string::npos;
  return digits ? std::stoull(text) : 0;
}

/// Returns whether a member `error` says anything: some servers send an empty one beside every result.
bool says_error(const json& e) {
  return !e.is_null() && !(e.is_boolean() && !e.get<bool>()) && !(e.is_string() && e.get<std::string>().empty())
         && !(e.is_structured() && e.empty());
}

void read_reply(const json& v, incoming& out, const secrets& hidden, std::size_t expected) {
  auto* result = member(v, "result");
  auto* error = member(v, "error");
  if (error != nullptr && (says_error(*error) || result == nullptr)) {
    out.kind = kind::error;
    out.code = int_at(*error, "code");
    auto text = error->is_string() ? error->get<std::string>() : string_at(*error, "message");
    out.message = brief(text.empty() ? dump(*error) : text, 500, hidden);
  } else if (result != nullptr) {
    out.kind = kind::response;
    out.payload = dump(*result, expected);
  } else if (out.id > 0) {
    out.message = "it has neither result nor error: " + quoted(dump(v), hidden);
    out.lost = lost_reply::certain;
  }
}

/// "3 of 10: copying files", as much of it as the server says.
void read_progress(const json& v, incoming& out, const secrets& hidden) {
  auto* params = member(v, "params");
  if (params == nullptr)
    return;
  auto number = [&](const char* key) {
    auto* n = member(*params, key);
    return n != nullptr && n->is_number() ? dump(*n) : std::string{};
  };
  if (auto* token = member(*params, "progressToken"))
    out.id = own_id(*token);
  auto done = number("progress"), total = number("total"), text = string_at(*params, "message");
  if (!done.empty() && !total.empty())
    done += " of " + total;
  out.message = done + (done.empty() || text.empty() ? "" : ": ") + brief(text, 160, hidden);
}

/// What a JSON value means as one message. `expected`: bytes of its text, if it is long.
incoming meaning(const json& v, const secrets& hidden, std::size_t expected = 0) {
  incoming out;
  if (!v.is_object())
    return out;
  auto* id = member(v, "id");
  auto version = member(v, "jsonrpc") != nullptr;
  out.method = string_at(v, "method");
  if (!out.method.empty() && version) {
    if (id == nullptr) {
      out.kind = kind::notification;
      if (out.method == progress_method)
        read_progress(v, out, hidden);
    } else if (id->is_number_integer() || (id->is_string() && id->get_ref<const std::string&>().size() <= max_foreign_id)) {
      out.kind = kind::request;
      out.id_json = dump(*id);
    }
    return out;
  }
  out.nameless = id == nullptr || id->is_null();
  if (!out.nameless)
    out.id = own_id(*id);
  if (version || out.id > 0) // without either, any line of a log could pass for a reply
    read_reply(v, out, hidden, expected);
  return out;
}

/// UTF-16, as some shells make of what goes through a pipe, is read without its zero bytes: right for ASCII.
std::string_view narrow(std::string_view t, std::string& buffer) {
  if (std::count(t.begin(), t.end(), '\0') <= static_cast<std::ptrdiff_t>(t.size() / 3))
    return t;
  std::copy_if(t.begin(), t.end(), std::back_inserter(buffer), [](char c) { return c != '\0'; });
  return buffer;
}

} // namespace

incoming read(std::string_view text, const secrets& hidden) {
  std::string buffer;
  auto v = parse_mended(trimmed_start_mark(narrow(text, buffer)));
  return v ? meaning(*v, hidden) : incoming{};
}

namespace {

/// Whether a line in which no message was found holds what its writer took for a reply: a message spread over several lines,
/// one as Python prints it, one within a string or another object.
bool looks_like_a_reply(std::string_view line) {
  auto has = [line](std::string_view word) { return line.find(word) != nowhere; };
  return has("jsonrpc") && !has("method") && (line[0] == '"' || has("result") || has("error"));
}

} // namespace

std::vector<incoming> read_line(std::string_view line, const secrets& hidden) {
  std::vector<incoming> out;
  std::string buffer;
  line = narrow(line, buffer);
  line = trimmed_start_mark(line);
  if (line.empty())
    return out;
  auto add = [&](incoming m) {
    if ((m.kind != kind::invalid || m.lost != lost_reply::no) && out.size() < max_messages)
      out.push_back(std::move(m));
  };
  if (auto whole = line[0] == '{' ? parse(line) : std::nullopt) { // nearly always
    add(meaning(*whole, hidden, line.size() < long_text ? 0 : line.size()));
  } else {
    int misses = 0;
    for (auto i = line.find_first_of("{["); i != nowhere && misses < max_misses; i = line.find_first_of("{[", i)) {
      auto rest = line.substr(i);
      auto o = outline_of(rest);
      auto piece = rest.substr(0, o.end);
      auto v = o.end == nowhere ? std::nullopt : parse_mended(piece);
      if (v && v->is_array()) {
        for (auto& x : *v)
          add(meaning(x, hidden));
      } else if (v) {
        add(meaning(*v, hidden));
      } else if (begins_json(line, i)) {
        add(unreadable(piece, o, hidden));
        if (o.end == nowhere)
          break; // what follows is inside of it
      } else {
        ++misses;
      }
      i += (v || begins_json(line, i)) ? piece.size() : 1;
    }
  }
  if (out.empty()) {
    incoming m;
    m.message = "it is no JSON-RPC message: " + quoted(line, hidden);
    if (looks_like_a_reply(line))
      m.lost = lost_reply::perhaps;
    out.push_back(std::move(m));
  }
  return out;
}

} // namespace conclave::wire::mcp
