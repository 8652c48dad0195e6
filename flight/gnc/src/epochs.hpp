// The epochs that cameras on this computer have used.
#pragma once

#include <cstdint>
#include <string>

namespace rubblemap {

// Takes the next epoch of a camera: seconds since 1970, or one above the largest that this computer has used, so that a
// clock that goes back does no harm. Records it, in the files of flight.client.epochs; where none can be written, the
// clock alone decides.
std::uint32_t take_epoch(const std::string& source);

}  // namespace rubblemap
