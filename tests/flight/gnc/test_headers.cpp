// Compiled for the headers alone that the tests' programs include: CMakeLists.txt names them.
