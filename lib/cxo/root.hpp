#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "crypto/keys.hpp"
#include "crypto/signature.hpp"
#include "cxo/object.hpp"

#include <cstdint>

namespace skywire::cxo {

/// The signed head of a feed: which tree it has now. spec/cxo.md section 3.2. Feeds of the network
/// have one reference, to a directory, and no descriptor: 193 bytes.
struct Root {
    /// The directory object.
    Hash tree = kNil;
    crypto::PublicKey feed;
    /// The chain of Roots this is one of; not 0. A publisher that lost its state begins another.
    std::uint64_t nonce = 0;
    /// 0 for the first of a chain.
    std::uint64_t seq = 0;
    /// Unix time in ns; not 0.
    std::int64_t time = 0;
    /// Hash of the Root before, nil where seq is 0.
    Hash previous = kNil;

    friend bool operator==(const Root&, const Root&) = default;
};

/// A Root as it travels: what a message says of it, its bytes, and the signature over their hash.
struct SignedRoot {
    crypto::PublicKey feed;
    std::uint64_t nonce = 0;
    std::uint64_t seq = 0;
    Bytes value;
    crypto::Signature signature;

    friend bool operator==(const SignedRoot&, const SignedRoot&) = default;
};

Bytes encode(const Root& root);

/// Only what such feeds have: another registry, schema, number of references or a descriptor is
/// errc::unsupported; zero nonce or time, a previous that does not fit seq: errc::malformed.
Result<Root> decode_root(ByteSpan bytes);

/// Hash of the Root's bytes, which its successor names.
Hash hash_of(const SignedRoot& root);

SignedRoot sign(const Root& root, const crypto::KeyPair& keys);

/// The Root inside, once everything is right: signed by `feed`, whose Root it is (a publisher may
/// otherwise file its Root under another's feed, section 6 rule 8), with the same nonce and seq.
/// errc::malformed, unsupported, forbidden (filed under another feed), and those of
/// crypto::verify_digest. Costs about 42 us; the cheap checks come first.
Result<Root> check(const SignedRoot& root);

/// True where `next` supersedes `last`: a higher seq of its chain, or another chain that is newer.
bool supersedes(const Root& next, const Root& last) noexcept;

}  // namespace skywire::cxo
