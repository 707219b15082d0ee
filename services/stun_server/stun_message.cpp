#include "services/stun_server/stun_message.hpp"

#include "base/assert.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace skywire::stun {
namespace {

constexpr std::size_t kHeaderSize = 20;
constexpr std::size_t kAttributeHeaderSize = 4;
constexpr std::size_t kFingerprintSize = 8;
constexpr std::uint32_t kMagicCookie = 0x2112a442;
constexpr std::uint32_t kFingerprintMask = 0x5354554e;
constexpr std::byte kChangeIp{0x04};
constexpr std::byte kChangePort{0x02};
constexpr std::byte kIpv4{0x01};
constexpr std::string_view kServerSoftware = "skywire-stun";
// The padding is part of the value: clients of the network count it in.
constexpr std::string_view kClientSoftware{"StunClient\0\0", 12};

enum Type : std::uint16_t {
    kBindingRequest = 0x0001,
    kBindingResponse = 0x0101,
};

enum Attribute : std::uint16_t {
    kMappedAddress = 0x0001,
    kChangeRequest = 0x0003,
    kSourceAddress = 0x0004,
    kChangedAddress = 0x0005,
    kXorMappedAddress = 0x0020,
    kSoftware = 0x8022,
    kFingerprint = 0x8028,
    kResponseOrigin = 0x802b,
    kOtherAddress = 0x802c,
};

class StunCategory final : public boost::system::error_category {
 public:
    const char* name() const noexcept override { return "skywire.stun"; }

    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::ok:
                return "ok";
            case errc::too_short:
                return "datagram is shorter than a STUN header";
            case errc::wrong_type:
                return "STUN message is of another type";
            case errc::wrong_length:
                return "STUN length runs past the datagram";
            case errc::wrong_fingerprint:
                return "STUN fingerprint does not match";
            case errc::no_mapped_address:
                return "STUN answer has no mapped address";
        }
        return "unknown";
    }
};

constexpr std::array<std::uint32_t, 256> make_crc_table() {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < table.size(); ++i) {
        std::uint32_t value = i;
        for (int bit = 0; bit < 8; ++bit) {
            value = (value & 1) != 0 ? value >> 1 ^ 0xedb88320U : value >> 1;
        }
        table[i] = value;
    }
    return table;
}

constexpr auto kCrcTable = make_crc_table();

/// CRC-32 (IEEE) of the message, masked: the value of FINGERPRINT.
std::uint32_t fingerprint(ByteSpan message) {
    std::uint32_t crc = 0xffffffff;
    for (const std::byte b : message) {
        crc = crc >> 8 ^ kCrcTable[(crc ^ std::to_integer<std::uint32_t>(b)) & 0xff];
    }
    return ~crc ^ kFingerprintMask;
}

std::uint16_t read_u16(ByteSpan bytes, std::size_t at) {
    const auto high = std::to_integer<unsigned>(bytes[at]);
    return static_cast<std::uint16_t>(high << 8 | std::to_integer<unsigned>(bytes[at + 1]));
}

std::uint32_t read_u32(ByteSpan bytes, std::size_t at) {
    return std::uint32_t{read_u16(bytes, at)} << 16 | read_u16(bytes, at + 2);
}

/// Writes a message into a buffer of the right size.
class Writer {
 public:
    Writer(std::span<std::byte> out, Type type, const TransactionId& id) : out_(out) {
        u16(type);
        u16(static_cast<std::uint16_t>(out.size() - kHeaderSize));
        bytes(id);
    }

    void endpoint(Attribute attribute, const Endpoint& value) {
        u16(attribute);
        u16(8);
        byte(std::byte{0});
        byte(kIpv4);
        u16(value.port);
        bytes(std::as_bytes(std::span(value.ip)));
    }

    void text(Attribute attribute, std::string_view value) {
        SKY_ASSERT(value.size() % 4 == 0);
        u16(attribute);
        u16(static_cast<std::uint16_t>(value.size()));
        bytes(as_bytes(value));
    }

    void number(Attribute attribute, std::uint32_t value) {
        u16(attribute);
        u16(4);
        u16(static_cast<std::uint16_t>(value >> 16));
        u16(static_cast<std::uint16_t>(value & 0xffff));
    }

