// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.environment

#include "app/environment.hpp"

#include "caf/test/unit_test.hpp"

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
  CAF_CHECK_EQUAL(parse("A=1\nA=2"), (variables{{"A", "1"}}));
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

CAF_TEST(files are optional bounded and regular) {
  CAF_CHECK_EQUAL(load().files().size(), 0u);
  file("/work/.env", std::string(1'048'577, '#'));
  CAF_CHECK_EQUAL(load(1).files().size(), 0u);
  CAF_CHECK(last.find("larger than 1 MiB") != std::string::npos);
  std::filesystem::remove(root + "/work/.env");
  std::filesystem::create_directory(root + "/work/.env");
  CAF_CHECK_EQUAL(load(1).files().size(), 0u);
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

CAF_TEST_FIXTURE_SCOPE_END()
