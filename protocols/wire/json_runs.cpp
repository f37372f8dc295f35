// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/json_runs.hpp"

#include <algorithm>
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

class run_finder {
public:
  run_finder(std::string_view bytes, bool by_index) : bytes_(bytes), by_index_(by_index) { open_.emplace_back(); }

  std::vector<string_run> find() {
    for (std::size_t i = 0; i < bytes_.size();)
      i = step(i);
    while (open_.size() > 1)
      close();
    std::map<std::pair<std::uint32_t, std::uint32_t>, string_run> runs;
    for (auto& s : strings_)
      runs[{s.name, s.position}].emplace_back(s.begin, s.end);
    std::vector<string_run> out;
    for (auto& [name, run] : runs)
      out.push_back(std::move(run));
    return out;
  }

private:
  struct level {
    std::uint32_t name = 0;     ///< of the member that is read; in an array the array's
    std::uint32_t position = 0; ///< "index=0"
    std::size_t first = 0;      ///< of the strings within it
  };
  struct found {
    std::size_t begin, end;
    std::uint32_t name, position;
  };

  std::size_t step(std::size_t i) {
    constexpr std::string_view event = "\ndata:";
    switch (bytes_[i]) {
    case '"':
      return string(i);
    case '{':
    case '[':
      if (open_.size() <= deepest)
        open_.push_back({open_.back().name, 0, strings_.size()});
      return i + 1;
    case '}':
    case ']':
      if (open_.size() > 1)
        close();
      return i + 1;
    case '\n': // what was cut off has no end
      if (bytes_.substr(i, event.size()) == event)
        while (open_.size() > 1)
          close();
      return i + 1;
    default:
      return i + 1;
    }
  }

  void close() {
    if (auto& l = open_.back(); l.position != 0)
      for (auto n = l.first; n < strings_.size(); ++n)
        strings_[n].position = both(strings_[n].position, l.position);
    open_.pop_back();
  }

  std::uint32_t both(std::uint32_t a, std::uint32_t b) {
    return a == 0 ? b : positions_.of(std::to_string(a) + "+" + std::to_string(b));
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
      strings_.push_back({quote + 1, end, open_.back().name, 0});
      return end + 1;
    }
    auto name = bytes_.substr(quote + 1, std::min(end - quote - 1, longest_name));
    open_.back().name = names_.of(name);
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

  std::string_view bytes_;
  bool by_index_;
  numbers names_, positions_;
  std::vector<level> open_;
  std::vector<found> strings_;
};

} // namespace

std::vector<string_run> string_runs(std::string_view bytes, bool by_index) {
  return run_finder{bytes, by_index}.find();
}

} // namespace conclave::wire
