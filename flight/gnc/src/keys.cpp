#include "rubblemap/keys.hpp"

#include <sys/stat.h>
#include <zmq.h>

#include <fstream>

namespace rubblemap {
namespace {

// The value in quotes behind a line's name and equals sign.
std::string value_of(const std::string& line) {
  const std::string around = " \t\r\n'\"";
  const std::size_t equals = line.find('=');
  if (equals == std::string::npos) return {};
  const std::size_t first = line.find_first_not_of(around, equals + 1);
  if (first == std::string::npos) return {};
  return line.substr(first, line.find_last_not_of(around) - first + 1);
}

// The named key of a ZeroMQ certificate.
Text<40> key(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  if (!file) throw KeyFileError(path + ": expected a CURVE certificate, got no readable file");
  std::string found;
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find_first_not_of(" \t");
    if (first != std::string::npos && line.compare(first, name.size(), name) == 0) found = value_of(line);
  }
  Text<40> result;
  std::uint8_t bytes[32];
  if (found.size() != 40 || zmq_z85_decode(bytes, found.c_str()) == nullptr || !result.assign(found)) {
    throw KeyFileError(path + ": expected a " + name + " of 40 characters Z85, got " + std::to_string(found.size()) +
                       " characters");
  }
  return result;
}

}  // namespace

ClientKeys load_client_keys(const std::string& folder) {
  const std::string secret = folder + "/client.key_secret";
  struct stat status {};
  if (stat(secret.c_str(), &status) == 0 && (status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    throw KeyFileError(secret + ": expected to be readable by its owner alone: chmod 600 " + secret);
  }
  return {key(secret, "public-key"), key(secret, "secret-key"), key(folder + "/service.key", "public-key")};
}

}  // namespace rubblemap
