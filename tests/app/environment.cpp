// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.environment

#include "app/environment.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/config_expand.hpp"
#include "protocols/config_validate.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

using namespace conclave;

namespace {

using variables = std::map<std::string, std::string>;

variables parse(const std::string& text, std::size_t bad = 0) {
  std::vector<problem> problems;
  auto out = parse_environment(text, ".env", problems);
  CAF_CHECK_EQUAL(problems.size(), bad);
  return out;
}

/// A home and a working directory of their own; both are put back at the end.
struct fixture {
  fixture() {
    char name[] = "/tmp/conclave-env-XXXXXX";
    root = ::mkdtemp(name);
    before = std::filesystem::current_path();
    for (const auto* folder : {"/work", "/own", "/home/.config/conclave", "/home/.config/massgen", "/home/.massgen"})
      std::filesystem::create_directories(root + folder);
    std::filesystem::current_path(root + "/work");
    for (const auto* name_of : {"HOME", "CONCLAVE_HOME", "XDG_CONFIG_HOME"})
      if (const auto* value = std::getenv(name_of))
        saved[name_of] = value;
    ::setenv("HOME", (root + "/home").c_str(), 1);
    ::setenv("CONCLAVE_HOME", (root + "/own").c_str(), 1);
    ::unsetenv("XDG_CONFIG_HOME");
  }
  ~fixture() {
    for (const auto* name : {"HOME", "CONCLAVE_HOME", "XDG_CONFIG_HOME", "CONCLAVE_TEST_SET"})
      saved.contains(name) ? ::setenv(name, saved[name].c_str(), 1) : ::unsetenv(name);
    std::error_code code;
    std::filesystem::current_path(before, code);
    std::filesystem::remove_all(root, code);
  }
  std::string file(const std::string& name, const std::string& text, ::mode_t mode = 0600) {
    auto path = root + name;
    std::ofstream{path, std::ios::binary} << text;
    ::chmod(path.c_str(), mode);
    return path;
  }
  environment load(std::size_t warnings = 0) {
    std::vector<problem> problems;
    auto out = environment::load(problems);
    CAF_CHECK_EQUAL(problems.size(), warnings);
    last = problems.empty() ? "" : to_string(problems[0]);
    return out;
  }
  std::string root, last;
  std::filesystem::path before;
  variables saved;
};

std::string value(const environment& e, const std::string& name) {
  const auto* found = e.find(name);
  return found ? *found : "(unset)";
}

} // namespace

CAF_TEST(lines quotes and comments are read) {
  CAF_CHECK_EQUAL(
      parse("\xEF\xBB\xBF"
            "A=1\r\n# c\n\n  export B = two words \nC='a # b' # c\nD=\"x\\ny\\\"z\" \nE=a#b #c\nF=\nG=x=y\nexport\tH=1"),
      (variables{
          {"A", "1"}, {"B", "two words"}, {"C", "a # b"}, {"D", "x\ny\"z"}, {"E", "a#b"}, {"F", ""}, {"G", "x=y"}, {"H", "1"}}));
  CAF_CHECK_EQUAL(parse("A=1\nA=2", 1), (variables{{"A", "2"}}));
  CAF_CHECK_EQUAL(parse("A=${B}"), (variables{{"A", "${B}"}}));
  CAF_CHECK_EQUAL(parse(""), variables{});
}

