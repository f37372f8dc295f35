// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What a local model needs, judged from the files alone: a run and `conclave validate` ask the same and say the same.

#include "transports/child_process.hpp"
#include "transports/home.hpp"
#include "transports/local_model.hpp"

#include <array>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>
#include <unistd.h>

namespace conclave {

namespace {

bool is_gguf(const std::string& path) {
  std::error_code ignored;
  if (path.find('\0') != std::string::npos || !std::filesystem::is_regular_file(path, ignored))
    return false;
  std::ifstream in{path, std::ios::binary};
  std::array<char, 4> magic{};
  return in.read(magic.data(), magic.size()) && std::string_view(magic.data(), magic.size()) == "GGUF";
}

bool readable(const std::string& path) {
  return ::access(path.c_str(), R_OK) == 0;
}

} // namespace

std::string local_model_dir() {
  std::string error;
  auto home = home_path(error);
  return home.empty() ? std::string{} : home + "/local";
}

std::string model_fault(const std::string& path, bool installed) {
  if (is_gguf(path))
    return {};
  return "there is no GGUF model in '" + path
         + (installed ? "': run ./scripts/quickstart, or set model_path" : "': correct model_path");
}

local_program find_local_program(const std::string& server, const char* path) {
  local_program out;
  if (server.find('/') != std::string::npos) {
    out.binary = server;
    if (::access(server.c_str(), X_OK) != 0)
      out.error = "'" + server + "' is no program: correct server";
    return out;
  }
  if (server != "auto" && server != "llama-server" && server != "xllamacpp") {
    out.error = "'" + server + "' is none of auto, llama-server, xllamacpp, a path with a slash";
    return out;
  }
  if (server != "xllamacpp")
    out.binary = find_program("llama-server", path);
  auto dir = local_model_dir();
  if (!out.binary.empty())
    return out;
  if (server != "llama-server" && readable(dir + "/venv/bin/python") && readable(dir + "/local_server.py")) {
    out.python = dir + "/venv/bin/python";
    out.script = dir + "/local_server.py";
    return out;
  }
  out.by_quickstart = server != "llama-server";
  out.error = server == "llama-server" ? "there is no llama-server on the PATH: install llama.cpp, or set server"
              : server == "xllamacpp"
                  ? "xllamacpp is not installed: run ./scripts/quickstart, or set server"
                  : "there is no local model server: run ./scripts/quickstart, install llama.cpp, or set server";
  return out;
}

} // namespace conclave
