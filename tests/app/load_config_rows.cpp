// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// A key is one row: reading, checks, places, reference, wire and connections follow from it.

#define CAF_SUITE app.load_config_rows

#include "app/load_config_parts.hpp"
#include "caf/test/unit_test.hpp"
#include "protocols/inspect.hpp"
#include "protocols/members.hpp"
#include "tests/app/load_config_support.hpp"

#include <caf/binary_deserializer.hpp>
#include <caf/binary_serializer.hpp>

namespace conclave {

/// A struct of a configuration that no version has: a member of each type.
struct lamp_config {
  std::string label;
  bool dimmed = true;
  std::int64_t glow_ms = 90'000;
  std::int64_t fade_ms = 250;
  std::string colour = "red";
  ledger::pacing pacing = ledger::pacing::barrier;
  std::uint32_t bulbs = 2;
  std::vector<std::string> rooms;
  std::map<std::string, std::string> wires;
  std::string extra; ///< JSON
  bool operator==(const lamp_config&) const = default;
};

namespace config_rows {

template <>
inline constexpr auto scope_of<lamp_config> = key_scope::upload;

template <>
inline constexpr auto table<lamp_config> = [] {
  using enum key_type;
  using x = lamp_config;
  return std::make_tuple(
      field(&x::label, "label", text, "what stands on it").of_connection(), field(&x::dimmed, "dimmed", flag, "less light"),
      field(&x::glow_ms, "glow_seconds", seconds, {0.5, week}, "how long").stored_as("glow_ms"),
      field(&x::fade_ms, "fade_ms", milliseconds, {0, 5000}, "going out"),
      field(&x::colour, "colour", choice, "red green", "of the light"), field(&x::pacing, "pacing", choice, "barrier eager", "how"),
      field(&x::bulbs, "bulbs", integer, {1, 9}, "how many"), field(&x::rooms, "rooms", texts, "where"),
      field(&x::wires, "wires", text_map, "what to what"), field(&x::extra, "extra", map, "all else"));
}();

} // namespace config_rows

CONCLAVE_INSPECT_ROWS(lamp_config, true)

namespace {

const key_table& lamp_keys() {
  static const auto keys = [] {
    key_table out;
    config_rows::add_keys<lamp_config>(out);
    return out;
  }();
  return keys;
}

lamp_config read(const std::string& text, load_result& found) {
  lamp_config out;
  loader::report to{"t.yaml", found.problems};
  auto root = loader::read_tree(text, to);
  CAF_REQUIRE(root != nullptr);
  loader::section s{root.get(), key_scope::upload, "", "", to, "", lamp_keys()};
  s.read_rows(out);
  found.config.places = to.places();
  return out;
}

const char* full = "label: L\ndimmed: off\nglow_seconds: 10m\nfade_ms: 1s\ncolour: Green\npacing: EAGER\nbulbs: 3\n"
                   "rooms: [a, b]\nwires: {a: 1, b: x}\nextra: {deep: [1, \"2\"]}\n";

} // namespace

CAF_TEST(a row is enough to read a key of each type) {
  load_result found;
  auto lamp = read(full, found);
  CAF_CHECK_EQUAL(all(found), "");
  CAF_CHECK(lamp
            == (lamp_config{"L",
                            false,
                            600'000,
                            1000,
                            "green",
                            ledger::pacing::eager,
                            3,
                            {"a", "b"},
                            {{"a", "1"}, {"b", "x"}},
                            R"({"deep":[1,"2"]})"}));
  CAF_CHECK(read("label: ''\n", found) == lamp_config{});
}

CAF_TEST(a row is enough to check a key of each type and to place it) {
  load_result found;
  auto lamp = read("label: [x]\ndimmed: maybe\nglow_seconds: 0.1s\nfade_ms: 6s\ncolour: gren\npacing: fast\nbulbs: 12\n"
                   "rooms: {a: b}\nwires: [a]\nextra: 3\nlable: x\n",
                   found);
  CAF_CHECK(lamp == lamp_config{});
  CAF_CHECK_EQUAL(where(found), (strings{"1 label", "2 dimmed", "3 glow_seconds", "4 fade_ms", "5 colour", "6 pacing", "7 bulbs",
                                         "8 rooms", "9 wires", "10 extra", "11 lable"}));
  for (const auto* part :
       {"t.yaml:3: glow_seconds: 0.1s is outside 0.5 to 604800 seconds", "fade_ms: 6s is outside 0 to 5000 milliseconds",
        "'gren' is none of red, green; did you mean 'green'?", "12 is outside 1 to 9", "did you mean 'label'?"})
    CAF_CHECK(says(found, part));
  // The same limits for one that was made by hand.
  lamp_config made;
  made.glow_ms = 100;
  made.colour = "blue";
  made.bulbs = 10;
  std::vector<problem> problems;
  config_rows::check(made, "lamps[2]", problems);
  strings paths;
  for (const auto& p : problems)
    paths.push_back(p.path);
  CAF_CHECK_EQUAL(paths, (strings{"lamps[2].glow_seconds", "lamps[2].colour", "lamps[2].bulbs"}));
  problems.clear();
  config_rows::check(lamp_config{}, "lamps[2]", problems);
  CAF_CHECK(problems.empty());
}

CAF_TEST(a row is enough to document a key) {
  auto text = lamp_keys().reference();
  for (const auto* row :
       {"| `label` | text |  | what stands on it |", "| `dimmed` | true or false | `true` | less light |",
        "| `glow_seconds` | seconds, 0.5 to 604800 | `90` | how long |",
        "| `fade_ms` | milliseconds, 0 to 5000 | `250` | going out |", "| `colour` | `red`, `green` | `red` | of the light |",
        "| `pacing` | `barrier`, `eager` | `barrier` | how |", "| `bulbs` | whole number, 1 to 9 | `2` | how many |",
        "| `wires` | map of texts |  | what to what |", "| `extra` | map |  | all else |"})
    CAF_CHECK(text.find(row) != std::string::npos);
}

CAF_TEST(a row is enough for a member to travel and to be stored) {
  load_result found;
  auto lamp = read(full, found);
  std::vector<char> bytes;
  caf::binary_serializer sink{nullptr, bytes};
  CAF_REQUIRE(!sink(lamp));
  lamp_config there;
  caf::binary_deserializer source{nullptr, bytes};
  CAF_REQUIRE(!source(there));
  CAF_CHECK(there == lamp);
  strings names;
  members::each_member<lamp_config>([&](const char* name, auto) { names.push_back(name); });
  CAF_CHECK_EQUAL(names,
                  (strings{"label", "dimmed", "glow_ms", "fade_ms", "colour", "pacing", "bulbs", "rooms", "wires", "extra"}));
}

CAF_TEST(a row says whether its key makes a connection another one) {
  lamp_config a, b;
  b.bulbs = 5;
  CAF_CHECK(config_rows::connection_part(a) == config_rows::connection_part(b));
  b.label = "x";
  CAF_CHECK(!(config_rows::connection_part(a) == config_rows::connection_part(b)));
}

CAF_TEST(a time takes a unit wherever a time is asked for) {
  auto ms = [](const std::string& value) { return first(load(with("timeout: " + value))).timeout_ms; };
  for (const auto& [text, wanted] : std::map<std::string, std::int64_t>{{"90", 90'000},
                                                                        {"0.25", 250},
                                                                        {"90s", 90'000},
                                                                        {"10m", 600'000},
                                                                        {"\"10m\"", 600'000},
                                                                        {"1.5h", 5'400'000},
                                                                        {"250ms", 250},
                                                                        {"2d", 172'800'000},
                                                                        {"1w", 604'800'000}})
    CAF_CHECK_EQUAL(ms(text), wanted);
  for (const auto* bad : {"10 m", "10minutes", "m", "10M", "-1m", "1e3s", "0s", "2w", "1h30m", "\"90\"", "inf", "[1m]"})
    CAF_CHECK_EQUAL(where(load(with("timeout: " + std::string{bad}))).size(), 1u);
  CAF_CHECK(says(load(with("timeout: ten")), "expected a time (90, 90s, 10m, 1.5h), found 'ten'"));
  CAF_CHECK(says(load(with("timeout: '90'")), "leave out the quotes"));
  auto r = load(with("mcp_servers: {s: {command: npx, timeout: 2m}}") + "timeout_settings: {idle_timeout_seconds: 3m}\n"
                + "orchestrator: {straggler_patience_seconds: 1m}\n");
  CAF_CHECK_EQUAL(all(r), "");
  const auto read = first(r); // CAF_CHECK_EQUAL keeps references
  CAF_CHECK_EQUAL(read.mcp_servers.at(0).timeout_ms, 120'000);
  CAF_CHECK_EQUAL(read.idle_timeout_ms, 180'000);
  CAF_CHECK_EQUAL(r.config.rules.patience_ms, 60'000);
  auto step = load("agent: {backend: {type: scripted, steps: [{answer: x, first_delay_ms: 2s, chunk_delay_ms: 7}]}}\n");
  CAF_CHECK_EQUAL(all(step), "");
  const auto timed = first(step).script;
  CAF_CHECK_EQUAL(timed.at(0).first_delay_ms, 2000);
  CAF_CHECK_EQUAL(timed.at(0).chunk_delay_ms, 7);
  CAF_CHECK_EQUAL(where(load("agent: {backend: {type: scripted, steps: [{answer: x, first_delay_ms: 1.5}]}}\n")).size(), 1u);
}

CAF_TEST(what an option sets is named by the option) {
  auto r = load(with("") + "cluster: {tls: {cert: c, key: k, ca: a}}\n");
  CAF_REQUIRE(r.ok());
  auto& c = r.config;
  c.rules.coordination_ms = 700'000'000;
  c.places["timeout_settings.orchestrator_timeout_seconds"] = {"", "--timeout"};
  c.cluster.tls.insecure_loopback = true;
  c.places["cluster.tls.insecure_loopback"] = {"", "--insecure-loopback"};
  add_nodes(c, {{"far", "nowhere"}});
  strings said;
  for (const auto& p : validate(c))
    said.push_back(to_string(p));
  CAF_CHECK_EQUAL(said, (strings{"--node far: 'nowhere' is no address: write host:port, [address]:port for IPv6",
                                 "--insecure-loopback: cannot be combined with certificates",
                                 "--timeout: 700000 is outside 0.001 to 604800 seconds"}));
}

CAF_TEST(a problem of the data has the line and the column of its key) {
  auto r = load("agents:\n  - id: a\n    backend: {type: chatcompletion, model: m, base_url: nowhere}\n");
  CAF_REQUIRE_EQUAL(r.problems.size(), 1u);
  CAF_CHECK_EQUAL(r.problems[0].path, "agents[0].backend.base_url");
  CAF_CHECK_EQUAL(r.problems[0].line, 3);
  CAF_CHECK_EQUAL(r.problems[0].column, 47);
  // Also of one that is judged again, long after it was read.
  auto good = load("agents:\n  - id: a\n    backend: {type: local}\n");
  good.config.agents[0].backend.max_tokens = -1;
  auto again = validate(good.config);
  CAF_REQUIRE_EQUAL(again.size(), 1u);
  CAF_CHECK(to_string(again[0]).starts_with("t.yaml:3: agents[0].backend.max_tokens: "));
}

} // namespace conclave
