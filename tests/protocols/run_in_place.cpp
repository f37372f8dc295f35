// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.run_in_place

// A presentation that writes in the user's folder: nothing of it goes on when it has ended.

#include "caf/test/unit_test.hpp"
#include "support/run_driver.hpp"

using namespace conclave;
using namespace conclave::test;

CAF_TEST_FIXTURE_SCOPE(run_in_place_tests, run_driver)

CAF_TEST(what a presentation that writes in place left running ends with it) {
  auto& w = with.agent.backend.workspace;
  w.cwd = "w";
  w.context = {{"/p", true, {}}};
  for (auto kind : {run_kind::coordinate, run_kind::present})
    for (auto* mode : {"auto", "legacy"}) {
      w.write_mode = mode;
      auto t = task();
      t.kind = kind;
      start(t);
      put(run::model_failed{s.model_call, ec::unauthorized, "no"});
      the<run::over>();
      CAF_CHECK_EQUAL(got<run::cancel_all_tools>().size(), kind == run_kind::present && w.write_mode == "legacy" ? 1u : 0u);
    }
}

CAF_TEST_FIXTURE_SCOPE_END()
