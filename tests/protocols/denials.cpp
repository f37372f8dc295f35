// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What the log says of a call that was denied.

#define CAF_SUITE protocols.denials

#include "caf/test/unit_test.hpp"
#include "protocols/wire/workspace_calls.hpp"
#include "protocols/workspace_tools.hpp"

using namespace conclave;
using path_policy::denial;

CAF_TEST(the code of a denial is found in what the model reads) {
  using workspace_tools::denial_in;
  CAF_CHECK_EQUAL(denial_in(workspace_tools::error_text("x", {denial::readonly, "it is read-only"})), "E_READONLY");
  CAF_CHECK_EQUAL(denial_in(workspace_tools::error_text("x", {denial::outside, "no: E_ROOT: x"})), "E_OUTSIDE");
  CAF_CHECK_EQUAL(denial_in(wire::refused_command_json("rm x", "", {denial::command, "not in the list"})), "E_CMD");
  for (auto* none : {"", "E_OUTSIDE", "Error: E_OUTSIDE: x", "The server says: Error: Permission denied for tool x: E_ROOT: y",
                     "Error: Permission denied for tool x", "Error: Permission denied for tool x: E_", "{\"stderr\":\"E_CMD: x\"}",
                     "Error: Permission denied for tool x: E_lower: y"})
    CAF_CHECK_EQUAL(denial_in(none), "");
}
