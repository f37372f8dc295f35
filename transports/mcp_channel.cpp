// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/mcp_channel.hpp"

#include "transports/mcp_stdio.hpp"

namespace conclave {

std::unique_ptr<mcp_channel> open_mcp_channel(outside& from, const mcp_server_config& config, const std::string& stderr_path,
                                              mcp_channel::callbacks cb, std::string& error, const std::string& opening) {
  using opener = std::unique_ptr<mcp_channel> (*)(outside&, const mcp_server_config&, const std::string&, mcp_channel::callbacks,
                                                  std::string&, const std::string&);
  static constexpr struct {
    const char* kind;
    opener open;
  } table[] = {{"stdio", open_mcp_stdio}};
  for (auto& row : table)
    if (config.type == row.kind)
      return row.open(from, config, stderr_path, std::move(cb), error, opening);
  error = "MCP server '" + config.name + "': transport '" + config.type + "' is not available";
  return nullptr;
}

} // namespace conclave
