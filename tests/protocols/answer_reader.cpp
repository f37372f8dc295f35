// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.answer_reader

#include "protocols/wire/answer_reader.hpp"

#include "caf/test/unit_test.hpp"

#include <vector>

using conclave::wire::answer_reader;

namespace {

/// The answer, read in pieces of every size: the same each time.
std::string read(const std::string& arguments) {
  answer_reader whole;
  auto text = whole.feed(arguments);
  for (std::size_t size = 1; size < arguments.size(); ++size) {
    answer_reader r;
    std::string got;
    for (std::size_t at = 0; at < arguments.size(); at += size)
      got += r.feed(std::string_view{arguments}.substr(at, size));
    if (got != text)
      return "in pieces of " + std::to_string(size) + ": " + got;
  }
  return text;
}

} // namespace

CAF_TEST(the content of an answer is read as it comes) {
  answer_reader r;
  CAF_CHECK_EQUAL(r.feed("{\"con"), "");
  CAF_CHECK_EQUAL(r.feed("tent\": \"It is "), "It is ");
  CAF_CHECK_EQUAL(r.feed("42"), "42");
  CAF_CHECK_EQUAL(r.feed(".\\"), ".");
  CAF_CHECK_EQUAL(r.feed("nYes\"}"), "\nYes");
  CAF_CHECK_EQUAL(r.feed(" {\"content\":\"more\"}"), "");
}

CAF_TEST(escapes become what they stand for) {
  CAF_CHECK_EQUAL(read(R"({"content":"a\"b\\c\/d\n\t\u00e9\u20ac\ud83d\ude00"})"),
                  "a\"b\\c/d\n\t\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
  CAF_CHECK_EQUAL(read("{\"content\":\"gr\xC3\xBC\xC3\x9F\"}"), "gr\xC3\xBC\xC3\x9F");
}

CAF_TEST(only the content of the outer object counts) {
  CAF_CHECK_EQUAL(read(R"({"x":{"content":"no"},"y":["content",{"content":"no"}],"content":"yes","z":1})"), "yes");
  CAF_CHECK_EQUAL(read(R"({"reason":"content","contents":"no"})"), "");
  CAF_CHECK_EQUAL(read(R"({"content":42,"a":"b"})"), "");
}

CAF_TEST(what is no JSON gives text or none) {
  CAF_CHECK_EQUAL(read("no object"), "");
  CAF_CHECK_EQUAL(read(R"(}}}{"content":"x")"), "");
  CAF_CHECK_EQUAL(read(R"({"content":"lone \ud83d half\ude00 \uZZZZ"})"), "lone \xEF\xBF\xBD half\xEF\xBF\xBD \xEF\xBF\xBD");
  CAF_CHECK_EQUAL(read(R"({"content":"cut \u12)"), "cut ");
}
