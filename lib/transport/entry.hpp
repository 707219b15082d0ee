#pragma once

#include "base/json.hpp"
#include "crypto/keys.hpp"
#include "crypto/signature.hpp"
#include "transport/error.hpp"
#include "transport/id.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What two visors say of the transport between them, and how they sign it. Nothing here does I/O.
/// Formats: spec/services-http.md section 3.
namespace skywire::transport {

/// The types that visors make. Others are stored and listed all the same.
inline constexpr std::string_view kStcp = "stcp";
inline constexpr std::string_view kStcpr = "stcpr";
inline constexpr std::string_view kSudph = "sudph";
inline constexpr std::string_view kDmsg = "dmsg";
inline constexpr std::string_view kSquicr = "squicr";
inline constexpr std::string_view kWs = "ws";
inline constexpr std::string_view kWt = "wt";
inline constexpr std::string_view kWebrtc = "webrtc";

/// Who made a transport.
inline constexpr std::string_view kLabelUser = "user";
inline constexpr std::string_view kLabelAutomatic = "automatic";
inline constexpr std::string_view kLabelSkycoin = "skycoin";
/// Made for a route's set-up only; route-finders pass it over.
inline constexpr std::string_view kLabelSetup = "setup";

inline constexpr std::size_t kTypeSizeMax = 32;
inline constexpr std::size_t kLabelSizeMax = 64;

/// The two ends, the smaller key first; the same key twice is a transport to oneself.
using Edges = std::array<crypto::PublicKey, 2>;

Edges sorted_edges(const crypto::PublicKey& a, const crypto::PublicKey& b);

struct Entry {
    TransportId id;
    Edges edges;
    std::string type;
    std::string label;

    bool has_edge(const crypto::PublicKey& key) const noexcept {
        return edges[0] == key || edges[1] == key;
    }
    bool to_self() const noexcept { return edges[0] == edges[1]; }

    bool operator==(const Entry&) const = default;
};

/// The id of these edges, in whatever order they are given, and this type.
TransportId id_of(const crypto::PublicKey& a, const crypto::PublicKey& b, std::string_view type);

/// An entry with its id computed and its edges sorted.
Entry make_entry(
    const crypto::PublicKey& a,
    const crypto::PublicKey& b,
    std::string_view type,
    std::string_view label
);

/// Success where id and edges are as make_entry computes them, no key is null and the texts are of
/// a size that is kept: errc::wrong_edges, wrong_id, too_long.
[[nodiscard]] Result<> check_entry(const Entry& entry);

/// What is signed: id, edges, type. The label is not covered.
Bytes canonical_bytes(const Entry& entry);

struct SignedEntry {
    Entry entry;
    /// In order of the edges; 65 zero bytes where there is none.
    std::array<crypto::Signature, 2> signatures;
    /// Unix time as the registrar has set it; 0 is left out of the JSON.
    std::int64_t registered = 0;
    /// Version of the visor that sent it, of some vintages; read only.
    std::string version;

    bool operator==(const SignedEntry&) const = default;
};

/// Sets the slot of this key, of a transport to oneself the first. errc::not_an_edge.
[[nodiscard]] Result<> sign_entry(SignedEntry& entry, const crypto::KeyPair& keys);

/// Success where no slot holds a wrong signature; errc::wrong_signature. With `both` every slot has
/// to hold one, of a transport to oneself the first: errc::no_signature. About 45 us for each slot
/// that is set.
[[nodiscard]] Result<> verify_entry(const SignedEntry& entry, bool both);

/// Appends the JSON in the order of members of the network: t_id, edges, type, label.
void append_json(std::string& out, const Entry& entry, JsonEscape escape);
/// entry, signatures, registered.
void append_json(std::string& out, const SignedEntry& entry, JsonEscape escape);
std::string to_json(const Entry& entry);
std::string to_json(const SignedEntry& entry);

/// Reads as the network's decoder does: members in any order and any letter case of their names,
/// unknown ones passed over, null and absence leave a member empty, a third edge or signature is
/// passed over. errc::json_type.
Result<Entry> entry_of(const json::value& value);
Result<SignedEntry> signed_entry_of(const json::value& value);

/// A whole body, nothing behind it; no list for `null`. errc::json_syntax, json_type; the sentence
/// is the network's decoder's where peers are known to see it.
Result<std::optional<std::vector<Entry>>> parse_entries(std::string_view body);
Result<std::optional<std::vector<SignedEntry>>> parse_signed_entries(std::string_view body);

/// The body as JSON, with the decoder's sentence for what is none. errc::json_syntax.
Result<json::value> parse_body(std::string_view body);

/// What the value is called in the decoder's sentences: "object", "number".
std::string_view kind_name(const json::value& value) noexcept;

}  // namespace skywire::transport
