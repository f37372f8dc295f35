// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.cli

#include "app/cli.hpp"

#include "app/version.hpp"
#include "caf/test/unit_test.hpp"

#include <initializer_list>
#include <string>
#include <vector>

using namespace conclave;

namespace {

command_line parse(std::initializer_list<const char*> words) {
  std::vector<const char*> argv{"conclave"};
  argv.insert(argv.end(), words);
  return parse_command_line(static_cast<int>(argv.size()), argv.data());
}

bool usage(std::initializer_list<const char*> words, const std::string& part) {
  auto c = parse(words);
  if (!c.done || c.code != 1 || !c.out.empty() || c.err.find(part) == std::string::npos) {
    CAF_MESSAGE("code " << c.code << " out " << c.out << " err " << c.err);
    return false;
  }
  return true;
}

} // namespace

CAF_TEST(a question alone runs with no option set) {
  auto c = parse({"What is 6 x 7?"});
  CAF_REQUIRE(!c.done);
  CAF_CHECK(c.command == command_name::run);
  CAF_CHECK(c.run.has_question);
  CAF_CHECK_EQUAL(c.run.question, "What is 6 x 7?");
  CAF_CHECK_EQUAL(c.run.timeout_ms, 0);
  CAF_CHECK(c.run.nodes.empty());
}

CAF_TEST(an empty name of a folder or branch is a mistake) {
  CAF_CHECK(usage({"--output-dir", "", "q"}, "--output-dir: is empty"));
  CAF_CHECK(usage({"--output-dir=", "q"}, "--output-dir: is empty"));
  CAF_CHECK(usage({"apply", "last", "--to", ""}, "--to: is empty"));
  CAF_CHECK(usage({"apply", "last", "--to="}, "--to: is empty"));
  CAF_CHECK(usage({"apply", "last", "--branch", ""}, "--branch: is empty"));
  CAF_CHECK_EQUAL(parse({"apply", "last", "--branch", "b"}).apply.branch, "b");
  CAF_CHECK_EQUAL(parse({"--", "--output-dir="}).run.question, "--output-dir=");
}

CAF_TEST(questions arrive byte for byte) {
  for (auto text : {"[1,2]", "{}", "\"quoted\"", "'single'", "a\nb", "a, b", "%%", "x=y", "  spaces  ", "/opt", "\\n", "-"}) {
    auto c = parse({text});
    CAF_CHECK(!c.done);
    CAF_CHECK_EQUAL(c.run.question, text);
  }
  auto dashes = parse({"--json", "--", "-5 + 3?"});
  CAF_CHECK(!dashes.done);
  CAF_CHECK_EQUAL(dashes.run.question, "-5 + 3?");
  CAF_CHECK(dashes.run.json);
  CAF_CHECK(!parse({}).run.has_question);
  auto empty = parse({""});
  CAF_CHECK(!empty.done);
  CAF_CHECK_EQUAL(empty.run.question, "");
}

CAF_TEST(only an exact first word selects a subcommand) {
  CAF_CHECK(parse({"validate this"}).command == command_name::run);
  CAF_CHECK_EQUAL(parse({"validate this"}).run.question, "validate this");
  CAF_CHECK_EQUAL(parse({"--", "Validate"}).run.question, "Validate");
  CAF_CHECK_EQUAL(parse({"--", "list"}).run.question, "list");
  CAF_CHECK_EQUAL(parse({"-m", "m", "--", "list"}).run.question, "list");
  CAF_CHECK(parse({"list"}).command == command_name::list);
}

