#include "noise/record.hpp"

#include "base/random.hpp"
#include "base/test.hpp"
#include "crypto/aead.hpp"

#include <limits>
#include <set>

using namespace skywire;
using namespace skywire::noise;
using skywire::test::hex;
using skywire::test::text;

namespace {

constexpr std::uint64_t kLast = std::numeric_limits<std::uint64_t>::max();

CipherKey key_of(const std::string& digits) {
    const Bytes bytes = hex(digits);
    crypto::Digest digest;
    std::copy(bytes.begin(), bytes.end(), digest.begin());
    return CipherKey(digest);
}

TransportKeys test_keys() {
    return {key_of(std::string(64, '1')), key_of(std::string(64, '2'))};
}

TransportKeys swapped(const TransportKeys& keys) {
    return {keys.receive, keys.send};
}

Bytes seal(RecordSealer& sealer, ByteSpan plaintext) {
    Bytes record(plaintext.size() + kRecordOverhead);
    REQUIRE(sealer.seal(plaintext, record));
    return record;
}

/// A record under a nonce of choice.
Bytes record_at(const CipherKey& key, std::uint64_t nonce, ByteSpan plaintext = {}) {
    // The last nonce is never sealed with: what stands there is not authentic.
    if (nonce == kLast) {
        Bytes record = record_at(key, 1, plaintext);
        std::fill_n(record.begin(), 8, std::byte{0xff});
        return record;
    }
    RecordSealer sealer(key, nonce);
    return seal(sealer, plaintext);
}

Result<Bytes> open(RecordOpener& opener, ByteSpan record) {
    Bytes plaintext(record.size());
    const auto size = opener.open(record, plaintext);
    if (!size) return size.error();
    plaintext.resize(*size);
    return plaintext;
}

template <class T>
ErrorCode code_of(const Result<T>& result) {
    return result ? ErrorCode() : result.error().code();
}

Bytes counted_bytes(std::size_t size) {
    Bytes bytes(size);
    for (std::size_t i = 0; i < size; ++i)
        bytes[i] = static_cast<std::byte>(7 * i % 256);
    return bytes;
}

}  // namespace

TEST_CASE("records: the recorded ones, produced and read, damaged and cut") {
    for (const std::string file : {"noise_xk.json", "noise_kk.json"}) {
        const json::value v = test::vectors("dmsg/" + file);
        for (const std::string direction : {"initiator->responder", "responder->initiator"}) {
            const bool initiator = direction.starts_with("initiator");
            const std::string name = text(
                v.at("split"), initiator ? "initiator_encrypts_with" : "responder_encrypts_with"
            );
            const CipherKey key = key_of(text(v.at("split"), name));
            RecordSealer sealer(key);
            RecordOpener opener(key);
            ObjectBox box({key, key});
            for (const json::value& each : v.at("transport").as_array()) {
                if (text(each, "direction") != direction) continue;
                CHECK(text(each, "key") == name);
                const Bytes plaintext = hex(text(each, "plaintext"));
                const Bytes recorded = hex(text(each, "record"));
                CHECK(to_hex(seal(sealer, plaintext)) == to_hex(recorded));
                CHECK(to_hex(box.seal(plaintext).value()) == to_hex(recorded));
                for (std::size_t i = 0; i < recorded.size(); ++i) {
                    Bytes damaged = recorded;
                    damaged[i] ^= std::byte{0x04};
                    RecordOpener fresh(key);
                    CHECK(code_of(open(fresh, damaged)) == noise::errc::not_authentic);
                    CHECK(code_of(box.open(damaged)) == noise::errc::not_authentic);
                    const ByteSpan cut = ByteSpan(recorded).first(i);
                    RecordOpener again(key);
                    const noise::errc expected = i < kRecordOverhead ? noise::errc::short_record
                                                                     : noise::errc::not_authentic;
                    CHECK(code_of(open(again, cut)) == expected);
                    CHECK(code_of(box.open(cut)) == expected);
                }
                CHECK(open(opener, recorded).value() == plaintext);
                CHECK(box.open(recorded).value() == plaintext);
            }
        }
    }
}

TEST_CASE("records: 5000 bytes become frames of 4096 and 956, as recorded") {
    for (const std::string file : {"noise_xk.json", "noise_kk.json"}) {
        const json::value v = test::vectors("dmsg/" + file);
        const json::value& recorded = v.at("fragmentation");
        REQUIRE(text(recorded, "direction") == "initiator->responder");
        const std::string name = text(v.at("split"), "initiator_encrypts_with");
        const CipherKey key = key_of(text(v.at("split"), name));
        RecordSealer sealer(key, json::value_to<std::uint64_t>(recorded.at("first_nonce")));
        const Bytes plaintext = counted_bytes(5000);
        Bytes frames(RecordSealer::sealed_frames_size(plaintext.size()));
        CHECK(sealer.seal_frames(plaintext, frames).value() == 4096 + 956);
        CHECK(to_hex(frames) == text(recorded, "bytes"));
        RecordOpener opener(key);
        const ByteSpan all(frames);
        Bytes opened = open(opener, all.subspan(2, 4094)).value();
        const Bytes rest = open(opener, all.subspan(4096 + 2)).value();
        opened.insert(opened.end(), rest.begin(), rest.end());
        CHECK(opened == plaintext);
    }
}

