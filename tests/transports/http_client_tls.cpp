// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.http_client_tls

#include "caf/test/unit_test.hpp"
#include "support/http_probe.hpp"
#include "support/imposter.hpp"

#include <array>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <iostream>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <thread>

using namespace conclave;
using namespace conclave::test;

namespace {

namespace fs = std::filesystem;

/// Starts a program from PATH with stdout in a pipe. Returns its pid, -1 if it could not be started.
pid_t spawn(std::vector<std::string> args, int& out) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    return -1;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  std::vector<char*> argv;
  for (auto& a : args)
    argv.push_back(a.data());
  argv.push_back(nullptr);
  pid_t pid = -1;
  auto failed = ::posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ) != 0;
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  out = ends[0];
  return failed ? -1 : pid;
}

/// `openssl s_server -www` with a self-signed certificate for 127.0.0.1 (not for localhost).
struct tls_server {
  fs::path folder;
  std::string certificate;
  std::string port;
  pid_t pid = -1;
  int out = -1;

  tls_server() {
    auto pattern = (fs::temp_directory_path() / "conclave-tls-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr)
      return;
    folder = pattern;
    certificate = (folder / "cert.pem").string();
    auto key = (folder / "key.pem").string();
    int ignored = -1;
    auto maker =
        spawn({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
               "-subj", "/CN=imposter", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate},
              ignored);
    ::close(ignored);
    int status = 0;
    if (maker < 0 || ::waitpid(maker, &status, 0) != maker || status != 0)
      return;
    pid = spawn({"openssl", "s_server", "-accept", "127.0.0.1:0", "-www", "-cert", certificate, "-key", key}, out);
    read_port();
  }

  ~tls_server() {
    if (pid > 0) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
    if (out >= 0)
      ::close(out);
    std::error_code ignored;
    if (!folder.empty())
      fs::remove_all(folder, ignored);
  }

  /// s_server announces "ACCEPT 127.0.0.1:<port>" once it listens.
  void read_port() {
    std::string text;
    char c = 0;
    pollfd p{out, POLLIN, 0};
    while (pid > 0 && ::poll(&p, 1, 10'000) == 1 && ::read(out, &c, 1) == 1) {
      text += c;
      auto at = text.find("ACCEPT 127.0.0.1:");
      if (c == '\n' && at != std::string::npos) {
        port = text.substr(at + 17, text.find_first_not_of("0123456789", at + 17) - at - 17);
        return;
      }
    }
  }
};

/// Accepts one connection, reads a little, says `words` and closes it.
struct closing_port {
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::string port;
  std::thread thread;

  explicit closing_port(std::string words = "") {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof a;
    ::bind(fd, reinterpret_cast<sockaddr*>(&a), length);
    ::listen(fd, 1);
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&a), &length);
    port = std::to_string(ntohs(a.sin_port));
    thread = std::thread{[this, words] {
      auto peer = ::accept(fd, nullptr, nullptr);
      std::array<char, 4096> bytes;
      (void) !::read(peer, bytes.data(), bytes.size());
      (void) !::write(peer, words.data(), words.size());
      ::close(peer);
    }};
  }

  ~closing_port() {
    thread.join();
    ::close(fd);
  }
};

/// Ends the whole executable as skipped (ctest's code 77) where the tool is missing: every test here needs it.
void require_openssl(const tls_server& server) {
  if (!server.port.empty())
    return;
  std::cout << "skipped: no usable `openssl` program in PATH" << std::endl;
  ::_exit(77);
}

} // namespace

CAF_TEST(a certificate nobody vouches for is refused) {
  tls_server server;
  require_openssl(server);
  auto url = "https://127.0.0.1:" + server.port + "/";
  {
    http_client client;
    auto end = run(client, get(url));
    CAF_CHECK_EQUAL(end.code, ec::bad_config); // no repetition mends it
    CAF_CHECK(has(end.error, "GET " + url + ": TLS: ") && has(end.error, "certificate"));
    CAF_CHECK(!end.sent);
  }
  http_client::options trusting;
  trusting.ca_bundle = server.certificate;
  http_client client{trusting};
  probe p;
  client.start(get(url), p.callbacks());
  CAF_CHECK_EQUAL(p.end().code, ec::none);
  CAF_CHECK_EQUAL(p.end().status, 200);
  CAF_CHECK(has(p.inspect().body(), "TLS"));
  // Trusted, but for another name.
  auto end = run(client, get("https://localhost:" + server.port + "/"));
  CAF_CHECK_EQUAL(end.code, ec::bad_config);
  CAF_CHECK(!end.sent);
}

CAF_TEST(TLS to a port of clear text says so) {
  closing_port server{"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"};
  http_client client;
  auto end = run(client, get("https://127.0.0.1:" + server.port + "/"));
  CAF_CHECK_EQUAL(end.code, ec::bad_config);
  CAF_CHECK(has(end.error, "write `http://`"));
  imposter silent; // waits for the end of a line that never comes
  auto request = get("https://127.0.0.1:" + std::to_string(silent.port()) + "/");
  request.connect_timeout_ms = 300;
  end = run(client, request);
  CAF_CHECK_EQUAL(end.code, ec::timeout);
  CAF_CHECK(has(end.error, "does the port speak TLS?"));
}

CAF_TEST(a connection lost in the handshake may be tried again) {
  closing_port server;
  http_client client;
  CAF_CHECK_EQUAL(run(client, get("https://127.0.0.1:" + server.port + "/")).code, ec::unavailable);
}

CAF_TEST(verification can be switched off by option alone) {
  tls_server server;
  require_openssl(server);
  http_client::options blind;
  blind.verify_tls = false;
  http_client client{blind};
  auto end = run(client, get("https://localhost:" + server.port + "/"));
  CAF_CHECK_EQUAL(end.code, ec::none);
  CAF_CHECK_EQUAL(end.status, 200);
}

CAF_TEST(plain text on a TLS port is a failure) {
  tls_server server;
  require_openssl(server);
  http_client client;
  auto end = run(client, get("http://127.0.0.1:" + server.port + "/"));
  CAF_CHECK(end.code == ec::unavailable || end.code == ec::bad_config); // s_server closes, some versions after an alert
  CAF_CHECK_NOT_EQUAL(end.status, 200);
}
