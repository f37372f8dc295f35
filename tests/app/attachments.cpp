// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.attachments

#include "app/attachments.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/tool_result.hpp"
#include "protocols/wire/attachments.hpp"
#include "support/scratch_folder.hpp"

#include <fstream>

using namespace conclave;

namespace {

const std::string png = std::string("\x89PNG\r\n\x1A\n") + "the rest";
const std::string pdf = "%PDF-1.7\nthe rest";

/// Nothing is fetched in these tests: an address that may not be fetched from must be refused before.
struct no_network final : http_transfers {
  std::vector<http_request> asked;
  std::uint64_t start(http_request r, callbacks cb) override {
    asked.push_back(r);
    cb.on_head({302, {{"location", "https://other.example/x?key=secret"}}, 0, 0});
    cb.on_done({ec::none, "", 302, true, 0});
    return 1;
  }
  void cancel(std::uint64_t) override {}
};

struct attachments_fixture : test::scratch_folder {
  std::shared_ptr<no_network> net = std::make_shared<no_network>();
  file_access by{[this] { return net; }, reachable::public_only};
  run_config config;
  question q;

  attachments_fixture() {
    config.agents.resize(2);
    config.agents[0].id = "a";
    config.agents[1].id = "b";
    for (auto& a : config.agents)
      a.backend.type = "claude";
  }

  std::string file(const std::string& name, const std::string& bytes) {
    std::ofstream{path + "/" + name, std::ios::binary} << bytes;
    return path + "/" + name;
  }

  std::string add(const std::string& source) {
    q.attachments = {{source, "", "", 0, "", ""}};
    return read_attachments(config, q, by);
  }

