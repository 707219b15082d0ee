#include "cxo/message.hpp"

#include "cxo/detail/encoding.hpp"

#include <fmt/format.h>

namespace skywire::cxo {
namespace {

using detail::Reader;
using detail::Writer;

/// A key; `ok` says whether it is one.
crypto::PublicKey read_key(Reader& reader, bool& ok) {
    const auto key = crypto::PublicKey::from_bytes(reader.bytes(crypto::PublicKey::kSize));
    ok = ok && key.has_value();
    return key ? *key : crypto::PublicKey();
}

std::string read_text(Reader& reader) {
    return std::string(as_text(reader.counted()));
}

List read_list(Reader& reader, bool& ok) {
    List list;
    const auto count = reader.number<std::uint32_t>();
    const ByteSpan keys = reader.bytes(std::size_t{count} * crypto::PublicKey::kSize);
    Reader each(keys);
    for (std::uint32_t i = 0; i < count && i < kListMax && reader.ok() && ok; ++i)
        list.feeds.push_back(read_key(each, ok));
    return list;
}

SignedRoot read_root(Reader& reader, bool& ok) {
    SignedRoot root;
    root.feed = read_key(reader, ok);
    root.nonce = reader.number<std::uint64_t>();
    root.seq = reader.number<std::uint64_t>();
    const ByteSpan value = reader.counted();
    root.value.assign(value.begin(), value.end());
    const auto signature = crypto::Signature::from_bytes(reader.bytes(crypto::Signature::kSize));
    ok = ok && signature.has_value();
    if (signature) root.signature = *signature;
    return root;
}

Peers read_peers(Reader& reader, bool& ok) {
    Peers peers;
    peers.feed = read_key(reader, ok);
    const auto count = reader.number<std::uint32_t>();
    for (std::uint32_t i = 0; i < count && reader.ok() && ok; ++i) {
        if (i == kListMax) {
            ok = false;
            break;
        }
        Peers::Peer peer;
        peer.key = read_key(reader, ok);
        const ByteSpan metadata = reader.counted();
        peer.metadata.assign(metadata.begin(), metadata.end());
        peer.tcp = read_text(reader);
        peer.udp = read_text(reader);
        peers.peers.push_back(std::move(peer));
    }
    return peers;
}

Message read_body(Type type, Reader& reader, bool& ok) {
    switch (type) {
        case Type::ping:
            return Ping{};
        case Type::pong:
            return Pong{};
        case Type::syn: {
            Syn syn;
            syn.protocol = reader.number<std::uint16_t>();
            syn.node = read_key(reader, ok);
            return syn;
        }
        case Type::ack:
            return Ack{read_key(reader, ok)};
        case Type::ok:
            return Ok{};
        case Type::err:
            return Err{read_text(reader)};
        case Type::sub:
            return Sub{read_key(reader, ok)};
        case Type::unsub:
            return Unsub{read_key(reader, ok)};
        case Type::request_list:
            return RequestList{};
        case Type::list:
            return read_list(reader, ok);
        case Type::root:
            return read_root(reader, ok);
        case Type::request_object:
            return RequestObject{reader.array<sizeof(Hash)>()};
        case Type::object:
            return ObjectBytes{reader.counted()};
        case Type::request_preview:
            return RequestPreview{read_key(reader, ok)};
        case Type::request_peers:
            return RequestPeers{read_key(reader, ok)};
        case Type::peers:
            return read_peers(reader, ok);
    }
    ok = false;
    return Ping{};
}

struct BodyWriter {
    Writer& writer;

    void key(const crypto::PublicKey& key) const { writer.bytes(key.bytes()); }

