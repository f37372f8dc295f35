// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The tools of one MCP server: collected page by page, then offered under public names. Pure.
///
///   tool_catalogue c;
///   for (auto cursor = c.add(first_page); !cursor.empty();) ...   // or c.cut("why") where the pages end early
///   auto offered = c.offer("server", filter);

#include "protocols/internal.hpp"
#include "protocols/wire/mcp.hpp"

#include <map>
#include <set>

namespace conclave::wire::mcp {

/// Entries name a tool as the server does or by its public name.
struct tool_filter {
  bool has_allowed = false;
  std::vector<std::string> allowed;
  std::vector<std::string> excluded;
  std::vector<std::string> expected; ///< entries that are worth a note if they match nothing
};

struct offered_tools {
  tool_list list;                              ///< without `source`
  std::map<std::string, std::string> original; ///< public name -> the server's own
};

class tool_catalogue {
public:
  /// Takes a page in. Returns the cursor to ask for, empty = nothing more: the end, a cursor that came before, or enough (1000
  /// tools, 100 pages, 8 MiB of all pages together).
  std::string add(tool_page page);

  /// The pages end before the list does; what came so far counts. `why` becomes a note.
  void cut(const std::string& why);

  bool empty() const { return tools_.empty(); }

  /// Public names are unique and do not depend on the order of the list.
  offered_tools offer(const std::string& server, const tool_filter& filter) const;

private:
  std::vector<listed_tool> tools_;
  std::map<std::string, std::size_t> index_; ///< of each name
  std::set<std::string> cursors_, twice_;
  std::size_t pages_ = 0, nameless_ = 0, bytes_ = 0;
  std::vector<std::string> notes_;
};

} // namespace conclave::wire::mcp
