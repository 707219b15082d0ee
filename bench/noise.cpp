// What noise costs: whole handshakes (both sides in one thread, no sockets), and sealing and
// opening frames of stream data. One figure a line: name, value, unit. CPU time of the thread, the
// best of several rounds, so that a busy machine does not show.

#include "base/random.hpp"
#include "crypto/keys.hpp"
#include "noise/handshake.hpp"
#include "noise/record.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>

using namespace skywire;

namespace {

constexpr int kRounds = 50;

double thread_seconds() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

/// Seconds of one call.
template <class Work>
double best(int calls, Work work) {
    double least = 1e9;
    for (int round = 0; round < kRounds; ++round) {
        const double began = thread_seconds();
        for (int i = 0; i < calls; ++i)
            work();
        least = std::min(least, (thread_seconds() - began) / calls);
    }
    return least;
}

void check(bool holds) {
    if (!holds) std::abort();
}

void print(const char* name, double value, const char* unit) {
    std::printf("%s %.4g %s\n", name, value, unit);
}

void handshake(
    noise::Pattern pattern,
    const crypto::KeyPair& client,
    const crypto::KeyPair& server,
    Random& random
) {
    using noise::Handshake;
    using noise::Pattern;
    using noise::Role;
    std::optional<crypto::PublicKey> of_server;
    std::optional<crypto::PublicKey> of_client;
    if (pattern != Pattern::xx) of_server = server.public_key;
    if (pattern == Pattern::kk) of_client = client.public_key;
    auto a = Handshake::make(pattern, Role::initiator, client, of_server).value();
    auto b = Handshake::make(pattern, Role::responder, server, of_client).value();
    while (!a.finished() || !b.finished()) {
        Handshake& writer = a.writes_next() ? a : b;
        Handshake& reader = a.writes_next() ? b : a;
        const auto message = writer.write_message(random);
        check(message && reader.read_message(*message));
    }
    check(a.keys().send.bytes() == b.keys().receive.bytes());
}

void handshakes() {
    SystemRandom random;
    const auto client = crypto::generate_key_pair(random);
    const auto server = crypto::generate_key_pair(random);
    const auto measure = [&](noise::Pattern pattern) {
        return best(20, [&] { handshake(pattern, client, server, random); }) * 1e6;
    };
    print("handshake_xk", measure(noise::Pattern::xk), "us");
    print("handshake_kk", measure(noise::Pattern::kk), "us");
    print("handshake_xx", measure(noise::Pattern::xx), "us");

    const auto point = crypto::CurvePoint::from_key(server.public_key).value();
    print("ecdh", best(200, [&] { crypto::ecdh(client.secret_key, point); }) * 1e6, "us");
    print("key_pair", best(200, [&] { crypto::generate_key_pair(random); }) * 1e6, "us");
    const ByteSpan bytes = server.public_key.bytes();
    const auto parse = [&] { check(crypto::CurvePoint::from_bytes(bytes).has_value()); };
    print("parse_key", best(1000, parse) * 1e6, "us");
}

void records(std::size_t size) {
    SeededRandom random(1);
    crypto::Digest key_bytes;
    random.fill(key_bytes);
    const noise::CipherKey key(key_bytes);
    Bytes plaintext(size);
    random.fill(plaintext);
    Bytes record(size + noise::kRecordOverhead);
    Bytes opened(size);
    noise::RecordSealer sealer(key);
    const double sealing = best(2000, [&] { check(sealer.seal(plaintext, record).has_value()); });
    // Each record can be opened once, so sealing is measured with it and taken off.
    noise::RecordSealer partner(key);
    noise::RecordOpener opener(key);
    const double both = best(2000, [&] {
        check(partner.seal(plaintext, record).has_value());
        check(opener.open(record, opened).has_value());
    });
    const auto bytes = static_cast<double>(size);
    std::printf("seal_%zu %.4g GB/s\n", size, bytes / sealing * 1e-9);
    std::printf("open_%zu %.4g GB/s\n", size, bytes / (both - sealing) * 1e-9);
    std::printf("seal_%zu_time %.4g ns\n", size, sealing * 1e9);
}

void frames() {
    constexpr std::size_t kSize = 16 * noise::kFramePlaintextMax;
    noise::RecordSealer sealer{noise::CipherKey{}};
    const Bytes plaintext(kSize);
    Bytes sealed(noise::RecordSealer::sealed_frames_size(kSize));
    const double time =
        best(100, [&] { check(sealer.seal_frames(plaintext, sealed).has_value()); });
    print("seal_16_frames", static_cast<double>(kSize) / time * 1e-9, "GB/s");
}

void objects() {
    noise::ObjectBox box{noise::TransportKeys{}};
    noise::ObjectBox peer{noise::TransportKeys{}};
    const Bytes object(300);
    const double time = best(1000, [&] {
        const auto record = box.seal(object);
        check(record && peer.open(*record));
    });
    print("object_300_seal_open", time * 1e9, "ns");
}

}  // namespace

int main() {
    handshakes();
    records(noise::kFramePlaintextMax);
    records(64);
    frames();
    objects();
}
