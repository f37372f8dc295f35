// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.local_model

#include "transports/local_model.hpp"

#include "caf/test/unit_test.hpp"
#include "transports/child_reactor.hpp"
#include "transports/http_client.hpp"

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <iostream>
#include <mutex>
#include <thread>

using namespace conclave;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

// A server with llama-server's command line. What it does is written beside it: `ok`, `die`, `mute`. It notes its pid, its
// arguments and its key in files, is loading for its first two health checks, and ends with its stdin. `taken N`: at its first N
// starts another program listens at its port before it does; `shared N`: and both can.
constexpr const char* fake = R"PY(#!/usr/bin/python3
import http.server, os, socket, subprocess, sys, threading
here = os.path.dirname(os.path.abspath(__file__))
mode, _, times = open(here + "/mode").read().partition(" ")
if mode == "die":
    sys.stderr.write("no such device\n")
    sys.exit(3)
with open(here + "/started", "a") as f:
    f.write("%d\n" % os.getpid())
with open(here + "/seen", "w") as f:
    f.write(" ".join(sys.argv[1:]) + "\n" + os.environ.get("LLAMA_API_KEY", "") + "\n" + os.environ.get("CONCLAVE_SECRET", "") + "\n")
checks = 0
class handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global checks
        checks += 1
        self.send_response(200 if checks > 2 and mode != "mute" else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *a):
        pass
port = sys.argv[sys.argv.index("--port") + 1]
with open(here + "/ports", "a") as f:
    f.write(port + "\n")
if times and len(open(here + "/started").readlines()) <= int(times):
    other = subprocess.Popen([sys.executable, here + "/other", port, mode], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             start_new_session=True)
    other.stdout.readline()
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), handler, bind_and_activate=False)
if mode == "shared":
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
server.server_bind()
server.server_activate()
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.buffer.read()
os._exit(0)
)PY";

// Whoever else listens: ready for everybody. Notes its pid and who asked it something.
constexpr const char* other = R"PY(
import http.server, os, socket, sys, threading
here = os.path.dirname(os.path.abspath(__file__))
class handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open(here + "/asked", "a") as f:
            f.write(self.path + " " + self.headers.get("Authorization", "") + "\n")
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *a):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), handler, bind_and_activate=False)
if sys.argv[2] == "shared":
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
server.server_bind()
server.server_activate()
with open(here + "/others", "a") as f:
    f.write("%d\n" % os.getpid())
threading.Timer(60, lambda: os._exit(0)).start()
print("there", flush=True)
server.serve_forever()
)PY";

// A directory with a fake server and a file that passes for a model; also the home of the process meanwhile.
struct place {
  fs::path dir;
  explicit place(const std::string& mode) {
    std::string name = (fs::temp_directory_path() / "conclave-local-XXXXXX").string();
    dir = ::mkdtemp(name.data());
    write("server", fake);
    write("other", other);
    fs::permissions(dir / "server", fs::perms::owner_all);
    write("mode", mode);
    write("model.gguf", "GGUF and so on");
  }
  ~place() {
    for (auto& pid : lines("others"))
      ::kill(std::atoi(pid.c_str()), SIGKILL);
    std::error_code ignored;
    fs::remove_all(dir, ignored);
  }
  void write(const std::string& name, const std::string& text) { std::ofstream{dir / name} << text; }
  std::vector<std::string> lines(const std::string& name) {
    std::ifstream in{dir / name};
    std::vector<std::string> out;
    for (std::string line; std::getline(in, line);)
      out.push_back(line);
    return out;
  }
  local_model_options options() {
    local_model_options o;
    o.model_path = (dir / "model.gguf").string();
    o.server = (dir / "server").string();
    o.context_tokens = 1024;
    o.slots = 3;
    o.log_path = (dir / "log").string();
    return o;
  }
};

struct heard {
  std::mutex m;
  std::condition_variable cv;
  std::vector<std::string> progress;
  std::vector<local_endpoint> ready;
  std::vector<std::pair<ec, std::string>> failed;

  bool wait(bool for_failure, std::chrono::seconds limit = 30s) {
    std::unique_lock lock{m};
    return cv.wait_for(lock, limit, [&] { return !failed.empty() || (!for_failure && !ready.empty()); })
           && failed.empty() != for_failure;
  }
};

