// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Tools of the host tell keys back: of the environment, and such as the configuration gave. None may be in a file, an event, an
// answer or in what the model is sent.

#define CAF_SUITE app.planted_key

#include "app/engine.hpp"
#include "caf/test/unit_test.hpp"
#include "support/scratch_folder.hpp"
#include "support/scripted_team.hpp"

#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

using namespace conclave;

namespace {

const std::string in_environment = "sk-planted1x5f0c\\/+=end", in_file = "sk-planted2x77ab\\/+=end", in_url = "planted3xc0ffee";
const std::vector<std::string> cores = {"planted1x5f0c", "planted2x77ab", "planted3xc0ffee"};

/// One scripted agent that calls `tell`, then answers. Its configuration holds keys.
run_config team() {
  auto out = test::scripted_team({"writer"});
  auto& b = out.agents[0].backend;
  b.api_key = in_file;
  b.extra_headers = {{"authorization", "Bearer " + in_file}};
  b.base_url = "https://example.com/v1?api-version=2&key=" + in_url;
  b.extra_body = R"({"auth":{"api_key":"sk-planted2x77ab\\/+=end"}})";
  b.script.insert(b.script.begin(), script_step{});
  b.script[0].calls = {{"", "tell", "{}"}};
  return out;
}

native_tool tell(std::function<std::string()> what, const std::string& described) {
  native_tool t;
  t.spec = {"tell", described, R"({"type":"object","properties":{}})"};
  t.run = [what = std::move(what)](const std::string&) { return what(); };
  return t;
}

void check(const std::string& how, std::function<std::string()> what, const std::string& described = "tells") {
  CAF_MESSAGE(how);
  test::scratch_folder f;
  std::string seen;
  {
    engine_options o;
    o.store_path = f.path + "/tasks.db";
    o.log_root = f.path + "/logs";
    o.write_logs = true;
    o.tools = {tell(std::move(what), described)};
    engine eng{o};
    CAF_REQUIRE_EQUAL(eng.error(), "");
    listener l;
    l.on_event = [&](const event& e) { seen += e.text + e.reason + e.detail + e.cause + "\n"; };
    l.on_chunk = [&](const chunk_batch& b) {
      for (auto& c : b.chunks)
        seen += c.text + "\n";
    };
    auto out = eng.ask(team(), {"q", {}}, l);
    CAF_CHECK_EQUAL(out.error, "");
    seen += out.answer;
    for (auto& w : out.warnings)
      seen += w;
  }
  for (auto& core : cores) {
    CAF_CHECK_EQUAL(seen.find(core), std::string::npos);
    CAF_CHECK_EQUAL(f.files_with(core), "");
  }
  CAF_CHECK(!f.files_with("tell").empty()); // there is something to look at
}

} // namespace

CAF_TEST(a tool of the host that tells keys back gives them away nowhere) {
  ::setenv("PLANTED_API_KEY", in_environment.c_str(), 1);
  auto all = in_environment + " " + in_file + " " + in_url;
  check("result", [all] { return "the keys are " + all; });
  check("read from the environment", [] { return std::string(std::getenv("PLANTED_API_KEY")); });
  check("json", [] { return R"({"key":"sk-planted1x5f0c\\/+=end","more":["sk-planted2x77ab\\\/+=end"]})"; });
  check("an exception", [all]() -> std::string { throw std::runtime_error("denied for " + all); });
  check("a long result", [all] { return std::string(300'000, 'x') + all; });
  check(
      "described", [] { return std::string("nothing"); }, "needs " + all);
  ::unsetenv("PLANTED_API_KEY");
}
