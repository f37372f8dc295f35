// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/json.hpp"

#include "protocols/wire/json_flat.hpp"
#include "protocols/wire/json_util.hpp"
#include "protocols/wire/surrogates.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>
#include <vector>

namespace conclave::wire {

namespace {

/// Stops a parse that repeats a key.
struct guard {
  bool refused = false;
  std::vector<std::set<std::string>> keys;

  bool operator()(int, json::parse_event_t event, json& value) {
    if (refused)
      return false;
    if (event == json::parse_event_t::object_start)
      keys.emplace_back();
    else if (event == json::parse_event_t::object_end && !keys.empty())
      keys.pop_back();
    else if (event == json::parse_event_t::key && !keys.empty() && !keys.back().insert(value.get<std::string>()).second)
      refused = true;
    return !refused;
  }
};

/// Depth of nesting without building anything: a value far too deep must not even be recursed into.
bool too_deep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto c = text[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > max_depth)
        return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

/// Calls `at(begin, end)` for every number outside of strings that no double holds. nlohmann refuses a whole text for one.
template <class F>
void for_huge_numbers(std::string_view text, F at) {
  auto in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto c = text[i];
    if (in_string) {
      i += c == '\\' ? 1 : 0;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '-' || (c >= '0' && c <= '9')) {
      auto end = std::min(text.find_first_not_of("0123456789+-.eE", i), text.size());
      if (std::isinf(std::strtod(std::string(text.substr(i, end - i)).c_str(), nullptr)))
        at(i, end);
      i = end - 1;
    }
  }
}

bool holds_huge_number(std::string_view text) {
  auto any = false;
  for_huge_numbers(text, [&](std::size_t, std::size_t) { any = true; });
  return any;
}

/// A double takes the place of each: one that is still too large to be a count of anything.
std::string without_huge_numbers(std::string_view text) {
  std::string out;
  std::size_t from = 0;
  for_huge_numbers(text, [&](std::size_t begin, std::size_t end) {
    out.append(text.substr(from, begin - from)).append(text[begin] == '-' ? "-1e300" : "1e300");
    from = end;
  });
  return out.append(text.substr(from));
}

} // namespace

bool too_many_values(std::string_view text) {
  std::size_t n = 0;
  if (text.size() <= long_text)
    return false;
  for (std::size_t i = 0; i < text.size() && n <= max_values; ++i) {
    n += text[i] == ',' || text[i] == '[' || text[i] == '{';
    if (text[i] == '"')
      for (++i; i < text.size() && text[i] != '"'; ++i)
        i += text[i] == '\\';
  }
  return n > max_values;
}

std::optional<json> parse(std::string_view text, bool strict) {
  if (too_deep(text) || too_many_values(text))
    return std::nullopt;
  try {
    guard g;
    // A callback makes a parse several times as dear: not where no key is repeated for sure.
    auto guarded = strict && !flat_reader::takes_all(text);
    auto v = json::parse(text.begin(), text.end(), guarded ? json::parser_callback_t(std::ref(g)) : nullptr, false);
    if (v.is_discarded() || g.refused)
      return std::nullopt;
    return v;
  } catch (...) { // out of memory and the like; the parser itself was told not to throw
    return std::nullopt;
  }
}

std::optional<json> parse_lenient(std::string_view text, bool* marked) {
  auto v = parse(text);
  if (v || text.size() > max_mended)
    return v;
  std::string clean;
  if (std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; })) {
    clean = valid_utf8(text);
    v = parse(clean);
    text = clean;
  }
  std::string tame;
  if (!v && holds_huge_number(text)) {
    tame = without_huge_numbers(text);
    v = parse(tame);
    text = tame;
  }
  if (!v && text.find("\\u") != std::string_view::npos) {
    v = parse(without_halves(text, marked != nullptr));
    if (v && marked != nullptr)
      *marked = true;
  }
  return v;
}

std::string valid_utf8(std::string_view text) {
  auto v = parse(quote(text));
  return v ? v->get<std::string>() : std::string{};
}

std::string dump(const json& value, std::size_t expected) {
  std::string out;
  out.reserve(expected);
  // What json::dump does, into a string of ours.
  nlohmann::detail::serializer<json> writer(nlohmann::detail::output_adapter<char, std::string>(out), ' ',
                                            json::error_handler_t::replace);
  writer.dump(value, false, false, 0);
  return out;
}

const json* member(const json& v, const char* key) {
  if (!v.is_object())
    return nullptr;
  auto i = v.find(key);
  return i == v.end() ? nullptr : &*i;
}

std::string string_at(const json& v, const char* key) {
  auto* m = member(v, key);
  return m != nullptr && m->is_string() ? m->get<std::string>() : std::string{};
}

std::int64_t int_of(const json& v) {
  if (!v.is_number())
    return 0;
  if (v.is_number_float()) {
    auto d = v.get<double>();
    return d > -9e15 && d < 9e15 ? static_cast<std::int64_t>(d) : 0;
  }
  return v.is_number_unsigned() && v.get<std::uint64_t>() > INT64_MAX ? INT64_MAX : v.get<std::int64_t>();
}

std::int64_t int_at(const json& v, const char* key) {
  auto* m = member(v, key);
  return m == nullptr ? 0 : int_of(*m);
}

std::int64_t tokens_at(const json& v, const char* key) {
  return std::clamp<std::int64_t>(int_at(v, key), 0, 1'000'000'000'000);
}

token_count read_tokens(const json& v, const char* key, std::int64_t& to) {
  auto* m = member(v, key);
  return take_tokens(m != nullptr && m->is_number() ? m->get<double>() : -1, to);
}

token_count take_tokens(double count, std::int64_t& to) {
  if (!(count >= 0))
    return token_count::absent;
  if (count > 1e12)
    return token_count::absurd;
  to = static_cast<std::int64_t>(count);
  return token_count::given;
}

std::string quote(std::string_view text) {
  return dump(json(std::string(text)));
}

bool is_object(std::string_view text) {
  auto v = parse(text, true);
  return v && v->is_object();
}

bool get(std::string_view object, std::string_view key, std::string& out) {
  auto v = parse(object);
  if (!v)
    return false;
  auto* m = member(*v, std::string(key).c_str());
  if (m == nullptr)
    return false;
  out = m->is_string() ? m->get<std::string>() : dump(*m);
  return true;
}

std::string hash(std::string_view bytes) {
  std::uint64_t h = 14695981039346656037ull; // FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/
  for (unsigned char c : bytes) {
    h ^= c;
    h *= 1099511628211ull;
  }
  static const char* digits = "0123456789abcdef";
  std::string out(16, '0');
  for (int i = 15; i >= 0; --i, h >>= 4)
    out[static_cast<std::size_t>(i)] = digits[h & 15];
  return out;
}

} // namespace conclave::wire
