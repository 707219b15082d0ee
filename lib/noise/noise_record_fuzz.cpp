// Records and objects. The first byte chooses: bytes of a stranger, frames of our own cut and
// damaged, or objects whose nonces the input chooses, beside a plain list of what was seen.

#include "noise/record.hpp"

#include <algorithm>
#include <cstdlib>
#include <set>

using namespace skywire;
using namespace skywire::noise;

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

TransportKeys same_keys() {
    crypto::Digest key;
    key.fill(std::byte{7});
    return {CipherKey(key), CipherKey(key)};
}

void stranger(ByteSpan input) {
    // A key of zeros, so that records of the corpus can be authentic.
    RecordOpener opener{CipherKey()};
    ObjectBox box{TransportKeys()};
    const auto object = box.open(input);
    Bytes copy(input.begin(), input.end());
    const auto size =
        opener.open(copy, copy.size() < 8 ? std::span(copy) : std::span(copy).subspan(8));
    if (object) check(size && *size == object->size());
    if (object) check(!box.open(input));
    if (!size) check(copy == Bytes(input.begin(), input.end()));
}

void own_frames(ByteSpan input) {
    if (input.size() < 3) return;
    const std::size_t at =
        std::to_integer<std::size_t>(input[0]) * 256 + std::to_integer<std::size_t>(input[1]);
    const std::byte change = input[2];
    // Repeated, so that short inputs make several frames, too.
    Bytes plaintext;
    for (int i = 0; i < 30; ++i)
        plaintext.insert(plaintext.end(), input.begin(), input.end());
    RecordSealer sealer(same_keys().send);
    Bytes frames(RecordSealer::sealed_frames_size(plaintext.size()));
    check(sealer.seal_frames(plaintext, frames).value() == frames.size());
    frames[at % frames.size()] ^= change;
    RecordOpener opener(same_keys().send);
    Bytes opened;
    ByteSpan left(frames);
    while (left.size() >= kFramePrefix) {
        const std::size_t length =
            std::to_integer<std::size_t>(left[0]) * 256 + std::to_integer<std::size_t>(left[1]);
        if (left.size() < kFramePrefix + length) break;
        Bytes piece(length);
        const auto size = opener.open(left.subspan(kFramePrefix, length), piece);
        if (!size) break;
        opened.insert(opened.end(), piece.begin(), piece.begin() + static_cast<long>(*size));
        left = left.subspan(kFramePrefix + length);
    }
    check(opened.size() <= plaintext.size());
    check(std::equal(opened.begin(), opened.end(), plaintext.begin()));
    check((change == std::byte{0}) == (opened.size() == plaintext.size()));
}

void objects(ByteSpan input) {
    ObjectBox box(same_keys());
    std::set<std::uint64_t> seen;
    std::uint64_t highest = 0;
    for (; input.size() >= 2; input = input.subspan(2)) {
        // A step of -1024 to 1023 from the highest one, or a far jump.
        const std::uint64_t step = std::to_integer<std::uint64_t>(input[0]) % 8 * 256 +
                                   std::to_integer<std::uint64_t>(input[1]);
        std::uint64_t nonce = highest + step;
        nonce = input[0] >= std::byte{0xf8} ? nonce << 20
                                            : nonce - std::min<std::uint64_t>(nonce, 1024);
        Bytes record(kRecordOverhead);
        RecordSealer sealer(same_keys().send, nonce);
        if (!sealer.seal({}, record)) return;
        const bool fresh =
            nonce != 0 && !seen.contains(nonce) && (nonce > highest || highest - nonce < 1024);
        check(box.open(record).has_value() == fresh);
        if (!fresh) continue;
        seen.insert(nonce);
        highest = std::max(highest, nonce);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const ByteSpan input = std::as_bytes(std::span(data + 1, size - 1));
    switch (data[0] % 3) {
        case 0:
            stranger(input);
            break;
        case 1:
            own_frames(input);
            break;
        default:
            objects(input);
    }
    return 0;
}
