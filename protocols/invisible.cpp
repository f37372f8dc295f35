// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/invisible.hpp"

#include "protocols/text.hpp"

#include <algorithm>
#include <iterator>

namespace conclave {

namespace {

struct range {
  std::uint32_t first, last;
};

template <std::size_t N>
bool in(const range (&list)[N], std::uint32_t c) {
  return std::any_of(std::begin(list), std::end(list), [c](const range& r) { return c >= r.first && c <= r.last; });
}

constexpr std::uint32_t zwsp = 0x200B, zwnj = 0x200C, zwj = 0x200D;
constexpr std::uint32_t black_flag = 0x1F3F4, cancel_tag = 0xE007F;

// Default_Ignorable_Code_Point without the bidirectional controls, and the interlinear annotations. Source:
// https://www.unicode.org/Public/15.0.0/ucd/DerivedCoreProperties.txt, read 2026-11-26.
constexpr range invisible[] = {
    {0xAD, 0xAD},     {0x34F, 0x34F},     {0x115F, 0x1160},   {0x17B4, 0x17B5},   {0x180B, 0x180F}, {zwsp, zwj},
    {0x2060, 0x2065}, {0x206A, 0x206F},   {0x3164, 0x3164},   {0xFE00, 0xFE0F},   {0xFEFF, 0xFEFF}, {0xFFA0, 0xFFA0},
    {0xFFF0, 0xFFFB}, {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A}, {0xE0000, 0xE0FFF},
};

// Blanks other than the space, and the empty pattern of Braille.
constexpr range blanks[] = {{0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029},
                            {0x202F, 0x202F}, {0x205F, 0x205F}, {0x2800, 0x2800}, {0x3000, 0x3000}};

// Scripts whose letters join or form clusters, by blocks: Arabic, Syriac, N'Ko, Mandaic, those of India and their relatives,
// Tibetan, Myanmar, Khmer, Mongolian, Balinese and its neighbours, Phags-pa, Javanese, the historic ones, Adlam. Source: The
// Unicode Standard 15.0, section 23.2 (Cursive Connection and Ligatures), read 2026-11-26.
constexpr range joining[] = {{0x600, 0x7BF},   {0x7C0, 0x7FF},     {0x840, 0x8FF},     {0x900, 0xDFF},     {0xF00, 0xFFF},
                             {0x1000, 0x109F}, {0x1780, 0x18AF},   {0x1A20, 0x1AAF},   {0x1B00, 0x1C4F},   {0x1CD0, 0x1CFF},
                             {0xA840, 0xA87F}, {0xA880, 0xA8FF},   {0xA980, 0xA9FF},   {0xAA60, 0xAADF},   {0xFB50, 0xFDFF},
                             {0xFE70, 0xFEFC}, {0x10A00, 0x10AFF}, {0x10D00, 0x10FFF}, {0x11000, 0x11FFF}, {0x1E900, 0x1E95F}};

// Scripts without spaces between words: Thai, Lao, Tibetan, Myanmar, Khmer, Tai Tham and their neighbours.
constexpr range unspaced[] = {{0xE00, 0xFFF},   {0x1000, 0x109F}, {0x1780, 0x17FF}, {0x1950, 0x19FF},
                              {0x1A20, 0x1AAF}, {0x1B00, 0x1B7F}, {0xA980, 0xA9FF}, {0xAA00, 0xAADF}};

// What may be part of an emoji. Source: https://www.unicode.org/Public/15.0.0/ucd/emoji/emoji-data.txt, by blocks, read 2026-11-26.
constexpr range pictures[] = {{0xA9, 0xA9},     {0xAE, 0xAE},     {0x203C, 0x203C}, {0x2049, 0x2049},
                              {0x2122, 0x2122}, {0x2139, 0x2139}, {0x2190, 0x21FF}, {0x2300, 0x23FF},
                              {0x24C2, 0x24C2}, {0x25A0, 0x27BF}, {0x2900, 0x297F}, {0x2B00, 0x2BFF},
                              {0x3030, 0x3030}, {0x303D, 0x303D}, {0x3297, 0x3299}, {0x1F000, 0x1FAFF}};

// What a picture may end with before it is joined to the next one: its style, a skin tone, a keycap, the end of a flag.
constexpr range picture_ends[] = {{0xFE0E, 0xFE0F}, {0x1F3FB, 0x1F3FF}, {0x20E3, 0x20E3}, {cancel_tag, cancel_tag}};

constexpr range ideographs[] = {{0x3400, 0x9FFF}, {0xF900, 0xFAFF}, {0x20000, 0x3FFFF}};

// Bases of the other standardized variants: mathematics, punctuation, East Asian forms, Myanmar, Phags-pa. Source:
// https://www.unicode.org/Public/15.0.0/ucd/StandardizedVariants.txt, by blocks, read 2026-11-26.
constexpr range variable[] = {{0x30, 0x39},     {0x1000, 0x109F}, {0x2018, 0x201D}, {0x2205, 0x22FF},   {0x2A00, 0x2AFF},
                              {0x3001, 0x3002}, {0xA840, 0xA87F}, {0xFF01, 0xFF1F}, {0x10AC0, 0x10AFF}, {0x13000, 0x1345F}};

constexpr range jamo[] = {{0x1100, 0x115E}, {0x1161, 0x11FF}}; // without their fillers

bool selects(std::uint32_t c, std::uint32_t before) {
  if (c >= 0xE0100)
    return in(ideographs, before);
  if (c == 0xFE0E || c == 0xFE0F) // text or picture
    return in(pictures, before) || before == '#' || before == '*' || (before >= '0' && before <= '9');
  return in(variable, before) || in(ideographs, before);
}

bool belongs(std::uint32_t c, std::uint32_t before, std::uint32_t after) {
  switch (c) {
  case zwj:
    return in(joining, before) || in(joining, after) || ((in(pictures, before) || in(picture_ends, before)) && in(pictures, after));
  case zwnj:
    return in(joining, before) || in(joining, after);
  case zwsp:
    return in(unspaced, before) && in(unspaced, after);
  case 0x34F: // keeps marks in their order
    return (before >= 0x300 && before <= 0x36F) || (before >= 0x590 && before <= 0x5FF);
  case 0x115F:
  case 0x1160: // an old syllable without one of its letters
    return in(jamo, before) || in(jamo, after);
  default:
    break;
  }
  if (c >= 0x180B && c <= 0x180F)
    return before >= 0x1820 && before <= 0x18AA;
  if ((c >= 0xFE00 && c <= 0xFE0F) || (c >= 0xE0100 && c <= 0xE01EF))
    return selects(c, before);
  if (c >= 0x1BCA0 && c <= 0x1BCA3)
    return before >= 0x1BC00 && before <= 0x1BC9F;
  return c >= 0x1D173 && c <= 0x1D17A && before >= 0x1D100 && before <= 0x1D1FF; // beams and slurs of a score
}

/// The tags of a regional flag: "gbeng" and their end. Longer ones spell nothing that is drawn. Source:
/// https://www.unicode.org/reports/tr51/ section C.1, read 2026-11-26.
std::size_t flag_tags(const std::string& text, std::size_t i) {
  constexpr std::size_t least = 3, most = 6;
  std::size_t bytes = 0;
  for (std::size_t n = 0; n <= most; ++n) {
    std::uint32_t c = 0;
    auto length = decode_utf8(text, i + bytes, c);
    bytes += length;
    if (length > 0 && c == cancel_tag && n >= least)
      return bytes;
    if (length == 0 || !((c >= 0xE0030 && c <= 0xE0039) || (c >= 0xE0061 && c <= 0xE007A)))
      return 0;
  }
  return 0;
}

} // namespace

bool is_invisible(std::uint32_t c) {
  return c >= 0xAD && in(invisible, c);
}

std::size_t needed_invisible(const std::string& text, std::size_t i, std::uint32_t before) {
  std::uint32_t c = 0, after = 0;
  auto length = decode_utf8(text, i, c);
  if (length == 0)
    return 0;
  if (c >= 0xE0000 && c < 0xE0100)
    return before == black_flag ? flag_tags(text, i) : 0;
  decode_utf8(text, i + length, after);
  return belongs(c, before, after) ? length : 0;
}

bool is_other_blank(std::uint32_t c) {
  return in(blanks, c);
}

std::uint32_t hidden_character(const std::string& text) {
  for (std::size_t i = 0; i < text.size();) {
    std::uint32_t c = 0;
    auto length = decode_utf8(text, i, c);
    if (length > 0 && (is_invisible(c) || is_other_blank(c)))
      return c;
    i += std::max<std::size_t>(length, 1);
  }
  return 0;
}

} // namespace conclave