TEST_CASE("records: sizes of frames around the limits") {
    const auto size = &RecordSealer::sealed_frames_size;
    CHECK(size(0) == 0);
    CHECK(size(1) == 27);
    CHECK(size(kFramePlaintextMax) == 4096);
    CHECK(size(kFramePlaintextMax + 1) == 4096 + 27);
    CHECK(size(3 * kFramePlaintextMax) == 3 * 4096);
    RecordSealer sealer(test_keys().send);
    CHECK(sealer.seal_frames({}, {}).value() == 0);
}

TEST_CASE("records: sealing and opening in place") {
    const CipherKey key = test_keys().send;
    RecordOpener opener(key);
    RecordSealer sealer(key);
    RecordSealer twin(key);
    for (const std::size_t size : {0U, 1U, 100U, 1024U, 2047U, 4070U}) {
        const Bytes plaintext = counted_bytes(size);
        Bytes record(size + kRecordOverhead);
        std::copy(plaintext.begin(), plaintext.end(), record.begin() + 8);
        REQUIRE(sealer.seal(ByteSpan(record).subspan(8, size), record));
        CHECK(record == seal(twin, plaintext));
        REQUIRE(opener.open(record, std::span(record).subspan(8)).value() == size);
        CHECK(std::equal(plaintext.begin(), plaintext.end(), record.begin() + 8));
    }
}

TEST_CASE("records: a stream's nonces rise, gaps are allowed, an error is final") {
    const CipherKey key = test_keys().send;
    RecordOpener opener(key);
    CHECK(open(opener, record_at(key, 1)));
    CHECK(open(opener, record_at(key, 5)));
    CHECK(open(opener, record_at(key, 1'000'000)));
    CHECK(open(opener, record_at(key, kLast - 1)));
    CHECK(code_of(open(opener, record_at(key, kLast - 1))) == noise::errc::replayed_nonce);
    for (const std::uint64_t nonce : {0U, 1U, 4U, 5U}) {
        RecordOpener other(key);
        REQUIRE(open(other, record_at(key, 5)));
        CHECK(code_of(open(other, record_at(key, nonce))) == noise::errc::replayed_nonce);
        CHECK(code_of(open(other, record_at(key, 6))) == noise::errc::replayed_nonce);
    }
    RecordOpener zero(key);
    CHECK(code_of(open(zero, record_at(key, 0))) == noise::errc::replayed_nonce);
    RecordOpener forged(key);
    CHECK(code_of(open(forged, record_at(key, kLast))) == noise::errc::not_authentic);
    CHECK(code_of(open(forged, record_at(key, 1))) == noise::errc::not_authentic);
    RecordOpener cut(key);
    CHECK(code_of(open(cut, Bytes(kRecordOverhead - 1))) == noise::errc::short_record);
    CHECK(code_of(open(cut, record_at(key, 1))) == noise::errc::short_record);
}

TEST_CASE("records: the counter ends before it turns over") {
    const CipherKey key = test_keys().send;
    RecordSealer sealer(key, kLast - 2);
    Bytes frames(3 * 4096);
    CHECK(
        code_of(sealer.seal_frames(Bytes(3 * kFramePlaintextMax), frames)) ==
        noise::errc::nonces_exhausted
    );
    REQUIRE(sealer.seal_frames(Bytes(2 * kFramePlaintextMax), frames));
    CHECK(code_of(sealer.seal_frames(Bytes(1), frames)) == noise::errc::nonces_exhausted);
    Bytes record(kRecordOverhead);
    CHECK(code_of(sealer.seal({}, record)) == noise::errc::nonces_exhausted);
    ObjectBox box(test_keys(), kLast - 1);
    REQUIRE(box.seal({}));
    CHECK(code_of(box.seal({})) == noise::errc::nonces_exhausted);
    CHECK(code_of(box.seal({})) == noise::errc::nonces_exhausted);
}