    /// The last attribute; the buffer must then be full.
    void fingerprint_and_end() {
        number(kFingerprint, fingerprint(out_.first(at_)));
        SKY_ASSERT(at_ == out_.size());
    }

 private:
    void byte(std::byte value) { out_[at_++] = value; }
    void u16(std::uint16_t value) {
        byte(static_cast<std::byte>(value >> 8));
        byte(static_cast<std::byte>(value & 0xff));
    }
    void bytes(ByteSpan value) {
        std::copy(value.begin(), value.end(), out_.begin() + static_cast<std::ptrdiff_t>(at_));
        at_ += value.size();
    }

    std::span<std::byte> out_;
    std::size_t at_ = 0;
};

/// Port and address mixed with the transaction id, so that no translator on the way mends them.
Endpoint mixed(const Endpoint& endpoint, const TransactionId& id) {
    Endpoint result = endpoint;
    result.port = static_cast<std::uint16_t>(result.port ^ read_u16(id, 0));
    for (std::size_t i = 0; i < result.ip.size(); ++i) {
        result.ip[i] =
            static_cast<std::uint8_t>(result.ip[i] ^ std::to_integer<std::uint8_t>(id[i]));
    }
    return result;
}

struct AttributeView {
    std::uint16_t type = 0;
    /// Offset of the attribute in the message.
    std::size_t at = 0;
    ByteSpan value;
};

/// Walks the attributes of a message whose header has been checked.
class AttributeReader {
 public:
    explicit AttributeReader(ByteSpan message) : message_(message) {}

    /// The next attribute; none at the end, or where the rest is damaged (see `damaged`).
    std::optional<AttributeView> next() {
        if (at_ == message_.size()) return std::nullopt;
        if (message_.size() - at_ < kAttributeHeaderSize) return stop();
        const std::size_t length = read_u16(message_, at_ + 2);
        const std::size_t padded = (length + 3) / 4 * 4;
        if (message_.size() - at_ - kAttributeHeaderSize < padded) return stop();
        const AttributeView view{
            read_u16(message_, at_), at_, message_.subspan(at_ + kAttributeHeaderSize, length)
        };
        at_ += kAttributeHeaderSize + padded;
        return view;
    }

    bool damaged() const noexcept { return damaged_; }

 private:
    std::optional<AttributeView> stop() {
        damaged_ = true;
        at_ = message_.size();
        return std::nullopt;
    }

    ByteSpan message_;
    std::size_t at_ = kHeaderSize;
    bool damaged_ = false;
};

/// The message without what lies behind its declared length.
Result<ByteSpan> message_of(ByteSpan datagram, Type type) {
    if (datagram.size() < kHeaderSize) return Error(errc::too_short);
    if (read_u16(datagram, 0) != type) return Error(errc::wrong_type);
    const std::size_t size = kHeaderSize + read_u16(datagram, 2);
    if (size > datagram.size()) return Error(errc::wrong_length);
    return datagram.first(size);
}

TransactionId transaction_id_of(ByteSpan message) {
    TransactionId id;
    std::copy_n(message.begin() + 4, id.size(), id.begin());
    return id;
}

std::optional<Endpoint> read_endpoint(ByteSpan value) {
    if (value.size() < 8 || value[1] != kIpv4) return std::nullopt;
    Endpoint endpoint;
    endpoint.port = read_u16(value, 2);
    for (std::size_t i = 0; i < endpoint.ip.size(); ++i) {
        endpoint.ip[i] = std::to_integer<std::uint8_t>(value[4 + i]);
    }
    return endpoint;
}

}  // namespace

const boost::system::error_category& stun_category() noexcept {
    static const StunCategory category;
    return category;
}

ErrorCode make_error_code(errc code) noexcept {
    return {static_cast<int>(code), stun_category()};
}

std::string_view reason(errc code) noexcept {
    switch (code) {
        case errc::ok:
            return "ok";
        case errc::too_short:
            return "too_short";
        case errc::wrong_type:
            return "wrong_type";
        case errc::wrong_length:
            return "wrong_length";
        case errc::wrong_fingerprint:
            return "wrong_fingerprint";
        case errc::no_mapped_address:
            return "no_mapped_address";
    }
    return "unknown";
}

std::string to_string(const Endpoint& endpoint) {
    const auto& ip = endpoint.ip;
    return fmt::format("{}.{}.{}.{}:{}", ip[0], ip[1], ip[2], ip[3], endpoint.port);
}

