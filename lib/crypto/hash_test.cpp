#include "crypto/hash.hpp"

#include "base/test.hpp"

using namespace skywire;
using crypto::Digest;

TEST_CASE("sha256: known answers") {
    CHECK(
        to_hex(crypto::sha256(ByteSpan())) ==
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    CHECK(
        to_hex(crypto::sha256(as_bytes("abc"))) ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

TEST_CASE("sha256: pieces and steps give the value of the whole") {
    const std::string text(1000, 'x');
    const Digest whole = crypto::sha256(as_bytes(text));
    crypto::Sha256 hash;
    for (std::size_t cut = 0; cut <= text.size(); cut += 37) {
        const ByteSpan front = as_bytes(text).first(cut);
        const ByteSpan back = as_bytes(text).subspan(cut);
        CHECK(crypto::sha256({front, back}) == whole);
        hash.update(front);
        hash.update(back);
        CHECK(hash.finish() == whole);
    }
    CHECK(hash.finish() == crypto::sha256(ByteSpan()));
}

TEST_CASE("hmac-sha256: cases of RFC 4231") {
    CHECK(
        to_hex(crypto::hmac_sha256(Bytes(20, std::byte{0x0b}), {as_bytes("Hi There")})) ==
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    );
    CHECK(
        to_hex(crypto::hmac_sha256(
            as_bytes("Jefe"), {as_bytes("what do ya want "), as_bytes("for nothing?")}
        )) == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
    CHECK(
        to_hex(crypto::hmac_sha256(
            Bytes(131, std::byte{0xaa}),
            {as_bytes("Test Using Larger Than Block-Size Key - Hash Key First")}
        )) == "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    );
}

TEST_CASE("hkdf-sha256: cases of RFC 5869") {
    const Bytes key(22, std::byte{0x0b});
    Bytes out(42);
    const Bytes salt = test::hex("000102030405060708090a0b0c");
    const Bytes info = test::hex("f0f1f2f3f4f5f6f7f8f9");
    crypto::hkdf_sha256({salt, key, info}, out);
    CHECK(
        to_hex(out) ==
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    );
    crypto::hkdf_sha256({{}, key, {}}, out);
    CHECK(
        to_hex(out) ==
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    );
    Bytes longest(255 * 32);
    crypto::hkdf_sha256({{}, key, {}}, longest);
    CHECK(std::equal(out.begin(), out.end(), longest.begin()));
}

TEST_CASE("wipe: nothing is left") {
    Bytes bytes(9, std::byte{7});
    crypto::wipe(bytes);
    CHECK(bytes == Bytes(9));
    crypto::wipe({});
}
