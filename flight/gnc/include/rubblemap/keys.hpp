// CURVE keys of a client: a folder as `flight keys client` makes it.
#pragma once

#include <string>

#include "rubblemap/bounded.hpp"
#include "rubblemap/context.hpp"

namespace rubblemap {

// Keys that are missing, malformed or readable by others; what() names the file.
class KeyFileError : public OpenError {
public:
  using OpenError::OpenError;
};

// A client's pair and the service's public key, Z85 text.
struct ClientKeys {
  Text<40> public_key;
  Text<40> secret_key;
  Text<40> service_key;
};

// Reads client.key_secret and service.key of the folder. Throws KeyFileError.
[[nodiscard]] ClientKeys load_client_keys(const std::string& folder);

}  // namespace rubblemap
