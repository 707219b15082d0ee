#include "dmsg/entry.hpp"

#include "base/json.hpp"
#include "crypto/hash.hpp"
#include "crypto/signature.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace skywire::dmsg {
namespace {

using detail::JsonArray;
using detail::JsonObject;
using detail::JsonReader;

/// Writes members with commas between them.
class ObjectWriter {
 public:
    explicit ObjectWriter(std::string& out) : out_(out) { out_ += '{'; }

    void name(std::string_view name) {
        comma();
        out_ += '"';
        out_ += name;
        out_ += "\":";
    }
    void text(std::string_view member, std::string_view value) {
        name(member);
        append_json_string(out_, value, JsonEscape::plain);
    }
    void text_unless_empty(std::string_view member, std::string_view value) {
        if (!value.empty()) text(member, value);
    }
    template <class Number>
    void number(std::string_view member, Number value) {
        name(member);
        fmt::format_to(std::back_inserter(out_), "{}", value);
    }
    /// A member with its name, as it stood in some text.
    void as_received(std::string_view member) {
        comma();
        out_ += member;
    }
    void end() { out_ += '}'; }

 private:
    void comma() {
        if (!first_) out_ += ',';
        first_ = false;
    }

    std::string& out_;
    bool first_ = true;
};

/// Members of other vintages, to be written behind the known ones.
struct Unknown {
    std::vector<std::string_view> of_entry;
    std::vector<std::string_view> of_client;
    std::vector<std::string_view> of_server;
};

void append_client(
    std::string& out, const ClientInfo& client, const std::vector<std::string_view>& unknown
) {
    ObjectWriter object(out);
    object.name("delegated_servers");
    if (client.delegated_servers) {
        out += '[';
        for (const crypto::PublicKey& key : *client.delegated_servers) {
            if (out.back() != '[') out += ',';
            out += '"';
            out += key.to_text();
            out += '"';
        }
        out += ']';
    } else {
        out += "null";
    }
    for (const std::string_view member : unknown)
        object.as_received(member);
    object.end();
}

void append_server(
    std::string& out, const ServerInfo& server, const std::vector<std::string_view>& unknown
) {
    ObjectWriter object(out);
    object.text("address", server.address);
    object.text_unless_empty("address_v6", server.address_v6);
    object.text_unless_empty("address_udp", server.address_udp);
    object.text_unless_empty("address_udp_v6", server.address_udp_v6);
    object.text_unless_empty("address_ws", server.address_ws);
    object.number("availableSessions", server.available_sessions);
    object.text_unless_empty("serverType", server.server_type);
    for (const std::string_view member : unknown)
        object.as_received(member);
    object.end();
}

std::string write(const Entry& entry, std::string_view signature, const Unknown& unknown) {
    std::string out;
    out.reserve(512);
    ObjectWriter object(out);
    object.text("version", entry.version);
    object.number("sequence", entry.sequence);
    object.number("timestamp", entry.timestamp);
    object.text("static", entry.static_key.to_text());
    if (entry.client) {
        object.name("client");
        append_client(out, *entry.client, unknown.of_client);
    }
    object.text_unless_empty("client_type", entry.client_type);
    if (entry.server) {
        object.name("server");
        append_server(out, *entry.server, unknown.of_server);
    }
    object.text_unless_empty("signature", signature);
    object.text_unless_empty("protocol", entry.protocol);
    for (const std::string_view member : unknown.of_entry)
        object.as_received(member);
    object.end();
    return out;
}

Result<> check_signature(const Entry& entry, const crypto::Digest& digest) {
    const auto signature = crypto::Signature::from_text(entry.signature);
    if (!signature) return Error(errc::invalid_signature);
    if (!crypto::verify_digest(entry.static_key, digest, *signature)) {
        return Error(errc::invalid_signature);
    }
    return {};
}

}  // namespace

std::string to_json(const Entry& entry) {
    return write(entry, entry.signature, {});
}

std::string signed_text(const Entry& entry) {
    return write(entry, "", {});
}