TEST_CASE("objects: any order within the window, each once") {
    const TransportKeys keys = test_keys();
    ObjectBox box(swapped(keys));
    const auto open_at = [&](std::uint64_t nonce) {
        return code_of(box.open(record_at(keys.send, nonce)));
    };
    const ErrorCode fresh;
    CHECK(open_at(0) == noise::errc::replayed_nonce);
    CHECK(open_at(3) == fresh);
    CHECK(open_at(3) == noise::errc::replayed_nonce);
    CHECK(open_at(1) == fresh);
    CHECK(open_at(2) == fresh);
    CHECK(open_at(1) == noise::errc::replayed_nonce);
    CHECK(open_at(0) == noise::errc::replayed_nonce);
    // 1024 back is outside, 1023 is inside.
    CHECK(open_at(2000) == fresh);
    CHECK(open_at(2000 - 1024) == noise::errc::replayed_nonce);
    CHECK(open_at(2000 - 1023) == fresh);
    CHECK(open_at(2000 - 1023) == noise::errc::replayed_nonce);
    CHECK(open_at(2001) == fresh);
    CHECK(open_at(2001 - 1024) == noise::errc::replayed_nonce);
    CHECK(open_at(1999) == fresh);
    // A jump of exactly the window, and far ones.
    CHECK(open_at(2001 + 1024) == fresh);
    CHECK(open_at(2002) == fresh);
    CHECK(open_at(2001) == noise::errc::replayed_nonce);
    CHECK(open_at(kLast - 5) == fresh);
    CHECK(open_at(3025) == noise::errc::replayed_nonce);
    CHECK(open_at(kLast - 1) == fresh);
    CHECK(open_at(kLast - 2) == fresh);
    CHECK(open_at(kLast - 5) == noise::errc::replayed_nonce);
    CHECK(open_at(kLast - 1024) == fresh);
    CHECK(open_at(kLast - 1025) == noise::errc::replayed_nonce);
}

TEST_CASE("objects: the very last nonce, which an honest peer never uses, harms nothing") {
    const TransportKeys keys = test_keys();
    ObjectBox box(swapped(keys));
    CHECK(code_of(box.open(record_at(keys.send, kLast))) == noise::errc::not_authentic);
    CHECK(box.open(record_at(keys.send, 1)));
    crypto::Aead cipher(keys.send.bytes());
    Bytes last(kRecordOverhead, std::byte{0xff});
    cipher.seal({kLast, {}}, std::span(last).subspan(8));
    CHECK(box.open(last));
    CHECK(code_of(box.open(last)) == noise::errc::replayed_nonce);
    CHECK(code_of(box.open(record_at(keys.send, 2))) == noise::errc::replayed_nonce);
    CHECK(box.open(record_at(keys.send, kLast - 1023)));
    RecordOpener opener(keys.send);
    CHECK(open(opener, last));
    CHECK(code_of(open(opener, last)) == noise::errc::replayed_nonce);
}

TEST_CASE("objects: a forged record does not move the window") {
    const TransportKeys keys = test_keys();
    ObjectBox box(swapped(keys));
    Bytes forged = record_at(keys.send, 5000);
    forged.back() ^= std::byte{1};
    CHECK(code_of(box.open(forged)) == noise::errc::not_authentic);
    CHECK(box.open(record_at(keys.send, 1)));
    CHECK(box.open(record_at(keys.send, 5000)));
    CHECK(code_of(box.open(Bytes(23))) == noise::errc::short_record);
    CHECK(code_of(box.open({})) == noise::errc::short_record);
}

TEST_CASE("objects: the window against a plain list of what was seen") {
    const TransportKeys keys = test_keys();
    ObjectBox box(swapped(keys));
    SeededRandom random(11);
    std::set<std::uint64_t> seen;
    std::uint64_t highest = 0;
    for (int i = 0; i < 20'000; ++i) {
        const std::uint64_t back = random.below(1500);
        std::uint64_t nonce = highest > back ? highest - back : random.below(4);
        if (random.below(8) == 0) nonce = highest + random.below(random.below(40) == 0 ? 3000 : 40);
        const bool fresh =
            nonce != 0 && !seen.contains(nonce) && (nonce > highest || highest - nonce < 1024);
        REQUIRE(box.open(record_at(keys.send, nonce)).has_value() == fresh);
        if (!fresh) continue;
        seen.insert(nonce);
        highest = std::max(highest, nonce);
    }
    CHECK(seen.size() > 1000);
}

TEST_CASE("records: random sizes, both directions, and boxes of both ends") {
    const TransportKeys keys = test_keys();
    SeededRandom random(3);
    RecordSealer sealer(keys.send);
    RecordOpener opener(keys.send);
    ObjectBox ours(keys);
    ObjectBox theirs(swapped(keys));
    for (int i = 0; i < 300; ++i) {
        Bytes plaintext(random.below(i % 10 == 0 ? 70'000 : 5000));
        random.fill(plaintext);
        CHECK(open(opener, seal(sealer, plaintext)).value() == plaintext);
        CHECK(theirs.open(ours.seal(plaintext).value()).value() == plaintext);
        CHECK(ours.open(theirs.seal(plaintext).value()).value() == plaintext);
    }
    CHECK(code_of(ours.open(ours.seal({}).value())) == noise::errc::not_authentic);
}
