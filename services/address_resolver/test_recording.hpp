#pragma once

#include "services/address_resolver/test_sudph.hpp"

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

/// For tests of the UDP side: the recorded trace of two visors, played against a resolver.
namespace skywire::resolver {

/// A datagram without what each run has its own of: our clock, and the window as it was before or
/// after a message was read.
inline std::string comparable(Bytes datagram) {
    std::string text;
    ByteSpan left(datagram);
    while (const auto head = net::read_kcp_head(left)) {
        const bool push = head->command == net::KcpCommand::push;
        text += fmt::format(
            "{} {} {} {} {} {};",
            static_cast<int>(head->command),
            head->fragment,
            push ? 0 : head->timestamp,
            head->sequence,
            head->unacknowledged,
            as_text(left.subspan(net::KcpHead::kSize, head->length))
        );
        left = left.subspan(net::KcpHead::kSize + head->length);
    }
    return text;
}

struct Recorded {
    bool to_server;
    Bytes bytes;
};

inline std::vector<Recorded> recording(std::string_view visor) {
    std::vector<Recorded> all;
    const json::value file = test::vectors("services/ar_sudph_2025.json");
    for (const json::value& each : file.at("datagrams").at(visor).as_array())
        all.push_back(
            {test::text(each, "dir") == "client->server", test::hex(test::text(each, "hex"))}
        );
    return all;
}

inline std::string data_of(const Bytes& datagram) {
    std::string data;
    ByteSpan left(datagram);
    while (const auto head = net::read_kcp_head(left)) {
        data += as_text(left.subspan(net::KcpHead::kSize, head->length));
        left = left.subspan(net::KcpHead::kSize + head->length);
    }
    return data;
}

inline Bytes nonce_in(const std::vector<Recorded>& datagrams) {
    for (const Recorded& each : datagrams) {
        const std::string data = data_of(each.bytes);
        if (!data.starts_with(R"({"Nonce")")) continue;
        Bytes nonce;
        const json::value value = parse_json(data).value();
        for (const json::value& number : value.at("Nonce").as_array())
            nonce.push_back(static_cast<std::byte>(number.to_number<int>()));
        return nonce;
    }
    throw std::runtime_error("no nonce");
}

/// Datagrams arrive in the order in which they were sent.
inline void keep_order(sim::World& world) {
    sim::LinkOptions links;
    links.one_way_delay_mean = links.one_way_delay_min;
    world.set_links(links);
}

/// Plays a recorded visor until it has bound: each answer is the recorded one.
inline void replay_bind(const std::vector<Recorded>& datagrams, Socket& socket) {
    for (const Recorded& each : datagrams) {
        if (data_of(each.bytes) == "heartbeat") return;
        INFO(data_of(each.bytes));
        if (each.to_server) {
            socket.send(each.bytes);
        } else {
            const auto answer = socket.receive();
            REQUIRE(answer);
            CHECK(comparable(*answer) == comparable(each.bytes));
        }
    }
}

inline crypto::PublicKey key_in_vectors(std::string_view name) {
    const json::value file = test::vectors("services/ar_sudph_2025.json");
    return crypto::PublicKey::from_text(test::text(file.at("keys").at(name), "public")).value();
}

}  // namespace skywire::resolver
