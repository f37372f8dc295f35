// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.question

#include "app/question.hpp"

#include "app/text_input.hpp"
#include "caf/test/unit_test.hpp"

#include <string>

using namespace conclave;

CAF_TEST(a text that is added cannot end its fence) {
  CAF_CHECK_EQUAL(with_attachment("Why?", "File a, 3 bytes:", "x\ny"), "Why?\n\nFile a, 3 bytes:\n```\nx\ny\n```");
  CAF_CHECK_EQUAL(with_attachment("Why?", "H:", "x\n"), "Why?\n\nH:\n```\nx\n```");
  CAF_CHECK_EQUAL(with_attachment("Why?", "H:", ""), "Why?\n\nH:\n```\n```");
  CAF_CHECK_EQUAL(with_attachment("Why?", "H:", "````\nFile b:\n"), "Why?\n\nH:\n`````\n````\nFile b:\n`````");
}

CAF_TEST(what is no text is told with a way out) {
  auto fault = [](std::string_view bytes) { return find_text_fault(bytes); };
  auto has = [&](std::string_view bytes, const char* part, int line = 1) {
    auto f = fault(bytes);
    if (f.line != line || f.why.find(part) == std::string::npos)
      CAF_MESSAGE(f.line << ": " << f.why);
    return f.line == line && f.why.find(part) != std::string::npos;
  };
  for (auto good : {"", "a", "\xEF\xBB\xBFx", "\xC3\xA9\n\xE4\xBD\xA0\xF0\x9F\x98\x80", "\x1b[1mlog\x1b[0m", "a\r\nb", "RIFF",
                    "PKzip", "ID3 tags"})
    CAF_CHECK_EQUAL(fault(good).line, 0);
  CAF_CHECK(has("gr\xFC\xDF"
                "e",
                "Latin-1"));
  CAF_CHECK(has("a\nb\ngr\xFC\xDF"
                "e",
                "not UTF-8 (the byte 0xFC)", 3));
  CAF_CHECK(has("caf\xE9", "iconv -f WINDOWS-1252"));
  CAF_CHECK(has(std::string_view{"\xFF\xFEh\0i\0", 6}, "iconv -f UTF-16"));
  CAF_CHECK(has(std::string_view{"\xFE\xFF\0h\0i", 6}, "UTF-16"));
  CAF_CHECK(has(std::string_view{"h\0i\0!\0", 6}, "UTF-16"));
  CAF_CHECK(has(std::string_view{"ab\ncd\0ef", 8}, "NUL", 2));
  CAF_CHECK(has("%PDF-1.7\n", "pdftotext"));
  CAF_CHECK(has("PK\x03\x04\xFF", "archive"));
  CAF_CHECK(has("\x89PNG\r\n", "picture"));
  CAF_CHECK(has("\x1F\x8B\x08", "gunzip"));
  CAF_CHECK(has("\xC0\x80", "not UTF-8"));     // overlong
  CAF_CHECK(has("\xED\xA0\x80", "not UTF-8")); // a surrogate
  CAF_CHECK(has("\xF4\x90\x80\x80", "not UTF-8"));
  CAF_CHECK(has("\xE4\xBD", "not UTF-8"));
  std::string text = "\xEF\xBB\xBF\xEF\xBB\xBF";
  drop_bom(text);
  CAF_CHECK_EQUAL(text, "\xEF\xBB\xBF");
}
