// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Paths in the calls of tools that are not ours.

#define CAF_SUITE protocols.foreign_paths

#include "protocols/wire/foreign_paths.hpp"

#include "caf/test/unit_test.hpp"

using namespace conclave;

namespace {

/// "where=text" of each; with '!' where the name says it.
std::string found(const std::string& arguments, const wire::foreign_policy& said = {}) {
  std::string out;
  bool more = false;
  for (auto& p : wire::foreign_paths(arguments, said, more))
    out += (out.empty() ? "" : " ") + p.where + (p.by_name ? "!=" : "=") + p.text;
  return out;
}

} // namespace

CAF_TEST(arguments that are called like a path) {
  CAF_CHECK_EQUAL(found(R"({"path":"a"})"), "path!=a");
  CAF_CHECK_EQUAL(found(R"({"notebook_path":"a","outputDir":"b","file-name":"c","FILE":"d","src2":"e"})"),
                  "FILE!=d file-name!=c notebook_path!=a outputDir!=b src2!=e");
  CAF_CHECK_EQUAL(found(R"({"profile":"a","pathology":"b","text":"c","directive":"d","n":3,"path":7})"), "");
}

CAF_TEST(texts that look like a path) {
  CAF_CHECK_EQUAL(found(R"({"x":"/etc/passwd","y":"~/.ssh","z":"../a","u":"a/../b","v":"file:///etc","w":"a/b"})"),
                  "u=a/../b v=file:///etc x=/etc/passwd y=~/.ssh z=../a");
  CAF_CHECK_EQUAL(found(R"({"x":"see /etc/passwd"})"), "");
}

CAF_TEST(paths are found wherever they stand) {
  CAF_CHECK_EQUAL(found(R"({"a":[{"b":{"path":["x","y"]}}]})"), "a[0].b.path[0]!=x a[0].b.path[1]!=y");
  CAF_CHECK_EQUAL(found(R"({"a":"{\"path\":\"/etc/x\"}"})"), "a.path!=/etc/x");
  CAF_CHECK_EQUAL(found(R"({"a":" [\"/etc/x\", \"[\\\"/etc/y\\\"]\"]"})"), "a[0]=/etc/x a[1][0]=/etc/y");
  CAF_CHECK_EQUAL(found(R"({"a":{"/etc/x":"y"}})"), "a!=/etc/x");
  CAF_CHECK_EQUAL(found(R"({"path":{"any":"x"}})"), "path.any!=x");
  CAF_CHECK_EQUAL(found(R"({"file":"a","path":"/etc/passwd"})"), "file!=a path!=/etc/passwd");
}

CAF_TEST(texts that begin like paths) {
  CAF_CHECK_EQUAL(found(R"({"a":" /etc/x","b":"FILE:///etc/y","c":"~/z","d":"~root/z","e":"~"})"),
                  "a=/etc/x b=FILE:///etc/y c=~/z d=~root/z e=~");
  CAF_CHECK_EQUAL(found(R"({"a":"~5 minutes","b":"~~old~~ new","c":"~5 of/10","d":"and/or"})"), "");
}

CAF_TEST(the word of the user counts for more) {
  using wire::path_use;
  tool_policy p{"tool", "", {{"path", "none"}}};
  CAF_CHECK_EQUAL(found(R"({"path":"/api/v1","x":{"path":"/api/v2"}})", wire::foreign_policy_of(&p, false)), "");
  p.paths = {{"memo", "delete"}, {"src", "read"}};
  bool more = false;
  auto all = wire::foreign_paths(R"({"memo":"a","path":"b","src":["c"]})", wire::foreign_policy_of(&p, false), more);
  CAF_REQUIRE_EQUAL(all.size(), 3u);
  CAF_CHECK(all[0].use == path_use::remove && all[0].by_name);
  CAF_CHECK(all[1].use == path_use::write);
  CAF_CHECK(all[2].use == path_use::read);
  CAF_CHECK(wire::foreign_policy_of(nullptr, true).otherwise == path_use::read);
  CAF_CHECK(wire::foreign_policy_of(nullptr, false).otherwise == path_use::write);
  tool_policy reads{"tool", "read", {}}, none{"tool", "none", {{"out", "create"}}};
  CAF_CHECK(wire::foreign_policy_of(&reads, false).otherwise == path_use::read);
  CAF_CHECK_EQUAL(found(R"({"path":"/etc/x","y":"/etc/y","out":"z"})", wire::foreign_policy_of(&none, false)), "out!=z");
}

CAF_TEST(what is no call and what is too much) {
  for (auto* bad : {"", "[\"/a\"]", "x", R"({"path":"a","path":"b"})"})
    CAF_CHECK_EQUAL(found(bad), "");
  std::string many = R"({"a":["/x")";
  for (int i = 0; i < 5000; ++i)
    many += R"(,"/x")";
  bool more = false;
  CAF_CHECK_EQUAL(wire::foreign_paths(many + "]}", {}, more).size(), 1000u);
  CAF_CHECK(more);
  auto one = wire::foreign_paths(R"({"path":")" + std::string(9000, 'a') + "\"}", {}, more);
  CAF_CHECK_EQUAL(one.at(0).text.size(), 4097u);
  CAF_CHECK(!more);
}
