// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/json.hpp"

#include "protocols/wire/json_util.hpp"
#include "protocols/wire/surrogates.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <vector>

namespace conclave::wire {

namespace {

/// What the parts of a tree take: glibc's blocks on a machine of 64 bits.
constexpr std::size_t element_bytes = 32; ///< room to grow included
constexpr std::size_t member_bytes = 112; ///< a node of the map, with a short key
constexpr std::size_t container_bytes = 64;

std::size_t weight_of(const std::string& s) {
  return s.size() < sizeof s ? 0 : s.size() + 16;
}

/// Builds what nlohmann's own builder would, but within bounds, and takes over long strings instead of copying them.
class tree_builder {
public:
  tree_builder(bool strict, std::size_t most, std::size_t room) : strict_(strict), left_(most), room_(room) {}

  json root;
  bool too_much = false; ///< why it stopped

  bool null() { return put(nullptr); }
  bool boolean(bool v) { return put(v); }
  bool number_integer(std::int64_t v) { return put(v); }
  bool number_unsigned(std::uint64_t v) { return put(v); }
  bool number_float(double v, const std::string&) { return put(v); }
  bool string(std::string& v) { return spend(container_bytes + weight_of(v)) && put(taken(v)); }
  bool binary(json::binary_t&) { return false; }
  bool start_object(std::size_t) { return open(json::object()); }
  bool start_array(std::size_t) { return open(json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(std::string& name) {
    auto& members = open_.back()->get_ref<json::object_t&>();
    auto before = members.size();
    if (!spend(member_bytes + weight_of(name)))
      return false;
    member_ = &members[taken(name)];
    return !strict_ || members.size() > before; // else it repeats a key
  }

  bool parse_error(std::size_t, const std::string&, const json::exception&) { return false; }

private:
  static constexpr std::size_t long_string = 4096; ///< the parser goes on with the memory of a shorter one

  static std::string taken(std::string& s) { return s.size() < long_string ? s : std::move(s); }

  bool spend(std::size_t bytes) {
    too_much = bytes > room_;
    room_ -= too_much ? 0 : bytes;
    return !too_much;
  }

  /// As `too_many_values` counts: each value but the outermost, and an empty list or object once more.
  bool count() {
    too_much = left_ == 0;
    left_ -= too_much ? 0 : 1;
    return !too_much;
  }

  bool put(json v) {
    if (open_.empty()) {
      root = std::move(v);
      last_ = &root;
      return true;
    }
    auto& in = *open_.back();
    if (!count() || !spend(element_bytes))
      return false;
    if (in.is_array()) {
      in.push_back(std::move(v));
      last_ = &in.back();
    } else {
      *member_ = std::move(v);
      last_ = member_;
    }
    return true;
  }

  bool open(json v) {
    if (open_.size() == max_depth || !spend(container_bytes) || !put(std::move(v)))
      return false;
    open_.push_back(last_);
    return true;
  }

  bool close() {
    auto empty = open_.back()->empty();
    open_.pop_back();
    return !empty || count();
  }

  const bool strict_;
  std::size_t left_, room_;
  std::vector<json*> open_; ///< from the outermost inwards
  json* member_ = nullptr;  ///< the one whose key was read last
  json* last_ = nullptr;    ///< the value that was put last
};

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

std::optional<json> parse(std::string_view text, bool strict, std::size_t room, bool* too_much) {
  try {
    tree_builder tree(strict, text.size() > long_text ? max_values : SIZE_MAX, room);
    auto read = json::sax_parse(text.begin(), text.end(), &tree);
    if (too_much != nullptr)
      *too_much = tree.too_much;
    if (read)
      return std::move(tree.root);
  } catch (...) { // out of memory and the like; the parser itself was told not to throw
  }
  return std::nullopt;
}

std::optional<json> parse_lenient(std::string_view text, bool* marked, std::size_t room, bool* too_much) {
  auto v = parse(text, false, room, too_much);
  if (v || text.size() > max_mended)
    return v;
  std::string clean;
  if (std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; })) {
    clean = valid_utf8(text);
    v = parse(clean, false, room, too_much);
    text = clean;
  }
  std::string tame;
  if (!v && holds_huge_number(text)) {
    tame = without_huge_numbers(text);
    v = parse(tame, false, room, too_much);
    text = tame;
  }
  if (!v && text.find("\\u") != std::string_view::npos) {
    v = parse(without_halves(text, marked != nullptr), false, room, too_much);
    if (v && marked != nullptr)
      *marked = true;
  }
  return v;
}

std::size_t weight(const json& v) {
  if (v.is_string())
    return container_bytes + weight_of(v.get_ref<const std::string&>());
  std::size_t sum = v.is_structured() ? container_bytes : 0;
  if (v.is_array())
    for (auto& e : v)
      sum += element_bytes + weight(e);
  if (v.is_object())
    for (auto& [key, e] : v.get_ref<const json::object_t&>())
      sum += element_bytes + member_bytes + weight_of(key) + weight(e);
  return sum;
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

std::vector<std::string> texts_at(std::string_view object, std::string_view key) {
  std::vector<std::string> out;
  auto v = parse(object);
  auto* list = v ? member(*v, std::string(key).c_str()) : nullptr;
  if (list != nullptr && list->is_array())
    for (auto& element : *list)
      if (element.is_string())
        out.push_back(element.get<std::string>());
  return out;
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
