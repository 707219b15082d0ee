#include "transport/entry.hpp"

#include "crypto/hash.hpp"

#include <fmt/format.h>

namespace skywire::transport {
namespace {

Bytes edges_and_type(ByteSpan first, const Edges& edges, std::string_view type) {
    Bytes bytes;
    bytes.reserve(first.size() + 2 * crypto::PublicKey::kSize + type.size());
    bytes.insert(bytes.end(), first.begin(), first.end());
    for (const crypto::PublicKey& edge : edges)
        bytes.insert(bytes.end(), edge.bytes().begin(), edge.bytes().end());
    const ByteSpan text = as_bytes(type);
    bytes.insert(bytes.end(), text.begin(), text.end());
    return bytes;
}

TransportId id_of_sorted(const Edges& edges, std::string_view type) {
    constexpr std::array<std::byte, 16> kNoId{};
    const crypto::Digest digest = crypto::sha256(edges_and_type(kNoId, edges, type));
    TransportId id;
    std::memcpy(id.bytes.data(), digest.data(), id.bytes.size());
    id.bytes[6] &= std::byte{0x0f};
    id.bytes[8] = (id.bytes[8] & std::byte{0x3f}) | std::byte{0x80};
    return id;
}

}  // namespace

Edges sorted_edges(const crypto::PublicKey& a, const crypto::PublicKey& b) {
    return b < a ? Edges{b, a} : Edges{a, b};
}

TransportId id_of(const crypto::PublicKey& a, const crypto::PublicKey& b, std::string_view type) {
    return id_of_sorted(sorted_edges(a, b), type);
}

Entry make_entry(
    const crypto::PublicKey& a,
    const crypto::PublicKey& b,
    std::string_view type,
    std::string_view label
) {
    Entry entry;
    entry.edges = sorted_edges(a, b);
    entry.id = id_of_sorted(entry.edges, type);
    entry.type = type;
    entry.label = label;
    return entry;
}

Result<> check_entry(const Entry& entry) {
    if (entry.type.size() > kTypeSizeMax || entry.label.size() > kLabelSizeMax)
        return Error(errc::too_long);
    if (entry.edges[0].is_null() || entry.edges[1] < entry.edges[0])
        return Error(errc::wrong_edges);
    if (entry.id != id_of_sorted(entry.edges, entry.type)) return Error(errc::wrong_id);
    return {};
}

Bytes canonical_bytes(const Entry& entry) {
    return edges_and_type(entry.id.bytes, entry.edges, entry.type);
}

Result<> sign_entry(SignedEntry& entry, const crypto::KeyPair& keys) {
    if (!entry.entry.has_edge(keys.public_key)) return Error(errc::not_an_edge);
    const auto signature = crypto::sign(keys.secret_key, canonical_bytes(entry.entry));
    entry.signatures[entry.entry.edges[0] == keys.public_key ? 0 : 1] = signature;
    return {};
}

Result<> verify_entry(const SignedEntry& entry, bool both) {
    const crypto::Digest digest = crypto::sha256(canonical_bytes(entry.entry));
    for (std::size_t i = 0; i < entry.signatures.size(); ++i) {
        if (entry.signatures[i] == crypto::Signature()) {
            const bool signed_once = i == 1 && entry.entry.to_self();
            if (both && !signed_once) return Error(errc::no_signature);
        } else if (!crypto::verify_digest(entry.entry.edges[i], digest, entry.signatures[i])) {
            return Error(errc::wrong_signature);
        }
    }
    return {};
}

}  // namespace skywire::transport
