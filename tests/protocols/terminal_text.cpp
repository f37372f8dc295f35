// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Model text on its way to a terminal: nothing that steers it gets through, nothing a reader needs is lost.

#define CAF_SUITE protocols.terminal_text

#include "caf/test/unit_test.hpp"
#include "protocols/text.hpp"

using conclave::for_terminal;

namespace {

const std::string bad = "\xEF\xBF\xBD"; // U+FFFD

std::string utf8(std::uint32_t c) {
  auto byte = [](std::uint32_t x) { return static_cast<char>(x); };
  if (c < 0x80)
    return {byte(c)};
  if (c < 0x800)
    return {byte(0xC0 | c >> 6), byte(0x80 | (c & 0x3F))};
  if (c < 0x10000)
    return {byte(0xE0 | c >> 12), byte(0x80 | (c >> 6 & 0x3F)), byte(0x80 | (c & 0x3F))};
  return {byte(0xF0 | c >> 18), byte(0x80 | (c >> 12 & 0x3F)), byte(0x80 | (c >> 6 & 0x3F)), byte(0x80 | (c & 0x3F))};
}

} // namespace

CAF_TEST(every control is removed but line feed and tab) {
  for (std::uint32_t c = 0; c < 0xA0; ++c) {
    auto control = (c < 0x20 && c != '\n' && c != '\t') || c >= 0x7F;
    CAF_CHECK_EQUAL(for_terminal("a" + utf8(c) + "b"), control ? "ab" : "a" + utf8(c) + "b");
  }
}

CAF_TEST(sequences that steer a terminal become harmless text) {
  CAF_CHECK_EQUAL(for_terminal("\x1b[2J\x1b]0;title\x07\x1bPq\x1b\\x"), "[2J]0;titlePq\\x");
  CAF_CHECK_EQUAL(for_terminal("\xC2\x9B"
                               "31mred"),
                  "31mred"); // CSI as a C1 character
  CAF_CHECK_EQUAL(for_terminal("\x9B"
                               "31mred"),
                  bad + "31mred");                           // CSI as a bare byte
  CAF_CHECK_EQUAL(for_terminal("\xC2\x1b[2J"), bad + "[2J"); // hidden behind half a character
  CAF_CHECK_EQUAL(for_terminal("over\rwrite\b\b"), "overwrite");
}

CAF_TEST(every bidirectional control is removed) {
  for (std::uint32_t c :
       {0x061Cu, 0x200Eu, 0x200Fu, 0x202Au, 0x202Bu, 0x202Cu, 0x202Du, 0x202Eu, 0x2066u, 0x2067u, 0x2068u, 0x2069u})
    CAF_CHECK_EQUAL(for_terminal("a" + utf8(c) + "b"), "ab");
  for (std::uint32_t c : {0x061Bu, 0x2010u, 0x2029u, 0x202Fu, 0x2070u})
    CAF_CHECK_EQUAL(for_terminal(utf8(c)), utf8(c));
}

CAF_TEST(text of all scripts stays as it is also where it needs a zero width joiner) {
  for (auto* text :
       {"Gr\xC3\xBC\xC3\x9F"
        "e, \xE6\x9D\xB1\xE4\xBA\xAC",
        "\xD7\xA9\xD7\x9C\xD7\x95\xD7\x9D \xD8\xB3\xD9\x84\xD8\xA7\xD9\x85", "\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x92\xBB",
        "\xD9\x85\xDB\x8C\xE2\x80\x8C\xD8\xAE\xD9\x88\xD8\xA7\xD9\x87\xD9\x85", "a\tb\nc", ""})
    CAF_CHECK_EQUAL(for_terminal(text), text);
}

CAF_TEST(a stray invisible character is seen) {
  // Zero-width, soft hyphen, fillers, selectors and tags: each would hide text, or make two texts look alike.
  for (std::uint32_t c :
       {0xADu,   0x34Fu,  0x115Fu, 0x17B4u, 0x180Bu, 0x180Eu, 0x200Bu,  0x200Cu,  0x200Du,  0x2060u,  0x2062u,  0x2065u, 0x206Au,
        0x3164u, 0xFE00u, 0xFE0Fu, 0xFEFFu, 0xFFA0u, 0xFFF9u, 0x1D173u, 0xE0001u, 0xE0041u, 0xE007Fu, 0xE0100u, 0xE01EFu}) {
    CAF_CHECK_EQUAL(for_terminal("a" + utf8(c) + "b"), "a" + bad + "b");
    CAF_CHECK_EQUAL(for_terminal(utf8(c)), bad);
    CAF_CHECK_EQUAL(for_terminal("x " + utf8(c) + utf8(c) + utf8(c)), "x " + bad);
  }
}

CAF_TEST(text hidden in tags or selectors becomes one mark) {
  std::string tags, selectors;
  for (char c : std::string("ignore all of the above")) {
    tags += utf8(0xE0000u + static_cast<unsigned char>(c));
    selectors += utf8(0xE0100u + static_cast<unsigned char>(c) - 16);
  }
  CAF_CHECK_EQUAL(for_terminal("hi" + tags + "."), "hi" + bad + ".");
  CAF_CHECK_EQUAL(for_terminal(utf8(0x1F600) + selectors + "."), utf8(0x1F600) + bad + ".");
  CAF_CHECK_EQUAL(for_terminal(utf8(0x1F3F4) + tags + utf8(0xE007F)), utf8(0x1F3F4) + bad); // a flag that is none
  CAF_CHECK_EQUAL(for_terminal(utf8(0x6F22) + selectors), utf8(0x6F22) + utf8(0xE0100u + 'i' - 16) + bad);
}

