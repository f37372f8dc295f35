// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/secret_dumps.hpp"

#include "protocols/text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace conclave {

namespace {

constexpr std::size_t most_in_row = 256; ///< bytes: what xxd takes

enum part : char { other, digit, space };
constexpr auto kinds = [] {
  std::array<part, 256> out{};
  for (unsigned char c : std::string_view{"0123456789abcdefABCDEF"})
    out[c] = digit;
  for (unsigned char c : std::string_view{" \t\r\n:,-\"'"})
    out[c] = space;
  return out;
}();

part kind(char c) {
  return kinds[static_cast<unsigned char>(c)];
}

bool is_digit(std::string_view t, std::size_t i) {
  return i < t.size() && kind(t[i]) == digit;
}

/// Whether `0x` is at `i`, in front of digits.
bool is_prefix(std::string_view t, std::size_t i) {
  return i + 2 < t.size() && t[i] == '0' && lower(t[i + 1]) == 'x' && kind(t[i + 2]) == digit
         && (i == 0 || kind(t[i - 1]) != digit);
}

bool is_of_dump(std::string_view t, std::size_t i) {
  return kind(t[i]) != other || (i > 0 && is_prefix(t, i - 1));
}

/// Calls `use(begin, first, end)` with each word of digits; `first` is behind `0x`.
template <class F>
void each_word(std::string_view t, std::size_t i, std::size_t end, F use) {
  while (i < end) {
    if (kind(t[i]) != digit) {
      ++i;
      continue;
    }
    auto begin = i;
    i += is_prefix(t, i) ? 2 : 0;
    auto first = i;
    while (i < end && kind(t[i]) == digit)
      ++i;
    use(begin, first, i);
  }
}

/// The value of a number of one byte in decimal, or -1.
int byte_of(std::string_view digits) {
  int value = -1;
  auto end = digits.data() + digits.size();
  if (digits.size() > 3 || std::from_chars(digits.data(), end, value).ptr != end || value > 255)
    return -1;
  return value;
}

void tell_numbers(std::string_view t, std::size_t begin, std::size_t end, std::size_t least,
                  const std::function<void(dumped&&)>& use) {
  dumped found;
  found.numbers = true;
  auto tell = [&] {
    auto all = std::exchange(found, {});
    if (found.numbers = true; all.said.size() >= least)
      use(std::move(all));
  };
  each_word(t, begin, end, [&](std::size_t from, std::size_t first, std::size_t to) {
    auto byte = from == first ? byte_of(t.substr(first, to - first)) : -1;
    if (byte < 0)
      tell();
    else
      found.add(static_cast<char>(byte), from, to);
  });
  tell();
}

struct row {
  std::uint64_t offset = 0;
  std::size_t first = 0, end = 0; ///< of its bytes, and of its line
};

/// Reads the row that may begin at `i` and ends at `end` at the latest: digits, and behind a blank or a colon more of them, or
/// nothing.
bool read_row(std::string_view t, std::size_t i, std::size_t end, row& out) {
  constexpr std::size_t shortest = 4, longest = 16;
  while (i < end && (t[i] == ' ' || t[i] == '\t'))
    ++i;
  auto to = i;
  while (to < end && to - i <= longest && kind(t[to]) == digit)
    ++to;
  if (to - i < shortest || to - i > longest)
    return false;
  std::from_chars(t.data() + i, t.data() + to, out.offset, 16);
  auto first = to + (to < end && t[to] == ':' ? 1 : 0);
  auto blank = first;
  while (first < end && (t[first] == ' ' || t[first] == '\t' || t[first] == '\r'))
    ++first;
  out.first = first;
  out.end = end;
  return first == end || (first > blank && kind(t[first]) == digit && is_digit(t, first + 1));
}

/// The row in the line, at its beginning or behind a quote: a text in JSON.
bool find_row(std::string_view t, std::size_t begin, std::size_t end, row& out) {
  if (read_row(t, begin, end, out))
    return true;
  for (auto i = begin; i < end; ++i)
    if ((t[i] == '"' || t[i] == '\'' || t[i] == '`' || t[i] == '>') && is_digit(t, i + 1) && read_row(t, i + 1, end, out)
        && out.first < end)
      return true;
  return false;
}

class row_reader {
public:
  row_reader(std::string_view text, const std::function<void(dumped&&)>& use) : text_(text), use_(use) {}

  void on(const row& r) {
    auto bytes = r.offset - last_.offset;
    if (rows_ > 0 && r.offset > last_.offset && bytes <= most_in_row) {
      take(bytes);
    } else {
      end();
    }
    last_ = r;
    ++rows_;
  }

