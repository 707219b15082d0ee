#include "cxo/carrier.hpp"

#include "noise/noise_stream.hpp"

#include <utility>

#include <fmt/format.h>

namespace skywire::cxo {
namespace {

Route tcp_route(const net::Context& context, const net::Address& address, Carrier carrier) {
    const auto dial = [context, address] { return context.network.dial(context.loop, address); };
    return {
        carrier,
        dial,
        fmt::format("{}://{}", carrier == Carrier::plain ? "tcp" : "noise", address.to_string()),
    };
}

}  // namespace

std::string_view carrier_name(Carrier carrier) noexcept {
    switch (carrier) {
        case Carrier::plain:
            return "plain";
        case Carrier::noise:
            return "noise";
        case Carrier::dmsg:
            return "dmsg";
    }
    return "unknown";
}

Task<Result<Carried>> carry(
    net::Context context,
    Carrier carrier,
    noise::Role role,
    crypto::KeyPair own,
    std::unique_ptr<net::Stream> stream,
    SteadyTime deadline
) {
    switch (carrier) {
        case Carrier::plain:
            break;
        case Carrier::noise: {
            auto handshake = noise::Handshake::make(noise::Pattern::xx, role, own);
            if (!handshake) {
                stream->close();
                co_return handshake.error();
            }
            auto sealed = co_await noise::noise_handshake(
                std::move(stream), std::move(*handshake), context.random, context.clock, deadline
            );
            if (!sealed) co_return sealed.error();
            const crypto::PublicKey key = (*sealed)->remote_key();
            co_return Carried{std::move(*sealed), key};
        }
        case Carrier::dmsg: {
            const auto key = crypto::PublicKey::from_text_not_null(stream->remote().host);
            if (!key) {
                stream->close();
                co_return fail(errc::malformed, "the peer of a dmsg stream has no key");
            }
            co_return Carried{std::move(stream), *key};
        }
    }
    co_return Carried{std::move(stream), {}};
}

Route plain_route(const net::Context& context, const net::Address& address) {
    return tcp_route(context, address, Carrier::plain);
}

Route noise_route(const net::Context& context, const net::Address& address) {
    return tcp_route(context, address, Carrier::noise);
}

Route dmsg_route(const net::Context& context, const crypto::PublicKey& key, std::uint16_t port) {
    const auto address = net::Address::tcp(key.to_text(), port);
    const auto dial = [context, address] { return context.network.dial(context.loop, address); };
    return {Carrier::dmsg, dial, fmt::format("dmsg://{}:{}", key, port)};
}

}  // namespace skywire::cxo