CAF_TEST(a lone word that is nearly a command was a paid question) {
  for (auto [word, instead] : {std::pair{"version", "conclave --version"},
                               {"help", "conclave --help"},
                               {"ls", "conclave list"},
                               {"tasks", "conclave list"},
                               {"Status", "conclave list"},
                               {"logs", "conclave show last"},
                               {"last", "conclave show last"},
                               {"shwo", "conclave show last"},
                               {"lst", "conclave list"},
                               {"lists", "conclave list"},
                               {"Validate", "conclave validate FILE"},
                               {"vaildate", "conclave validate FILE"},
                               {"prnue", "conclave prune"},
                               {"nodes", "conclave node"},
                               {"init", "quickstart"},
                               {"run", "QUESTION"},
                               {"delete", "conclave rm"},
                               {"versoin", "conclave --version"},
                               {"hepl", "conclave --help"},
                               {"rmm", "conclave rm"},
                               {"sl", "conclave list"}})
    CAF_CHECK(usage({word}, instead));
  CAF_CHECK(usage({"version"}, "conclave -- version"));
  CAF_CHECK(usage({"-q", "tasks"}, "conclave list"));
  CAF_CHECK(usage({"-m", "m", "version"}, "conclave --version"));
  CAF_CHECK(usage({"-c", "t.yaml", "list"}, "conclave list"));
  for (auto word : {"hello", "Hi", "why?", "version?", "42", "how",          "Rust",   "weather", "what", "life",
                    "poem",  "am", "all",  "ram",      "us", "\u4f60\u597d", "rm -rf", "show me", "x",    "logs\n"}) {
    auto c = parse({word});
    if (c.done)
      CAF_MESSAGE(c.err);
    CAF_CHECK(!c.done);
    CAF_CHECK_EQUAL(c.run.question, word);
  }
  // Where a model is named it is clear that something is asked; only the words themselves are refused.
  CAF_CHECK(!parse({"-m", "m", "lisp"}).done);
}

CAF_TEST(a slip of a command with arguments is told the command) {
  CAF_CHECK(usage({"shwo", "last"}, "try: conclave show last"));
  CAF_CHECK(usage({"shwo", "last", "--full"}, "try: conclave show last --full"));
  CAF_CHECK(usage({"Show", "last"}, "try: conclave show last"));
  CAF_CHECK(usage({"vaildate", "my team.yaml"}, "try: conclave validate 'my team.yaml'"));
  CAF_CHECK(usage({"help", "show"}, "try: conclave show --help"));
  CAF_CHECK(usage({"run", "What is it?"}, "try: conclave 'What is it?'"));
  CAF_CHECK(usage({"run", "team.yaml"}, "try: conclave --config team.yaml \"QUESTION\""));
  CAF_CHECK(usage({"run", "team.yaml", "What is it?"}, "try: conclave --config team.yaml 'What is it?'"));
  CAF_CHECK(usage({"ask", "-c", "team.yaml", "hi"}, "try: conclave -c team.yaml hi"));
  CAF_CHECK(usage({"logs", "--json"}, "conclave show last"));
  CAF_CHECK(usage({"what", "is", "this"}, "needs quotes"));
}

CAF_TEST(a team file in the place of the question is told the option) {
  CAF_CHECK(usage({"team.yaml", "hi"}, "conclave --config team.yaml hi"));
  CAF_CHECK(usage({"my team.yml", "hi there"}, "needs quotes"));
  CAF_CHECK(usage({"configs/team.yml", "hi there"}, "conclave --config configs/team.yml 'hi there'"));
  CAF_CHECK(usage({"hi", "team.json"}, "conclave --config team.json hi"));
  CAF_CHECK(usage({"team.yaml"}, "conclave --config team.yaml \"QUESTION\""));
  CAF_CHECK(usage({"notes.txt", "Summarise"}, "conclave --file notes.txt Summarise"));
  CAF_CHECK(usage({"Compare", "a.txt", "b.md"}, "conclave --file a.txt --file b.md Compare"));
  CAF_CHECK(!parse({"--", "team.yaml"}).done);
  for (auto text : {"What is in team.yaml?", "node.js", "3.14", "e.g.", ".yaml", "yaml"})
    CAF_CHECK(!parse({text}).done);
}