  /// The dump ends: its last row has as many bytes as the others at most.
  void end() {
    if (rows_ > 1) {
      take(bytes_);
      use_(std::move(plain_));
      if (words_)
        use_(std::move(turned_));
    }
    plain_ = turned_ = {};
    words_ = true;
    rows_ = 0;
  }

  bool open() const { return rows_ > 0; }

private:
  void take(std::uint64_t bytes) {
    bytes_ = bytes;
    std::size_t left = 2 * static_cast<std::size_t>(bytes), i = last_.first;
    while (left > 0 && i < last_.end) {
      if (text_[i] == ' ' || text_[i] == '\t' || text_[i] == '-') {
        ++i;
        continue;
      }
      auto stop = i;
      while (stop < last_.end && kind(text_[stop]) == digit)
        ++stop;
      if (stop == i)
        return; // what stands behind the digits
      if (words_ = words_ && stop - i == 4; words_)
        for (auto k : {2, 3, 0, 1})
          turned_.add(text_[i + static_cast<std::size_t>(k)], i, last_.end);
      for (; i < stop && left > 0; ++i, --left)
        plain_.add(text_[i], i, last_.end);
      i = stop;
    }
  }

  std::string_view text_;
  const std::function<void(dumped&&)>& use_;
  row last_;
  std::size_t rows_ = 0;
  std::uint64_t bytes_ = 0; ///< of the row before the last
  dumped plain_, turned_;
  bool words_ = true; ///< all are of four digits
};

} // namespace

void each_dump(std::string_view t, std::size_t least, const std::function<void(dumped&&)>& use) {
  auto shortest = 2 * least + 1;
  for (std::size_t done = 0, i = shortest - 1; i < t.size(); i += shortest) { // no dump lies between two of these
    if (!is_of_dump(t, i))
      continue;
    auto begin = i, end = i + 1;
    while (begin > done && is_of_dump(t, begin - 1))
      --begin;
    while (end < t.size() && is_of_dump(t, end))
      ++end;
    done = end;
    i = std::max(i, end - 1);
    auto run = t.substr(begin, end - begin);
    auto digits = static_cast<std::size_t>(std::count_if(run.begin(), run.end(), [](char c) { return kind(c) == digit; }));
    if (digits < 2 * least || digits == run.size()) // without anything between them they are found as they stand there
      continue;
    dumped found;
    found.reserve(digits);
    std::size_t row = 0, longest = 0; // of words that may be decimal numbers
    each_word(t, begin, end, [&](std::size_t from, std::size_t first, std::size_t to) {
      for (auto at = first; at < to; ++at)
        found.add(t[at], at == first ? from : at, at + 1);
      row = to - from <= 3 ? row + 1 : 0;
      longest = std::max(longest, row);
    });
    if (found.said.size() >= 2 * least)
      use(std::move(found));
    if (longest >= least)
      tell_numbers(t, begin, end, least, use);
  }
}

void each_row_dump(std::string_view t, const std::function<void(dumped&&)>& use) {
  row_reader reader(t, use);
  for (std::size_t begin = 0; begin < t.size();) {
    auto end = std::min(t.find('\n', begin), t.size());
    auto next = end + 1;
    end -= end > begin && t[end - 1] == '\r' ? 1 : 0;
    if (row r; find_row(t, begin, end, r))
      reader.on(r);
    else if (reader.open())
      reader.end();
    begin = next;
  }
  reader.end();
}

std::string told_as(const std::string& said, const std::string& there, bool numbers) {
  std::string out;
  std::size_t done = 0, used = 0;
  auto fits = true;
  auto keep = [&](std::size_t until) { // nothing but what divides bytes, maybe escaped as in JSON
    for (auto i = done; i < until; ++i)
      fits = fits && (kind(there[i]) == space || (there[i] == '\\' && i + 1 < until && ++i < until));
    out.append(there, done, until - done);
  };
  each_word(there, 0, there.size(), [&](std::size_t begin, std::size_t first, std::size_t to) {
    keep(begin);
    out.append(there, begin, first - begin);
    auto length = numbers ? 1 : to - first;
    fits = fits && used + length <= said.size();
    if (fits && numbers)
      out += std::to_string(static_cast<unsigned char>(said[used]));
    else if (fits)
      out.append(said, used, length);
    used += length;
    done = to;
  });
  keep(there.size());
  return fits && used == said.size() ? out : std::string{};
}

} // namespace conclave
