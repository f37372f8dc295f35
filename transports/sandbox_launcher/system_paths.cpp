// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/sandbox_launcher/system_paths.hpp"

#include <dirent.h>
#include <string_view>

namespace conclave::launcher {

std::vector<std::string> program_folders() {
  return {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};
}

std::vector<std::string> settings_of_programs() {
  std::vector<std::string> out{"/etc/ld.so.cache",  "/etc/ld.so.conf",      "/etc/ld.so.conf.d",      "/etc/alternatives",
                               "/etc/ssl/certs",    "/etc/ssl/openssl.cnf", "/etc/ca-certificates",   "/etc/pki/tls/certs",
                               "/etc/localtime",    "/etc/mime.types",      "/etc/os-release",        "/etc/debian_version",
                               "/etc/services",     "/etc/protocols",       "/etc/magic"};
  auto* dir = ::opendir("/etc");
  for (auto* e = dir ? ::readdir(dir) : nullptr; e; e = ::readdir(dir))
    for (std::string_view start : {"java-", "python", "perl", "node", "maven"})
      if (std::string_view{static_cast<const char*>(e->d_name)}.starts_with(start))
        out.push_back(std::string("/etc/") + static_cast<const char*>(e->d_name));
  if (dir)
    ::closedir(dir);
  return out;
}

std::vector<std::string> harmless_devices() {
  return {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};
}

} // namespace conclave::launcher
