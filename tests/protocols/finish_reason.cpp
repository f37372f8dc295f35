// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.finish_reason

#include "protocols/wire/finish_reason.hpp"

#include "caf/test/unit_test.hpp"

using namespace conclave::wire;

CAF_TEST(a reason means the same in any spelling) {
  struct {
    const char* reason;
    ending means;
  } table[] = {
      {"stop", ending::success},
      {"STOP", ending::success},
      {"end_turn", ending::success},
      {"FinishReason.STOP", ending::success},
      {"FINISH_REASON_MAX_TOKENS", ending::truncated},
      {"FINISH_REASON_UNSPECIFIED", ending::open},
      {"MODEL_ARMOR", ending::refused},
      {"eos", ending::success},
      {"tool-calls", ending::success},
      {"toolUse", ending::success},
      {"COMPLETE", ending::success},
      {"length", ending::truncated},
      {"MAX_TOKENS", ending::truncated},
      {"model_length", ending::truncated},
      {"model_context_window_exceeded", ending::truncated},
      {"content_filter", ending::refused},
      {"SAFETY", ending::refused},
      {"sensitive", ending::refused},
      {"content_filter: RECITATION", ending::refused},
      {"network_error", ending::failed},
      {"insufficient_system_resource", ending::failed},
      {"repetition_truncation", ending::failed},
      {"abort", ending::failed},
      {"load", ending::failed},
      {"function_call_filter: UNEXPECTED_TOOL_CALL", ending::malformed},
      {"malformed_function_call", ending::malformed},
      {"pause_turn", ending::paused},
      {"", ending::open},
      {"null", ending::open},
  };
  for (auto& t : table) {
    CAF_MESSAGE(t.reason);
    CAF_CHECK(read_finish_reason(t.reason) == t.means);
  }
}

CAF_TEST(a reason in no row is no success) {
  for (auto* reason : {"solar_flare", "stop now", "FinishReason.", "FinishReason", ".stop", "x: y", ":", ": ", "null: ", "\xFF"})
    CAF_CHECK(read_finish_reason(reason) == ending::unknown);
  CAF_CHECK(read_finish_reason(std::string(1000, '_') + "stop") == ending::unknown);
}