    void operator()(const Ping&) const {}
    void operator()(const Pong&) const {}
    void operator()(const Ok&) const {}
    void operator()(const RequestList&) const {}
    void operator()(const Syn& syn) const {
        writer.number(syn.protocol);
        key(syn.node);
    }
    void operator()(const Ack& ack) const { key(ack.node); }
    void operator()(const Err& err) const { writer.counted(err.text); }
    void operator()(const Sub& sub) const { key(sub.feed); }
    void operator()(const Unsub& unsub) const { key(unsub.feed); }
    void operator()(const List& list) const {
        writer.number(static_cast<std::uint32_t>(list.feeds.size()));
        for (const crypto::PublicKey& feed : list.feeds)
            key(feed);
    }
    void operator()(const SignedRoot& root) const {
        key(root.feed);
        writer.number(root.nonce);
        writer.number(root.seq);
        writer.counted(root.value);
        writer.bytes(root.signature.bytes());
    }
    void operator()(const RequestObject& request) const { writer.bytes(request.hash); }
    void operator()(const ObjectBytes& object) const { writer.counted(object.bytes); }
    void operator()(const RequestPreview& request) const { key(request.feed); }
    void operator()(const RequestPeers& request) const { key(request.feed); }
    void operator()(const Peers& peers) const {
        key(peers.feed);
        writer.number(static_cast<std::uint32_t>(peers.peers.size()));
        for (const Peers::Peer& peer : peers.peers) {
            key(peer.key);
            writer.counted(peer.metadata);
            writer.counted(peer.tcp);
            writer.counted(peer.udp);
        }
    }
};

void write_message(Writer& writer, const Message& message) {
    writer.number(static_cast<std::uint8_t>(type_of(message)));
    std::visit(BodyWriter{writer}, message);
}

/// Big-endian, alone in the protocol.
void write_length(std::span<std::byte, 4> into, std::size_t length) {
    for (std::size_t i = 0; i < into.size(); ++i)
        into[i] = static_cast<std::byte>(length >> (8 * (into.size() - 1 - i)));
}

constexpr std::size_t kLength = 4;

}  // namespace

Type type_of(const Message& message) noexcept {
    static_assert(std::variant_size_v<Message> == static_cast<std::size_t>(Type::peers));
    return static_cast<Type>(message.index() + 1);
}

Result<Message> decode_message(ByteSpan bytes) {
    Reader reader(bytes);
    const auto number = reader.number<std::uint8_t>();
    if (!reader.ok()) return fail(errc::malformed, "a message without a type");
    if (number < static_cast<std::uint8_t>(Type::ping) ||
        number > static_cast<std::uint8_t>(Type::peers))
        return fail(errc::unsupported, fmt::format("a message of type {}", number));
    bool ok = true;
    Message message = read_body(static_cast<Type>(number), reader, ok);
    if (!ok || !reader.done())
        return fail(errc::malformed, fmt::format("a damaged message of type {}", number));
    return message;
}

Bytes encode_message(const Message& message) {
    Writer writer;
    write_message(writer, message);
    return writer.take();
}

Result<Frame> decode_frame(ByteSpan bytes) {
    Reader reader(bytes);
    Frame frame;
    frame.seq = reader.number<std::uint32_t>();
    frame.rseq = reader.number<std::uint32_t>();
    if (!reader.ok()) return fail(errc::malformed, "a frame without a head");
    auto message = decode_message(reader.rest());
    if (!message) return message.error();
    frame.message = std::move(*message);
    return frame;
}

Bytes encode_frame(const Frame& frame) {
    Writer writer;
    writer.number(std::uint32_t{0});
    writer.number(frame.seq);
    writer.number(frame.rseq);
    write_message(writer, frame.message);
    Bytes bytes = writer.take();
    write_length(std::span(bytes).first<kLength>(), bytes.size() - kLength);
    return bytes;
}

std::array<std::byte, kFrameHead> frame_head(
    std::uint32_t seq, std::uint32_t rseq, Type type, std::size_t body_size
) {
    Writer writer(kFrameHead);
    writer.number(std::uint32_t{0});
    writer.number(seq);
    writer.number(rseq);
    writer.number(static_cast<std::uint8_t>(type));
    const Bytes bytes = writer.take();
    std::array<std::byte, kFrameHead> head;
    std::copy(bytes.begin(), bytes.end(), head.begin());
    write_length(std::span(head).first<kLength>(), kFrameHead - kLength + body_size);
    return head;
}

}  // namespace skywire::cxo
