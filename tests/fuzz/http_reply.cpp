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
  head.headers = {{"retry-after-ms", wait}, {"x-should-retry", wait}};
  c = {};
  wire::http_failure(c, head, text);
  check(c);
  if (auto v = wire::parse(text))
    for (bool semantic : {false, true}) {
      c = {};
      wire::stream_failure(c, *v, semantic);
      check(c);
      FUZZ_REQUIRE(!semantic || c.code == ec::stream_broken || !is_transient(c.code));
    }
  auto url = wire::with_query("http://h/p", {{wait, text}});
  for (unsigned char x : url)
    FUZZ_REQUIRE(x > 0x20 && x < 0x7F);
  wire::json body = {{"kept", 1}};
  FUZZ_REQUIRE(wire::merge(body, text) == (text.empty() || wire::parse(text).value_or(nullptr).is_object()));
  return 0;
}
