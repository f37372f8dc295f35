// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/plain_text.hpp"

#include "app/char_width.hpp"
#include "protocols/budget.hpp"
#include "protocols/text.hpp"

#include <algorithm>
#include <cstdio>
#include <ctime>

namespace conclave {

namespace {

struct glyph {
  std::size_t bytes = 1;
  std::size_t width = 1;
};

glyph next(std::string_view s) {
  std::uint32_t c = 0;
  auto n = decode_utf8(s, 0, c);
  return n <= 1 ? glyph{} : glyph{n, char_width(c)};
}

} // namespace

std::size_t columns(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    auto g = next(text);
    width += g.width;
    text.remove_prefix(g.bytes);
  }
  return width;
}

std::size_t prefix_within(std::string_view text, std::size_t width) {
  std::size_t used = 0, bytes = 0;
  while (bytes < text.size()) {
    auto g = next(text.substr(bytes));
    if (bytes > 0 && used + g.width > width)
      break;
    used += g.width;
    bytes += g.bytes;
  }
  return bytes;
}

namespace {

/// Returns a text cleaned, on one line, its white space folded.
std::string folded_line(const std::string& text) {
  std::string out;
  for (char c : for_terminal(text)) {
    bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (!blank)
      out += c;
    else if (!out.empty() && out.back() != ' ')
      out += ' ';
  }
  while (!out.empty() && out.back() == ' ')
    out.pop_back();
  return out;
}

} // namespace

std::string one_line(const std::string& text, std::size_t width) {
  // Text beyond eight bytes a column cannot be shown; do not clean megabytes for one line.
  bool cut = width > 0 && text.size() > 8 * width;
  auto out = folded_line(cut ? text.substr(0, whole_characters(text, 8 * width)) : text);
  if (width > 0 && (cut || columns(out) > width)) {
    if (columns(out) + 3 > width)
      out.resize(prefix_within(out, width > 3 ? width - 3 : 1));
    out += "...";
  }
  return out;
}

std::string shortened(const std::string& text, std::size_t width) {
  constexpr std::size_t most = 65'536; // of either end: more is never shown
  auto whole = text.size() <= 2 * most;
  auto head = folded_line(whole ? text : text.substr(0, whole_characters(text, most)));
  if (whole && columns(head) <= width)
    return head;
  auto tail = whole ? head : folded_line(text.substr(whole_characters(text, text.size() - most)));
  constexpr std::string_view gap = " ... ";
  auto room = std::max<std::size_t>(width, gap.size() + 2) - gap.size();
  // The cause stands at the beginning and the remedy at the end: both are kept, the end a little longer.
  head.resize(prefix_within(head, room * 2 / 5));
  auto skip = columns(tail);
  skip -= std::min(skip, room - room * 2 / 5);
  tail.erase(0, skip == 0 ? 0 : prefix_within(tail, skip));
  while (!head.empty() && head.back() == ' ')
    head.pop_back();
  tail.erase(0, std::min(tail.find_first_not_of(' '), tail.size()));
  return head + std::string(gap) + tail;
}

namespace {

bool all_of(std::string_view text, std::string_view chars) {
  return text.find_first_not_of(chars) == std::string_view::npos;
}

/// Length of the blanks and the list marker a line begins with: its further lines stand below the text behind them.
std::size_t hang(std::string_view line) {
  auto at = std::min(line.find_first_not_of(' '), line.size());
  auto rest = line.substr(at);
  if (rest.size() > 2 && all_of(rest.substr(0, 1), "-*+>") && rest[1] == ' ')
    return at + 2;
  auto digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
  if (digits > 0 && digits < 4 && digits + 1 < rest.size() && all_of(rest.substr(digits, 1), ".)") && rest[digits + 1] == ' ')
    return at + digits + 2;
  return at;
}

} // namespace

