#pragma once

#include "base/bytes.hpp"

#include <algorithm>
#include <cstddef>

namespace skywire {

/// For fuzz targets whose input is a script: what is left of it; nothing but zeros behind its end.
class FuzzScript {
 public:
    explicit FuzzScript(ByteSpan bytes) : bytes_(bytes) {}

    bool done() const { return bytes_.empty(); }
    unsigned byte() {
        if (bytes_.empty()) return 0;
        const auto value = std::to_integer<unsigned>(bytes_.front());
        bytes_ = bytes_.subspan(1);
        return value;
    }
    std::size_t number() {
        const std::size_t high = byte();
        return high * 256 + byte();
    }
    ByteSpan take(std::size_t size) {
        const ByteSpan part = bytes_.first(std::min(size, bytes_.size()));
        bytes_ = bytes_.subspan(part.size());
        return part;
    }

 private:
    ByteSpan bytes_;
};

}  // namespace skywire
