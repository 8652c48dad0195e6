# What `cmake --install` puts in place: headers, library, find_package(rubblemap) and pkg-config rubblemap_gnc.
include(CMakePackageConfigHelpers)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/rubblemap)

# Of a static library, whoever links it links what it needs too, and a linker for C does not know the libraries of C++;
# of a shared one, nobody has to know.
set(RUBBLEMAP_IS_STATIC OFF)
get_target_property(library_type rubblemap_gnc TYPE)
if(library_type STREQUAL "STATIC_LIBRARY")
  set(RUBBLEMAP_IS_STATIC ON)
  set(RUBBLEMAP_LANGUAGE_LIBRARIES ${CMAKE_CXX_IMPLICIT_LINK_LIBRARIES})
  list(FILTER RUBBLEMAP_LANGUAGE_LIBRARIES INCLUDE REGEX "^(stdc\\+\\+|c\\+\\+|c\\+\\+abi|m)$")
  list(REMOVE_DUPLICATES RUBBLEMAP_LANGUAGE_LIBRARIES)
  target_link_libraries(rubblemap_gnc INTERFACE
    "$<INSTALL_INTERFACE:${RUBBLEMAP_LANGUAGE_LIBRARIES}>" $<INSTALL_INTERFACE:Threads::Threads>)
endif()

install(TARGETS rubblemap_gnc EXPORT rubblemap_targets)
install(DIRECTORY flight/gnc/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT rubblemap_targets NAMESPACE rubblemap:: DESTINATION ${package_folder})

configure_package_config_file(
  cmake/rubblemap-config.cmake.in rubblemap-config.cmake INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(rubblemap-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  ${CMAKE_CURRENT_BINARY_DIR}/rubblemap-config.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/rubblemap-config-version.cmake
  cmake/FindLibZmq.cmake
  DESTINATION ${package_folder})

set(RUBBLEMAP_PC_LIBS "")
set(RUBBLEMAP_PC_REQUIRES "")
if(RUBBLEMAP_IS_STATIC)
  list(TRANSFORM RUBBLEMAP_LANGUAGE_LIBRARIES PREPEND " -l" OUTPUT_VARIABLE RUBBLEMAP_PC_LIBS)
  string(REPLACE ";" "" RUBBLEMAP_PC_LIBS "${RUBBLEMAP_PC_LIBS} -lpthread")
  set(RUBBLEMAP_PC_REQUIRES "libzmq zlib")
endif()
# Relative, so that the installed tree can be moved and staged.
set(pkg_config_folder ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH RUBBLEMAP_PC_PREFIX /${pkg_config_folder} /)
configure_file(cmake/rubblemap_gnc.pc.in rubblemap_gnc.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/rubblemap_gnc.pc DESTINATION ${pkg_config_folder})