CAF_TEST(options of MassGen point to ours) {
  for (auto [option, ours] : {std::pair{"--init", "quickstart"},
                              {"--setup-keys", ".env"},
                              {"--no-display", "--quiet"},
                              {"--debug", "--verbose"},
                              {"--orchestrator-timeout=5", "--timeout SECONDS"},
                              {"--list-examples", "configs/"},
                              {"--show-schema", "docs/configuration.md"},
                              {"--session-id", "conclave show TASK"},
                              {"--continue", "conclave resume last"},
                              {"--no-logs", "conclave prune"},
                              {"--web", "--json"},
                              {"--validate", "conclave validate FILE"},
                              {"--quickstart", "quickstart"},
                              {"--rate-limit", "limits are waited for"},
                              {"--select", "--config FILE"},
                              {"--prompt", "the question itself"},
                              {"--stream-events", "--json"}}) {
    CAF_CHECK(usage({option, "q"}, ours));
    CAF_CHECK(usage({"q", option}, "there is no option '--"));
  }
  CAF_CHECK(usage({"-V"}, "--version"));
  CAF_CHECK(usage({"-version"}, "unknown option '-version'; did you mean '--version'?"));
  CAF_CHECK(usage({"--orchestrator-timeout", "600", "--config", "t.yaml", "q"}, "--timeout SECONDS"));
}

CAF_TEST(files and standard input are named once) {
  auto c = parse({"-f", "a.txt", "--file", "b.txt", "Compare", "--no-stdin"});
  CAF_REQUIRE_EQUAL(c.err, "");
  CAF_CHECK_EQUAL(c.run.files, (std::vector<std::string>{"a.txt", "b.txt"}));
  CAF_CHECK(c.run.no_stdin);
  CAF_CHECK_EQUAL(c.run.question, "Compare");
  CAF_CHECK(usage({"--no-stdin"}, "needs a question"));
  CAF_CHECK(usage({"--no-stdin", "-"}, "exclude"));
  CAF_CHECK(usage({"-f", "-", "-"}, "read once"));
  CAF_CHECK(usage({"-f", "-"}, "read once"));
}

CAF_TEST(every option of a run is read) {
  auto c = parse({"-m",
                  "gpt",
                  "-b",
                  "openai",
                  "--base-url",
                  "http://h/v1",
                  "--system-message",
                  "be brief",
                  "--node",
                  "a=h:1",
                  "--node",
                  "b=[::1]:2",
                  "why?",
                  "--timeout",
                  "1.5",
                  "--output-file",
                  "f",
                  "--json",
                  "-q",
                  "--insecure-loopback"});
  CAF_REQUIRE_EQUAL(c.err, "");
  CAF_CHECK_EQUAL(c.run.model, "gpt");
  CAF_CHECK_EQUAL(c.run.backend, "openai");
  CAF_CHECK_EQUAL(c.run.base_url, "http://h/v1");
  CAF_CHECK_EQUAL(c.run.system_message, "be brief");
  CAF_REQUIRE_EQUAL(c.run.nodes.size(), 2u);
  CAF_CHECK_EQUAL(c.run.nodes[1].first, "b");
  CAF_CHECK_EQUAL(c.run.nodes[1].second, "[::1]:2");
  CAF_CHECK_EQUAL(c.run.question, "why?");
  CAF_CHECK_EQUAL(c.run.timeout_ms, 1500);
  CAF_CHECK_EQUAL(c.run.output_file, "f");
  CAF_CHECK(c.run.json && c.run.quiet && c.run.insecure_loopback && !c.run.verbose);
  auto v = parse({"-v", "--automation", "q"});
  CAF_CHECK(v.done);
  CAF_CHECK(parse({"--automation", "q"}).run.automation);
  CAF_CHECK(parse({"-v", "q"}).run.verbose);
  CAF_CHECK_EQUAL(parse({"--config", "c.yaml", "q"}).run.config, "c.yaml");
  CAF_CHECK_EQUAL(parse({"--record", "r.cassette", "q"}).run.record, "r.cassette");
}

CAF_TEST(a node without a name is called after its address) {
  auto c = parse({"--node", "127.0.0.1:4711", "--node", "[::1]:2", "--node", "mars=h:3", "q"});
  CAF_CHECK(!c.done);
  CAF_CHECK(c.run.nodes
            == (std::vector<std::pair<std::string, std::string>>{
                {"127.0.0.1-4711", "127.0.0.1:4711"}, {"--1-2", "[::1]:2"}, {"mars", "h:3"}}));
}

