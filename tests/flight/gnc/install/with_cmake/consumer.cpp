// Opens a receiver and ends.
#include <cstdio>
#include <rubblemap/receiver.hpp>

int main() {
  rubblemap::Receiver receiver(rubblemap::ReceiverOptions{});
  std::printf("%zu products\n", receiver.poll(0));
  return 0;
}
