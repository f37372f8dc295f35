// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/cli.hpp"
#include "app/commands.hpp"
#include "app/host_io.hpp"
#include "protocols/text.hpp"

#include <exception>

namespace {

int dispatch(const conclave::command_line& c) {
  using conclave::command_name;
  switch (c.command) {
  case command_name::run:
    return conclave::command_run(c.run);
  case command_name::validate:
    return conclave::command_validate(c.validate);
  case command_name::keys:
    return conclave::command_keys(c.keys);
  case command_name::backends:
    return conclave::command_backends(c.backends);
  case command_name::models:
    return conclave::command_models(c.models);
  case command_name::show:
    return conclave::command_show(c.show);
  case command_name::list:
    return conclave::command_list(c.list);
  case command_name::remove:
    return conclave::command_remove(c.remove);
  case command_name::prune:
    return conclave::command_prune(c.prune);
  case command_name::resume:
    return conclave::command_resume(c.resume);
  case command_name::cancel:
    return conclave::command_cancel(c.cancel);
  case command_name::replay:
    return conclave::command_replay(c.replay);
  case command_name::diff:
    return conclave::command_diff(c.diff);
  case command_name::apply:
    return conclave::command_apply(c.apply);
  case command_name::undo:
    return conclave::command_undo(c.undo);
  case command_name::paths:
    return conclave::command_paths(c.paths);
  case command_name::sandbox:
    return conclave::command_sandbox(c.sandbox);
  case command_name::node:
    return conclave::command_node(c.node);
  }
  return static_cast<int>(conclave::exit_code::usage);
}

} // namespace

int main(int argc, char** argv) {
  conclave::prepare_process();
  try {
    auto c = conclave::parse_command_line(argc, argv);
    if (!c.done)
      return dispatch(c);
    if (!c.err.empty())
      conclave::write_all(2, conclave::for_terminal(c.err)); // it quotes the arguments
    return c.out.empty() ? c.code : conclave::print(c.out, c.code);
  } catch (const std::exception& e) { // out of memory, out of threads: nothing of ours throws
    conclave::write_all(2, std::string("conclave: ") + e.what() + "\n");
    return static_cast<int>(conclave::exit_code::failed);
  }
}
