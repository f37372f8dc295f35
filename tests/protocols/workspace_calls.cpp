// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// The tools of a workspace: what is offered, what is taken, what is refused, and the results.

#define CAF_SUITE protocols.workspace_calls

#include "protocols/wire/workspace_calls.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/wire/json_util.hpp"

#include <set>
#include <string>
#include <vector>

using namespace conclave;
using namespace conclave::workspace_tools;
using wire::decode_workspace_call;
using wire::json;

namespace {

template <class T>
T taken(const std::string& name, const std::string& arguments) {
  auto d = decode_workspace_call(name, arguments);
  if (auto* fault = std::get_if<tool_fault>(&d))
    CAF_FAIL(name << " " << arguments << ": " << fault->text);
  auto* c = std::get_if<T>(&std::get<call>(d));
  CAF_REQUIRE(c != nullptr);
  return *c;
}

std::string fault(const std::string& name, const std::string& arguments) {
  auto d = decode_workspace_call(name, arguments);
  auto* f = std::get_if<tool_fault>(&d);
  if (f == nullptr)
    return "taken";
  CAF_CHECK(!f->text.empty() && f->text.size() < 700);
  return std::string(path_policy::to_string(f->code));
}

std::string why(const std::string& name, const std::string& arguments) {
  auto d = decode_workspace_call(name, arguments);
  auto* f = std::get_if<tool_fault>(&d);
  return f == nullptr ? "" : f->text;
}

std::string repeated(const std::string& item, std::size_t n) {
  std::string out;
  for (std::size_t i = 0; i < n; ++i)
    out += (i == 0 ? "" : ",") + item;
  return out;
}

json read(const std::string& text) {
  auto v = wire::parse(text, true);
  CAF_REQUIRE(v);
  return *v;
}

/// A value that a schema of ours allows.
json sample(const json& schema, const std::string& name) {
  auto type = schema.value("type", "");
  if (schema.contains("enum"))
    return schema["enum"][0];
  if (type == "string")
    return name == "job" ? "job1" : "x";
  if (type == "integer")
    return schema.value("minimum", 0);
  if (type == "boolean")
    return true;
  if (type == "array")
    return json::array({sample(schema["items"], name)});
  json out = json::object();
  for (auto& [key, s] : schema["properties"].items())
    out[key] = sample(s, key);
  return out;
}

} // namespace

CAF_TEST(every tool takes what its schema says and nothing else) {
  std::set<std::string> names;
  for (auto& row : table()) {
    auto name = std::string(row.name);
    CAF_MESSAGE(name);
    CAF_CHECK(names.insert(name).second);
    CAF_CHECK(find(name) == &row);
    CAF_CHECK_EQUAL(public_name(row), "mcp__" + std::string(row.server) + "__" + name);
    CAF_CHECK(!row.description.empty());
    auto schema = read(std::string(row.parameters));
    CAF_CHECK_EQUAL(schema["type"], "object");
    CAF_CHECK_EQUAL(schema["additionalProperties"], false);
    std::set<std::string> required;
    for (auto& r : schema.value("required", json::array()))
      required.insert(r.get<std::string>());
    json least = json::object(), wrong = json::object();
    for (auto& key : required)
      least[key] = sample(schema["properties"].at(key), key);
    CAF_CHECK_EQUAL(fault(name, least.dump()), "taken");
    for (auto& [key, s] : schema["properties"].items()) {
      auto with = least;
      with[key] = sample(s, key);
      CAF_CHECK_EQUAL(fault(name, with.dump()), "taken");
      for (auto& bad :
           {json(1.5), json::object({{"a", 1}}), json::array({1}), s["type"] == "boolean" ? json("true") : json(true)}) {
        with[key] = bad;
        CAF_CHECK_EQUAL(fault(name, with.dump()), "E_ARGS");
      }
      with[key] = nullptr; // as good as absent
      CAF_CHECK_EQUAL(fault(name, with.dump()), required.count(key) > 0 ? "E_ARGS" : "taken");
      if (required.count(key) > 0) {
        with.erase(key);
        CAF_CHECK_EQUAL(fault(name, with.dump()), "E_ARGS");
      }
    }
    least["Path"] = "x";
    CAF_CHECK_EQUAL(fault(name, least.dump()), "E_ARGS");
  }
  CAF_CHECK_EQUAL(names.size(), 24u);
}

