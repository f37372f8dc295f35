// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <caf/all.hpp>

#include <string>
#include <vector>
