// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Error replies of any server: first line = status, second = Retry-After, the rest = body. A code, one clean sentence, a sane wait.

#include "protocols/wire/http_reply.hpp"

#include "fuzz/fuzz.hpp"

using namespace conclave;

namespace {

void check(const completion& c) {
  FUZZ_REQUIRE(c.status == completion_status::broken && c.code != ec::none && c.code != ec::unknown);
  FUZZ_REQUIRE(!c.error.empty() && c.error.size() < 1000 && fuzz::is_clean_line(c.error));
  FUZZ_REQUIRE(c.retry_after_ms >= -1);
}

} // namespace

/// Whatever is said, it teaches a bounded number of things, and every request that follows can be written.
void check_lessons(const std::string& said, const std::string& schema) {
  model_request req;
  req.model = "m";
  req.max_output_tokens = 9;
  req.messages = {{role::system, "s", "", {}, "", false, "", ""},
                  {role::user, "u", "", {}, "", false, "", ""},
                  {role::assistant, "", "r", {{"c1", "look", "{}"}}, "", false, schema, "openai_chat"},
                  {role::tool, "t", "", {}, "c1", false, "", ""},
                  {role::user, "u", "", {}, "", false, "", ""}};
  req.tools = {{"look", "d", schema}, {"find_it", "d", "{}"}, {"new_answer", "d", "{}"}};
  for (auto* name : {"openai_chat", "anthropic", "openai_responses", "gemini"}) {
    wire::quirks known;
    wire::endpoint to{"http://127.0.0.1:1", "", "", "", "", {}, {}, false, true};
    for (int i = 0;; ++i) {
      FUZZ_REQUIRE(i < 40);
      std::string error;
      auto http = wire::find_dialect(name)->encode(req, to, known, error);
      FUZZ_REQUIRE(error.empty() && wire::parse(http.body));
      FUZZ_REQUIRE(http.body.find("new_answer") != std::string::npos && http.body.size() < 1'000'000);
      if (wire::learn(known, said, req, http.body).empty())
        break;
    }
  }
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto text = fuzz::text_of(data, size);
  auto cut = [&] {
    auto end = text.find('\n');
    auto line = text.substr(0, end);
    text.erase(0, end == std::string::npos ? text.size() : end + 1);
    return line;
  };
  auto status = std::atoi(cut().substr(0, 4).c_str());
  auto wait = cut();
  http_head head{status < 300 || status > 599 ? 500 : status, {{"retry-after", wait}, {"request-id", wait}}};
  completion c;
  wire::http_failure(c, head, text);
  check(c);
  check_lessons(c.said, text);
  head.headers = {{"retry-after-ms", wait}, {"x-should-retry", wait}};
  c = {};
  wire::http_failure(c, head, text);
  check(c);
  if (auto v = wire::parse(text))
    for (bool semantic : {false, true}) {
      c = {};
      wire::stream_failure(c, *v, semantic);
      check(c);
      FUZZ_REQUIRE(!semantic || c.code == ec::stream_broken || c.model_fault || !is_transient(c.code));
    }
  check_lessons(wait, text);
  check_lessons(c.said, wait);
  auto url = wire::with_query("http://h/p", {{wait, text}});
  for (unsigned char x : url)
    FUZZ_REQUIRE(x > 0x20 && x < 0x7F);
  wire::json body = {{"kept", 1}};
  FUZZ_REQUIRE(wire::merge(body, text) == (text.empty() || wire::parse(text).value_or(nullptr).is_object()));
  return 0;
}