CAF_TEST(arguments and defaults) {
  CAF_CHECK(taken<read_text_file>("read_text_file", R"({"path":"a","head":3})") == (read_text_file{"a", 3, {}, 0}));
  CAF_CHECK(taken<read_text_file>("read_file", R"({"path":"a","offset":7.0})") == (read_text_file{"a", {}, {}, 7}));
  CAF_CHECK(taken<write_file>("write_file", R"({"path":"a","content":"x\u0000y"})") == (write_file{"a", std::string("x\0y", 3)}));
  CAF_CHECK(taken<edit_file>("edit_file", R"({"path":"a","edits":[{"oldText":"x","newText":""}]})")
            == (edit_file{"a", {{"x", ""}}, false}));
  CAF_CHECK(taken<list_directory>("list_directory", R"({"path":"."})") == (list_directory{".", false, sort_order::name}));
  CAF_CHECK(taken<list_directory>("list_directory_with_sizes", R"({"path":".","sortBy":"size"})")
            == (list_directory{".", true, sort_order::size}));
  CAF_CHECK(taken<list_allowed_directories>("list_allowed_directories", "") == list_allowed_directories{});
  CAF_CHECK(taken<list_allowed_directories>("list_allowed_directories", " \n") == list_allowed_directories{});
  CAF_CHECK(taken<copy_file>("copy_file", R"({"source_path":"a","destination_path":"b"})") == (copy_file{"a", "b", false}));
  CAF_CHECK(taken<copy_files_batch>("copy_files_batch", R"({"source_base_path":"a","destination_base_path":""})")
            == (copy_files_batch{"a", ".", {"*"}, {}, false}));
  CAF_CHECK(taken<copy_files_batch>("copy_files_batch", R"({"source_base_path":"a"})")
            == (copy_files_batch{"a", ".", {"*"}, {}, false}));
  CAF_CHECK(
      taken<copy_files_batch>("copy_files_batch", R"({"source_base_path":"a","destination_base_path":"b","include_patterns":[]})")
      == (copy_files_batch{"a", "b", {}, {}, false}));
  CAF_CHECK(taken<delete_files_batch>("delete_files_batch", R"({"base_path":"a","exclude_patterns":["*.c"]})")
            == (delete_files_batch{"a", {"*"}, {"*.c"}}));
  CAF_CHECK(taken<compare_files>("compare_files", R"({"file1":"a","file2":"b"})") == (compare_files{"a", "b", 3}));
  CAF_CHECK(taken<deliver_files>("deliver_files", R"({"destination_path":"/t"})")
            == (deliver_files{".", "/t", {"*"}, {}, true, false}));
  CAF_CHECK(taken<execute_command>("execute_command", R"({"command":"ls","timeout":null})") == (execute_command{"ls", 60, "."}));
  CAF_CHECK(taken<execute_command_background>("execute_command_background", R"({"command":"ls","work_dir":"d"})")
            == (execute_command_background{"ls", "d"}));
  CAF_CHECK(taken<read_output>("read_output", R"({"job":"job1"})") == (read_output{"job1", 0, 0}));
  CAF_CHECK(taken<kill_job>("kill", R"({"job":"job1"})") == kill_job{"job1"});
}

CAF_TEST(names are exact) {
  for (auto* name : {"", "WRITE_FILE", "write_file ", "write_file\n", "writ\u0435_file", "put_file", "mcp__filesystem__write_file",
                     "kill_job"}) {
    CAF_CHECK_EQUAL(fault(name, "{}"), "E_TOOL");
    CAF_CHECK(find(name) == nullptr);
  }
  CAF_CHECK(why("a\x1B" + std::string(999, 'x'), "{}").size() < 300);
}

CAF_TEST(paths that are none) {
  for (auto* bad : {"3", "null", "[\"a\"]", "{\"a\":\"b\"}", "true", "\"\"", "\"ok.txt\\u0000/etc/passwd\""})
    CAF_CHECK_EQUAL(fault("read_text_file", std::string(R"({"path":)") + bad + "}"), "E_ARGS");
  CAF_CHECK_EQUAL(fault("read_text_file", R"({"path":")" + std::string(5000, 'a') + "\"}"), "E_ARGS");
  CAF_CHECK_EQUAL(fault("read_text_file", "{\"path\":\"a\xC0\xAE\"}"), "E_ARGS");
  std::string deep = "a";
  for (int i = 0; i < 299; ++i)
    deep += "/a";
  CAF_CHECK_EQUAL(fault("read_text_file", R"({"path":")" + deep + "\"}"), "E_ARGS");
  CAF_CHECK_EQUAL(fault("read_multiple_files", R"({"paths":["a",""]})"), "E_ARGS");
  CAF_CHECK_EQUAL(fault("read_multiple_files", R"({"paths":[]})"), "E_ARGS");
  CAF_CHECK_EQUAL(fault("read_text_file", R"({"path":"a","file":"/etc/passwd"})"), "E_ARGS");
  CAF_CHECK_EQUAL(fault("read_text_file", R"({"file":"a","path":"/etc/passwd"})"), "E_ARGS");
  CAF_CHECK_EQUAL(fault("execute_command", R"({"command":"ls","work_dir":""})"), "E_ARGS");
}

