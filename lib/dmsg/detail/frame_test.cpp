#include "base/random.hpp"
#include "base/test.hpp"
#include "dmsg/detail/frame_reader.hpp"
#include "dmsg/detail/frame_writer.hpp"

#include <algorithm>

namespace skywire::dmsg::detail {
namespace {

noise::CipherKey key() {
    crypto::Digest bytes{};
    bytes.fill(std::byte{7});
    return noise::CipherKey(bytes);
}

noise::CipherKey key_of(std::string_view digits) {
    const Bytes bytes = skywire::test::hex(digits);
    crypto::Digest digest{};
    std::copy(bytes.begin(), bytes.end(), digest.begin());
    return noise::CipherKey(digest);
}

Bytes pattern(std::size_t size) {
    Bytes bytes(size);
    for (std::size_t i = 0; i < size; ++i)
        bytes[i] = std::byte(i * 7 & 0xff);
    return bytes;
}

Bytes concat(const std::vector<Bytes>& pieces) {
    Bytes whole;
    for (const Bytes& piece : pieces)
        whole.insert(whole.end(), piece.begin(), piece.end());
    return whole;
}

std::vector<ByteSpan> views(const std::vector<Bytes>& pieces) {
    return {pieces.begin(), pieces.end()};
}

/// All of the pieces, sealed.
Bytes seal(const std::vector<Bytes>& pieces, noise::RecordSealer& sealer) {
    const auto spans = views(pieces);
    Parts parts(spans);
    Bytes sealed;
    while (!parts.empty()) {
        const mux::Slice chunk = seal_chunk(parts, sealer).value();
        sealed.insert(sealed.end(), chunk.bytes().begin(), chunk.bytes().end());
    }
    return sealed;
}

Bytes seal(const std::vector<Bytes>& pieces) {
    noise::RecordSealer sealer(key());
    return seal(pieces, sealer);
}

/// Slices of that size, of one chunk: as they come out of a multiplexer.
mux::ByteQueue queue_of(ByteSpan bytes, std::size_t piece = SIZE_MAX) {
    mux::ByteQueue queue;
    while (!bytes.empty()) {
        const std::size_t size = std::min(piece, bytes.size());
        queue.append(mux::Slice::copy_of(bytes.first(size)));
        bytes = bytes.subspan(size);
    }
    return queue;
}

/// Reads with a buffer of that size until more bytes are needed.
Result<Bytes> read_all(FrameReader& reader, std::size_t buffer) {
    Bytes all;
    Bytes into(buffer);
    for (;;) {
        const auto count = reader.read(into);
        if (!count) return count.error();
        if (*count == 0) return all;
        all.insert(all.end(), into.begin(), into.begin() + std::ptrdiff_t(*count));
    }
}

}  // namespace

TEST_CASE("stream frames: a long write is cut as the recorded one") {
    const auto vectors = skywire::test::vectors("dmsg/noise_kk.json");
    const auto& recorded = vectors.as_object().at("fragmentation").as_object();
    const auto k1 = key_of(vectors.as_object().at("split").as_object().at("k1").as_string());
    const Bytes bytes = skywire::test::hex(recorded.at("bytes").as_string());
    noise::RecordSealer sealer(k1, recorded.at("first_nonce").to_number<std::uint64_t>());
    CHECK(seal({pattern(5000)}, sealer) == bytes);

    FrameReader reader(k1);
    reader.append(queue_of(bytes));
    CHECK(read_all(reader, 65536).value() == pattern(5000));
}

TEST_CASE("stream frames: writes of all sizes take as few frames as they can") {
    for (const std::size_t size :
         {1UL, 2UL, 4069UL, 4070UL, 4071UL, 8140UL, 65119UL, 65120UL, 65121UL, 130240UL, 1000000UL
         }) {
        const Bytes plain = pattern(size);
        const std::size_t frames =
            (size + noise::kFramePlaintextMax - 1) / noise::kFramePlaintextMax;
        const Bytes sealed = seal({plain});
        CHECK(sealed.size() == size + frames * 26);
        for (const std::size_t buffer : {1UL, 4069UL, 4070UL, 65536UL}) {
            if (buffer == 1 && size > 10000) continue;
            FrameReader reader(key());
            reader.append(queue_of(sealed));
            CHECK(read_all(reader, buffer).value() == plain);
            CHECK(reader.end());
        }
    }
}

TEST_CASE("stream frames: pieces share frames, whatever their sizes") {
    SeededRandom random(3);
    for (int round = 0; round < 200; ++round) {
        std::vector<Bytes> pieces;
        const std::uint64_t count = random.below(12);
        for (std::uint64_t i = 0; i < count; ++i) {
            const std::uint64_t kinds[] = {0, 10, 4070, 9000, 70000};
            pieces.push_back(pattern(random.below(1 + kinds[random.below(5)])));
        }
        const Bytes plain = concat(pieces);
        const Bytes sealed = seal(pieces);
        CHECK(sealed.size() == noise::RecordSealer::sealed_frames_size(plain.size()));
        FrameReader reader(key());
        reader.append(queue_of(sealed, 1 + random.below(9000)));
        CHECK(read_all(reader, 1 + random.below(9000)).value() == plain);
    }
}

TEST_CASE("stream frames: records arrive in any cut") {
    const Bytes plain = pattern(300);
    noise::RecordSealer sealer(key());
    Bytes sealed = seal({pattern(100)}, sealer);
    const Bytes second = seal({Bytes(plain.begin() + 100, plain.end())}, sealer);
    sealed.insert(sealed.end(), second.begin(), second.end());
    for (std::size_t cut = 0; cut <= sealed.size(); ++cut) {
        FrameReader reader(key());
        reader.append(queue_of(ByteSpan(sealed).first(cut)));
        Bytes got = read_all(reader, 4096).value();
        const bool between = cut == 0 || cut == 126 || cut == sealed.size();
        FrameReader ended(key());
        ended.append(queue_of(ByteSpan(sealed).first(cut)));
        REQUIRE(read_all(ended, 4096).has_value());
        CHECK(ended.end().has_value() == between);
        reader.append(queue_of(ByteSpan(sealed).subspan(cut)));
        const Bytes rest = read_all(reader, 4096).value();
        got.insert(got.end(), rest.begin(), rest.end());
        CHECK(got == plain);
    }
    for (std::size_t piece = 1; piece < 40; ++piece) {
        FrameReader reader(key());
        reader.append(queue_of(sealed, piece));
        CHECK(reader.readable());
        CHECK(read_all(reader, piece).value() == plain);
        CHECK(!reader.readable());
    }
}

TEST_CASE("stream frames: empty records are passed over") {
    noise::RecordSealer sealer(key());
    Bytes sealed;
    for (const std::size_t size : {0UL, 0UL, 3UL, 0UL, 2UL, 0UL}) {
        Bytes frame(26 + size);
        frame[1] = std::byte(24 + size);
        REQUIRE(sealer.seal(pattern(size), std::span(frame).subspan(2)));
        sealed.insert(sealed.end(), frame.begin(), frame.end());
    }
    FrameReader empty(key());
    empty.append(queue_of(ByteSpan(sealed).first(52)));
    CHECK(!empty.readable());
    FrameReader reader(key());
    reader.append(queue_of(sealed, 5));
    CHECK(read_all(reader, 100).value() == concat({pattern(3), pattern(2)}));
    CHECK(reader.end());
}

TEST_CASE("stream frames: each byte flipped is an error that stays; what came before is read") {
    noise::RecordSealer sealer(key());
    const Bytes good = seal({pattern(10)}, sealer);
    const Bytes victim = seal({pattern(20)}, sealer);
    for (std::size_t at = 0; at < victim.size(); ++at) {
        for (const auto bit : {std::byte{1}, std::byte{0x80}}) {
            Bytes bad = victim;
            bad[at] ^= bit;
            FrameReader reader(key());
            reader.append(queue_of(good));
            reader.append(queue_of(bad));
            Bytes into(100);
            CHECK(reader.read(into).value() == 10);
            const auto second = reader.read(into);
            if (second) {
                // A length that grew: the rest is missing.
                CHECK(*second == 0);
                CHECK(at < 2);
                CHECK(reader.end().error() == make_error_code(errc::malformed));
                CHECK(reader.readable());
                CHECK(reader.read(into).error() == make_error_code(errc::malformed));
                continue;
            }
            CHECK(second.error().code().category() == noise::noise_category());
            reader.append(queue_of(good));
            CHECK(reader.readable());
            CHECK(reader.read(into).error() == second.error().code());
        }
    }
}

TEST_CASE("stream frames: lengths, replays and gaps") {
    const auto refused = [](ByteSpan sealed) {
        FrameReader reader(key());
        reader.append(queue_of(sealed));
        Bytes into(100);
        return reader.read(into).error();
    };
    CHECK(
        refused(Bytes{std::byte{0x0f}, std::byte{0xff}}) ==
        make_error_code(noise::errc::frame_too_long)
    );
    CHECK(
        refused(Bytes{std::byte{0xff}, std::byte{0xff}, std::byte{1}}) ==
        make_error_code(noise::errc::frame_too_long)
    );
    CHECK(refused(Bytes(2)) == make_error_code(noise::errc::short_record));
    for (std::size_t size = 1; size < 24; ++size) {
        Bytes frame(2 + size, std::byte{9});
        frame[0] = std::byte{0};
        frame[1] = std::byte(size);
        CHECK(refused(frame) == make_error_code(noise::errc::short_record));
    }

    noise::RecordSealer sealer(key());
    const Bytes first = seal({pattern(1)}, sealer);
    const Bytes second = seal({pattern(2)}, sealer);
    const Bytes third = seal({pattern(3)}, sealer);
    FrameReader reader(key());
    reader.append(queue_of(concat({first, third})));
    CHECK(read_all(reader, 100).value().size() == 4);
    reader.append(queue_of(second));
    CHECK(read_all(reader, 100).error() == make_error_code(noise::errc::replayed_nonce));
}

TEST_CASE("stream frames: counters that are used up") {
    noise::RecordSealer sealer(key(), UINT64_MAX - 1);
    const Bytes plain = pattern(5);
    const std::array<ByteSpan, 2> spans{plain, plain};
    Parts parts(spans);
    REQUIRE(seal_chunk(parts, sealer));
    Parts more(spans);
    CHECK(seal_chunk(more, sealer).error() == make_error_code(noise::errc::nonces_exhausted));
}

}  // namespace skywire::dmsg::detail
