#pragma once

#include "base/result.hpp"
#include "crypto/keys.hpp"
#include "dmsg/detail/json_reader.hpp"
#include "dmsg/error.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Discovery entries: who can be reached, and through which servers. JSON, signed by the key it
/// speaks of. Format and rules: spec/dmsg.md section 11; nothing here does I/O or asks the clock.
namespace skywire::dmsg {

/// A client's part of an entry.
struct ClientInfo {
    /// The servers it can be reached through. Nothing (never set) and none at all are two texts:
    /// `null` and `[]`.
    std::optional<std::vector<crypto::PublicKey>> delegated_servers;

    bool operator==(const ClientInfo&) const = default;
};

/// A server's part of an entry. Empty texts are left out, but for `address`.
struct ServerInfo {
    std::string address;
    std::string address_v6;
    std::string address_udp;
    std::string address_udp_v6;
    std::string address_ws;
    std::int64_t available_sessions = 0;
    /// "official" or "community" once registered; a server that registers puts the pass phrase
    /// here.
    std::string server_type;

    bool operator==(const ServerInfo&) const = default;
};

/// The members of all vintages, in the order of the text.
struct Entry {
    std::string version;
    std::uint64_t sequence = 0;
    /// Nanoseconds since 1970.
    std::int64_t timestamp = 0;
    /// The member "static": whose entry this is.
    crypto::PublicKey static_key;
    std::optional<ClientInfo> client;
    /// "visor" for visors.
    std::string client_type;
    std::optional<ServerInfo> server;
    /// 130 hex digits as received; not checked when it is read.
    std::string signature;
    /// Of a client the multiplexer ("", "yamux", "smux"), of a server "quic" where it has that.
    std::string protocol;

    bool operator==(const Entry&) const = default;
};

inline constexpr std::string_view kEntryVersion = "0.0.1";
inline constexpr std::string_view kVisorClientType = "visor";

/// The compact text in the order above, signature included where there is one.
std::string to_json(const Entry& entry);

/// The text whose SHA-256 is signed: the same without the signature.
std::string signed_text(const Entry& entry);

/// Signs and sets `signature`.
void sign_entry(Entry& entry, const crypto::SecretKey& secret_key);

/// Success where the signature is the static key's over the members known here; errc::
/// invalid_signature. Do not ask this of a server entry read from a discovery: it has changed
/// serverType, and nobody verifies what a discovery hands out.
[[nodiscard]] Result<> verify_entry(const Entry& entry);

/// An entry together with the text it came in, whose bytes are what was signed.
class ReceivedEntry {
 public:
    /// Reads one JSON value as the network's decoder does: any order of members, any letter case of
    /// their names, the last of duplicates wins, null leaves a member as it is, text behind the
    /// value is ignored. Members nobody here knows are kept. A wrong type, a number that does not
    /// fit and a malformed key are errc::unexpected, with the place in `message()`.
    static Result<ReceivedEntry> parse(std::string text);

    const Entry& entry() const noexcept { return entry_; }

    /// Verifies over the received text with the signature cut out, so that members of vintages to
    /// come are covered; then, for texts in another order or with white space, as verify_entry
    /// does. errc::invalid_signature. About 45 us; twice that for a text in another form.
    [[nodiscard]] Result<> verify() const;

    /// What to store and to hand out: the received text where it is compact and in order, else the
    /// known members anew and the unknown ones behind them.
    std::string stored_text() const;

    /// The same with serverType set to `server_type`, for the entry of a server. It then no longer
    /// fits its signature.
    std::string stored_text(std::string_view server_type) const;

 private:
    using Range = detail::Range;

    class Parser;

    std::string_view part(Range range) const noexcept {
        return std::string_view(text_).substr(range.begin, range.end - range.begin);
    }
    std::string rebuilt(const Entry& entry) const;

    Entry entry_;
    std::string text_;
    /// The value within the text, and in it the signature member with the comma before it.
    Range value_;
    Range signature_;
    /// Where serverType's value stands, or (empty) where the member would be put in.
    Range server_type_;
    /// Members without a known name: of the entry, of its client, of its server.
    std::vector<Range> unknown_;
    std::vector<Range> unknown_of_client_;
    std::vector<Range> unknown_of_server_;
    /// Compact, known names spelt exactly and in order, each once.
    bool in_order_ = true;
};

}  // namespace skywire::dmsg