CAF_TEST(texts that are no arguments) {
  for (auto* bad : {R"({"path":"a","path":"/etc/x"})",
                    R"({"path":"a"} x)",
                    R"({"path":"a"}{"path":"a"})",
                    R"({"path":NaN})",
                    R"({"path":"\ud800"})",
                    R"({"path":"a",})",
                    R"(["a"])",
                    R"("a")",
                    "null",
                    "3",
                    "x",
                    "{",
                    R"({"path":'a'})",
                    R"({path:"a"})",
                    "{\"path\":\"a\xFF\"}",
                    R"({"path":"a","head":Infinity})",
                    R"({"path":"a","head":-1})",
                    R"({"path":"a","head":0})",
                    R"({"path":"a","head":1,"tail":1})",
                    R"({"path":"a","tail":1,"offset":1})",
                    R"({"path":"a","head":1e30})",
                    R"({"path":"a","head":1000001})",
                    R"({"path":"a","head":"3"})"})
    if (auto code = fault("read_text_file", bad); code != "E_ARGS")
      CAF_ERROR(code << ": " << bad);
  CAF_CHECK_EQUAL(fault("read_text_file", R"({"path":"a","head":1000000})"), "taken");
  CAF_CHECK(why("copy_file", R"({"source_path":"a","destination_path":"b","force":1})").find("force") != std::string::npos);
  CAF_CHECK(why("copy_file", R"({"source_path":"a","destination_path":"b","force":1})").find("overwrite") != std::string::npos);
}

