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
if(TARGET conclave)
  install(TARGETS conclave RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(DIRECTORY protocols transports actors app DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/conclave FILES_MATCHING PATTERN "*.hpp")
install(EXPORT conclave NAMESPACE conclave:: FILE conclave-targets.cmake DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/conclave)
configure_package_config_file(cmake/conclave-config.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/conclave-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/conclave)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/conclave-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES cmake/FindCAF.cmake ${CMAKE_CURRENT_BINARY_DIR}/conclave-config.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/conclave-config-version.cmake DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/conclave)
