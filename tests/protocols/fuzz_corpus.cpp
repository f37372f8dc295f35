// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What the fuzzers of the decoders have learned (tests/fuzz/corpus), played again without a fuzzer. What does not hold ends the
// process and names the input in the line before.

#define CAF_SUITE protocols.fuzz_corpus

#include "caf/test/unit_test.hpp"
#include "fuzz/dialect_fuzz.hpp"
#include "fuzz/sse_fuzz.hpp"
#include "support/places.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>

using namespace conclave;

namespace {

template <class F>
void play(const std::string& name, F run) {
  int inputs = 0;
  for (auto& entry : std::filesystem::directory_iterator(test::source_dir() + "/tests/fuzz/corpus/" + name)) {
    std::ifstream in(entry.path(), std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(in), {}};
    CAF_MESSAGE(entry.path());
    run(bytes);
    ++inputs;
  }
  CAF_CHECK(inputs > 0);
}

void play_dialect(const char* name) {
  play(name, [&](const std::string& bytes) {
    fuzz::run_dialect(name, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  });
}

} // namespace

CAF_TEST(the corpus of openai_chat) {
  play_dialect("openai_chat");
}

CAF_TEST(the corpus of openai_responses) {
  play_dialect("openai_responses");
}

CAF_TEST(the corpus of anthropic) {
  play_dialect("anthropic");
}

CAF_TEST(the corpus of gemini) {
  play_dialect("gemini");
}

CAF_TEST(the corpus of events) {
  play("sse", [](const std::string& bytes) { fuzz::run_sse(bytes); });
}
