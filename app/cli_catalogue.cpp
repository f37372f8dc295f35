// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/cli_parser.hpp"

namespace conclave::cli {

void parse_backends(command_line& c, int argc, const char* const* argv) {
  CLI::App app(
      "Lists the backend types and the providers: their keys (and whether they are set here), addresses, and what they can.",
      "conclave backends");
  prepare(app);
  app.add_flag("--json", c.backends.json, "print one JSON object");
  parse(app, c, argc, argv, "conclave backends --help");
}

void parse_models(command_line& c, int argc, const char* const* argv) {
  CLI::App app(
      "Lists the models that are known: their windows, what a million tokens cost in USD, when they end. Of a server on this "
      "machine those it has.",
      "conclave models");
  prepare(app);
  app.add_option("-b,--backend", c.models.backend, "only of this backend type or provider");
  app.add_flag("--json", c.models.json, "print a JSON array");
  parse(app, c, argc, argv, "conclave models --help");
}

void parse_sandbox(command_line& c, int argc, const char* const* argv) {
  CLI::App app(
      "Tries how commands of agents can be confined on this machine: by which means, and whether each attempt to get out is held.",
      "conclave sandbox");
  prepare(app);
  app.add_flag("--json", c.sandbox.json, "print one JSON object");
  parse(app, c, argc, argv, "conclave sandbox --help");
}

} // namespace conclave::cli
