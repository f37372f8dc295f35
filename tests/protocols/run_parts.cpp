// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Typed parts of tool results in a run: they reach the model's next request, count as what a run holds, and go first.

#define CAF_SUITE protocols.run_parts

#include "caf/test/unit_test.hpp"
#include "protocols/tool_result.hpp"
#include "support/run_driver.hpp"

using namespace conclave;
using namespace conclave::test;

namespace {

struct parts_fixture : run_driver {
  static std::vector<content_part> picture(std::size_t bytes) {
    return {{content_kind::text, "look", "", "", ""}, {content_kind::image, "[image]", "image/png", std::string(bytes, 'A'), ""}};
  }

  /// One round: the model calls a tool that gives a picture.
  void round(std::size_t bytes, std::string text = "look\n[image]") {
    reply(calls({{"c" + std::to_string(s.calls), "look", "{\"n\":" + std::to_string(s.calls) + "}"}}));
    rule();
    tool_result r{"", std::move(text), false};
    r.parts = picture(bytes);
    put(run::tool_done{s.calls, std::move(r), "finished", {}});
    if (s.awaited != 0)
      rule();
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(run_parts_tests, parts_fixture)

CAF_TEST(the parts of a result are recorded and reach the next request) {
  start();
  reply(calls({{"c1", "look", "{}"}}));
  rule();
  tool_result r{"", "look\n[image]", false};
  r.parts = picture(64);
  put(run::tool_done{2, r, "finished", {}});
  CAF_CHECK(the<run::report>().ended[0].result.parts == r.parts);
  rule();
  auto sent = the<run::send_model>().request.messages.back();
  CAF_CHECK(sent.from == role::tool && sent.text == r.text && sent.parts == r.parts);
}

CAF_TEST(a result from a node that bounds nothing is bounded) {
  start();
  reply(calls({{"c1", "look", "{}"}}));
  rule();
  tool_result r{"", std::string(3 * max_result_text, 'x'), false};
  r.parts = picture(2 * max_result_data);
  put(run::tool_done{2, r, "finished", {}});
  auto got = the<run::report>().ended[0].result;
  CAF_CHECK(got.text.size() < max_result_text + 128 && size_of(got.parts) < max_result_data + 1024);
}

CAF_TEST(pictures count as what a run holds and the oldest go first) {
  with.agent.backend.max_run_bytes = 1 << 20;
  start();
  for (int i = 0; i < 3; ++i)
    round(400'000);
  auto sent = the<run::send_model>().request.messages;
  std::vector<bool> shown;
  std::size_t held = 0;
  for (auto& m : sent) {
    held += size_of(m);
    if (m.from == role::tool) {
      shown.push_back(!m.parts.empty());
      CAF_CHECK_EQUAL(m.text, "look\n[image]");
    }
  }
  CAF_CHECK(held <= (1 << 20) && shown == (std::vector<bool>{false, false, true}));
}

CAF_TEST(a conversation that is too long for the provider loses its pictures before its texts) {
  start();
  round(100'000, std::string(3000, 't'));
  reply(broken(ec::context_overflow, "too long"));
  rule();
  auto m = the<run::send_model>().request.messages.back();
  CAF_CHECK(m.parts.empty() && m.text.size() == 3000);
  reply(broken(ec::context_overflow, "too long"));
  rule();
  m = the<run::send_model>().request.messages.back();
  CAF_CHECK(m.text.size() < 2000 && m.text.find("[cut: ") != std::string::npos);
}

CAF_TEST_FIXTURE_SCOPE_END()
