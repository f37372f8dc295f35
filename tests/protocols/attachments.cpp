// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.attachments

#include "protocols/wire/attachments.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/tool_result.hpp"
#include "protocols/wire/dialect.hpp"

using namespace conclave;
using wire::json;

namespace {

constexpr std::uint64_t mib = std::uint64_t{1} << 20;

attachment file(std::string type, std::uint64_t bytes, std::string name = "a file") {
  return {std::move(name), std::move(type), "", bytes, "", ""};
}

backend_config backend(std::string type, std::string model = "m", std::string url = "") {
  backend_config out;
  out.type = std::move(type);
  out.model = std::move(model);
  out.base_url = std::move(url);
  return out;
}

std::string unfit(const backend_config& b, const attachment& a) {
  return wire::unfit(b, {&a});
}

message shows() {
  message m;
  m.text = "What is this?";
  m.parts = {{content_kind::image, "folder/a.png", "image/png", "iVBORw0KGgo=", ""},
             {content_kind::resource, "https://example.com/x/paper", "application/pdf", "JVBERi0=", ""}};
  return m;
}

json body(const char* dialect, const std::vector<message>& messages, wire::quirks known = {}) {
  model_request r;
  r.model = "m";
  r.messages = messages;
  std::string error;
  wire::endpoint to;
  to.base_url = "http://127.0.0.1:1/v1";
  auto sent = wire::find_dialect(dialect)->encode(r, to, known, error);
  CAF_REQUIRE_EQUAL(error, "");
  return *wire::parse(sent.body);
}

} // namespace