struct user {
  std::shared_ptr<heard> said = std::make_shared<heard>();
  std::shared_ptr<local_model> model;

  user(local_model_options o, std::shared_ptr<http_client> http) {
    auto h = said;
    local_model::callbacks cb;
    auto with = [h](auto change) {
      std::lock_guard lock{h->m};
      change();
      h->cv.notify_all();
    };
    cb.on_progress = [h, with](std::string s) { with([&] { h->progress.push_back(std::move(s)); }); };
    cb.on_ready = [h, with](local_endpoint e) { with([&] { h->ready.push_back(std::move(e)); }); };
    cb.on_failed = [h, with](ec c, std::string s) { with([&] { h->failed.emplace_back(c, std::move(s)); }); };
    model = local_model::acquire(std::move(o), std::move(http), std::move(cb));
  }
  bool ready() {
    auto is = said->wait(false);
    std::lock_guard lock{said->m};
    for (auto& [code, why] : said->failed)
      CAF_MESSAGE(to_string(code) << ": " << why);
    return is;
  }
  bool failed() { return said->wait(true); }
};

bool gone(int pid) {
  auto end = std::chrono::steady_clock::now() + 15s;
  while (::kill(pid, 0) == 0) {
    if (std::chrono::steady_clock::now() > end)
      return false;
    std::this_thread::yield();
  }
  return true;
}

struct answer {
  int status = 0;
  std::string body;
};

answer ask(http_client& http, const local_endpoint& e, const std::string& key) {
  http_request r;
  r.url = e.base_url + "/chat/completions";
  r.headers = {{"Content-Type", "application/json"}, {"Authorization", "Bearer " + key}};
  r.body = R"({"messages":[{"role":"user","content":"Say hello."}],"max_tokens":8,"stream":false})";
  r.total_timeout_ms = 60'000;
  std::mutex m;
  std::condition_variable cv;
  bool done = false;
  answer out;
  http.start(std::move(r), {{},
                            [&](std::string s) { out.body += s; },
                            [&](http_end end) {
                              std::lock_guard lock{m};
                              out.status = end.status;
                              done = true;
                              cv.notify_all();
                            }});
  std::unique_lock lock{m};
  cv.wait(lock, [&] { return done; });
  return out;
}

} // namespace

CAF_TEST(users of one model share a server and the last one out stops it) {
  ::setenv("CONCLAVE_SECRET", "s3cret", 1);
  place p{"ok"};
  auto http = std::make_shared<http_client>();
  user a{p.options(), http};
  user b{p.options(), http};
  CAF_REQUIRE(a.ready());
  CAF_REQUIRE(b.ready());
  user late{p.options(), http};
  CAF_REQUIRE(late.ready());
  auto e = a.said->ready[0];
  CAF_CHECK_EQUAL(e.base_url, b.said->ready[0].base_url);
  CAF_CHECK_EQUAL(e.base_url, late.said->ready[0].base_url);
  CAF_CHECK_EQUAL(e.base_url.substr(0, 17), "http://127.0.0.1:");
  CAF_CHECK_EQUAL(e.slots, 3);
  CAF_REQUIRE_EQUAL(p.lines("started").size(), 1u);
  auto pid = std::atoi(p.lines("started")[0].c_str());
  auto seen = p.lines("seen");
  CAF_REQUIRE_EQUAL(seen.size(), 3u);
  CAF_CHECK(seen[0].find("-c 3072 -np 3 --host 127.0.0.1") != std::string::npos);
  CAF_CHECK_EQUAL(e.api_key.size(), 32u);
  CAF_CHECK_EQUAL(seen[1], e.api_key);
  CAF_CHECK(seen[0].find(e.api_key) == std::string::npos);            // an argument could be read by every user of the machine
  CAF_CHECK_EQUAL(seen[2], "");                                       // nothing of our environment goes along
  auto& progress = (a.said->progress.empty() ? b : a).said->progress; // who comes first starts it
  CAF_CHECK(!progress.empty() && progress[0].find("model.gguf") != std::string::npos);
  a.model.reset();
  b.model.reset();
  CAF_CHECK_EQUAL(::kill(pid, 0), 0);
  late.model.reset();
  CAF_CHECK(gone(pid));
  CAF_CHECK(a.said->failed.empty() && late.said->failed.empty());
}

