// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.child_log

#include "transports/child_log.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/secrets.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

using namespace conclave;
namespace fs = std::filesystem;

namespace {

const std::string key = "sk-very-secret-0123456789";

struct folder {
  std::string path;
  folder() {
    auto name = (fs::temp_directory_path() / "conclave-child-log-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~folder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

child_log::cleaner hide_key() {
  secrets s;
  s.add_key(key);
  return [s](std::string& text) { s.hide(text); };
}

std::string contents(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

/// What the file holds after `text` came in pieces of `size`.
std::string logged(const std::string& text, std::size_t size, child_log::cleaner clean = hide_key()) {
  folder f;
  auto file = f.path + "/log";
  child_log log;
  log.open(file, std::move(clean));
  for (std::size_t i = 0; i < text.size(); i += size)
    log.add(std::string_view(text).substr(i, size));
  log.close();
  return contents(file);
}

} // namespace

CAF_TEST(a secret does not reach the log wherever the text is cut) {
  auto text = "one\nusing " + key + " now\n\nlast " + key;
  for (std::size_t size = 1; size <= text.size(); ++size)
    CAF_CHECK_EQUAL(logged(text, size), "one\nusing *** now\n\nlast ***");
}

CAF_TEST(a line without an end is bounded and holds no half of a secret) {
  for (std::size_t offset = 0; offset < key.size(); ++offset) {
    auto text = std::string((64 << 10) - offset, 'x') + key + std::string(70 << 10, 'y') + "\nnext\n";
    auto out = logged(text, 4096);
    CAF_CHECK(out.find("sk-v") == std::string::npos);
    CAF_CHECK(out.ends_with("(the rest of this line is left out)\nnext\n"));
    CAF_CHECK_LESS(out.size(), std::size_t{70} << 10);
  }
}

CAF_TEST(a flood ends at the cap of the file) {
  std::string text;
  for (int i = 0; i < 20'000; ++i)
    text += "a line of a talkative server, " + key + ", " + std::to_string(i) + " and so on without an end in sight\n";
  auto out = logged(text, 60'000);
  CAF_CHECK_EQUAL(out.size(), std::size_t{1} << 20);
  CAF_CHECK(out.find("sk-") == std::string::npos);
}

CAF_TEST(without secrets the bytes stay as they are) {
  std::string text = "a\0b\r\n\xFF\xFE\n\n";
  CAF_CHECK_EQUAL(logged(text, 3, nullptr), text);
}

CAF_TEST(where bytes are missing no half of a secret is written) {
  for (std::size_t cut = 1; cut < key.size(); ++cut) {
    folder f;
    child_log log;
    log.open(f.path + "/log", hide_key());
    log.add("one\nusing " + key.substr(0, cut));
    log.skip(7);
    log.add(key.substr(cut) + "\nnext\n");
    log.close();
    CAF_CHECK_EQUAL(contents(f.path + "/log"),
                    "one\n\n[conclave] 7 bytes are left out here: they came faster than they could be written\nnext\n");
  }
}

CAF_TEST(a file that cannot be opened costs nothing but the log) {
  child_log log;
  log.add("before\n");
  log.open("/proc/no/such/file", hide_key());
  log.add("after\n");
  log.close();
  CAF_CHECK(true);
}