CAF_TEST(a file is what its first bytes say) {
  using namespace std::string_view_literals;
  CAF_CHECK_EQUAL(wire::file_type("\x89PNG\r\n\x1A\n...."sv), "image/png");
  CAF_CHECK_EQUAL(wire::file_type("\xFF\xD8\xFF\xE0"sv), "image/jpeg");
  CAF_CHECK_EQUAL(wire::file_type("GIF87a"), "image/gif");
  CAF_CHECK_EQUAL(wire::file_type("GIF89a..."), "image/gif");
  CAF_CHECK_EQUAL(wire::file_type("RIFF\x10\0\0\0WEBPVP8 "sv), "image/webp");
  CAF_CHECK_EQUAL(wire::file_type("%PDF-1.7\n"), "application/pdf");
  auto whole = [](std::size_t before) { return std::string(before, ' ') + "%PDF-1.7\n" + std::string(5'000, 'x') + "\n%%EOF\n"; };
  for (std::size_t before : {1, 3, 1'019})
    CAF_CHECK_EQUAL(wire::file_type(whole(before)), "application/pdf");
  CAF_CHECK_EQUAL(wire::file_type(whole(1'020)), "");
  CAF_CHECK_EQUAL(wire::file_type("A PDF begins with %PDF-1.7 and ends elsewhere."), "");
  for (auto x : {""sv, "\x89PNG"sv, "\x89PNG\n\x1A\n"sv, "\xFF\xD8"sv, "GIF88a"sv, "RIFF\x10\0\0\0WAVEfmt "sv, "RIFF"sv,
                 "PDF-1.7"sv, " %PDF-"sv, "<svg"sv, "hello"sv, "BM...."sv})
    CAF_CHECK_EQUAL(wire::file_type(x), "");
  for (auto& [x, what] : {std::pair{"RIFF\x10\0\0\0WAVEfmt "sv, "a sound"},
                          {"ID3\4"sv, "a sound"},
                          {"\0\0\0\x20"
                           "ftypisom"sv,
                           "a film"},
                          {"PK\3\4"sv, "an archive, or an office document"},
                          {"hello"sv, ""}})
    CAF_CHECK_EQUAL(wire::other_type(x), what);
}

CAF_TEST(base64 comes back as it was) {
  std::string bytes;
  for (int i = 0; i < 260; ++i) {
    CAF_CHECK(i == 0 || is_base64(wire::encode_base64(bytes)));
    CAF_CHECK(decode_base64(wire::encode_base64(bytes)) == bytes);
    bytes += static_cast<char>(i * 7);
  }
  CAF_CHECK_EQUAL(wire::encode_base64("M"), "TQ==");
}

CAF_TEST(what an API takes it takes to the byte and no byte more) {
  for (auto& [type, image, document] : {std::tuple{"claude", 5 * mib, 23 * mib},
                                        {"openai", 20 * mib, 32 * mib},
                                        {"chatcompletion", 20 * mib, 32 * mib},
                                        {"gemini", 20 * mib, 32 * mib}}) {
    auto b = backend(type);
    CAF_CHECK_EQUAL(unfit(b, file("image/png", image)), "");
    CAF_CHECK(unfit(b, file("image/png", image + 1)).find("make it smaller") != std::string::npos);
    if (type != std::string("claude")) {
      CAF_CHECK_EQUAL(unfit(b, file("application/pdf", document)), "");
      CAF_CHECK(!unfit(b, file("application/pdf", document + 1)).empty());
    }
  }
  auto b = backend("claude"); // a request of 32 MB, with its base64
  auto a = file("application/pdf", 23'250'000), one = file("image/png", 3);
  CAF_CHECK_EQUAL(wire::unfit(b, {&a}), "");
  CAF_CHECK(wire::unfit(b, {&a, &one}).find("together") != std::string::npos);
  std::vector<const attachment*> many(wire::max_attachments, &one);
  CAF_CHECK_EQUAL(wire::unfit(b, many), "");
  many.push_back(&one);
  CAF_CHECK(!wire::unfit(b, many).empty());
}

CAF_TEST(a model that cannot see is not shown a file) {
  auto png = file("image/png", 10), gif = file("image/gif", 10), pdf = file("application/pdf", 10);
  CAF_CHECK(unfit(backend("local"), png).find("takes text alone") != std::string::npos);
  for (auto* model : {"gpt-3.5-turbo", "openai/o1-mini", "DeepSeek-Chat"})
    CAF_CHECK(!unfit(backend("chatcompletion", model), png).empty());
  CAF_CHECK_EQUAL(unfit(backend("chatcompletion", "gpt-4o"), png), "");
  CAF_CHECK(unfit(backend("gemini"), gif).find("convert it to PNG") != std::string::npos);
  CAF_CHECK_EQUAL(unfit(backend("claude"), gif), "");
  CAF_CHECK(!unfit(backend("chatcompletion", "m", "https://api.groq.com/v1"), pdf).empty());
  CAF_CHECK(!unfit(backend("chatcompletion", "m", "https://notopenai.com/v1"), pdf).empty());
  for (auto* url : {"https://api.openai.com/v1", "https://openrouter.ai/api/v1", "http://127.0.0.1:1/v1", ""})
    CAF_CHECK_EQUAL(unfit(backend("chatcompletion", "m", url), pdf), "");
  CAF_CHECK_EQUAL(wire::unfit(backend("local"), {}), "");
}

CAF_TEST(what a model can was known in two places) {
  auto png = file("image/png", 10), pdf = file("application/pdf", 10);
  // The rows of the catalogue count, also behind a gateway that nobody knows, and a user's own come first.
  CAF_CHECK(unfit(backend("openai", "o3-mini"), png).find("takes text alone") != std::string::npos);
  CAF_CHECK(!unfit(backend("chatcompletion", "o3-mini", "https://gw.example/v1"), png).empty());
  CAF_CHECK_EQUAL(unfit(backend("chatcompletion", "house", "https://gw.example/v1"), png), "");
  model_row own;
  own.provider = "gw.example";
  own.names = {"o3-mini"};
  own.traits.images = own.traits.documents = trait::yes;
  auto b = backend("chatcompletion", "o3-mini", "https://gw.example/v1");
  CAF_CHECK_EQUAL(wire::unfit(b, {&png, &pdf}, {own}), "");
  own.traits.images = trait::no;
  own.names = {"house"};
  b = backend("chatcompletion", "house", "https://gw.example/v1");
  CAF_CHECK(!wire::unfit(b, {&png}, {own}).empty());
  for (auto* type : {"grok", "zai"}) { // Chat Completions of others
    CAF_CHECK(unfit(backend(type, "m"), pdf).find("is not known to take documents") != std::string::npos);
    CAF_CHECK_EQUAL(unfit(backend(type, "m"), png), "");
  }
  CAF_CHECK(!unfit(backend("azure_openai", "m", "https://a.openai.azure.com"), pdf).empty());
}

CAF_TEST(each dialect shows files in its own form) {
  CAF_CHECK_EQUAL(wire::dump(body("openai_chat", {shows()})["messages"]),
                  R"([{"content":[{"image_url":{"url":"data:image/png;base64,iVBORw0KGgo="},"type":"image_url"},)"
                  R"({"file":{"file_data":"data:application/pdf;base64,JVBERi0=","filename":"paper.pdf"},"type":"file"},)"
                  R"({"text":"What is this?","type":"text"}],"role":"user"}])");
  CAF_CHECK_EQUAL(wire::dump(body("openai_responses", {shows()})["input"]),
                  R"([{"content":[{"detail":"auto","image_url":"data:image/png;base64,iVBORw0KGgo=","type":"input_image"},)"
                  R"({"file_data":"data:application/pdf;base64,JVBERi0=","filename":"paper.pdf","type":"input_file"},)"
                  R"({"text":"What is this?","type":"input_text"}],"role":"user"}])");
  CAF_CHECK_EQUAL(wire::dump(body("anthropic", {shows()})["messages"]),
                  R"([{"content":[{"source":{"data":"iVBORw0KGgo=","media_type":"image/png","type":"base64"},"type":"image"},)"
                  R"({"source":{"data":"JVBERi0=","media_type":"application/pdf","type":"base64"},"type":"document"},)"
                  R"({"text":"What is this?","type":"text"}],"role":"user"}])");
  CAF_CHECK_EQUAL(wire::dump(body("gemini", {shows()})["contents"]),
                  R"([{"parts":[{"inlineData":{"data":"iVBORw0KGgo=","mimeType":"image/png"}},)"
                  R"({"inlineData":{"data":"JVBERi0=","mimeType":"application/pdf"}},{"text":"What is this?"}],"role":"user"}])");
}

CAF_TEST(what is said after a question with files does not displace them) {
  message system, more;
  system.from = role::system;
  system.text = "Be brief.";
  more.text = "Go on.";
  wire::quirks known;
  known.fold_system = true;
  auto chat = body("openai_chat", {system, shows(), more}, known)["messages"];
  CAF_REQUIRE_EQUAL(chat.size(), 1u);
  CAF_REQUIRE_EQUAL(chat[0]["content"].size(), 5u);
  CAF_CHECK(chat[0]["content"][0]["text"] == "Be brief." && chat[0]["content"][4]["text"] == "Go on.");
  CAF_CHECK_EQUAL(body("anthropic", {shows(), more})["messages"][0]["content"].size(), 4u);
  CAF_CHECK_EQUAL(body("gemini", {system, shows(), more}, known)["contents"][0]["parts"].size(), 5u);
  CAF_CHECK_EQUAL(body("openai_responses", {shows(), more})["input"].size(), 2u);
}
