// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.run_output

#include "app/run_output.hpp"

#include "app/answer_file.hpp"
#include "app/commands.hpp"
#include "app/host_io.hpp"
#include "caf/test/unit_test.hpp"
#include "support/scratch_folder.hpp"

#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <thread>
#include <unistd.h>

using namespace conclave;

namespace {

struct folder : test::scratch_folder {
  std::string operator()(const char* name) const { return path + "/" + name; }
};

std::string read(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

} // namespace

CAF_TEST(outcomes become exit codes) {
  auto code = [](outcome_kind kind, ec error, bool started) {
    outcome o;
    o.kind = kind;
    o.code = error;
    return static_cast<int>(code_of_outcome(o, started));
  };
  CAF_CHECK_EQUAL(code(outcome_kind::answered, ec::none, true), 0);
  CAF_CHECK_EQUAL(code(outcome_kind::failed, ec::bad_config, false), 1);
  CAF_CHECK_EQUAL(code(outcome_kind::failed, ec::bad_config, true), 2);
  CAF_CHECK_EQUAL(code(outcome_kind::failed, ec::unavailable, false), 2);
  CAF_CHECK_EQUAL(code(outcome_kind::timed_out, ec::timeout, true), 3);
  CAF_CHECK_EQUAL(code(outcome_kind::interrupted, ec::cancelled, true), 4);
}

CAF_TEST(who comes second is told who has the task and not that it failed) {
  outcome o;
  o.code = ec::denied;
  o.error = "task t is under way: process 7 on here works on it";
  CAF_CHECK_EQUAL(taken_by_another(o), o.error + "; it goes on there, and nothing was changed here");
  o.error = "its unfinished runs hold more than 2 GiB";
  CAF_CHECK_EQUAL(taken_by_another(o), "");
  o = {};
  o.kind = outcome_kind::answered;
  CAF_CHECK_EQUAL(taken_by_another(o), "");
}

CAF_TEST(an answer replaces a file and keeps a link) {
  folder f;
  std::ofstream(f("old")) << "a much longer old text";
  std::filesystem::create_symlink(f("old"), f("link"));
  CAF_CHECK_EQUAL(output_problem(f("link")), "");
  CAF_CHECK_EQUAL(write_answer(f("link"), "new\n"), "");
  CAF_CHECK_EQUAL(read(f("old")), "new\n");
  CAF_CHECK(std::filesystem::is_symlink(f("link")));
  CAF_CHECK_EQUAL(write_answer(f("fresh"), "x\n"), "");
  struct stat s {};
  CAF_CHECK_EQUAL(stat(f("fresh").c_str(), &s), 0);
  auto mask = umask(022);
  umask(mask);
  CAF_CHECK_EQUAL(s.st_mode & 0777u, 0666u & ~mask);
}

CAF_TEST(an answer over a private file stayed readable by all) {
  folder f;
  auto mode_of = [](const std::string& path) {
    struct stat s {};
    return stat(path.c_str(), &s) == 0 ? s.st_mode & 0777u : 0u;
  };
  for (unsigned mode : {0600u, 0640u, 0664u, 0755u}) {
    std::ofstream(f("old")) << "a much longer old text";
    chmod(f("old").c_str(), mode);
    CAF_CHECK_EQUAL(output_problem(f("old")), "");
    CAF_CHECK_EQUAL(write_answer(f("old"), "new\n"), "");
    CAF_CHECK_EQUAL(read(f("old")), "new\n");
    CAF_CHECK_EQUAL(mode_of(f("old")), mode);
  }
  std::filesystem::create_symlink(f("old"), f("link"));
  chmod(f("old").c_str(), 0600);
  CAF_CHECK_EQUAL(write_answer(f("link"), "linked\n"), "");
  CAF_CHECK_EQUAL(mode_of(f("old")), 0600u);
  CAF_CHECK_EQUAL(std::distance(std::filesystem::directory_iterator(f.path), {}), 2); // nothing is left beside them
}

CAF_TEST(an answer replaced a link to a file that was not there yet) {
  folder f;
  std::filesystem::create_directory(f("sub"));
  std::filesystem::create_symlink("sub/link", f("first"));
  std::filesystem::create_symlink("../fresh", f("sub") + "/link");
  CAF_CHECK_EQUAL(output_problem(f("first")), "");
  CAF_CHECK_EQUAL(write_answer(f("first"), "new\n"), "");
  CAF_CHECK(std::filesystem::is_symlink(f("first")));
  CAF_CHECK_EQUAL(read(f("fresh")), "new\n");
  std::filesystem::create_symlink("loop", f("loop"));
  CAF_CHECK(!write_answer(f("loop"), "x").empty() || std::filesystem::is_regular_file(f("loop")));
}

CAF_TEST(an answer over a file with an access list lost the list) {
  folder f;
  std::ofstream(f("old")) << "old";
  if (setxattr(f("old").c_str(), "user.note", "kept", 4, 0) != 0) {
    CAF_MESSAGE("skipped: no attributes here");
    return;
  }
  CAF_CHECK_EQUAL(write_answer(f("old"), "new\n"), "");
  CAF_CHECK_EQUAL(read(f("old")), "new\n");
  char value[8];
  CAF_CHECK_EQUAL(getxattr(f("old").c_str(), "user.note", value, sizeof value), 4);
}

CAF_TEST(an answer reaches a file under each of its names) {
  folder f;
  std::ofstream(f("one")) << "a much longer old text";
  std::filesystem::create_hard_link(f("one"), f("two"));
  chmod(f("one").c_str(), 0600);
  CAF_CHECK_EQUAL(write_answer(f("two"), "new\n"), "");
  CAF_CHECK_EQUAL(read(f("one")), "new\n");
  CAF_CHECK_EQUAL(std::filesystem::hard_link_count(f("one")), 2u);
}

CAF_TEST(a file that may not be written is not replaced) {
  if (geteuid() == 0)
    return; // everything may
  folder f;
  std::ofstream(f("old")) << "kept";
  chmod(f("old").c_str(), 0400);
  CAF_CHECK(output_problem(f("old")).find("Permission denied") != std::string::npos);
  chmod(f("old").c_str(), 0600);
  chmod(f.path.c_str(), 0500); // the folder takes no new file: written in place
  CAF_CHECK_EQUAL(output_problem(f("old")), "");
  CAF_CHECK_EQUAL(write_answer(f("old"), "new\n"), "");
  chmod(f.path.c_str(), 0700);
  CAF_CHECK_EQUAL(read(f("old")), "new\n");
}

CAF_TEST(a descriptor named as output file is added to and never replaced) {
  folder f;
  std::ofstream(f("log")) << "before\n";
  int fd = open(f("log").c_str(), O_WRONLY);
  auto name = "/dev/fd/" + std::to_string(fd);
  CAF_CHECK_EQUAL(output_problem(name), "");
  CAF_CHECK_EQUAL(write_answer(name, "answer\n"), "");
  close(fd);
  CAF_CHECK_EQUAL(read(f("log")), "before\nanswer\n");
}

CAF_TEST(an answer goes through a FIFO) {
  folder f;
  CAF_REQUIRE_EQUAL(mkfifo(f("pipe").c_str(), 0600), 0);
  int reader = open(f("pipe").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  CAF_CHECK_EQUAL(write_answer(f("pipe"), "answer\n"), "");
  char got[16] = "";
  CAF_CHECK_EQUAL(::read(reader, got, sizeof got - 1), 7);
  close(reader);
  CAF_CHECK_EQUAL(std::string(got), "answer\n");
}

CAF_TEST(what cannot be written is known before anything is paid for) {
  folder f;
  CAF_CHECK_EQUAL(output_problem(""), "");
  CAF_CHECK_EQUAL(output_problem(f("new")), "");
  CAF_CHECK(output_problem(f("")).find("is a folder") != std::string::npos);
  CAF_CHECK(output_problem("-").find("./-") != std::string::npos);
  CAF_CHECK(output_problem(f("no/such/folder")).find("cannot write to its folder") != std::string::npos);
  CAF_CHECK(!write_answer(f("no/such/folder"), "x").empty());
}

CAF_TEST(a validation is one line per problem and a summary) {
  std::vector<problem> problems{{severity::error, "f.yaml", 3, "agents[0].id", "is missing"},
                                {severity::warning, "f.yaml", 4, "ui", "odd\x1b[2J"},
                                {severity::unavailable, "f.yaml", 5, "x", "later"},
                                {severity::warning, "f.yaml", 6, "y", "no key", true}};
  auto text = validation_text("f.yaml", problems, false);
  CAF_CHECK(text.find("f.yaml:3: agents[0].id: is missing\n") != std::string::npos);
  CAF_CHECK(text.find(" [warning]\n") != std::string::npos);
  CAF_CHECK(text.find(" [unavailable]\n") != std::string::npos);
  CAF_CHECK(text.find('\x1b') == std::string::npos);
  CAF_CHECK(text.find("f.yaml: 1 error, 2 warnings, 1 key not available yet\n") != std::string::npos);
  CAF_CHECK(text.find("f.yaml:6: y: will not run here: no key [warning]\n") != std::string::npos);
  CAF_CHECK_EQUAL(validation_text("f.yaml", {}, false), "f.yaml: no problems\n");
  CAF_CHECK_EQUAL(validation_text("f.yaml", {}, true), "[]\n");
  auto json = validation_text("f.yaml", problems, true);
  CAF_CHECK(
      json.rfind("[\n  {\"severity\":\"error\",\"file\":\"f.yaml\",\"line\":3,\"column\":0,\"path\":\"agents[0].id\",\"text\":\"is "
                 "missing\"},",
                 0)
      == 0);
  CAF_CHECK(json.find("\"text\":\"no key\",\"runs_here\":false}") != std::string::npos);
}

CAF_TEST(reading is bounded) {
  int ends[2];
  CAF_REQUIRE_EQUAL(pipe(ends), 0);
  std::string out, error;
  CAF_CHECK_EQUAL(write_all(ends[1], "0123456789"), 0);
  CAF_CHECK(!read_all(ends[0], 9, out, error));
  CAF_CHECK(error.find("more than 9 bytes") != std::string::npos);
  CAF_CHECK_EQUAL(write_all(ends[1], "0123456789"), 0);
  close(ends[1]);
  CAF_CHECK(read_all(ends[0], 10, out, error));
  CAF_CHECK_EQUAL(out, "0123456789");
  close(ends[0]);
  CAF_CHECK(!read_all(ends[0], 10, out, error));
  CAF_CHECK_EQUAL(wait_readable(-1, 0), 0); // poll leaves it out
}
