# SPDX-License-Identifier: Apache-2.0
# The embedding API as a package: find_package(conclave), target conclave::conclave. Ships FindCAF, which the packaged CAF lacks.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

add_library(conclave_engine INTERFACE)
set_target_properties(conclave_engine PROPERTIES EXPORT_NAME conclave)
target_link_libraries(conclave_engine INTERFACE conclave_app)
add_library(conclave::conclave ALIAS conclave_engine)

install(TARGETS conclave_engine conclave_app conclave_actors conclave_transports conclave_protocols EXPORT conclave
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS conclave-sandbox RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
if(TARGET conclave)
  install(TARGETS conclave RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

# What a program that embeds the engine may include, as <conclave/app/engine.hpp>. All others stay private and are not installed.
set(CONCLAVE_PUBLIC_HEADERS
  app/engine.hpp app/engine_caf.hpp app/load_config.hpp app/task_tools.hpp
  protocols/budget.hpp protocols/catalogue_models.hpp protocols/chat.hpp protocols/config.hpp protocols/config_expand.hpp
  protocols/config_validate.hpp protocols/coordination.hpp protocols/error.hpp protocols/events.hpp protocols/kept_files.hpp protocols/ledger.hpp
  protocols/outcome.hpp
  protocols/prices.hpp protocols/watching.hpp protocols/workspace_handle.hpp
  transports/event_store.hpp)
configure_file(cmake/install_headers.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/install_headers.cmake @ONLY)
install(SCRIPT ${CMAKE_CURRENT_BINARY_DIR}/install_headers.cmake)
# The same path inside the tree, for the examples and for a host that takes us in by add_subdirectory.
file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/include)
file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${CMAKE_CURRENT_BINARY_DIR}/include/conclave SYMBOLIC)
target_include_directories(conclave_engine INTERFACE $<BUILD_INTERFACE:${CMAKE_CURRENT_BINARY_DIR}/include>
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
install(EXPORT conclave NAMESPACE conclave:: FILE conclave-targets.cmake DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/conclave)
configure_package_config_file(cmake/conclave-config.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/conclave-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/conclave)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/conclave-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES cmake/FindCAF.cmake ${CMAKE_CURRENT_BINARY_DIR}/conclave-config.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/conclave-config-version.cmake DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/conclave)