void sign_entry(Entry& entry, const crypto::SecretKey& secret_key) {
    entry.signature = crypto::sign(secret_key, as_bytes(signed_text(entry))).to_text();
}

Result<> verify_entry(const Entry& entry) {
    return check_signature(entry, crypto::sha256(as_bytes(signed_text(entry))));
}

/// Fills a ReceivedEntry. Every function reads one value and is false after a failure.
class ReceivedEntry::Parser {
 public:
    explicit Parser(ReceivedEntry& into) : into_(into), reader_(into.text_) {}

    Result<> run() {
        into_.value_.begin = reader_.position();
        if (!reader_.null() && !read_entry()) return reader_.error();
        into_.value_.end = reader_.end();
        if (reader_.spaced() || reader_.repaired()) into_.in_order_ = false;
        return {};
    }

 private:
    /// One object's known names in the order of the text; tells which one a member is.
    template <std::size_t N>
    class Names {
     public:
        Names(const std::array<std::string_view, N>& names, bool& in_order)
            : names_(names), in_order_(in_order) {}

        /// The index of the member's name, N for an unknown one.
        std::size_t find(const JsonObject& object) {
            for (std::size_t i = 0; i < N; ++i) {
                if (!object.named(names_[i])) continue;
                if (i < next_ || !object.named_exactly(names_[i])) in_order_ = false;
                next_ = i + 1;
                return i;
            }
            return N;
        }

     private:
        const std::array<std::string_view, N>& names_;
        bool& in_order_;
        std::size_t next_ = 0;
    };

    bool read_entry() {
        static constexpr std::array<std::string_view, 9> kNames{
            "version",
            "sequence",
            "timestamp",
            "static",
            "client",
            "client_type",
            "server",
            "signature",
            "protocol"
        };
        Entry& entry = into_.entry_;
        Names names(kNames, into_.in_order_);
        JsonObject object(reader_);
        while (object.next()) {
            switch (names.find(object)) {
                case 0:
                    text(entry.version);
                    break;
                case 1:
                    number(entry.sequence);
                    break;
                case 2:
                    number(entry.timestamp);
                    break;
                case 3:
                    key(entry.static_key);
                    break;
                case 4:
                    read_client();
                    break;
                case 5:
                    text(entry.client_type);
                    break;
                case 6:
                    read_server();
                    break;
                case 7:
                    text(entry.signature);
                    into_.signature_ = {object.begin(), reader_.end()};
                    break;
                case 8:
                    text(entry.protocol);
                    break;
                default:
                    keep(object, into_.unknown_);
            }
        }
        return reader_.ok();
    }

    void read_client() {
        static constexpr std::array<std::string_view, 1> kNames{"delegated_servers"};
        std::optional<ClientInfo>& client = into_.entry_.client;
        if (absent()) return client.reset();
        if (!client) client.emplace();
        Names names(kNames, into_.in_order_);
        JsonObject object(reader_);
        while (object.next()) {
            if (names.find(object) == 0) {
                read_delegated_servers(client->delegated_servers);
            } else {
                keep(object, into_.unknown_of_client_);
            }
        }
    }

    void read_delegated_servers(std::optional<std::vector<crypto::PublicKey>>& servers) {
        if (reader_.null()) return servers.reset();
        servers.emplace();
        JsonArray array(reader_);
        while (array.next()) {
            servers->emplace_back();
            key(servers->back());
        }
    }

