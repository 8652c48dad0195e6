"""The C++ side, built by the top CMakeLists.txt."""