CAF_TEST(bad lines are left out and never shown) {
  CAF_CHECK_EQUAL(parse("sk-secret\n1A=x\nA B=x\nC='open\nD=\"x\" y\n=x\nE=1", 6), (variables{{"E", "1"}}));
  std::vector<problem> problems;
  parse_environment("ok=1\nsk-secret\n", "f", problems);
  CAF_REQUIRE_EQUAL(problems.size(), 1u);
  CAF_CHECK_EQUAL(to_string(problems[0]), "f:2: is not NAME=VALUE; the line is left out");
  parse_environment(std::string(1000, '\n').replace(0, 1, "x\n") + std::string(50'000, 'x'), "f", problems);
  std::string many;
  for (int i = 0; i < 1000; ++i)
    many += "bad\n";
  problems.clear();
  parse_environment(many, "f", problems);
  CAF_CHECK_EQUAL(problems.size(), 20u);
}

CAF_TEST(faults of a file are named for what they are) {
  auto said = [](const std::string& text) {
    std::vector<problem> problems;
    parse_environment(text, "f", problems);
    std::string out;
    for (auto& p : problems)
      out += (out.empty() ? "" : "|") + to_string(p);
    return out;
  };
  CAF_CHECK_EQUAL(said("OPENAI_API_KEY: sk-1"), "f:1: is NAME: VALUE, as in YAML; write NAME=VALUE. The line is left out");
  CAF_CHECK_EQUAL(said("A: x=y"), said("A:"));
  CAF_CHECK_EQUAL(said("A=b: c"), "");
  CAF_CHECK_EQUAL(said("K=\"sk-1\nB=2"), "f:1: has a quote that is not closed, or text behind it; the line is left out");
  CAF_CHECK_EQUAL(said("A=1\nB=2\nA=3\nA=4"), "f:3: A is set in line 1 already; this one, the last, counts|f:4: A is set in line 3 "
                                              "already; this one, the last, counts");
  const std::string utf16 = "f: is UTF-16; save it as UTF-8. The whole file is left out";
  CAF_CHECK_EQUAL(said(std::string("\xFF\xFE"
                                   "A\0=\0"
                                   "1\0",
                                   8)),
                  utf16);
  CAF_CHECK_EQUAL(said(std::string("\xFE\xFF\0A\0=\0"
                                   "1",
                                   8)),
                  utf16);
  CAF_CHECK_EQUAL(said(std::string("A\0=\0"
                                   "1\0",
                                   6)),
                  utf16);
  for (const auto* proxy : {"HTTP_PROXY", "https_proxy", "ALL_PROXY", "no_proxy"})
    CAF_CHECK(said(std::string{proxy} + "=http://evil:1").find("proxies are taken from the environment of the process alone")
              != std::string::npos);
}

CAF_TEST_FIXTURE_SCOPE(files, fixture)

CAF_TEST(the process wins over files and nearer files over farther ones) {
  ::setenv("CONCLAVE_TEST_SET", "process", 1);
  file("/work/.env", "CONCLAVE_TEST_SET=work\nV1=work\n");
  file("/own/.env", "V1=own\nV2=own\n");
  file("/home/.config/conclave/.env", "V1=x\nV2=x\nV3=config\n");
  file("/home/.massgen/.env", "V3=x\nV4=massgen\n");
  file("/home/.config/massgen/.env", "V4=x\nV5=massgen config\n");
  auto e = load();
  CAF_CHECK_EQUAL(value(e, "CONCLAVE_TEST_SET"), "process");
  CAF_CHECK_EQUAL(value(e, "V1"), "work");
  CAF_CHECK_EQUAL(value(e, "V2"), "own");
  CAF_CHECK_EQUAL(value(e, "V3"), "config");
  CAF_CHECK_EQUAL(value(e, "V4"), "massgen");
  CAF_CHECK_EQUAL(value(e, "V5"), "massgen config");
  CAF_CHECK_EQUAL(value(e, "V6"), "(unset)");
  CAF_CHECK_EQUAL(e.files().size(), 5u);
  CAF_CHECK(std::getenv("V1") == nullptr);
  auto look = e.lookup();
  CAF_REQUIRE(look("V1") != nullptr);
  CAF_CHECK_EQUAL(*look("V1"), "work");
}

CAF_TEST(an empty variable hides nothing) {
  ::setenv("CONCLAVE_TEST_SET", " ", 1);
  file("/work/.env", "CONCLAVE_TEST_SET=\nV1=\nV2=work\n");
  file("/own/.env", "CONCLAVE_TEST_SET=own\nV1=own\nV2=\n");
  auto e = load();
  CAF_CHECK_EQUAL(value(e, "CONCLAVE_TEST_SET"), "own");
  CAF_CHECK_EQUAL(value(e, "V1"), "own");
  CAF_CHECK_EQUAL(value(e, "V2"), "work");
}

CAF_TEST(every value knows where it came from) {
  ::setenv("CONCLAVE_TEST_SET", "process", 1);
  file("/work/.env", "CONCLAVE_TEST_SET=work\nV1=work\n");
  file("/own/.env", "V1=own\nV2=own\n");
  auto e = load();
  CAF_CHECK_EQUAL(e.source("CONCLAVE_TEST_SET"), "the environment");
  CAF_CHECK_EQUAL(e.source("V1"), "./.env");
  CAF_CHECK_EQUAL(e.source("V2"), root + "/own/.env");
  CAF_CHECK_EQUAL(e.source("V3"), "");
}

CAF_TEST(both folders of settings are read and a home may be written with a tilde) {
  std::filesystem::create_directories(root + "/xdg/conclave");
  file("/xdg/conclave/.env", "V1=xdg\n");
  file("/home/.config/conclave/.env", "V1=config\nV2=config\n");
  ::setenv("XDG_CONFIG_HOME", (root + "/xdg").c_str(), 1);
  auto e = load();
  CAF_CHECK_EQUAL(value(e, "V1"), "xdg");
  CAF_CHECK_EQUAL(value(e, "V2"), "config");
  ::setenv("XDG_CONFIG_HOME", "relative", 1); // as its specification wants: ignored
  CAF_CHECK_EQUAL(value(load(), "V1"), "config");
  std::filesystem::create_directories(root + "/home/state");
  file("/home/state/.env", "V3=state\n");
  ::setenv("CONCLAVE_HOME", "~/state", 1);
  CAF_CHECK_EQUAL(value(load(), "V3"), "state");
}

CAF_TEST(files are optional bounded and regular) {
  CAF_CHECK_EQUAL(load().files().size(), 0u);
  file("/work/.env", std::string(1'048'577, '#'));
  CAF_CHECK_EQUAL(load(1).files().size(), 0u);
  CAF_CHECK(last.find("larger than 1 MiB") != std::string::npos);
  std::filesystem::remove(root + "/work/.env");
  std::filesystem::create_directory(root + "/work/.env");
  CAF_CHECK_EQUAL(load(1).files().size(), 0u);
  CAF_CHECK(last.find(".env: is a folder") != std::string::npos);
  std::filesystem::remove(root + "/work/.env");
  CAF_REQUIRE_EQUAL(::mkfifo((root + "/work/.env").c_str(), 0600), 0);
  CAF_CHECK_EQUAL(load(1).files().size(), 0u); // does not wait for a writer
}

CAF_TEST(keys everybody can read are warned about without showing them) {
  file("/work/.env", "OPENAI_API_KEY=sk-secret\n", 0644);
  auto e = load(1);
  CAF_CHECK(last.find("chmod 600") != std::string::npos);
  CAF_CHECK(last.find("sk-secret") == std::string::npos);
  CAF_CHECK_EQUAL(value(e, "OPENAI_API_KEY").empty(), false);
  file("/work/.env", "MODE=x\n", 0644);
  load(0);
  file("/work/.env", "OPENAI_API_KEY=sk-secret\n", 0600);
  load(0);
}

CAF_TEST(what is secret of all variables is known by their names) {
  file("/work/.env", "OPENAI_API_KEY=sk-of-the-file\nPLACE=of-no-interest\nDB=postgres://u:pass-of-a-url@h/d\n", 0600);
  std::vector<problem> ignored;
  std::string text = "sk-of-the-file of-no-interest pass-of-a-url";
  environment::load(ignored).known_secrets().hide(text);
  CAF_CHECK_EQUAL(text, "*** of-no-interest ***");
}

CAF_TEST_FIXTURE_SCOPE_END()