Result<BindingRequest> parse_request(ByteSpan datagram) {
    const auto message = message_of(datagram, kBindingRequest);
    if (!message) return message.error();
    BindingRequest request;
    request.transaction_id = transaction_id_of(*message);
    AttributeReader attributes(*message);
    while (const auto attribute = attributes.next()) {
        if (attribute->type != kChangeRequest || attribute->value.size() < 4) continue;
        const std::byte flags = attribute->value[3];
        request.change_ip = (flags & kChangeIp) != std::byte{0};
        request.change_port = (flags & kChangePort) != std::byte{0};
    }
    return request;
}

Answer make_answer(
    const BindingRequest& request,
    const ServerAddresses& server,
    Socket received_on,
    const Endpoint& client
) {
    Answer answer;
    answer.from.second_ip = received_on.second_ip != request.change_ip;
    answer.from.second_port = received_on.second_port != request.change_port;
    const Endpoint origin = server.of(answer.from);
    // Relative to the socket that received, whatever was asked for.
    const Endpoint other = server.of({!received_on.second_ip, !received_on.second_port});
    Writer writer(answer.datagram, kBindingResponse, request.transaction_id);
    writer.endpoint(kXorMappedAddress, mixed(client, request.transaction_id));
    writer.endpoint(kMappedAddress, client);
    writer.endpoint(kSourceAddress, origin);
    writer.endpoint(kResponseOrigin, origin);
    writer.endpoint(kChangedAddress, other);
    writer.endpoint(kOtherAddress, other);
    writer.text(kSoftware, kServerSoftware);
    writer.fingerprint_and_end();
    return answer;
}

Bytes build_request(const BindingRequest& request) {
    const bool change = request.change_ip || request.change_port;
    Bytes out(
        kHeaderSize + kAttributeHeaderSize + kClientSoftware.size() + (change ? 8 : 0) +
        kFingerprintSize
    );
    Writer writer(out, kBindingRequest, request.transaction_id);
    writer.text(kSoftware, kClientSoftware);
    if (change) {
        std::byte flags{0};
        if (request.change_ip) flags |= kChangeIp;
        if (request.change_port) flags |= kChangePort;
        writer.number(kChangeRequest, std::to_integer<std::uint32_t>(flags));
    }
    writer.fingerprint_and_end();
    return out;
}

TransactionId new_transaction_id(const std::array<std::byte, 12>& random_bytes) {
    TransactionId id;
    for (std::size_t i = 0; i < 4; ++i) {
        id[i] = static_cast<std::byte>(kMagicCookie >> (24 - 8 * i) & 0xff);
    }
    std::copy(random_bytes.begin(), random_bytes.end(), id.begin() + 4);
    return id;
}

Result<BindingResponse> parse_response(ByteSpan datagram) {
    const auto message = message_of(datagram, kBindingResponse);
    if (!message) return message.error();
    BindingResponse response;
    response.transaction_id = transaction_id_of(*message);
    std::optional<Endpoint> mapped;
    std::optional<Endpoint> xor_mapped;
    AttributeReader attributes(*message);
    while (const auto attribute = attributes.next()) {
        const ByteSpan value = attribute->value;
        switch (attribute->type) {
            case kMappedAddress:
                mapped = read_endpoint(value);
                break;
            case kXorMappedAddress:
                xor_mapped = read_endpoint(value);
                if (xor_mapped) xor_mapped = mixed(*xor_mapped, response.transaction_id);
                break;
            case kSourceAddress:
            case kResponseOrigin:
                response.source = read_endpoint(value);
                break;
            case kChangedAddress:
            case kOtherAddress:
                response.other = read_endpoint(value);
                break;
            case kSoftware:
                response.software = as_text(value);
                break;
            case kFingerprint:
                if (value.size() != 4 ||
                    read_u32(value, 0) != fingerprint(message->first(attribute->at))) {
                    return Error(errc::wrong_fingerprint);
                }
                break;
        }
    }
    if (attributes.damaged()) return Error(errc::wrong_length);
    if (!mapped && !xor_mapped) return Error(errc::no_mapped_address);
    response.mapped = xor_mapped ? *xor_mapped : *mapped;
    return response;
}

}  // namespace skywire::stun
