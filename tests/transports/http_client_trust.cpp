// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.http_client_trust

#include "transports/http_client_trust.hpp"

#include "caf/test/unit_test.hpp"
#include "transports/pki.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>

using namespace conclave;
namespace fs = std::filesystem;

namespace {

/// A folder with a certificate of an authority of our own.
struct fixture {
  fixture() {
    auto pattern = (fs::temp_directory_path() / "conclave-trust-XXXXXX").string();
    dir = ::mkdtemp(pattern.data());
    const auto* value = std::getenv("CONCLAVE_HOME");
    before = value == nullptr ? "" : value;
    ::setenv("CONCLAVE_HOME", dir.c_str(), 1);
    ca = tls_files({}, error).ca;
    CAF_CHECK_EQUAL(error, "");
  }
  ~fixture() {
    before.empty() ? ::unsetenv("CONCLAVE_HOME") : ::setenv("CONCLAVE_HOME", before.c_str(), 1);
    std::error_code ignored;
    fs::remove_all(dir, ignored);
  }
  std::string file(const std::string& name, const std::string& text) {
    std::ofstream{dir / name, std::ios::binary} << text;
    return (dir / name).string();
  }
  static std::string read(const std::string& path) {
    std::ifstream in{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{in}, {}};
  }
  fs::path dir;
  std::string ca, before, error;
};

named_path named(const std::string& path) {
  return {path, "SETTING"};
}

} // namespace

CAF_TEST_FIXTURE_SCOPE(trust, fixture)

CAF_TEST(nothing named means the authorities of the system) {
  CAF_CHECK(load_trust({}, error) == nullptr);
  CAF_CHECK_EQUAL(error, "");
}

CAF_TEST(a bundle or a folder replaces the systems authorities) {
  auto of_file = load_trust({named(ca), {}, {}}, error);
  CAF_REQUIRE(of_file != nullptr);
  CAF_CHECK_EQUAL(of_file->file, ca);
  CAF_CHECK_EQUAL(of_file->folder + of_file->pem, "");
  auto of_folder = load_trust({{}, named(dir.string()), {}}, error);
  CAF_REQUIRE(of_folder != nullptr);
  CAF_CHECK_EQUAL(of_folder->folder, dir.string());
  CAF_CHECK_EQUAL(of_folder->file + of_folder->pem, "");
  auto named_as_file = load_trust({named(dir.string()), {}, {}}, error);
  CAF_REQUIRE(named_as_file != nullptr);
  CAF_CHECK_EQUAL(named_as_file->folder, dir.string());
  CAF_CHECK_EQUAL(error, "");
}

CAF_TEST(an extra authority adds to what holds) {
  auto text = read(ca);
  auto with_system = load_trust({{}, {}, named(ca)}, error);
  CAF_REQUIRE(with_system != nullptr);
  CAF_CHECK(with_system->pem.find(text) != std::string::npos);
  CAF_CHECK(with_system->pem.size() > 2 * text.size() || !with_system->folder.empty());
  auto other = file("other.pem", "# a comment\n" + text);
  auto with_bundle = load_trust({named(other), {}, named(ca)}, error);
  CAF_REQUIRE(with_bundle != nullptr);
  CAF_CHECK_EQUAL(with_bundle->pem, "# a comment\n" + text + "\n" + text + "\n");
  CAF_CHECK_EQUAL(with_bundle->file + with_bundle->folder, "");
  CAF_CHECK_EQUAL(error, "");
}

CAF_TEST(what cannot be trusted names the setting and the path) {
  auto fifo = (dir / "fifo").string();
  CAF_REQUIRE_EQUAL(::mkfifo(fifo.c_str(), 0600), 0);
  auto text = read(ca);
  for (const auto& path :
       {(dir / "none").string(), fifo, std::string{"/dev/zero"}, file("empty", ""), file("text", "no certificate"),
        file("der", "\x30\x82\x01\x02"), file("half.pem", text.substr(0, text.size() / 2)),
        file("broken.pem", text + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        file("large", text + std::string(9 << 20, '\n')), (dir / "tls/ca.key").string(), std::string{"~somebody/ca.pem"}})
    for (const auto& choice : {ca_choice{named(path), {}, {}}, ca_choice{{}, {}, named(path)}}) {
      error.clear();
      CAF_CHECK(load_trust(choice, error) == nullptr);
      CAF_CHECK(error.starts_with("SETTING: "));
      CAF_CHECK(error.find(path.substr(0, 9)) != std::string::npos);
    }
  for (const auto& path : {ca, (dir / "none").string(), dir.string() + ":" + (dir / "none").string()}) {
    error.clear();
    CAF_CHECK(load_trust({{}, named(path), {}}, error) == nullptr);
    CAF_CHECK(error.starts_with("SETTING: "));
  }
}

CAF_TEST_FIXTURE_SCOPE_END()
