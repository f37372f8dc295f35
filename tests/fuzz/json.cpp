// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// The bounded parse, and events: what was read is written, and reads back as the same event. What its quick reader takes
// the general one takes as the same.

#include "protocols/wire/json.hpp"

#include "fuzz/fuzz.hpp"
#include "protocols/wire/json_event.hpp"
#include "protocols/wire/json_util.hpp"

using namespace conclave;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto text = fuzz::text_of(data, size);
  auto loose = wire::parse(text);
  auto strict = wire::parse(text, true);
  FUZZ_REQUIRE(!strict || (loose && *strict == *loose));
  if (loose) {
    auto again = wire::parse(wire::dump(*loose));
    FUZZ_REQUIRE(again && wire::dump(*again) == wire::dump(*loose));
    for (auto* key : {"seq", "number", "a"})
      (void) wire::int_at(*loose, key);
  }
  FUZZ_REQUIRE(wire::is_object(text) == (strict && strict->is_object()));
  auto quoted = wire::quote(text);
  FUZZ_REQUIRE(wire::parse(quoted) && wire::parse(quoted)->is_string() && quoted.find('\n') == std::string::npos);
  event own, any;
  if (wire::read_own(text, own))
    FUZZ_REQUIRE(wire::read_any(text, any) && own == any);
  event e;
  if (wire::from_json(text, e)) {
    auto line = wire::to_json(e);
    FUZZ_REQUIRE(line.find('\n') == std::string::npos);
    event back;
    FUZZ_REQUIRE(wire::from_json(line, back));
    FUZZ_REQUIRE(back == e);
    FUZZ_REQUIRE(wire::to_json(back) == line);
  }
  return 0;
}
