// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The stdio channel: one JSON text per line over a child's stdin and stdout. Its own header so that the table stays a table.

#include "transports/mcp_channel.hpp"

namespace conclave {
std::unique_ptr<mcp_channel> open_mcp_stdio(outside& from, const mcp_server_config& config, const std::string& stderr_path,
                                            mcp_channel::callbacks cb, std::string& error, const std::string& opening);
} // namespace conclave