CAF_TEST(two engines start two servers with two keys) {
  place p{"ok"};
  user a{p.options(),
         std::make_shared<http_client>()}; // the client dies at once or with its last poll: not ready then, and no hang
  auto h1 = std::make_shared<http_client>();
  auto h2 = std::make_shared<http_client>();
  user b{p.options(), h1};
  user c{p.options(), h2};
  CAF_REQUIRE(b.ready());
  CAF_REQUIRE(c.ready());
  CAF_CHECK_NOT_EQUAL(b.said->ready[0].base_url, c.said->ready[0].base_url);
  CAF_CHECK_NOT_EQUAL(b.said->ready[0].api_key, c.said->ready[0].api_key);
  CAF_CHECK(a.failed());
}

CAF_TEST(a server that dies tells all users and the next one starts another) {
  place p{"ok"};
  auto http = std::make_shared<http_client>();
  user a{p.options(), http};
  user b{p.options(), http};
  CAF_REQUIRE(a.ready());
  CAF_REQUIRE(b.ready());
  ::kill(std::atoi(p.lines("started")[0].c_str()), SIGKILL);
  CAF_REQUIRE(a.failed());
  CAF_REQUIRE(b.failed());
  CAF_CHECK_EQUAL(a.said->failed[0].first, ec::unavailable);
  CAF_CHECK_EQUAL(a.said->failed[0].second, "the local model server ended with status 137; see " + (p.dir / "log").string());
  user c{p.options(), http};
  CAF_CHECK(c.ready());
  CAF_CHECK_EQUAL(p.lines("started").size(), 2u);
}

CAF_TEST(a server whose port was taken is started at another one and nobody else is asked) {
  for (const auto* mode : {"taken 2", "shared 1"}) {
    place p{mode};
    auto http = std::make_shared<http_client>();
    user u{p.options(), http};
    CAF_REQUIRE(u.ready());
    auto ports = p.lines("ports");
    CAF_REQUIRE_EQUAL(ports.size(), mode[0] == 't' ? 3u : 2u);
    CAF_CHECK_EQUAL(u.said->ready[0].base_url, "http://127.0.0.1:" + ports.back() + "/v1");
    CAF_CHECK_EQUAL(p.lines("others").size(), ports.size() - 1);
    CAF_CHECK_EQUAL(p.lines("asked"), std::vector<std::string>{});
    u.model.reset();
    for (auto& pid : p.lines("started"))
      CAF_CHECK(gone(std::atoi(pid.c_str())));
    CAF_CHECK(u.said->failed.empty());
  }
}

CAF_TEST(a server whose ports are taken again and again says so) {
  place p{"taken 9"};
  auto http = std::make_shared<http_client>();
  user u{p.options(), http};
  CAF_REQUIRE(u.failed());
  CAF_CHECK_EQUAL(u.said->failed[0].first, ec::unavailable);
  CAF_CHECK_EQUAL(u.said->failed[0].second,
                  "another program listens where the local model server was to, at 3 free ports one after the other; see "
                      + (p.dir / "log").string());
  CAF_CHECK_EQUAL(p.lines("started").size(), 3u);
  CAF_CHECK_EQUAL(p.lines("asked"), std::vector<std::string>{});
}

