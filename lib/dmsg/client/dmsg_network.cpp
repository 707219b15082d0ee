#include "dmsg/client.hpp"

#include <fmt/format.h>

namespace skywire::dmsg {

Result<std::unique_ptr<net::Listener>> DmsgNetwork::listen(
    Executor loop, const net::Address& address
) {
    return below_.listen(std::move(loop), address);
}

Task<Result<std::unique_ptr<net::Stream>>> DmsgNetwork::dial(Executor loop, net::Address address) {
    const bool may_be_key = address.kind == net::Address::Kind::tcp &&
                            address.host.size() == crypto::PublicKey::kTextSize;
    if (may_be_key) {
        if (const auto key = crypto::PublicKey::from_text_not_null(address.host)) {
            if (client_ == nullptr) {
                co_return fail(
                    skywire::errc::unavailable,
                    fmt::format("dial {}: there is no dmsg client", address.to_string())
                );
            }
            co_return co_await client_->dial(Address{*key, address.port});
        }
    }
    co_return co_await below_.dial(std::move(loop), std::move(address));
}

Result<std::unique_ptr<net::Datagram>> DmsgNetwork::bind_udp(
    Executor loop, const net::Address& address
) {
    return below_.bind_udp(std::move(loop), address);
}

}  // namespace skywire::dmsg
