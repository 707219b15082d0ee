#include "net/stream.hpp"

namespace skywire::net {

Task<Result<>> Stream::write_all(std::span<const ByteSpan> parts) {
    for (const ByteSpan part : parts) {
        const auto written = co_await write(part);
        if (!written) co_return written.error();
    }
    co_return Result<>();
}

Task<Result<>> Stream::wait_readable() {
    co_return Result<>();
}

}  // namespace skywire::net
