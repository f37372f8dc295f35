// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once
#include <caf/all.hpp>
#include <caf/test/unit_test.hpp>
#undef CAF_SUITE // each file says its own

#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <string>
#include <vector>