CAF_TEST(a node does not swallow the question) {
  auto c = parse({"--node", "a=h:1", "why?"});
  CAF_CHECK_EQUAL(c.err, "");
  CAF_CHECK_EQUAL(c.run.nodes.size(), 1u);
  CAF_CHECK_EQUAL(c.run.question, "why?");
}

CAF_TEST(usage errors have code 1 and name what is wrong) {
  CAF_CHECK(usage({"--config", "f", "--model", "m", "q"}, "--config stands alone"));
  CAF_CHECK(usage({"--base-url", "u", "q"}, "need --model"));
  CAF_CHECK(usage({"--nonsense", "q"}, "unknown option '--nonsense'"));
  CAF_CHECK(usage({"--confg", "x", "q"}, "unknown option '--confg'; did you mean '--config'?"));
  CAF_CHECK(usage({"list", "extra"}, "unexpected argument 'extra'; if this is a question, put it in quotes"));
  CAF_CHECK(usage({"what", "is", "this"}, "needs quotes"));
  CAF_CHECK(usage({"--model"}, "--model"));
  CAF_CHECK(usage({"-m", "a", "-m", "b", "q"}, "--model"));
  CAF_CHECK(usage({"--node", "mars", "q"}, "NAME=HOST:PORT"));
  CAF_CHECK(usage({"--node", "=h:1", "q"}, "NAME=HOST:PORT"));
  CAF_CHECK(usage({"--node", "h:0", "q"}, "must not be 0"));
  CAF_CHECK(usage({"--node", "h:1", "--node", "h:1", "q"}, "twice"));
  CAF_CHECK(usage({"--node", "mars=h:0", "q"}, "mars"));
  CAF_CHECK(usage({"--node", "mars=h:99999", "q"}, "HOST:PORT"));
  CAF_CHECK(usage({"--node", "a=h:1", "--node", "a=h:2", "q"}, "twice"));
  for (auto bad : {"0", "-1", "abc", "nan", "inf", "1e3", "", "5x", "99999999999"}) {
    auto joined = std::string("--timeout=") + bad;
    CAF_CHECK(usage({joined.c_str(), "q"}, "--timeout"));
  }
  CAF_CHECK(usage({"-q", "-v", "q"}, "exclude"));
  CAF_CHECK(usage({"--record", "", "q"}, "takes a file"));
  CAF_CHECK(usage({"--record", "f", "--node", "h:1", "q"}, "another machine"));
  CAF_CHECK(usage({"resume", "--record", "f"}, "--record and resume exclude"));
  CAF_CHECK(usage({"validate"}, "file"));
  CAF_CHECK_EQUAL(parse({"validate", "a", "b"}).validate.files.size(), 2u);
  CAF_CHECK(usage({"show"}, "task"));
  CAF_CHECK(usage({"list", "the", "planets"}, "quotes"));
  CAF_CHECK(usage({"rm"}, "task"));
  CAF_CHECK(usage({"prune"}, "--older-than"));
  CAF_CHECK(usage({"prune", "--older-than", "soon"}, "30d"));
  CAF_CHECK(usage({"node"}, "--listen"));
  CAF_CHECK(usage({"node", "--listen", "nowhere"}, "HOST:PORT"));
  CAF_CHECK(usage({"node", "--listen", "h:1", "--check", "h:1"}, "either"));
  CAF_CHECK(usage({"node", "--check", "h:0"}, "must not be 0"));
  CAF_CHECK(usage({"node", "--check", "h:1", "--grace", "3"}, "for --listen"));
  CAF_CHECK(usage({"node", "--check", "h:1", "-v"}, "for --listen"));
  for (auto bad : {"-1", "soon", "", "nan", "00"})
    CAF_CHECK(usage({"node", "--listen", "h:1", (std::string("--grace=") + bad).c_str()}, "--grace"));
  CAF_CHECK(usage({"node", "--listen", "h:1", "--tls-cert", "c"}, "belong together"));
  CAF_CHECK(usage({"node", "--listen", "0.0.0.0:0", "--insecure-loopback"}, "loopback address"));
  CAF_CHECK(usage({"node", "--listen", "[::]:0", "--insecure-loopback"}, "loopback address"));
  CAF_CHECK(
      usage({"node", "--listen", "h:1", "--insecure-loopback", "--tls-cert", "c", "--tls-key", "k", "--tls-ca", "a"}, "no TLS"));
}

