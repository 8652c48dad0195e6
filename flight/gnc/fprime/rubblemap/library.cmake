# The component as an F Prime library: `library_locations` in a project's settings.ini names this folder. The installed
# library rubblemap::gnc is found by CMAKE_PREFIX_PATH. Here, so that the whole project sees its target.
find_package(rubblemap REQUIRED)

add_fprime_subdirectory("${CMAKE_CURRENT_LIST_DIR}/Rubblemap/")