  bool refuses(const std::string& source, const std::string& part) {
    auto why = add(source);
    if (why.find(part) == std::string::npos)
      CAF_MESSAGE(source << ": " << why);
    return !why.empty() && why.find(part) != std::string::npos && net->asked.empty();
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(attachments_tests, attachments_fixture)

CAF_TEST(a file is read and typed by its bytes whatever its name says) {
  CAF_CHECK_EQUAL(add(file("x.txt", png)), "");
  auto& a = q.attachments[0];
  CAF_CHECK_EQUAL(a.media_type, "image/png");
  CAF_CHECK_EQUAL(a.bytes, png.size());
  CAF_CHECK_EQUAL(decode_base64(a.data), png);
  CAF_CHECK(a.sha.size() == 64 && a.name.ends_with("/x.txt") && a.agent.empty());
  auto before = q;
  CAF_CHECK_EQUAL(read_attachments(config, q, by), ""); // a second time: nothing is read
  CAF_CHECK(q == before);
  CAF_CHECK_EQUAL(add("data:text/plain;base64," + wire::encode_base64(pdf)), "");
  CAF_CHECK(q.attachments[0].media_type == "application/pdf" && q.attachments[0].name == "data URL");
  q.attachments = {{"made by the host", "", "", 0, "b", wire::encode_base64(png)}};
  CAF_CHECK_EQUAL(read_attachments(config, q, by), "");
  CAF_CHECK(q.attachments[0].media_type == "image/png" && q.attachments[0].agent == "b" && !q.attachments[0].sha.empty());
}

CAF_TEST(a file URL was taken for a path) {
  auto name = file("a b.pdf", pdf);
  auto url = name.substr(0, name.size() - 7) + "a%20b.pdf";
  for (auto& source : {"file://" + url, "FILE://localhost" + url, "file:" + url, "file://" + name}) {
    std::string fault;
    CAF_CHECK_EQUAL(path_of_url(source, fault), name);
    CAF_CHECK_EQUAL(add(source), "");
    CAF_CHECK_EQUAL(q.attachments[0].media_type, "application/pdf");
  }
  CAF_CHECK(refuses("file://host/x.pdf", "another machine: copy it here"));
  CAF_CHECK(refuses("file:///a%zz", "begins no byte"));
  CAF_CHECK(refuses("file:///a%00b", "begins no byte"));
  CAF_CHECK(refuses("file:x.pdf", "no path from the root: write file:///PATH"));
  CAF_CHECK(refuses("s3://bucket/x.pdf", "s3://...: nothing is fetched by s3:, only by https:"));
  CAF_CHECK(refuses("https:example.com/x.pdf", "two slashes"));
  CAF_CHECK(net->asked.empty());
}

CAF_TEST(an address of another kind was a path that cannot be opened) {
  for (auto* address : {"ftp://user:password@host/x.png?key=1", "FTP://host/x", "s3://bucket/x.pdf", "sftp://h/x", "gs://b/x"}) {
    CAF_CHECK_NOT_EQUAL(no_path(address).find("fetch it yourself"), std::string::npos);
    CAF_CHECK(shown_source(address).ends_with("://..."));
  }
  for (auto* slip : {"https:/example.com/x.png", "HTTP:x"})
    CAF_CHECK_NOT_EQUAL(no_path(slip).find("two slashes"), std::string::npos);
  for (auto* fine : {"x.png", "a/b://c", "./ftp://x", "https://h/x", "data:x", "file:///x", "file:x", "-", "", "://x"})
    CAF_CHECK_EQUAL(no_path(fine), "");
}

CAF_TEST(what is no file to be shown is said with a way out) {
  CAF_CHECK(refuses(path + "/none.png", "cannot be opened"));
  CAF_CHECK(refuses(path, "is a folder"));
  CAF_CHECK(refuses("/dev/zero", "is no regular file"));
  CAF_CHECK(refuses(file("empty.png", ""), "is empty"));
  CAF_CHECK(refuses(file("fake.png", "GIF88a"), "neither an image"));
  CAF_CHECK(refuses(file("fake", "hello"), "a text goes with --file PATH, or in a pipe"));
  CAF_CHECK(refuses(file("fake.pdf", "hello"), "whatever its name says; a text needs another name for --file"));
  CAF_CHECK(refuses(file("a.wav", std::string("RIFF\x10\0\0\0WAVEfmt ", 16)), "is a sound, which is not available yet"));
  for (auto* bad : {"data:", "data:image/png;base64", "data:image/png,AAAA", "data:image/png;base64,A", "data:image/png;base64,"})
    CAF_CHECK(refuses(bad, "data URL: "));
}

CAF_TEST(an address that may not be fetched from is refused before anything is sent) {
  for (auto* url : {"http://127.0.0.1/a.png", "https://127.0.0.1/a.png", "https://localhost/a.png", "https://LOCALHOST./a.png",
                    "https://x.localhost/", "https://[::1]/a.png", "https://[::ffff:127.0.0.1]/"})
    CAF_CHECK(refuses(url, "on this machine"));
  for (auto* url : {"http://example.com/a.png", "HTTP://example.com/"})
    CAF_CHECK(refuses(url, "https:// alone"));
  for (auto* url : {"https://user:password@example.com/", "https://exa mple.com/", "https://", "https://ex\xC3\xA4mple.com/",
                    "https://a.example\r\nX: y/"})
    CAF_CHECK(refuses(url, "no URL to fetch from"));
  for (auto* url : {"https://example.com:22/", "https://example.com:6379/a.png"})
    CAF_CHECK(refuses(url, "port of another protocol"));
  CAF_CHECK(refuses("https://example.com/" + std::string(2'048, 'a'), "longer than 2048"));
}

CAF_TEST(a redirect is not followed and its secrets are not shown) {
  auto why = add("https://example.com/a.png?key=secret");
  CAF_REQUIRE_EQUAL(net->asked.size(), 1u);
  CAF_CHECK(net->asked[0].reach == reachable::public_only && net->asked[0].max_redirects == 0
            && net->asked[0].total_timeout_ms == 30'000);
  CAF_CHECK(why.find("give that one (https://other.example/x)") != std::string::npos && why.find("secret") == std::string::npos);
}

CAF_TEST(files of the team go to their agent and within their limit) {
  auto image = file("a.png", png), document = file("b.pdf", pdf);
  config.agents[0].backend.upload_files = {{"image_path", image}};
  config.agents[1].backend.upload_files = {{"file_path", document}, {"file_path", image}};
  q.attachments.clear();
  CAF_REQUIRE_EQUAL(read_attachments(config, q, by), "");
  CAF_REQUIRE_EQUAL(q.attachments.size(), 3u);
  CAF_CHECK(q.attachments[0].agent == "a" && q.attachments[2].agent == "b" && q.attachments[0].data == q.attachments[2].data);
  CAF_CHECK_EQUAL(read_attachments(config, q, by), ""); // of a task that is played again
  CAF_CHECK_EQUAL(q.attachments.size(), 3u);
  q.attachments.clear();
  config.agents[0].backend.upload_files = {{"image_path", document}};
  CAF_CHECK(read_attachments(config, q, by).find("agents[0].backend.upload_files: ") == 0);
  CAF_CHECK(read_attachments(config, q, by).find("write `file_path`") != std::string::npos);
  config.agents[1].backend.upload_files.clear();
  config.agents[0].backend.media_max_file_size_mb = 1;
  for (auto more : {0, 1, 9}) {
    config.agents[0].backend.upload_files = {
        {"image_path", file("big.png", png + std::string((1 << 20) - png.size() + static_cast<std::size_t>(more), 'x'))}};
    q.attachments.clear();
    CAF_CHECK_EQUAL(read_attachments(config, q, by).find("more than 1 MiB (media_max_file_size_mb)") != std::string::npos,
                    more > 0);
  }
}

CAF_TEST(a model without eyes ends the run before its first call) {
  config.agents[1].backend.type = "local";
  auto why = add(file("a.png", png));
  CAF_CHECK(why.find("agent 'b'") == 0 && why.find("takes text alone") != std::string::npos);
  CAF_CHECK(q.attachments[0].data.empty()); // as it was
}

CAF_TEST_FIXTURE_SCOPE_END()