std::string wrapped(std::string_view text, std::size_t width, std::size_t used, std::size_t indent) {
  if (width == 0)
    return std::string(text);
  indent = width < 4 ? 0 : std::min(indent, width / 2); // room for a wide character at least
  std::string out;
  auto at = used;
  auto fresh = false; // nothing stands on this line but its indent
  auto next_line = [&] {
    while (!out.empty() && out.back() == ' ')
      out.pop_back();
    out += "\n" + std::string(indent, ' ');
    at = indent;
    fresh = true;
  };
  while (!text.empty()) {
    auto blanks = std::min(text.find_first_not_of(' '), text.size());
    auto word = text.substr(blanks, std::min(text.find(' ', blanks), text.size()) - blanks);
    auto wide = columns(word);
    if (at + blanks + wide > width && !fresh && at + blanks > indent) {
      next_line();
    } else if (!fresh) {
      out.append(blanks, ' ');
      at += blanks;
    }
    text.remove_prefix(static_cast<std::size_t>(word.data() - text.data()) + word.size());
    while (at + columns(word) > width) { // longer than a line: an address, a text without blanks
      auto n = prefix_within(word, width > at ? width - at : 1);
      out += word.substr(0, n);
      word.remove_prefix(n);
      fresh = false;
      at = width;
      if (!word.empty())
        next_line();
    }
    out += word;
    at += columns(word);
    fresh = fresh && word.empty();
  }
  while (!out.empty() && out.back() == ' ')
    out.pop_back();
  return out;
}

std::string wrapped_text(const std::string& text, std::size_t width) {
  if (width == 0)
    return text;
  std::string out;
  std::string fence; // of the code block we are in
  for (std::size_t from = 0; from <= text.size();) {
    auto end = std::min(text.find('\n', from), text.size());
    std::string_view line(text.data() + from, end - from);
    auto bare = line.substr(std::min(line.find_first_not_of(' '), line.size()));
    bool mark = bare.substr(0, 3) == "```" || bare.substr(0, 3) == "~~~";
    auto lead = hang(line);
    bool set_in = line.substr(0, 1) == "\t" || (lead >= 4 && line.size() - bare.size() == lead); // no list's: code
    bool code = mark || !fence.empty() || set_in || bare.substr(0, 1) == "|";
    if (mark && (fence.empty() || bare.substr(0, 3) == fence))
      fence = fence.empty() ? std::string(bare.substr(0, 3)) : std::string{};
    out += code ? std::string(line) : std::string(line.substr(0, lead)) + wrapped(line.substr(lead), width, lead, lead);
    if (end < text.size())
      out += '\n';
    from = end + 1;
  }
  return out;
}

std::size_t characters(std::string_view text) {
  std::size_t n = 0;
  for (; !text.empty(); ++n)
    text.remove_prefix(next(text).bytes);
  return n;
}

std::string with_commas(std::int64_t n) {
  return thousands(n);
}

std::string seconds(std::int64_t ms) {
  ms = ms < 0 ? 0 : ms;
  char text[64];
  auto s = static_cast<long long>(ms / 1000);
  if (s < 100)
    std::snprintf(text, sizeof text, "%lld.%llds", s, static_cast<long long>(ms % 1000 / 100));
  else if (s < 3600)
    std::snprintf(text, sizeof text, "%lldm%02llds", s / 60, s % 60);
  else
    std::snprintf(text, sizeof text, "%lldh%02lldm", s / 3600, s % 3600 / 60);
  return text;
}

namespace {

std::string format_utc(std::int64_t ms, const char* format) {
  auto t = static_cast<std::time_t>(ms / 1000);
  std::tm parts{};
  char text[64];
  if (ms < 0 || !gmtime_r(&t, &parts) || std::strftime(text, sizeof text, format, &parts) == 0)
    return "-";
  return text;
}

} // namespace

std::string utc(std::int64_t ms) {
  return format_utc(ms, "%Y-%m-%d %H:%M:%S UTC");
}

std::string iso8601(std::int64_t ms) {
  auto text = format_utc(ms, "%Y-%m-%dT%H:%M:%S");
  if (text == "-")
    return text;
  char fraction[16];
  std::snprintf(fraction, sizeof fraction, ".%03dZ", static_cast<int>(ms % 1000));
  return text + fraction;
}

std::string count_of(std::size_t n, const char* noun) {
  return with_commas(static_cast<std::int64_t>(n)) + " " + noun + (n == 1 ? "" : "s");
}

} // namespace conclave
