#pragma once
#include "protocols/path_policy.hpp"
#include "protocols/workspace_tools.hpp"
#include "transports/snapshot_store.hpp"
namespace conclave {
class file_tools {
public:
  file_tools(path_policy::rules, bool) {}
  tool_result run(const workspace_tools::call&, const std::atomic<bool>*) { return {"", "Error: not yet", true, {}}; }
};
}
