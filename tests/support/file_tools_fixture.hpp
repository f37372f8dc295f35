// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Calls file tools as a model does, on a tree with a workspace W, read-only RO, the view V of others, writable WC, the granted
/// file F/granted.txt, and OUT, which is nobody's.

#include "protocols/wire/workspace_calls.hpp"
#include "support/workspace_tree.hpp"
#include "transports/file_tools.hpp"

#include <memory>
#include <string>
#include <utility>

namespace conclave::test {

inline std::string json_text(const std::string& s) {
  std::string out = "\"";
  for (char c : s) {
    if (c == '"' || c == '\\')
      out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out + "\"";
}

struct file_tools_fixture {
  const workspace_tree& t;
  std::string W, RO, V, WC, F, OUT;
  std::unique_ptr<file_tools> tools;
  early_end end;
  std::string text; ///< of the last call

  file_tools_fixture(confined_dir::way how, const workspace_tree& tree, file_tool_bounds bounds = {})
      : t(tree), W(t / "work"), RO(t / "ro"), V(t / "view"), WC(t / "wc"), F(t / "single/granted.txt"), OUT(t / "out") {
    for (auto* d : {&W, &RO, &V, &WC, &OUT})
      std::filesystem::create_directories(*d);
    put(F, "granted\n");
    put(t / "single/sibling.txt", "sibling-canary\n");
    put(OUT + "/secret.txt", "out-canary\n");
    put(RO + "/r.txt", "readable\n");
    put(V + "/agent1/v.txt", "theirs\n");
    bounds.keep_free = 0;
    file_tools::settings s;
    s.rules = rules(true);
    s.bounds = bounds;
    s.way = how;
    tools = std::make_unique<file_tools>(std::move(s));
  }

  path_policy::rules rules(bool final_phase) const {
    using path_policy::root_kind;
    path_policy::rules r;
    r.roots = {{W, root_kind::workspace, true, false, {}, false, {}},
               {V, root_kind::view, false, false, {}, false, {}},
               {RO, root_kind::context, false, false, {}, false, {}},
               {WC, root_kind::context, final_phase, true, {"keep", "locked.txt"}, false, {}},
               {F, root_kind::context_file, false, false, {}, false, {}}};
    return r;
  }

  /// Returns the denial's code, "ok", or "error" for a failure that is none.
  std::string call(const std::string& name, const std::string& arguments) {
    auto d = wire::decode_workspace_call(name, arguments);
    if (auto* fault = std::get_if<workspace_tools::tool_fault>(&d)) {
      text = fault->text;
      return std::string(path_policy::to_string(fault->code));
    }
    auto r = tools->run(std::get<workspace_tools::call>(d), end, name);
    text = r.text;
    if (!r.failed)
      return "ok";
    auto code = std::string(path_policy::to_string(r.code));
    return code.empty() ? "error" : code;
  }
  /// One with a path alone.
  std::string on(const std::string& name, const std::string& path) { return call(name, R"({"path":)" + json_text(path) + "}"); }
  std::string read(const std::string& path) { return on("read_text_file", path); }
  std::string write(const std::string& path, const std::string& content = "new") {
    return call("write_file", R"({"path":)" + json_text(path) + R"(,"content":)" + json_text(content) + "}");
  }
  std::string move(const std::string& from, const std::string& to) {
    return call("move_file", R"({"source":)" + json_text(from) + R"(,"destination":)" + json_text(to) + "}");
  }
  std::string copy(const std::string& from, const std::string& to, bool overwrite = false) {
    return call("copy_file", R"({"source_path":)" + json_text(from) + R"(,"destination_path":)" + json_text(to) + R"(,"overwrite":)"
                                 + (overwrite ? "true}" : "false}"));
  }
  std::string copy_batch(const std::string& from, const std::string& to, const std::string& more = {}) {
    return call("copy_files_batch",
                R"({"source_base_path":)" + json_text(from) + R"(,"destination_base_path":)" + json_text(to) + more + "}");
  }
  std::string erase(const std::string& path, bool recursive = false) {
    return call("delete_file", R"({"path":)" + json_text(path) + R"(,"recursive":)" + (recursive ? "true}" : "false}"));
  }
  std::string erase_batch(const std::string& base, const std::string& more = {}) {
    return call("delete_files_batch", R"({"base_path":)" + json_text(base) + more + "}");
  }
  std::string compare(const std::string& a, const std::string& b) {
    return call("compare_files", R"({"file1":)" + json_text(a) + R"(,"file2":)" + json_text(b) + "}");
  }
  std::string edit(const std::string& path, const std::string& old_text, const std::string& new_text, bool dry = false) {
    return call("edit_file", R"({"path":)" + json_text(path) + R"(,"edits":[{"oldText":)" + json_text(old_text) + R"(,"newText":)"
                                 + json_text(new_text) + R"(}],"dryRun":)" + (dry ? "true}" : "false}"));
  }
  bool says(const std::string& part) const { return text.find(part) != std::string::npos; }
};

} // namespace conclave::test