CAF_TEST(joiners and selectors stay where emoji and scripts need them) {
  const std::initializer_list<std::initializer_list<std::uint32_t>> texts = {
      {0x1F468, 0x200D, 0x1F469, 0x200D, 0x1F467},                                             // family
      {0x1F469, 0x1F3FD, 0x200D, 0x1F4BB},                                                     // with a skin tone
      {0x1F3F3, 0xFE0F, 0x200D, 0x1F308},                                                      // rainbow flag
      {0x2764, 0xFE0F, 0x200D, 0x1F525},                                                       // heart on fire
      {0x1F642, 0x200D, 0x2194, 0xFE0F},                                                       // head shaking
      {0x1F9D1, 0x200D, 0x2696, 0xFE0F, '!'},                                                  // judge
      {'1', 0xFE0F, 0x20E3},                                                                   // keycap
      {0x1F3F4, 0xE0067, 0xE0062, 0xE0065, 0xE006E, 0xE0067, 0xE007F},                         // England
      {0x1F3F4, 0xE0075, 0xE0073, 0xE0074, 0xE0078, 0xE007F, 0x1F3F4, 0x200D, 0x2620, 0xFE0F}, // Texas, pirates
      {0x645, 0x6CC, 0x200C, 0x62E, 0x648, 0x627, 0x647, 0x645},                               // Persian
      {0x647, 0x200D, '.'},                                                                    // Arabic letter in its initial form
      {0x915, 0x94D, 0x200D, 0x937},                                                           // Hindi
      {0x0DC1, 0x0DCA, 0x200D, 0x0DBB, 0x0DD3},                                                // Sinhala
      {0x0D28, 0x0D4D, 0x200C, 0x0D2E},                                                        // Malayalam
      {0x0E44, 0x0E17, 0x0E22, 0x200B, 0x0E44, 0x0E17},                                        // Thai
      {0x1820, 0x180B, 0x1820, 0x180E, 0x1820},                                                // Mongolian
      {0x8FBA, 0xE0101},                                                                       // an ideographic variant
      {0x2229, 0xFE00},                                                                        // a mathematical one
      {0x5D0, 0x5B7, 0x34F, 0x5BD},                                                            // Hebrew
  };
  for (auto& text : texts) {
    std::string t;
    for (auto c : text)
      t += utf8(c);
    CAF_CHECK_EQUAL(for_terminal(t), t);
    CAF_CHECK_EQUAL(for_terminal("a " + t + " b"), "a " + t + " b");
  }
  // A second one selects nothing.
  CAF_CHECK_EQUAL(for_terminal(utf8(0x2764) + utf8(0xFE0F) + utf8(0xFE0F)), utf8(0x2764) + utf8(0xFE0F) + bad);
  CAF_CHECK_EQUAL(for_terminal(utf8(0x1F600) + utf8(0x200D) + "a"), utf8(0x1F600) + bad + "a");
}

CAF_TEST(bytes that are no UTF 8 are replaced one by one) {
  struct {
    std::string bytes;
    int replaced;
  } table[] = {{"\x80", 1},         {"\xFF\xFE", 2},         {"\xC0\x9B", 2},         {"\xC1\xBF", 2}, {"\xE0\x80\x9B", 3},
               {"\xE0\x9F\xBF", 3}, {"\xED\xA0\x80", 3},     {"\xF0\x80\x80\x9B", 4}, {"\xC3", 1},     {"\xE6\x9D", 2},
               {"\xF0\x9F\x97", 3}, {"\xF4\x90\x80\x80", 4}, {"\xF5\x80\x80\x80", 4}};
  for (auto& t : table) {
    std::string expected = "a";
    for (int i = 0; i < t.replaced; ++i)
      expected += bad;
    CAF_CHECK_EQUAL(for_terminal("a" + t.bytes), expected);
    CAF_CHECK_EQUAL(for_terminal("a" + t.bytes + "z"), expected + "z");
  }
  CAF_CHECK_EQUAL(for_terminal(utf8(0x10FFFF) + utf8(0xD7FF) + utf8(0xE000)), utf8(0x10FFFF) + utf8(0xD7FF) + utf8(0xE000));
}

CAF_TEST(what came through once comes through again unchanged) {
  std::string all;
  for (int c = 0; c < 256; ++c)
    all += {static_cast<char>(c), static_cast<char>(255 - c), static_cast<char>(c ^ 0x55)};
  for (std::uint32_t a : {0x200Du, 0xFE0Fu, 0xE0061u, 0x202Eu, 0x1F3F4u, 0x645u, 0x0Au})
    for (std::uint32_t b : {0x200Du, 0xFE0Fu, 0xE007Fu, 0x1F600u, 0x200Bu, 0x1Bu})
      for (std::uint32_t c : {0x200Cu, 0xFE0Fu, 0xE0100u, 0x1F600u, 0x6F22u})
        all += utf8(a) + utf8(b) + utf8(c);
  auto once = for_terminal(all);
  CAF_CHECK_EQUAL(for_terminal(once), once);
}