CAF_TEST(what cannot work says what to do) {
  auto http = std::make_shared<http_client>();
  auto why = [&](local_model_options o) {
    user u{std::move(o), http};
    if (!u.failed())
      return std::string{"it started"};
    CAF_CHECK_EQUAL(u.said->failed.size(), 1u);
    CAF_CHECK_EQUAL(u.said->failed[0].first, ec::bad_config);
    return u.said->failed[0].second;
  };
  place p{"die"};
  CAF_CHECK_EQUAL(why(p.options()), "the local model server ended with status 3; see " + (p.dir / "log").string());
  CAF_CHECK_EQUAL(p.lines("log"), std::vector<std::string>{"no such device"});
  auto o = p.options();
  o.model_path = "/no/such.gguf";
  CAF_CHECK_EQUAL(why(o), "there is no GGUF model in '/no/such.gguf': correct model_path");
  o.model_path = o.server; // a file, but no model
  CAF_CHECK(why(o).find("there is no GGUF model in") == 0);
  o = p.options();
  o.server = (p.dir / "nothing").string();
  CAF_CHECK_EQUAL(why(o), "'" + o.server + "' is no program: correct server");
  o.server = "ollama";
  CAF_CHECK(why(o).find("is none of auto, llama-server, xllamacpp, a path") != std::string::npos);
  // Nothing installed: an empty home and no llama-server on the path.
  std::string home = std::getenv("CONCLAVE_HOME") ? std::getenv("CONCLAVE_HOME") : "";
  std::string path = std::getenv("PATH");
  ::setenv("CONCLAVE_HOME", p.dir.c_str(), 1);
  ::setenv("PATH", "/nowhere", 1);
  o = p.options();
  for (auto* server : {"auto", ""}) {
    o.server = server;
    CAF_CHECK_EQUAL(why(o), "there is no local model server: run ./scripts/quickstart, install llama.cpp, or set server");
  }
  o.server = "llama-server"; // quickstart does not bring it
  CAF_CHECK_EQUAL(why(o), "there is no llama-server on the PATH: install llama.cpp, or set server");
  o.server = "xllamacpp";
  CAF_CHECK_EQUAL(why(o), "xllamacpp is not installed: run ./scripts/quickstart, or set server");
  o.model_path.clear();
  CAF_CHECK_EQUAL(why(o), "there is no GGUF model in '" + p.dir.string()
                              + "/local/model.gguf': run ./scripts/quickstart, or set model_path");
  ::setenv("PATH", path.c_str(), 1);
  if (home.empty())
    ::unsetenv("CONCLAVE_HOME");
  else
    ::setenv("CONCLAVE_HOME", home.c_str(), 1);
}

CAF_TEST(files are not looked at on the thread of the caller) {
  auto http = std::make_shared<http_client>();
  std::promise<std::thread::id> failed_on;
  local_model::callbacks cb;
  cb.on_failed = [&](ec, const std::string&) { failed_on.set_value(std::this_thread::get_id()); };
  local_model_options o;
  o.model_path = "/no/such.gguf";
  auto model = local_model::acquire(std::move(o), http, std::move(cb));
  CAF_CHECK(failed_on.get_future().get() != std::this_thread::get_id());
}

CAF_TEST(users who come and go at once leave neither a server nor a word) {
  place p{"ok"};
  auto http = std::make_shared<http_client>();
  for (int i = 0; i < 20; ++i)
    user{p.options(), http};
  user last{p.options(), http};
  CAF_REQUIRE(last.ready());
  last.model.reset();
  for (auto& pid : p.lines("started"))
    CAF_CHECK(gone(std::atoi(pid.c_str())));
}

CAF_TEST(a user who leaves while the model loads stops it) {
  place p{"mute"}; // never healthy
  auto http = std::make_shared<http_client>();
  user u{p.options(), http};
  auto end = std::chrono::steady_clock::now() + 20s;
  while (p.lines("seen").size() < 3 && std::chrono::steady_clock::now() < end)
    std::this_thread::yield();
  CAF_REQUIRE_EQUAL(p.lines("started").size(), 1u);
  u.model.reset();
  CAF_CHECK(gone(std::atoi(p.lines("started")[0].c_str())));
  CAF_CHECK(u.said->ready.empty());
  CAF_CHECK(u.said->failed.empty());
}

CAF_TEST(the installed model answers who has the key) {
  if (!fs::exists(local_model_dir() + "/model.gguf") || !fs::exists(local_model_dir() + "/venv/bin/python")) {
    std::cerr << "skipped: no local model is installed (scripts/quickstart installs one)\n";
    CAF_CHECK(true);
    return;
  }
  place p{"ok"};
  auto http = std::make_shared<http_client>();
  local_model_options o;
  o.server = "xllamacpp";
  o.context_tokens = 1024;
  o.slots = 2;
  o.log_path = (p.dir / "log").string();
  user u{o, http};
  CAF_REQUIRE(u.said->wait(false, 120s));
  auto e = u.said->ready[0];
  auto good = ask(*http, e, e.api_key);
  CAF_CHECK_EQUAL(good.status, 200);
  CAF_CHECK(good.body.find("\"content\"") != std::string::npos);
  CAF_CHECK(good.body.find(e.api_key) == std::string::npos);
  CAF_CHECK_EQUAL(ask(*http, e, "wrong").status, 401);
  u.model.reset();
}
