# libzmq as the target LibZmq::LibZmq. Debian's libzmq3-dev has no CMake package of its own.
find_path(LIBZMQ_INCLUDE zmq.h DOC "Folder with zmq.h (libzmq3-dev)")
find_library(LIBZMQ_LIBRARY zmq DOC "libzmq (libzmq3-dev)")
mark_as_advanced(LIBZMQ_INCLUDE LIBZMQ_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibZmq REQUIRED_VARS LIBZMQ_LIBRARY LIBZMQ_INCLUDE)

if(LibZmq_FOUND AND NOT TARGET LibZmq::LibZmq)
  add_library(LibZmq::LibZmq UNKNOWN IMPORTED)
  set_target_properties(LibZmq::LibZmq PROPERTIES
    IMPORTED_LOCATION "${LIBZMQ_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${LIBZMQ_INCLUDE}")
endif()
