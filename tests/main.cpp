// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_TEST_NO_MAIN
#include "caf/test/unit_test_impl.hpp"

/// Asked by LeakSanitizer where that is built in. A heartbeat that is due in the moment between the end of the thread of CAF's
/// broker and that of its clock keeps the broker: its mailbox is still open then (abstract_broker::cleanup of 0.17.6 does not close
/// it), and the reference that comes with the message goes into a pipe that nobody reads any more. Nobody outside of CAF can
/// prevent it.
extern "C" __attribute__((visibility("default"))) const char* __lsan_default_suppressions() {
  return "leak:caf::io::basp_broker\n";
}

int main(int argc, char** argv) {
  return caf::test::main(argc, argv);
}
