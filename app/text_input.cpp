// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/text_input.hpp"

#include "protocols/text.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

namespace conclave {

namespace {

constexpr std::string_view bom = "\xEF\xBB\xBF";

struct magic_row {
  std::string_view start;
  const char* what;
};

/// How files begin that people take for text. PDF and PostScript may be UTF-8 for a while.
constexpr std::array<magic_row, 13> magics = {{
    {"%PDF-", "a PDF file: name it by --file, or extract its text first (pdftotext)"},
    {"PK\x03\x04", "an archive, or an office document: extract or export its text first"},
    {"\xD0\xCF\x11\xE0", "an office document: export its text first"},
    {"{\\rtf", "a rich text document: export its text first"},
    {"\x89PNG", "a picture: name it by --file, if it is a PNG, JPEG, GIF or WebP"},
    {"\xFF\xD8\xFF", "a picture: name it by --file, if it is a PNG, JPEG, GIF or WebP"},
    {"GIF8", "a picture: name it by --file, if it is a PNG, JPEG, GIF or WebP"},
    {"RIFF", "a media file: only text can be read"},
    {"ID3", "a media file: only text can be read"},
    {"\x1F\x8B", "compressed: unpack it first (gunzip)"},
    {"\x28\xB5\x2F\xFD", "compressed: unpack it first (unzstd)"},
    {"\xFD"
     "7zXZ",
     "compressed: unpack it first (unxz)"},
    {"\x7F"
     "ELF",
     "a program: only text can be read"},
}};

/// UTF-16 by its mark, or by every other byte of the beginning being zero, as in text of mostly ASCII.
bool is_utf16(std::string_view bytes) {
  if (bytes.starts_with("\xFF\xFE") || bytes.starts_with("\xFE\xFF"))
    return true;
  auto part = bytes.substr(0, std::min<std::size_t>(bytes.size(), 64) & ~std::size_t{1});
  std::size_t even = 0, odd = 0;
  for (std::size_t i = 0; i + 1 < part.size(); i += 2) {
    even += part[i] == '\0' ? 1 : 0;
    odd += part[i + 1] == '\0' ? 1 : 0;
  }
  auto half = part.size() / 2;
  return half >= 2 && ((even == 0 && odd * 4 >= half * 3) || (odd == 0 && even * 4 >= half * 3));
}

std::string hex(unsigned char c) {
  char text[8];
  std::snprintf(text, sizeof text, "0x%02X", c);
  return text;
}

} // namespace

text_fault find_text_fault(std::string_view bytes) {
  bool latin = false;
  text_fault fault;
  int line = 1;
  for (std::size_t i = 0; i < bytes.size();) {
    std::uint32_t character = 0;
    auto length = decode_utf8(bytes, i, character);
    if (bytes[i] == '\0' || length == 0) {
      latin = length == 0;
      fault = {line, latin ? "not UTF-8 (the byte " + hex(static_cast<unsigned char>(bytes[i])) + ")" : "a NUL byte"};
      break;
    }
    line += bytes[i] == '\n' ? 1 : 0;
    i += length;
  }
  for (const auto& row : magics) // also without a fault: of these not even the text part is text
    if (bytes.starts_with(row.start) && (fault.line > 0 || row.start[0] == '%' || row.start[0] == '{'))
      return {1, std::string{"this is "} + row.what};
  if (fault.line == 0)
    return fault;
  if (is_utf16(bytes))
    return {1, fault.why + ": this is UTF-16; convert it: iconv -f UTF-16 -t UTF-8"};
  fault.why += latin ? ": if this is Latin-1 or Windows text, convert it: iconv -f WINDOWS-1252 -t UTF-8" : ": this is no text";
  return fault;
}

void drop_bom(std::string& text) {
  if (text.starts_with(bom))
    text.erase(0, bom.size());
}

} // namespace conclave
