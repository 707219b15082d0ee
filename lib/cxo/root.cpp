#include "cxo/root.hpp"

#include "cxo/detail/encoding.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace skywire::cxo {
namespace {

constexpr std::size_t kRootSize = 193;

/// A Root whose feed key is not looked at yet: that costs a square root.
struct Parsed {
    Root root;
    ByteSpan feed;
};

Result<Parsed> parse(ByteSpan bytes) {
    detail::Reader reader(bytes);
    Parsed parsed;
    Root& root = parsed.root;
    const auto references = reader.number<std::uint32_t>();
    // The first one, if there are any; the others' place is found by the count.
    if (references > reader.rest().size() / (2 * sizeof(Hash)))
        return fail(errc::malformed, "a Root that ends within its references");
    detail::Reader first(reader.bytes(references * 2 * sizeof(Hash)));
    const ByteSpan descriptor = reader.counted();
    const Hash schemas = reader.array<sizeof(Hash)>();
    parsed.feed = reader.bytes(crypto::PublicKey::kSize);
    root.nonce = reader.number<std::uint64_t>();
    root.seq = reader.number<std::uint64_t>();
    root.time = static_cast<std::int64_t>(reader.number<std::uint64_t>());
    root.previous = reader.array<sizeof(Hash)>();
    if (!reader.done()) return fail(errc::malformed, "a Root whose lengths do not fit");
    if (root.nonce == 0 || root.time == 0)
        return fail(errc::malformed, "a Root without a nonce or a time");
    if ((root.seq == 0) != (root.previous == kNil))
        return fail(errc::malformed, "a Root whose previous one does not fit its number");
    if (references != 1)
        return fail(errc::unsupported, fmt::format("a Root with {} references", references));
    root.tree = first.array<sizeof(Hash)>();
    if (first.array<sizeof(Hash)>() != node_schema())
        return fail(errc::unsupported, "a Root that is not of a directory");
    if (!descriptor.empty()) return fail(errc::unsupported, "a Root with a descriptor");
    if (schemas != registry_hash()) return fail(errc::unsupported, "a Root with other schemas");
    if (root.tree == kNil) return fail(errc::malformed, "a Root of no directory");
    return parsed;
}

}  // namespace

Bytes encode(const Root& root) {
    detail::Writer writer(kRootSize);
    writer.number(std::uint32_t{1});
    writer.bytes(root.tree);
    writer.bytes(node_schema());
    writer.counted(ByteSpan());
    writer.bytes(registry_hash());
    writer.bytes(root.feed.bytes());
    writer.number(root.nonce);
    writer.number(root.seq);
    writer.number(static_cast<std::uint64_t>(root.time));
    writer.bytes(root.previous);
    return writer.take();
}

Result<Root> decode_root(ByteSpan bytes) {
    auto parsed = parse(bytes);
    if (!parsed) return parsed.error();
    const auto feed = crypto::PublicKey::from_bytes(parsed->feed);
    if (!feed) return fail(errc::malformed, "a Root whose feed is not a key");
    parsed->root.feed = *feed;
    return parsed->root;
}

Hash hash_of(const SignedRoot& root) {
    return crypto::sha256(root.value);
}

SignedRoot sign(const Root& root, const crypto::KeyPair& keys) {
    SignedRoot made;
    made.feed = root.feed;
    made.nonce = root.nonce;
    made.seq = root.seq;
    made.value = encode(root);
    made.signature = crypto::sign_digest(keys.secret_key, hash_of(made)).value();
    return made;
}

Result<Root> check(const SignedRoot& root) {
    if (root.feed.is_null()) return fail(errc::malformed, "a Root of no feed");
    auto parsed = parse(root.value);
    if (!parsed) return parsed.error();
    if (!std::ranges::equal(parsed->feed, root.feed.bytes()))
        return fail(errc::forbidden, "a Root of another feed");
    if (parsed->root.nonce != root.nonce || parsed->root.seq != root.seq)
        return fail(errc::malformed, "a Root with another number than its message says");
    if (auto verified = crypto::verify_digest(root.feed, hash_of(root), root.signature); !verified)
        return verified.error().within("a Root");
    parsed->root.feed = root.feed;
    return parsed->root;
}

bool supersedes(const Root& next, const Root& last) noexcept {
    return next.nonce == last.nonce ? next.seq > last.seq : next.time > last.time;
}

}  // namespace skywire::cxo
