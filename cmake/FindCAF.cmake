# SPDX-License-Identifier: Apache-2.0
# Finds the packaged C++ Actor Framework. Targets: CAF::core CAF::io (ask for them in this order).
include(FindPackageHandleStandardArgs)
find_package(Threads REQUIRED)
find_path(CAF_INCLUDE_DIR caf/all.hpp)
if(CAF_INCLUDE_DIR)
  file(STRINGS "${CAF_INCLUDE_DIR}/caf/config.hpp" _caf_line REGEX "^#define CAF_VERSION +[0-9]+")
  string(REGEX MATCH "[0-9]+" _caf_number "${_caf_line}")
  math(EXPR _caf_minor "(${_caf_number} / 100) % 100")
  math(EXPR _caf_patch "${_caf_number} % 100")
  set(CAF_VERSION "0.${_caf_minor}.${_caf_patch}")
endif()
foreach(_caf_part IN LISTS CAF_FIND_COMPONENTS)
  find_library(CAF_${_caf_part}_LIBRARY caf_${_caf_part})
  if(CAF_${_caf_part}_LIBRARY)
    set(CAF_${_caf_part}_FOUND TRUE)
  endif()
endforeach()
find_package_handle_standard_args(CAF REQUIRED_VARS CAF_INCLUDE_DIR VERSION_VAR CAF_VERSION HANDLE_COMPONENTS)
set(_caf_needs_core Threads::Threads)
set(_caf_needs_io CAF::core)
foreach(_caf_part IN LISTS CAF_FIND_COMPONENTS)
  if(CAF_FOUND AND CAF_${_caf_part}_FOUND AND NOT TARGET CAF::${_caf_part})
    add_library(CAF::${_caf_part} UNKNOWN IMPORTED)
    # Type-id checks turn "type not registered" from a silent run-time loss into a compile error.
    set_target_properties(CAF::${_caf_part} PROPERTIES
      IMPORTED_LOCATION "${CAF_${_caf_part}_LIBRARY}"
      INTERFACE_INCLUDE_DIRECTORIES "${CAF_INCLUDE_DIR}"
      INTERFACE_COMPILE_DEFINITIONS CAF_ENABLE_TYPE_ID_CHECKS)
    target_link_libraries(CAF::${_caf_part} INTERFACE ${_caf_needs_${_caf_part}})
  endif()
endforeach()
