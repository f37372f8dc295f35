// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/file_tools.hpp"

#include "protocols/wire/workspace_calls.hpp"
#include "transports/file_tools_parts.hpp"

#include <type_traits>
#include <utility>
#include <variant>

namespace conclave {

namespace wt = workspace_tools;

namespace {

/// By the index in workspace_tools::call.
constexpr std::string_view names[] = {
    "read_text_file",
    "read_multiple_files",
    "write_file",
    "edit_file",
    "create_directory",
    "list_directory",
    "directory_tree",
    "move_file",
    "search_files",
    "get_file_info",
    "list_allowed_directories",
    "copy_file",
    "copy_files_batch",
    "delete_file",
    "delete_files_batch",
    "compare_directories",
    "compare_files",
    "deliver_files",
    "execute_command",
    "execute_command_background",
    "read_output",
    "kill",
};
static_assert(std::size(names) == std::variant_size_v<wt::call>);

template <class T>
constexpr bool is_command =
    std::is_same_v<
        T,
        wt::execute_command> || std::is_same_v<T, wt::execute_command_background> || std::is_same_v<T, wt::read_output> || std::is_same_v<T, wt::kill_job>;

/// What may make a folder fuller. Reading, moving and deleting work in one that is too full.
template <class T>
constexpr bool adds =
    std::is_same_v<
        T,
        wt::write_file> || std::is_same_v<T, wt::edit_file> || std::is_same_v<T, wt::create_directory> || std::is_same_v<T, wt::copy_file> || std::is_same_v<T, wt::copy_files_batch> || std::is_same_v<T, wt::deliver_files>;

} // namespace

void refuse(path_policy::denial code, std::string text) {
  throw refusal{{code, std::move(text)}};
}

file_tools::file_tools(settings s) : settings_(std::move(s)), tracker_(settings_.enforce_read_before_delete) {
  set_rules(std::move(settings_.rules));
}

file_tool_result file_tools::run(const wt::call& c, const early_end& end, std::string_view name) {
  if (name.empty())
    name = names[c.index()];
  end_ = &end;
  file_tool_result out;
  try {
    pause();
    out.text = std::visit(
        [this, name, &end](auto& one) -> std::string {
          if constexpr (is_command<std::decay_t<decltype(one)>>)
            refuse(wt::denial::tool, path_policy::shown(name) + " is not a file tool.");
          else {
            if constexpr (adds<std::decay_t<decltype(one)>>)
              if (auto why = settings_.full ? settings_.full(end.now) : std::string{}; !why.empty())
                refuse(wt::denial::size, std::move(why));
            pause(); // a look that was ended found nothing
            return carry_out(one);
          }
        },
        c);
  } catch (const refusal& r) {
    auto* row = wt::find(name);
    auto as_json = row != nullptr && row->server == "workspace_tools" && !std::holds_alternative<wt::copy_file>(c);
    out.failed = true;
    out.code = r.fault.code;
    out.text = as_json ? wire::failure_json(name, r.fault) : wt::error_text(name, r.fault);
  }
  end_ = nullptr;
  return out;
}

} // namespace conclave
