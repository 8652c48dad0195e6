// Needs the libraries of C++ when it runs.
#include <iostream>

int main() {
  std::cout << "ran\n";
  return std::cout ? 0 : 1;
}