CAF_TEST(sizes at their bounds) {
  auto head = std::string(R"({"path":"a","content":")"), tail = std::string("\"}");
  auto exact = head + std::string(max_arguments - head.size() - tail.size(), 'x') + tail;
  CAF_CHECK_EQUAL(exact.size(), max_arguments);
  CAF_CHECK_EQUAL(fault("write_file", exact), "taken");
  CAF_CHECK_EQUAL(fault("write_file", exact + " "), "E_SIZE");
  auto nested = [](int depth) { // `depth` objects below the outermost
    std::string v = "{}";
    for (int i = 1; i < depth; ++i)
      v = R"({"a":)" + v + "}";
    return R"({"path":)" + v + "}";
  };
  CAF_CHECK_EQUAL(fault("read_text_file", nested(5)), "E_ARGS");
  CAF_CHECK_EQUAL(fault("read_text_file", nested(6)), "E_SIZE");
  CAF_CHECK_EQUAL(fault("read_text_file", nested(100'000)), "E_SIZE");
  CAF_CHECK_EQUAL(fault("read_text_file", R"({"path":"[[[[[[[[[[{{{{{{"})"), "taken");
  auto edits = [](std::size_t n) { return R"({"path":"a","edits":[)" + repeated(R"({"oldText":"x","newText":"y"})", n) + "]}"; };
  CAF_CHECK_EQUAL(fault("edit_file", edits(1000)), "taken");
  CAF_CHECK_EQUAL(fault("edit_file", edits(1001)), "E_SIZE");
  CAF_CHECK_EQUAL(fault("edit_file", edits(0)), "E_ARGS");
  auto keys = [](int n) {
    json v = {{"path", "a"}};
    for (int i = 1; i < n; ++i)
      v["k" + std::to_string(i)] = 1;
    return v.dump();
  };
  CAF_CHECK_EQUAL(fault("read_text_file", keys(100)), "E_ARGS");
  CAF_CHECK_EQUAL(fault("read_text_file", keys(101)), "E_SIZE");
  CAF_CHECK_EQUAL(fault("read_multiple_files", R"({"paths":[)" + repeated("\"a\"", 50) + "]}"), "taken");
  CAF_CHECK_EQUAL(fault("read_multiple_files", R"({"paths":[)" + repeated("\"a\"", 51) + "]}"), "E_SIZE");
  auto patterns = [](const std::string& list) { return R"({"base_path":"a","include_patterns":[)" + list + "]}"; };
  CAF_CHECK_EQUAL(fault("delete_files_batch", patterns(repeated("\"*\"", 50))), "taken");
  CAF_CHECK_EQUAL(fault("delete_files_batch", patterns(repeated("\"*\"", 51))), "E_SIZE");
  CAF_CHECK_EQUAL(fault("delete_files_batch", patterns("\"" + std::string(256, '*') + "\"")), "taken");
  CAF_CHECK_EQUAL(fault("delete_files_batch", patterns("\"" + std::string(257, '*') + "\"")), "E_SIZE");
  for (auto* bad : {"../*", "/etc/*", "a/../b", ""})
    CAF_CHECK_EQUAL(fault("delete_files_batch", patterns("\"" + std::string(bad) + "\"")), "E_ARGS");
  auto timeout = [](const std::string& t) { return R"({"command":"ls","timeout":)" + t + "}"; };
  for (auto* good : {"1", "3600"})
    CAF_CHECK_EQUAL(fault("execute_command", timeout(good)), "taken");
  for (auto* bad : {"0", "3601", "-1", "1.5"})
    CAF_CHECK_EQUAL(fault("execute_command", timeout(bad)), "E_ARGS");
  auto command = [](const std::string& c) { return json({{"command", c}}).dump(); };
  CAF_CHECK_EQUAL(fault("execute_command", command(std::string(max_command, 'x'))), "taken");
  CAF_CHECK_EQUAL(fault("execute_command", command(std::string(max_command + 1, 'x'))), "E_SIZE");
  CAF_CHECK_EQUAL(fault("execute_command", command(" \n")), "E_ARGS");
  CAF_CHECK_EQUAL(fault("execute_command", command(std::string("a\0b", 3))), "E_ARGS");
  for (auto* lines : {"-1", "101"})
    CAF_CHECK_EQUAL(fault("compare_files", std::string(R"({"file1":"a","file2":"b","context_lines":)") + lines + "}"), "E_ARGS");
  for (auto* job : {"", "a/b", "../x"})
    CAF_CHECK_EQUAL(fault("kill", json({{"job", job}}).dump()), "E_ARGS");
}

CAF_TEST(a call tells every path it uses) {
  auto used = [](const std::string& name, const std::string& arguments) {
    std::string out;
    auto d = decode_workspace_call(name, arguments);
    for (auto& u : uses(std::get<call>(d)))
      out += u.argument + "=" + u.path + ":" + "rlcmx"[static_cast<int>(u.what)] + (u.tree ? "* " : " ");
    return out;
  };
  CAF_CHECK_EQUAL(used("read_multiple_files", R"({"paths":["a","b"]})"), "paths=a:r paths=b:r ");
  CAF_CHECK_EQUAL(used("move_file", R"({"source":"a","destination":"b"})"), "source=a:x* destination=b:c ");
  CAF_CHECK_EQUAL(used("copy_file", R"({"source_path":"a","destination_path":"b","overwrite":true})"),
                  "source_path=a:r* destination_path=b:m* ");
  CAF_CHECK_EQUAL(used("edit_file", R"({"path":"a","edits":[{"oldText":"x","newText":"y"}]})"), "path=a:r path=a:m ");
  CAF_CHECK_EQUAL(used("edit_file", R"({"path":"a","edits":[{"oldText":"x","newText":"y"}],"dryRun":true})"), "path=a:r ");
  CAF_CHECK_EQUAL(used("compare_directories", R"({"dir1":"a","dir2":"b"})"), "dir1=a:r* dir2=b:r* ");
  CAF_CHECK_EQUAL(used("delete_file", R"({"path":"a","recursive":true})"), "path=a:x* ");
  CAF_CHECK_EQUAL(used("execute_command", R"({"command":"ls","work_dir":"d"})"), "work_dir=d:r ");
  for (auto& row : table()) { // whatever a schema calls a path is used
    auto schema = read(std::string(row.parameters));
    auto all = sample(schema, "");
    if (row.name == "read_text_file" || row.name == "read_file")
      all.erase("tail"), all.erase("head");
    auto d = decode_workspace_call(row.name, all.dump());
    CAF_REQUIRE(std::holds_alternative<call>(d));
    std::set<std::string> named;
    for (auto& u : uses(std::get<call>(d)))
      named.insert(u.argument);
    for (auto* key : {"path", "paths", "source", "destination", "source_path", "destination_path", "source_base_path",
                      "destination_base_path", "base_path", "dir1", "dir2", "file1", "file2", "work_dir"})
      CAF_CHECK_EQUAL(named.count(key), schema["properties"].contains(key) ? 1u : 0u);
  }
}

CAF_TEST(reading tools are said to read) {
  std::set<std::string> reading;
  for (auto& row : table())
    if (row.notes.read_only)
      reading.insert(std::string(row.name));
  CAF_CHECK(reading
            == (std::set<std::string>{"read_text_file", "read_file", "read_multiple_files", "list_directory",
                                      "list_directory_with_sizes", "directory_tree", "search_files", "get_file_info",
                                      "list_allowed_directories", "compare_directories", "compare_files", "read_output"}));
  for (auto& row : table())
    if (row.notes.read_only) // and none of them uses a path otherwise
      CAF_CHECK(!row.executes);
}

CAF_TEST(what a result says was changed is read from it) {
  using list = std::vector<std::string>;
  using wire::paths_changed;
  using wire::to_json;
  batch_result batch{{{"/a/x", "/b/x", "x", 4, "added", "+x"}, {"/a/y", "/b/y", "y", 5, "identical", ""}},
                     {{"s", "there"}},
                     {{"e", "no"}},
                     false,
                     "more"};
  CAF_CHECK((paths_changed(to_json(deliver_files{}, batch)) == list{"/b/x"}));
  CAF_CHECK((paths_changed(to_json(delete_files_batch{}, batch)) == list{"/a/x", "/a/y"}));
  batch.done[1].change.clear();
  CAF_CHECK((paths_changed(to_json(copy_files_batch{}, batch)) == list{"/b/x", "/b/y"}));
  CAF_CHECK((paths_changed(to_json(copy_file{}, copy_result{true, "/a", "/b", 0, 2, {{"l", "leads out"}}})) == list{"/b"}));
  CAF_CHECK((paths_changed(to_json(delete_file{}, delete_result{false, true, "/a", 3, 0})) == list{"/a"}));
  deliver_files tried;
  tried.dry_run = true;
  CAF_CHECK(paths_changed(to_json(tried, batch)).empty());
  for (auto* text : {"", "Error: no", "[]", "{}", R"({"details":7})", R"({"details":{"files":{"a":1},"path":3}})"})
    CAF_CHECK(paths_changed(text).empty());
}

CAF_TEST(results as JSON) {
  using wire::to_json;
  CAF_CHECK_EQUAL(
      to_json(copy_file{}, copy_result{false, "/a", "/b", 3, 0, {}}),
      R"({"success":true,"operation":"copy_file","details":{"type":"file","source":"/a","destination":"/b","size":3}})");
  CAF_CHECK_EQUAL(
      to_json(copy_file{}, copy_result{true, "/a", "/b", 0, 2, {{"l", "leads out"}}}),
      R"({"success":true,"operation":"copy_file","details":{"type":"directory","source":"/a","destination":"/b","file_count":2,"dropped":[{"path":"l","reason":"leads out"}]}})");
  CAF_CHECK_EQUAL(to_json(delete_file{}, delete_result{false, true, "/a", 3, 0}),
                  R"({"success":true,"operation":"delete_file","details":{"type":"link","path":"/a","size":3}})");
  CAF_CHECK(to_json(deliver_files{}, batch_result{{}, {}, {{"e", "no"}}, false, ""}).find("\"success\":false")
            != std::string::npos);
  CAF_CHECK(to_json(copy_files_batch{}, batch_result{{}, {}, {}, false, ""}).find("\"success\":true") != std::string::npos);
  batch_result batch{{{"/a/x", "/b/x", "x", 4, "added", "+x"}, {"/a/y", "/b/y", "y", 5, "identical", ""}},
                     {{"s", "there"}},
                     {{"e", "no"}},
                     false,
                     "more"};
  auto copied = read(to_json(copy_files_batch{}, batch));
  CAF_CHECK_EQUAL(copied["summary"].dump(), R"({"copied":2,"errors":1,"skipped":1})");
  CAF_CHECK_EQUAL(copied["details"]["copied_files"][0].dump(),
                  R"({"destination":"/b/x","relative_path":"x","size":4,"source":"/a/x"})");
  CAF_CHECK_EQUAL(copied["details"]["skipped_files"].dump(), R"([{"path":"s","reason":"there"}])");
  CAF_CHECK_EQUAL(copied["details"]["errors"].dump(), R"([{"error":"no","path":"e"}])");
  CAF_CHECK_EQUAL(copied["note"], "more");
  auto deleted = read(to_json(delete_files_batch{}, batch));
  CAF_CHECK_EQUAL(deleted["summary"].dump(), R"({"deleted":2,"errors":1,"skipped":1})");
  CAF_CHECK_EQUAL(deleted["details"]["deleted_files"][0].dump(), R"({"path":"/a/x","relative_path":"x","size":4})");
  auto delivered = read(to_json(deliver_files{}, batch));
  CAF_CHECK_EQUAL(delivered["summary"].dump(), R"({"added":1,"errors":1,"identical":1,"modified":0,"skipped":1})");
  CAF_CHECK_EQUAL(delivered["details"]["files"][0]["diff"], "+x");
  CAF_CHECK(!delivered["details"]["files"][1].contains("diff"));
  auto dirs = read(
      to_json(compare_directories{"a", "b", true}, compare_directories_result{{"x"}, {}, {"d"}, {"i"}, {{"d", "-a\n+b"}}, {}, ""}));
  CAF_CHECK_EQUAL(dirs["details"].dump(),
                  R"({"content_diffs":{"d":"-a\n+b"},"different":["d"],"identical":["i"],"only_in_dir1":["x"],"only_in_dir2":[]})");
  CAF_CHECK(
      !read(to_json(compare_directories{"a", "b", false}, compare_directories_result{}))["details"].contains("content_diffs"));
  auto files = read(to_json(compare_files{}, compare_files_result{false, "d", 3, 2, true}));
  CAF_CHECK_EQUAL(files["details"]["stats"].dump(), R"({"added":3,"changed":2,"removed":2})");
  CAF_CHECK_EQUAL(files["truncated"], true);
  CAF_CHECK_EQUAL(
      to_json(command_result{0, "o", "e", 1250, "ls", "/w", false, false, ""}),
      R"({"success":true,"exit_code":0,"stdout":"o","stderr":"e","execution_time":1.25,"command":"ls","work_dir":"/w"})");
  auto late = read(to_json(command_result{0, "\xFF", "", 60'000, "ls", "/w", true, true, "n"}));
  CAF_CHECK(late["success"] == false && late["timed_out"] == true && late["truncated"] == true && late["note"] == "n");
  CAF_CHECK_EQUAL(late["stdout"], "\uFFFD");
  CAF_CHECK_EQUAL(to_json(job_output{"j", true, {}, "o", "", 1, 0, false, ""}),
                  R"({"success":true,"operation":"read_output","job":"j","running":true,"exit_code":null,"stdout":"o","stderr":"",)"
                  R"("next_offset":1,"next_error_offset":0})");
  auto cut = read(to_json(job_output{"j", false, 137, "", "", 1, 0, true, "ended"}));
  CAF_CHECK(cut["truncated"] == true && cut["note"] == "ended" && cut["exit_code"] == 137);
  CAF_CHECK_EQUAL(to_json(job_killed{"j", true, 137}),
                  R"({"success":true,"operation":"kill","job":"j","was_running":true,"exit_code":137})");
  CAF_CHECK_EQUAL(to_json(job_started{"j", "c", "/w"}),
                  R"({"success":true,"operation":"execute_command_background","job":"j","command":"c","work_dir":"/w"})");
  CAF_CHECK_EQUAL(
      to_json({{"d", "directory", {{"f", "file", {}}}}, {"e", "directory", {}}}, "cut"),
      R"([{"name":"d","type":"directory","children":[{"name":"f","type":"file"}]},{"name":"e","type":"directory","children":[]},{"note":"cut"}])");
  CAF_CHECK_EQUAL(wire::failure_json("delete_file", {denial::root, "no"}),
                  R"({"success":false,"operation":"delete_file","error":"no","code":"E_ROOT"})");
  CAF_CHECK_EQUAL(
      wire::refused_command_json("rm", ".", {denial::command, "no"}),
      R"({"success":false,"exit_code":-1,"stdout":"","stderr":"E_CMD: no","execution_time":0,"command":"rm","work_dir":"."})");
  CAF_CHECK_EQUAL(error_text("write_file", {denial::readonly, "no"}),
                  "Error: Permission denied for tool write_file: E_READONLY: no");
  CAF_CHECK_EQUAL(error_text("write_file", {denial::none, "no"}), "Error: no");
}