    void read_server() {
        static constexpr std::array<std::string_view, 7> kNames{
            "address",
            "address_v6",
            "address_udp",
            "address_udp_v6",
            "address_ws",
            "availableSessions",
            "serverType"
        };
        std::optional<ServerInfo>& server = into_.entry_.server;
        if (absent()) return server.reset();
        if (!server) server.emplace();
        Names names(kNames, into_.in_order_);
        JsonObject object(reader_);
        while (object.next()) {
            switch (names.find(object)) {
                case 0:
                    text(server->address);
                    break;
                case 1:
                    text(server->address_v6);
                    break;
                case 2:
                    text(server->address_udp);
                    break;
                case 3:
                    text(server->address_udp_v6);
                    break;
                case 4:
                    text(server->address_ws);
                    break;
                case 5:
                    number(server->available_sessions);
                    into_.server_type_ = {reader_.end(), reader_.end()};
                    break;
                case 6: {
                    const std::size_t begin = reader_.position();
                    text(server->server_type);
                    into_.server_type_ = {begin, reader_.end()};
                    break;
                }
                default:
                    keep(object, into_.unknown_of_server_);
            }
        }
        // A text in order but without this member has no place for serverType behind it.
        if (into_.server_type_.begin == 0) into_.in_order_ = false;
    }

    /// Reads a null in place of a member's value, which no writer of the network puts there.
    bool absent() {
        if (!reader_.null()) return false;
        into_.in_order_ = false;
        return true;
    }

    void text(std::string& into) {
        if (!absent()) reader_.string(into);
    }

    template <class Number>
    void number(Number& into) {
        if (!absent()) reader_.number(into);
    }

    void key(crypto::PublicKey& into) {
        if (absent() || !reader_.string(buffer_)) return;
        const auto key = crypto::PublicKey::from_text(buffer_);
        if (!key) {
            reader_.fail(
                key.error() == make_error_code(crypto::errc::invalid_public_key_length)
                    ? "Invalid public key length"
                    : "Invalid public key"
            );
            return;
        }
        into = *key;
        // Upper case and short null keys are written back in the one usual form.
        const bool usual = buffer_.size() == crypto::PublicKey::kTextSize &&
                           std::none_of(buffer_.begin(), buffer_.end(), [](char c) {
                               return c <= 'F' && c >= 'A';
                           });
        if (!usual) into_.in_order_ = false;
    }

    void keep(const JsonObject& object, std::vector<Range>& unknown) {
        const std::size_t begin = object.name_begin();
        if (reader_.skip()) unknown.push_back({begin, reader_.end()});
    }

    ReceivedEntry& into_;
    JsonReader reader_;
    std::string buffer_;
};

Result<ReceivedEntry> ReceivedEntry::parse(std::string text) {
    ReceivedEntry received;
    received.text_ = std::move(text);
    const auto read = Parser(received).run();
    if (!read) return read.error();
    return received;
}

Result<> ReceivedEntry::verify() const {
    const std::string_view front = part({value_.begin, signature_.begin});
    const std::string_view back = part({signature_.end, value_.end});
    const crypto::Digest cut = crypto::sha256({as_bytes(front), as_bytes(back)});
    if (check_signature(entry_, cut)) return {};
    const crypto::Digest known = crypto::sha256(as_bytes(signed_text(entry_)));
    // The usual refusal: all members known and in order, so both texts are the same.
    if (known == cut) return Error(errc::invalid_signature);
    return check_signature(entry_, known);
}

std::string ReceivedEntry::rebuilt(const Entry& entry) const {
    Unknown unknown;
    for (const Range range : unknown_)
        unknown.of_entry.push_back(part(range));
    for (const Range range : unknown_of_client_)
        unknown.of_client.push_back(part(range));
    for (const Range range : unknown_of_server_)
        unknown.of_server.push_back(part(range));
    return write(entry, entry.signature, unknown);
}

std::string ReceivedEntry::stored_text() const {
    return in_order_ ? std::string(part(value_)) : rebuilt(entry_);
}

std::string ReceivedEntry::stored_text(std::string_view server_type) const {
    if (!entry_.server) return stored_text();
    if (!in_order_) {
        Entry changed = entry_;
        changed.server->server_type = server_type;
        return rebuilt(changed);
    }
    std::string out(part({value_.begin, server_type_.begin}));
    if (server_type_.empty()) out += ",\"serverType\":";
    append_json_string(out, server_type, JsonEscape::plain);
    out += part({server_type_.end, value_.end});
    return out;
}

}  // namespace skywire::dmsg
