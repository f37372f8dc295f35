// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// A team that works on a folder of the user's, with a tool of the host's that sees the agent's files. What the answer changes is
/// written once the host approves, and taken back.

#include <conclave/app/engine.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdlib.h>
#include <string>

namespace {

std::string text_of(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// An agent that drafts a file, has it checked by the tool, answers, and puts the file into its copy of the user's folder.
conclave::agent_config writer(const std::string& folder) {
  conclave::agent_config a;
  a.id = "writer";
  a.backend.type = "scripted";
  a.backend.workspace.cwd = "writer"; // it has a workspace
  conclave::context_path granted;
  granted.path = folder;
  granted.write = true;
  a.backend.workspace.context = {granted};
  a.backend.script.resize(6);
  a.backend.script[0].calls = {{"", "mcp__filesystem__write_file", R"({"path":"notes.txt","content":"one two three\n"})"}};
  a.backend.script[1].calls = {{"", "count_words", "{}"}};
  a.backend.script[2].calls = {{"", "new_answer", R"({"content":"I wrote notes.txt, three words."})"}};
  a.backend.script[3].calls = {{"", "vote", R"({"agent_id":"agent1","reason":"checked with the tool"})"}};
  a.backend.script[4].calls = {
      {"", "mcp__filesystem__write_file", R"({"path":"../target1/notes.txt","content":"one two three\n"})"}};
  a.backend.script[5].text = "notes.txt has three words.";
  return a;
}

} // namespace

int main() {
  using namespace conclave;
  auto folder = (std::filesystem::temp_directory_path() / "conclave-example-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr)
    return 2;

  std::string counted;
  native_tool count;
  count.spec = {"count_words", "Counts the words of notes.txt in your workspace, and keeps the number in words.txt.", ""};
  count.run_with_files = [&counted](const std::string&, const workspace_handle& files) {
    auto text = files.read("notes.txt"); // throws what the model is to read: not there, not allowed
    auto words = 0;
    for (std::size_t i = 0; i < text.size(); ++i)
      words += text[i] != ' ' && text[i] != '\n' && (i == 0 || text[i - 1] == ' ');
    files.write("words.txt", std::to_string(words) + "\n");
    return counted = std::to_string(words);
  };

  std::string shown;
  listener host;
  host.approve = [&shown](const outcome& end, const std::string& text) {
    shown = text; // here a person would be asked
    return end.changes.size() == 1;
  };

  auto code = 2;
  {
    engine_options options;
    options.tools = {count};
    engine eng{std::move(options)};
    run_config team;
    team.agents = {writer(folder)};
    auto out = eng.ask(team, {"Write three words into notes.txt.", {}}, host);
    for (auto& w : out.warnings)
      std::printf("warning: %s\n", w.c_str());
    auto written = text_of(folder + "/notes.txt");

    std::string error;
    auto differs = eng.changes(out.task, error);
    auto words = eng.read_file(out.task, "agent1.1", "words.txt", error);
    auto fault = eng.undo(out.task);
    std::printf("%s\n%s%s\nthe tool counted %s\n", out.answer.c_str(), shown.c_str(), differs.text.c_str(), counted.c_str());
    if (out.kind == outcome_kind::answered && written == "one two three\n" && words == "3\n" && counted == "3" && error.empty()
        && fault.empty() && !std::filesystem::exists(folder + "/notes.txt"))
      code = 0;
    else
      std::printf("%s: %s%s\n", to_string(out.kind).c_str(), out.error.c_str(), (error + fault).c_str());
  }
  std::filesystem::remove_all(folder);
  return code;
}