CAF_TEST(help and version have code 0 and go to standard output) {
  for (auto flag : {"--help", "-h"}) {
    auto c = parse({flag});
    CAF_CHECK(c.done);
    CAF_CHECK_EQUAL(c.code, 0);
    CAF_CHECK_EQUAL(c.err, "");
    for (auto word : {"--config", "--timeout", "conclave prune", "Exit codes"})
      CAF_CHECK(c.out.find(word) != std::string::npos);
  }
  for (auto word : {"validate", "show", "list", "rm", "prune", "node"}) {
    auto c = parse({word, "--help"});
    CAF_CHECK(c.done && c.code == 0);
    CAF_CHECK(c.out.find(std::string("conclave ") + word) != std::string::npos);
  }
  auto c = parse({"--version"});
  CAF_CHECK(c.done && c.code == 0);
  CAF_CHECK_EQUAL(c.out, std::string("conclave ") + version + "\n");
}

CAF_TEST(subcommands read their options) {
  auto v = parse({"validate", "f.yaml", "--strict", "--json"});
  CAF_CHECK(v.validate.files == std::vector<std::string>{"f.yaml"} && v.validate.strict && v.validate.json);
  auto s = parse({"show", "last", "--full"});
  CAF_CHECK(s.show.task == "last" && s.show.full && !s.show.json);
  auto r = parse({"rm", "a", "b"});
  CAF_CHECK_EQUAL(r.remove.tasks, (std::vector<std::string>{"a", "b"}));
  auto p = parse({"prune", "--older-than", "2w"});
  CAF_CHECK_EQUAL(p.prune.older_than_ms, 14 * 86'400'000);
  auto n = parse({"node", "--listen", "[::1]:4711", "--tls-cert", "c", "--tls-key", "k", "--tls-ca", "a"});
  CAF_CHECK_EQUAL(n.err, "");
  CAF_CHECK(n.node.host == "::1" && n.node.port == 4711 && n.node.tls.cert == "c" && n.node.tls.key == "k" && n.node.tls.ca == "a");
  CAF_CHECK(!n.node.check && n.node.grace_ms == 30'000 && !n.node.json);
  auto k = parse({"node", "--check", "mars:4711", "--json"});
  CAF_CHECK(k.err.empty() && k.node.check && k.node.host == "mars" && k.node.port == 4711 && k.node.json);
  CAF_CHECK_EQUAL(parse({"node", "--listen", "h:1", "--grace", "0"}).node.grace_ms, 0);
  CAF_CHECK_EQUAL(parse({"node", "--listen", "h:1", "--grace", "2.5"}).node.grace_ms, 2'500);
  auto i = parse({"node", "--listen", "127.0.0.1:0", "--insecure-loopback"});
  CAF_CHECK(i.node.insecure_loopback && i.node.tls.insecure_loopback && i.node.port == 0);
}

CAF_TEST(times take units and keys are asked for) {
  CAF_CHECK_EQUAL(parse({"--timeout", "10m", "q"}).run.timeout_ms, 600'000);
  CAF_CHECK_EQUAL(parse({"--timeout", "1.5h", "q"}).run.timeout_ms, 5'400'000);
  CAF_CHECK_EQUAL(parse({"--timeout", "250ms", "q"}).run.timeout_ms, 250);
  CAF_CHECK_EQUAL(parse({"node", "--listen", "h:1", "--grace", "2m"}).node.grace_ms, 120'000);
  for (auto bad : {"10 m", "0m", "-1m", "m", "1e3", "53w", "1h30m"})
    CAF_CHECK_EQUAL(parse_seconds(bad), -1);
  auto k = parse({"keys", "idle"});
  CAF_CHECK(k.err.empty() && k.command == command_name::keys && k.keys.word == "idle" && !k.keys.markdown);
  CAF_CHECK_EQUAL(parse({"keys", "--markdown", "x"}).code, 1);
  CAF_CHECK_EQUAL(parse({"validate", "f", "--json", "--explain"}).code, 1);
}

CAF_TEST(ages and addresses are read strictly) {
  CAF_CHECK_EQUAL(parse_age("30d"), 30 * std::int64_t{86'400'000});
  CAF_CHECK_EQUAL(parse_age("0s"), 0);
  CAF_CHECK_EQUAL(parse_age("90"), 90'000);
  CAF_CHECK_EQUAL(parse_age("1.5h"), 5'400'000);
  CAF_CHECK_EQUAL(parse_age("250ms"), 250);
  CAF_CHECK_EQUAL(parse({"prune", "--older-than", "1.5h"}).prune.older_than_ms, 5'400'000);
  CAF_CHECK(usage({"prune", "--older-than", "1e3"}, "--older-than takes a time (30d, 1.5h, 90 or 90s), not '1e3'"));
  for (auto bad : {"", "d", "-1d", "30x", " 1d", "99999999999999999999d", "999999999d", "1e3", "1d12h"})
    CAF_CHECK_EQUAL(parse_age(bad), -1);
  std::string host, error;
  std::uint16_t port = 0;
  for (auto bad : {"", ":", "h", "h:", ":1", "h:1x", "h:-1", "h:65536", "::1:80", "[::1:80", "[]:80", "a b:1", "h/x:1", "u@h:1"}) {
    CAF_CHECK(!parse_host_port(bad, host, port, error));
    CAF_CHECK(!error.empty());
  }
  CAF_CHECK(parse_host_port("mars.example:4711", host, port, error));
  CAF_CHECK(host == "mars.example" && port == 4711 && error.empty());
}

CAF_TEST(a base URL with a type in front says where that type goes and one without is of the quick mode) {
  auto c = parse({"-c", "t.yaml", "--base-url", "OpenAI=http://127.0.0.1:1/v1", "--base-url=claude=https://h", "--send-keys", "q"});
  CAF_REQUIRE_EQUAL(c.err, "");
  CAF_CHECK(c.run.send_keys);
  CAF_REQUIRE_EQUAL(c.run.base_urls.size(), 2u);
  CAF_CHECK_EQUAL(c.run.base_urls[0].first, "openai");
  CAF_CHECK_EQUAL(c.run.base_urls[0].second, "http://127.0.0.1:1/v1");
  CAF_CHECK_EQUAL(c.run.base_urls[1].first, "claude");
  c = parse({"-m", "x", "--base-url", "http://h/v1?a=b", "--base-url", "vllm=http://h", "q"});
  CAF_REQUIRE_EQUAL(c.err, "");
  CAF_CHECK_EQUAL(c.run.base_url, "http://h/v1?a=b");
  CAF_CHECK_EQUAL(c.run.base_urls.size(), 1u);
  CAF_CHECK_EQUAL(parse({"-m", "x", "--base-url", "//h?sk-planted=y", "q"}).run.base_url, "//h?sk-planted=y"); // judged unseen
  CAF_CHECK(usage({"--base-url", "nosuch=http://h", "q"}, "no backend type"));
  CAF_CHECK(usage({"--base-url", "=http://h", "q"}, "no backend type"));
  CAF_CHECK(usage({"--base-url", "local=http://h", "q"}, "no backend type"));
  CAF_CHECK(usage({"--base-url", "claude=http://u:p@h", "q"}, "no address"));
  CAF_CHECK(usage({"--base-url", "claude=", "q"}, "no address"));
  CAF_CHECK(usage({"--base-url", "claude=http://h", "--base-url", "CLAUDE=http://g", "q"}, "given twice"));
  CAF_CHECK(usage({"-m", "x", "--base-url", "http://h", "--base-url", "http://g", "q"}, "given twice"));
}

CAF_TEST(backends and models are commands) {
  auto c = parse({"backends", "--json"});
  CAF_CHECK(!c.done && c.command == command_name::backends && c.backends.json);
  c = parse({"models", "--backend", "groq"});
  CAF_CHECK(!c.done && c.command == command_name::models && c.models.backend == "groq" && !c.models.json);
  CAF_CHECK(usage({"modles"}, "conclave models"));
  CAF_CHECK(usage({"providers"}, "conclave backends"));
  CAF_CHECK(usage({"models", "x"}, "unexpected argument"));
}
