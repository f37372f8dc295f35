// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// The bytes of a file, before they are YAML: reading them bounded, what they may not hold, escapes only JSON has.

#include "app/load_config_parts.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace conclave::loader {

namespace {

void append_utf8(std::string& out, std::uint32_t c) {
  out += static_cast<char>(0xF0 | (c >> 18));
  out += static_cast<char>(0x80 | ((c >> 12) & 0x3F));
  out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
  out += static_cast<char>(0x80 | (c & 0x3F));
}

} // namespace

int bad_byte(const std::string& text, std::string& why) {
  int line = 1;
  for (std::size_t i = 0; i < text.size();) {
    auto c = static_cast<unsigned char>(text[i]);
    if (c == '\n')
      ++line;
    if (c < 0x20 && c != '\n' && c != '\r' && c != '\t') {
      why = c == 0 ? "a NUL byte; is this a text file in UTF-8?" : "a control character";
      return line;
    }
    std::size_t length = c < 0x80 ? 1 : c >= 0xC2 && c < 0xE0 ? 2 : c >= 0xE0 && c < 0xF0 ? 3 : c >= 0xF0 && c < 0xF5 ? 4 : 0;
    bool good = length != 0 && i + length <= text.size();
    for (std::size_t k = 1; good && k < length; ++k)
      good = (static_cast<unsigned char>(text[i + k]) & 0xC0) == 0x80;
    if (!good) {
      why = "not UTF-8";
      return line;
    }
    i += length;
  }
  return 0;
}

/// JSON writes characters beyond U+FFFF as two escapes, which YAML does not know: joins them. Escapes of the rest are common to
/// both.
std::string join_surrogates(const std::string& text) {
  auto unit = [&](std::size_t at, std::uint32_t& out) {
    if (text.compare(at, 2, "\\u") != 0 || at + 6 > text.size())
      return false;
    out = 0;
    for (auto i = at + 2; i < at + 6; ++i) {
      auto c = static_cast<unsigned char>(text[i]);
      auto digit = c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : 16;
      if (digit == 16)
        return false;
      out = out * 16 + static_cast<std::uint32_t>(digit);
    }
    return true;
  };
  auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos || text[first] != '{')
    return text; // in a plain scalar of YAML a backslash is a backslash
  std::string result;
  for (std::size_t i = 0; i < text.size();) {
    std::uint32_t high = 0, low = 0;
    if (text[i] == '\\' && unit(i, high) && high >= 0xD800 && high < 0xDC00 && unit(i + 6, low) && low >= 0xDC00 && low < 0xE000) {
      append_utf8(result, 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00));
      i += 12;
    } else if (text[i] == '\\' && i + 1 < text.size()) {
      result.append(text, i, 2);
      i += 2;
    } else {
      result += text[i++];
    }
  }
  return result;
}

bool read_text(const std::string& path, std::string& text, std::string& error) {
  // O_NONBLOCK: a named pipe without a writer must not hang the start.
  int fd = path.find('\0') == std::string::npos ? ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
  if (fd < 0) {
    error = path.find('\0') == std::string::npos ? std::string{"cannot be opened: "} + std::strerror(errno) : "is no path";
    return false;
  }
  struct ::stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
    error = S_ISDIR(info.st_mode) ? "is a folder" : "is no regular file";
  text.clear();
  while (error.empty() && text.size() <= max_bytes) {
    char buffer[16384];
    auto n = ::read(fd, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      error = std::string{"cannot be read: "} + std::strerror(errno);
    if (n <= 0)
      break;
    text.append(buffer, static_cast<std::size_t>(n));
  }
  ::close(fd);
  if (error.empty() && text.size() > max_bytes)
    error = "larger than 1 MiB";
  return error.empty();
}

} // namespace conclave::loader
