// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Pages that list what the program has list all of it, and the commands shown first do what they say.

#define CAF_SUITE app.docs

#include "app/plain_text.hpp"
#include "caf/test/unit_test.hpp"
#include "protocols/coordination.hpp"
#include "protocols/wire/json.hpp"
#include "support/places.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <vector>

using namespace conclave;

namespace {

std::string read(const std::string& path) {
  std::ifstream in(test::source_dir() + "/" + path);
  std::ostringstream out;
  out << in.rdbuf();
  CAF_CHECK(!out.str().empty());
  return out.str();
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> out;
  for (std::string line; std::getline(in, line);)
    out.push_back(line);
  return out;
}

/// The question of the command line in a text that asks this configuration.
std::vector<std::string> questions(const std::string& text, const std::string& config) {
  std::vector<std::string> out;
  for (const auto& line : lines_of(text))
    if (auto at = line.find("--config " + config + " \""); at != std::string::npos) {
      auto from = line.find('"', at) + 1;
      out.push_back(line.substr(from, line.find('"', from) - from));
    }
  return out;
}

} // namespace

CAF_TEST(the table of events has a row for every type and every field) {
  auto page = read("docs/events.md");
  for (int i = 0; i < static_cast<int>(event_type_count); ++i) {
    auto row = "\n| `" + to_string(static_cast<event_type>(i)) + "` | ";
    CAF_MESSAGE(row);
    CAF_CHECK(page.find(row) != std::string::npos);
    CAF_CHECK_EQUAL(page.find(row), page.rfind(row));
  }
  event e;
  e.seq = e.run = e.epoch = e.round = 1;
  e.time_ms = e.number = 1;
  e.type = event_type::call_ended;
  e.agent = e.label = e.target = e.target_label = e.text = e.reason = e.step = "x";
  e.labels = {"x"};
  e.flag = true;
  e.code = ec::timeout;
  e.use = {1, 1, 1, 1, 1, 1};
  e.ms = 1;
  e.kept = 1;
  e.said = {"x"};
  e.state = "x";
  e.detail = e.cause = "{}";
  auto json = wire::to_json(e);
  for (std::size_t at = 0; (at = json.find("\":", at)) != std::string::npos; ++at) {
    auto from = json.rfind('"', at - 1) + 1;
    auto field = "`" + json.substr(from, at - from) + "`";
    CAF_MESSAGE(field);
    CAF_CHECK(page.find(field) != std::string::npos);
  }
  for (int i = 1; i <= static_cast<int>(ec::unknown); ++i)
    CAF_CHECK(page.find("`" + to_string(static_cast<ec>(i)) + "`") != std::string::npos);
}

CAF_TEST(what is shown of a run with files is what the program prints) {
  auto page = read("docs/workspaces.md");
  CAF_CHECK(page.find("The answer changes 2 files in /home/u/project.\n    folder /home/u/project\n    M  main.py")
            != std::string::npos);
  CAF_CHECK(read("docs/cli.md").find("conclave show TASK [--full] [--json | --files]\n") != std::string::npos);
}

CAF_TEST(a scripted team is asked what its script answers) {
  auto script = read("configs/offline.yaml");
  auto own = questions(script, "configs/offline.yaml");
  CAF_REQUIRE_EQUAL(own.size(), 1u);
  auto shown = questions(read("README.md"), "configs/offline.yaml");
  CAF_REQUIRE(!shown.empty());
  for (const auto& q : shown)
    CAF_CHECK_EQUAL(q, own[0]);
  CAF_CHECK(own[0].find("telescope") != std::string::npos);
  CAF_CHECK(script.find("telescope**") != std::string::npos); // its last words
}
