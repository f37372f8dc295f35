// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// The bytes of a file, before they are YAML: reading them bounded, what they may not hold, escapes only JSON has.

#include "app/host_io.hpp"
#include "app/load_config_parts.hpp"
#include "app/text_input.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace conclave::loader {

namespace {

constexpr int pipe_ms = 60'000;  ///< how long a pipe may be silent
constexpr int writer_ms = 3'000; ///< how long a named pipe may have nobody who writes to it

void append_utf8(std::string& out, std::uint32_t c) {
  out += static_cast<char>(0xF0 | (c >> 18));
  out += static_cast<char>(0x80 | ((c >> 12) & 0x3F));
  out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
  out += static_cast<char>(0x80 | (c & 0x3F));
}

} // namespace

int bad_byte(const std::string& text, std::string& why) {
  auto fault = find_text_fault(text);
  int line = 1;
  for (std::size_t i = 0; i < text.size() && (fault.line == 0 || line < fault.line); ++i) {
    auto c = static_cast<unsigned char>(text[i]);
    line += c == '\n' ? 1 : 0;
    if (c < 0x20 && c != '\0' && c != '\n' && c != '\r' && c != '\t') {
      why = "a control character";
      return line;
    }
  }
  why = fault.why;
  return fault.line;
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
  text.clear();
  if (path.find('\0') != std::string::npos) {
    error = "is no path";
    return false;
  }
  // O_NONBLOCK: a named pipe without a writer must not hang the start. A socket cannot be opened by the name of its descriptor.
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 && errno == ENXIO && (path == "/dev/stdin" || path == "/dev/fd/0"))
    fd = ::dup(0);
  if (fd < 0) {
    error = std::string{"cannot be opened: "} + std::strerror(errno);
    return false;
  }
  std::string first;
  struct ::stat info {};
  bool known = ::fstat(fd, &info) == 0;
  if (known && (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode))) {
    char byte = 0;
    auto n = ::read(fd, &byte, 1);
    if (n == 1)
      first = byte;
    else if (wait_readable(fd, n == 0 ? writer_ms : pipe_ms) == 0)
      error = n == 0 ? "is a pipe that nobody writes to" : "is a pipe, and nothing came through it for a minute";
  } else if (!known || !S_ISREG(info.st_mode)) {
    error = S_ISDIR(info.st_mode) ? "is a folder" : isatty(fd) == 1 ? "is a terminal" : "is no regular file";
  }
  if (error.empty() && read_all(fd, max_bytes, text, error, "the file"))
    text.insert(0, first);
  ::close(fd);
  return error.empty();
}

} // namespace conclave::loader
