// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.sources

#include "caf/test/unit_test.hpp"
#include "protocols/wire/turn_sources.hpp"

using namespace conclave;

namespace {

std::string told(const char* dialect, const std::string& opaque) {
  std::string out;
  for (auto& x : wire::sources_of(opaque, dialect))
    out += x + "; ";
  return out;
}

} // namespace

CAF_TEST(the sources of a stored turn are told in every form that a provider has) {
  CAF_CHECK_EQUAL(told("anthropic", R"([{"type":"text","text":"a","citations":[{"title":"A","url":"https://a"},
    {"document_title":"book"},{"title":"A","url":"https://a"}]},{"type":"tool_use"}])"),
                  "A, https://a; book; ");
  CAF_CHECK_EQUAL(told("openai_responses", R"([{"type":"reasoning"},{"type":"message","content":[{"type":"output_text",
    "annotations":[{"title":"B","url":"https://b"},{"filename":"f.pdf"}]}]}])"),
                  "B, https://b; f.pdf; ");
  CAF_CHECK_EQUAL(told("openai_chat", R"({"role":"assistant","annotations":[{"url_citation":{"url":"https://c"}},"https://d",
    {"link":"https://e","title":"E"}]})"),
                  "https://c; https://d; E, https://e; ");
  CAF_CHECK_EQUAL(told("gemini", R"({"groundingMetadata":{"groundingChunks":[{"web":{"uri":"https://f","title":"F"}},
    {"image":{"sourceUri":"https://g"}}]},"urlContextMetadata":{"urlMetadata":[{"retrievedUrl":"https://h"}]},
    "citationMetadata":{"citations":[{"uri":"https://i"}]}})"),
                  "F, https://f; https://g; https://h; https://i; ");
}

CAF_TEST(an address that is named with a title is not named again without) {
  CAF_CHECK_EQUAL(told("openai_chat", R"({"annotations":["https://a","https://b",{"title":"A","url":"https://a"},
    {"title":"https://b","url":"https://b"},{"title":"Another","url":"https://a"},"https://a",{"title":"C"}]})"),
                  "A, https://a; https://b; Another, https://a; C; ");
}

CAF_TEST(a turn that names none or is of another form has no sources) {
  for (std::string dialect : {"anthropic", "openai_responses", "openai_chat", "gemini", "", "another"})
    for (std::string opaque : {"", "{", "[]", "{}", "null", "[1,\"a\",{\"citations\":1}]", R"({"annotations":{"a":[1]}})",
                               R"({"groundingMetadata":[],"citationMetadata":{"citations":[1,null,{}]}})"})
      CAF_CHECK_EQUAL(told(dialect.c_str(), opaque), "");
}

CAF_TEST(sources are bounded and show no control characters) {
  std::string all;
  for (int i = 0; i < 100; ++i)
    all += (i > 0 ? "," : "") + std::string{"\"https://x/"} + std::to_string(i) + "\"";
  CAF_CHECK_EQUAL(wire::sources_of("{\"annotations\":[" + all + "]}", "openai_chat").size(), 32u);
  auto one =
      wire::sources_of(R"({"annotations":[{"title":"a\u001b[2Jb","url":")" + std::string(10'000, 'x') + R"("}]})", "openai_chat");
  CAF_REQUIRE_EQUAL(one.size(), 1u);
  CAF_CHECK(one.front().size() < 400 && one.front().find('\x1b') == std::string::npos);
}
