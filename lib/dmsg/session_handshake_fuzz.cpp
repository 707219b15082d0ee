// A connection's first bytes to an acceptor, whole and in pieces: no input may crash it, hold it
// beyond its time, or end otherwise because of where the pieces end. The seeds are recorded
// dialers; the acceptor's keys are the recorded ones, so that they get through.

#include "dmsg/handshake.hpp"
#include "dmsg/test_rig.hpp"

#include <cstdlib>

using namespace skywire;
using namespace skywire::dmsg;

namespace {

constexpr std::string_view kServer =
    "a7e823eefd0d31640b747da1c42cd242f7856dd60f67fd18e29b4a04148a5803";
constexpr std::string_view kEphemeral =
    "4fd7c638eec4c3459850b2bbc6113b0c23b965e1d9ae2a8eba30d93b50118c97";

Bytes unhex(std::string_view digits) {
    Bytes bytes;
    if (!from_hex(digits, bytes)) std::abort();
    return bytes;
}

/// What is left to tell two runs apart.
struct Outcome {
    bool operator==(const Outcome&) const = default;

    ErrorCode code;
    crypto::PublicKey remote;
    Bytes surplus;
    Bytes answered;
};

struct Fixture {
    Outcome talk(const Bytes& bytes, std::size_t piece) {
        world.random.next(unhex(kEphemeral));
        auto [ours, theirs] = net::make_pipe(world.context.loop);
        dmsg::test::WirePeer peer(world.loop, std::move(theirs));
        dmsg::test::Started<Result<Handshaken>> handshake(
            world.loop, handshake_as_server(world.context, std::move(ours), server)
        );
        peer.send(bytes, piece);
        world.advance(kHandshakeTimeout);
        if (!handshake.has_result()) std::abort();
        world.random.forget();
        auto& result = handshake.wait();
        Outcome outcome;
        outcome.answered = peer.take();
        if (!result) {
            if (!peer.ended()) std::abort();
            outcome.code = result.error().code();
            return outcome;
        }
        outcome.remote = result->remote;
        outcome.surplus = result->surplus;
        // What had not come when the handshake was done is still on the connection.
        for (;;) {
            Bytes more(4096);
            dmsg::test::Started<Result<std::size_t>> read(
                world.loop, result->carrier->read_some(more)
            );
            if (!read.has_result()) {
                read.cancel();
                return outcome;
            }
            more.resize(read.wait().value());
            outcome.surplus.insert(outcome.surplus.end(), more.begin(), more.end());
        }
    }

    dmsg::test::World world;
    crypto::KeyPair server = dmsg::test::pair_of(unhex(kServer));
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static Fixture fixture;
    if (size < 1 || size > 16384) return 0;
    const std::size_t piece = 1 + data[0];
    const auto* begin = reinterpret_cast<const std::byte*>(data);
    const Bytes bytes(begin + 1, begin + size);
    if (fixture.talk(bytes, SIZE_MAX) != fixture.talk(bytes, piece)) std::abort();
    return 0;
}
