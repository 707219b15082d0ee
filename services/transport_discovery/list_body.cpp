#include "services/transport_discovery/list_body.hpp"

#include "base/assert.hpp"

#include <array>

#include <boost/asio/post.hpp>
#include <zlib.h>

namespace skywire::tpd {
namespace {

constexpr std::string_view kType = "text/plain; charset=utf-8";
/// The existing network's level.
constexpr int kLevel = 5;
/// Deflate without the wrapping of zlib or gzip, with the largest window.
constexpr int kRawWindow = -15;
constexpr int kMemoryLevel = 8;

std::uint32_t crc_of(std::string_view text) {
    const auto* bytes = reinterpret_cast<const Bytef*>(text.data());
    return static_cast<std::uint32_t>(::crc32(0, bytes, static_cast<uInt>(text.size())));
}

void append_u32(std::string& out, std::uint32_t value) {
    for (unsigned shift = 0; shift < 32; shift += 8)
        out += static_cast<char>(value >> shift & 0xffU);
}

}  // namespace

std::shared_ptr<const Listing::Packed> pack(Listing::Text text) {
    auto packed = std::make_shared<Listing::Packed>();
    z_stream stream{};
    const int begun =
        ::deflateInit2(&stream, kLevel, Z_DEFLATED, kRawWindow, kMemoryLevel, Z_DEFAULT_STRATEGY);
    if (begun != Z_OK) return nullptr;
    const auto size = static_cast<uLong>(text->size());
    // deflateBound counts a last block; a flush may take a few bytes more.
    packed->deflated.resize(::deflateBound(&stream, size) + 16);
    // zlib's interface is not const.
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text->data()));
    stream.avail_in = static_cast<uInt>(size);
    stream.next_out = reinterpret_cast<Bytef*>(packed->deflated.data());
    stream.avail_out = static_cast<uInt>(packed->deflated.size());
    const int done = ::deflate(&stream, Z_SYNC_FLUSH);
    const bool whole = done == Z_OK && stream.avail_in == 0 && stream.avail_out > 0;
    packed->deflated.resize(packed->deflated.size() - stream.avail_out);
    packed->deflated.shrink_to_fit();
    ::deflateEnd(&stream);
    if (!whole) return nullptr;
    packed->crc = crc_of(*text);
    packed->of = std::move(text);
    return packed;
}

std::string PackedStream::head() {
    // Magic, deflate, no flags, no time, no extra flags, unknown system.
    constexpr std::array<unsigned char, 10> kHead{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255};
    return {kHead.begin(), kHead.end()};
}

std::string PackedStream::text(std::string_view plain) {
    SKY_ASSERT(plain.size() <= 0xffff);
    const auto size = static_cast<std::uint32_t>(plain.size());
    crc_ = static_cast<std::uint32_t>(::crc32_combine(crc_, crc_of(plain), size));
    size_ += size;
    // A stored block that is not the last one: it begins at a byte, as every piece here does.
    std::string out(1, '\0');
    append_u32(out, (~size & 0xffffU) << 16U | size);
    out += plain;
    return out;
}

std::string PackedStream::slab(std::string_view before, const Listing::Packed& packed) {
    std::string out = text(before);
    // Room for what the writer of chunks adds.
    out.reserve(out.size() + packed.deflated.size() + 2);
    out += packed.deflated;
    const auto size = static_cast<std::uint32_t>(packed.of->size());
    crc_ = static_cast<std::uint32_t>(::crc32_combine(crc_, packed.crc, size));
    size_ += size;
    return out;
}

std::string PackedStream::tail() const {
    // An empty stored block that is the last one.
    std::string out{'\1', '\0', '\0', '\xff', '\xff'};
    append_u32(out, crc_);
    append_u32(out, size_);
    return out;
}

ListBody::ListBody(const net::Context& context, Listing& listing)
    : context_(context), listing_(listing) {}

http::Response ListBody::response(Listing::Kind kind, bool gzip) {
    if (listing_.slabs() <= 1) return http::Response::of(200, std::string(kType), whole(kind));
    http::Response response;
    response.fields.add("Content-Type", std::string(kType));
    response.fields.add("Vary", "Accept-Encoding");
    if (gzip) {
        response.fields.add("Content-Encoding", "gzip");
        response.stream = [this, kind](http::BodyWriter& writer) {
            return send_packed(writer, kind);
        };
    } else {
        response.stream = [this, kind](http::BodyWriter& writer) {
            return send_plain(writer, kind);
        };
    }
    return response;
}

std::string ListBody::whole(Listing::Kind kind) {
    const Listing::Text text = listing_.slabs() == 0 ? nullptr : listing_.text(0, kind);
    if (!text || text->empty()) return "null\n";
    return '[' + *text + "]\n";
}

/// A stream by itself goes on for a megabyte: a write would wait for a millisecond and more.
Task<> ListBody::take_turns() {
    co_await asio::post(context_.loop, asio::use_awaitable);
}

Task<> ListBody::send_plain(http::BodyWriter& writer, Listing::Kind kind) {
    bool any = false;
    for (std::size_t slab = 0; slab < listing_.slabs(); ++slab) {
        const Listing::Text text = listing_.text(slab, kind);
        if (text->empty()) continue;
        std::string chunk;
        // Room for what the writer of chunks adds.
        chunk.reserve(text->size() + 3);
        chunk += any ? ',' : '[';
        chunk += *text;
        any = true;
        const auto sent = co_await writer.write(std::move(chunk));
        if (!sent) co_return;
        co_await take_turns();
    }
    (void)co_await writer.write(any ? "]\n" : "null\n");
}

Task<std::shared_ptr<const Listing::Packed>> ListBody::packed(
    std::size_t slab, Listing::Kind kind
) {
    const Listing::Text text = listing_.text(slab, kind);
    if (auto kept = listing_.packed(slab, kind, text)) co_return kept;
    if (text->empty()) co_return pack(text);
    using Packed = std::shared_ptr<const Listing::Packed>;
    auto work = [text]() -> Result<Packed> { return pack(text); };
    // About 6 ms for a full slab: not on the loop.
    auto done = co_await context_.workers.run(std::move(work));
    if (!done || !*done) co_return nullptr;
    if (listing_.text(slab, kind) == text) listing_.keep(slab, kind, *done);
    co_return std::move(*done);
}

Task<> ListBody::send_packed(http::BodyWriter& writer, Listing::Kind kind) {
    PackedStream stream;
    std::string front = PackedStream::head();
    bool any = false;
    for (std::size_t slab = 0; slab < listing_.slabs(); ++slab) {
        const auto piece = co_await packed(slab, kind);
        // Without memory or a free worker the body ends without its end, which the peer notices.
        if (!piece) throw ErrorException(fail(errc::limit_reached, "a list was not compressed"));
        if (piece->of->empty()) continue;
        front += stream.slab(any ? "," : "[", *piece);
        any = true;
        const auto sent = co_await writer.write(std::exchange(front, {}));
        if (!sent) co_return;
        co_await take_turns();
    }
    front += stream.text(any ? "]\n" : "null\n");
    front += stream.tail();
    (void)co_await writer.write(std::move(front));
}

}  // namespace skywire::tpd
