// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/json_runs.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

namespace conclave::wire {

namespace {

constexpr std::size_t deepest = 64, longest_name = 64; ///< beyond it nobody reads, or calls a member

/// Numbers of texts, from 1 on; 0 is the empty one.
class numbers {
public:
  std::uint32_t of(std::string_view text) {
    if (text.empty())
      return 0;
    auto i = known_.find(text);
    if (i == known_.end())
      i = known_.emplace(text, static_cast<std::uint32_t>(known_.size() + 1)).first;
    return i->second;
  }

private:
  std::map<std::string, std::uint32_t, std::less<>> known_;
};

/// Numbers of pairs of numbers, from 1 on.
class pairs {
public:
  std::uint32_t of(std::uint32_t a, std::uint32_t b) {
    return known_.emplace(std::pair{a, b}, static_cast<std::uint32_t>(known_.size() + 1)).first->second;
  }

  std::uint32_t size() const { return static_cast<std::uint32_t>(known_.size()); }

private:
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> known_;
};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_hex_digit(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/// What providers send beside a text: `logprobs` of all dialects of OpenAI's, Gemini's `logprobsResult`, OpenAI's padding. Source:
/// the types of the vendors' TypeScript SDKs, read 2026-11-26.
bool is_aside(std::string_view name) {
  return name == "logprobs" || name == "logprobsResult" || name == "obfuscation";
}

class leaf_finder {
public:
  leaf_finder(std::string_view bytes, bool by_index) : bytes_(bytes), by_index_(by_index) { open_.emplace_back(); }

  json_leaves find() {
    for (auto i = field(0); i < bytes_.size();)
      i = step(i);
    while (open_.size() > 1)
      close(bytes_.size());
    for (auto& leaf : out_.all)
      leaf.place = places_.of(leaf.place, leaf.position * 17 + leaf.base);
    return std::move(out_);
  }

private:
  struct level {
    std::uint32_t name = 0;     ///< of the member that is read; in an array the array's
    std::uint32_t position = 0; ///< "index=0"
    std::uint32_t path = 0;     ///< of the names around it
    std::size_t first = 0;      ///< of the leaves within it
    std::size_t begin = 0;
    bool in_array = false;
    bool aside = false;   ///< it is, or is within, one
    bool next = false;    ///< what is read is one
    bool of_reply = true; ///< around it are `choices` or `candidates` at most
  };

  std::size_t step(std::size_t i) {
    constexpr std::string_view event = "\ndata:";
    auto c = bytes_[i];
    switch (c) {
    case '"':
      return string(i);
    case '{':
    case '[':
      if (open_.size() <= deepest)
        open(i);
      return i + 1;
    case '}':
    case ']':
      if (open_.size() > 1)
        close(i + 1);
      return i + 1;
    case '\n': // what was cut off has no end
      if (bytes_.substr(i, event.size()) == event)
        while (open_.size() > 1)
          close(i);
      return field(i + 1);
    default:
      return is_digit(c) ? number(i) : i + 1;
    }
  }

  /// A line of an event stream that is no data: what it says is one string. Returns where what follows it begins.
  std::size_t field(std::size_t i) {
    if (i >= bytes_.size() || (bytes_[i] != ':' && bytes_[i] != 'e' && bytes_[i] != 'i'))
      return i;
    auto line = bytes_.substr(i, bytes_.find('\n', i) - i);
    auto colon = line.find(':');
    auto name = line.substr(0, colon);
    if (open_.size() > 1 || colon == std::string_view::npos || (!name.empty() && name != "event" && name != "id"))
      return i;
    open_.back().name = names_.of(name.empty() ? ":" : name);
    auto begin = std::min(line.find_first_not_of(' ', colon + 1), line.size());
    auto end = line.ends_with('\r') ? line.size() - 1 : line.size();
    if (begin < end)
      add(i + begin, i + end, 0);
    open_.back().name = 0;
    return i + line.size();
  }

  void open(std::size_t i) {
    auto& around = open_.back();
    level in;
    in.in_array = bytes_[i] == '[';
    in.name = around.name;
    in.path = around.in_array ? around.path : path_within(around);
    in.first = out_.all.size();
    in.begin = i;
    in.aside = around.aside || around.next;
    in.of_reply = around.of_reply && (around.name == 0 || around.name == choices_ || around.name == candidates_);
    if (in.aside && !around.aside)
      tell_aside({i, i}, around);
    open_.push_back(in);
  }

  void close(std::size_t end) {
    auto& l = open_.back();
    if (l.position != 0)
      for (auto n = l.first; n < out_.all.size(); ++n)
        out_.all[n].position = both(out_.all[n].position, l.position);
    if (l.aside && !open_[open_.size() - 2].aside) {
      out_.asides.back().second = end;
      if (!out_.unread.empty() && out_.unread.back().first == l.begin)
        out_.unread.back().second = end;
    }
    open_.pop_back();
  }

  void tell_aside(text_span span, const level& at) {
    out_.asides.push_back(span);
    if (at.of_reply)
      out_.unread.push_back(span);
  }

  std::uint32_t path_within(const level& l) { return paths_.of(l.path, l.name); }

  std::uint32_t both(std::uint32_t a, std::uint32_t b) {
    return a == 0 ? b : positions_.of(std::to_string(a) + "+" + std::to_string(b));
  }

  void add(std::size_t begin, std::size_t end, std::uint8_t base) {
    auto& l = open_.back();
    out_.all.push_back({begin, end, l.name, 0, l.in_array ? l.path : path_within(l), base});
  }

  /// Returns where what follows the string begins.
  std::size_t string(std::size_t quote) {
    auto end = quote + 1;
    while (end < bytes_.size() && bytes_[end] != '"' && bytes_[end] != '\n')
      end += bytes_[end] == '\\' ? 2 : 1;
    if (end >= bytes_.size() || bytes_[end] == '\n')
      return std::min(end, bytes_.size());
    auto next = bytes_.find_first_not_of(" \t\r\n", end + 1);
    if (next == std::string_view::npos || bytes_[next] != ':') {
      auto& l = open_.back();
      if (l.next && !l.aside)
        tell_aside({quote + 1, end}, l);
      add(quote + 1, end, 0);
      numbers_within(quote + 1, end);
      return end + 1;
    }
    auto name = bytes_.substr(quote + 1, std::min(end - quote - 1, longest_name));
    open_.back().name = names_.of(name);
    open_.back().next = is_aside(name);
    if (auto known = paths_.size(); path_within(open_.back()) > known) // the first of its name there: others say the same
      out_.all.push_back({quote + 1, end, 0, 0, open_.back().path, json_leaf::of_name});
    return by_index_ && (name == "index" || name.ends_with("_index")) ? position(name, next + 1) : next + 1;
  }

  std::size_t position(std::string_view name, std::size_t i) {
    constexpr std::size_t longest = 10;
    i = std::min(bytes_.find_first_not_of(' ', i), bytes_.size());
    auto end = std::min(bytes_.find_first_not_of("0123456789", i), bytes_.size());
    if (end > i && end - i <= longest)
      open_.back().position =
          both(open_.back().position, positions_.of(std::string{name} + "=" + std::string{bytes_.substr(i, end - i)}));
    return end;
  }

  /// Returns where what follows the number begins.
  std::size_t number(std::size_t i) {
    auto end = i;
    while (end < bytes_.size() && (is_digit(bytes_[end]) || bytes_[end] == '.' || (bytes_[end] | 0x20) == 'e'))
      ++end;
    auto alone = i == 0 || std::string_view{",[: \t\r\n"}.find(bytes_[i - 1]) != std::string_view::npos;
    if (alone && is_byte(bytes_.substr(i, end - i), 10))
      add(i, end, 10);
    return end;
  }

  /// "112, 108, 97": a list of bytes that was made a text; also of two hexadecimal digits each, as dumps are.
  void numbers_within(std::size_t i, std::size_t end) {
    for (auto base : {std::uint8_t{10}, std::uint8_t{16}})
      if (is_byte(bytes_.substr(i, end - i), base))
        add(i, end, base);
    row tens{10, i, {}}, hexes{16, i, {}};
    if (end - i < 3 * row::least - 1)
      return;
    while (i < end) {
      if (!is_hex_digit(bytes_[i])) {
        ++i;
        continue;
      }
      auto stop = i;
      while (stop < end && is_hex_digit(bytes_[stop]))
        ++stop;
      if (stop - i == 1 && bytes_[i] == '0' && stop < end && (bytes_[stop] | 0x20) == 'x') { // 0x70
        i = stop + 1;
        continue;
      }
      put(tens, i, stop, is_byte(bytes_.substr(i, stop - i), 10));
      put(hexes, i, stop, stop - i == 2);
      i = stop;
    }
    finish(tens);
    finish(hexes);
  }

  struct row {
    static constexpr std::size_t least = 8, between = 4;
    std::uint8_t base;
    std::size_t done; ///< where its last one ends
    string_run all;
  };

  void put(row& r, std::size_t begin, std::size_t end, bool fits) {
    if (!fits || (!r.all.empty() && begin - r.done > row::between))
      finish(r);
    if (fits)
      r.all.emplace_back(begin, end);
    r.done = end;
  }

  void finish(row& r) {
    if (r.all.size() >= row::least)
      for (auto& [begin, end] : r.all)
        add(begin, end, r.base);
    r.all.clear();
  }

  std::string_view bytes_;
  bool by_index_;
  numbers names_, positions_;
  pairs paths_, places_;
  std::uint32_t choices_ = names_.of("choices"), candidates_ = names_.of("candidates");
  std::vector<level> open_;
  json_leaves out_;
};

} // namespace

bool is_byte(std::string_view digits, int base) {
  int value = 0;
  auto end = digits.data() + digits.size();
  return digits.size() <= 3 && (base == 10 || digits.size() == 2) && std::from_chars(digits.data(), end, value, base).ptr == end
         && value > 0 && value < 256;
}

json_leaves leaves_of(std::string_view bytes, bool by_index) {
  return leaf_finder{bytes, by_index}.find();
}

std::vector<string_run> string_runs(const json_leaves& leaves) {
  std::map<std::pair<std::uint32_t, std::uint32_t>, string_run> runs;
  for (auto& s : leaves.all)
    if (s.is_string())
      runs[{s.name, s.position}].emplace_back(s.begin, s.end);
  std::vector<string_run> out;
  out.reserve(runs.size());
  for (auto& [name, run] : runs)
    out.push_back(std::move(run));
  return out;
}

} // namespace conclave::wire
