// Frames and commands are encoded to the bytes of tests/golden, which Python wrote; what breaks the contract is
// refused.
#include <zlib.h>

#include <cmath>
#include <cstring>

#include "check.hpp"
#include "rubblemap/commander.hpp"
#include "rubblemap/frame_sender.hpp"

namespace {

using Error = char[256];

// The frame of tests/golden/vectors.py.
std::vector<std::uint16_t> golden_pixels() {
  std::vector<std::uint16_t> pixels(16 * 24);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint16_t>(i * 37 % 4096);
  return pixels;
}

rubblemap::Frame golden_frame(const std::vector<std::uint16_t>& pixels) {
  rubblemap::Frame frame;
  frame.pixels = pixels.data();
  frame.height = 16;
  frame.width = 24;
  frame.type = rubblemap::PixelType::u16;
  frame.bit_depth = 12;
  frame.capture_time_ns = 1'700'000'000'000'000'000;
  frame.exposure_s = 0.125;
  frame.range_km = 12.5;
  frame.sun_direction_camera = {0.0, -0.6, 0.8};
  return frame;
}

rubblemap::FrameStamp golden_stamp(const Bytes& pixels) {
  const auto crc = crc32(0, pixels.data(), static_cast<unsigned>(pixels.size()));
  return {"navcam", 7, (1ull << 40) + 5, static_cast<std::uint32_t>(crc)};
}

void check_frame(const Message& golden) {
  const auto pixels = golden_pixels();
  const rubblemap::Frame frame = golden_frame(pixels);
  REQUIRE(golden.size() == 2 && golden[1].size() == 2 * pixels.size());
  REQUIRE(std::memcmp(golden[1].data(), pixels.data(), golden[1].size()) == 0);
  Error error = "";
  Bytes header(4096);
  const rubblemap::FrameStamp stamp = golden_stamp(golden[1]);
  header.resize(rubblemap::encode_frame_header(frame, stamp, header.data(), header.size(), error));
  REQUIRE(header == golden[0]);
  for (std::size_t capacity = 0; capacity < golden[0].size(); ++capacity) {
    Bytes small(capacity);
    REQUIRE(rubblemap::encode_frame_header(frame, stamp, small.data(), capacity, error) == 0);
  }
}

void check_refused_frames() {
  const auto pixels = golden_pixels();
  const auto refused = [&pixels](auto change, const char* field) {
    rubblemap::Frame frame = golden_frame(pixels);
    rubblemap::FrameStamp stamp{"navcam", 0, 0, 0};
    change(frame, stamp);
    Error error = "";
    std::uint8_t buffer[4096];
    REQUIRE(rubblemap::encode_frame_header(frame, stamp, buffer, sizeof buffer, error) == 0);
    REQUIRE(std::strstr(error, field) != nullptr);
  };
  using Frame = rubblemap::Frame&;
  using Stamp = rubblemap::FrameStamp&;
  refused([](Frame, Stamp s) { s.source = ""; }, "frame.source");
  refused([](Frame, Stamp s) { s.source = "a name of more than 32 characters."; }, "frame.source");
  refused([](Frame, Stamp s) { s.source = "\xFF"; }, "frame.source");
  refused([](Frame f, Stamp) { f.height = 15; }, "frame.height: expected 16..4096, got 15");
  refused([](Frame f, Stamp) { f.width = 4097; }, "frame.width");
  refused([](Frame f, Stamp) { f.channels = 2; }, "frame.channels");
  refused([](Frame f, Stamp) { f.bit_depth = 7; }, "frame.bit_depth");
  refused([](Frame f, Stamp) { f.type = rubblemap::PixelType::u8; }, "frame.bit_depth: expected 8..8 for u8, got 12");
  refused([](Frame f, Stamp) { f.height = f.width = 4096, f.channels = 3; }, "frame: expected at most 41943040");
  refused([](Frame f, Stamp) { f.exposure_s = -1.0; }, "frame.exposure_s");
  refused([](Frame f, Stamp) { f.range_km = std::nan(""); }, "frame.range_km");
  refused([](Frame f, Stamp) { f.sun_direction_camera = {0.0, 0.0, 1.1}; }, "frame.sun_direction_camera");
}

void check_commands(const Message& golden) {
  const rubblemap::Argument arguments[] = {{"name", "passes"}, {"value", 10}};
  Error error = "";
  Bytes command(64 * 1024);
  const std::size_t capacity = command.size();
  command.resize(rubblemap::encode_command(9, "set_parameter", arguments, 2, {}, command.data(), capacity, error));
  REQUIRE(golden.size() == 1 && command == golden[0]);
  std::uint8_t buffer[512];
  REQUIRE(rubblemap::encode_command(9, "", nullptr, 0, {}, buffer, sizeof buffer, error) == 0);
  REQUIRE(std::strstr(error, "command.name") != nullptr);
  rubblemap::Value list;
  list.type = rubblemap::Value::Type::list;
  const rubblemap::Argument nested[] = {{"name", list}};
  REQUIRE(rubblemap::encode_command(9, "no_op", nested, 1, {}, buffer, sizeof buffer, error) == 0);
  const std::string longer(65, 'v');
  REQUIRE(rubblemap::encode_command(9, "no_op", nullptr, 0, longer, buffer, sizeof buffer, error) == 0);
  REQUIRE(std::strstr(error, "command.inside: expected nothing or 1..64 bytes of UTF-8, got 65 bytes") != nullptr);
  REQUIRE(rubblemap::encode_command(9, "no_op", nullptr, 0, "\xFF", buffer, sizeof buffer, error) == 0);
  REQUIRE(std::strstr(error, "command.inside") != nullptr);
  const std::string longest(64, 'v');
  REQUIRE(rubblemap::encode_command(9, "no_op", nullptr, 0, longest, buffer, sizeof buffer, error) > 64);
  const std::string text(600, 'x');
  const rubblemap::Argument large[] = {{"path", std::string_view(text)}};
  REQUIRE(rubblemap::encode_command(9, "load_bundle", large, 1, {}, buffer, sizeof buffer, error) == 0);
  REQUIRE(std::strstr(error, "expected at most 512 bytes") != nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  REQUIRE(argc == 2);
  const std::string folder = argv[1];
  check_frame(read_vector(folder + "/frame.bin"));
  check_refused_frames();
  check_commands(read_vector(folder + "/command.bin"));
  std::puts("frames and commands: the golden bytes; the others refused");
  return 0;
}
