#pragma once

#include "http/message.hpp"
#include "net/context.hpp"
#include "services/transport_discovery/listing.hpp"

#include <cstdint>
#include <string>

/// The whole list as the body of an answer, plain or compressed, sent slab by slab: nothing of its
/// size is ever made or copied at once, and others have their turn between slabs.
namespace skywire::tpd {

class ListBody {
 public:
    /// `listing` outlives it and the answers it makes.
    ListBody(const net::Context& context, Listing& listing);

    /// A list of at most one slab is an ordinary body; a longer one is a stream. `gzip`: the caller
    /// takes it.
    http::Response response(Listing::Kind kind, bool gzip);

 private:
    Task<> take_turns();
    Task<> send_plain(http::BodyWriter& writer, Listing::Kind kind);
    Task<> send_packed(http::BodyWriter& writer, Listing::Kind kind);
    Task<std::shared_ptr<const Listing::Packed>> packed(std::size_t slab, Listing::Kind kind);
    std::string whole(Listing::Kind kind);

    net::Context context_;
    Listing& listing_;
};

/// Compresses a slab's text into deflate blocks that end at a byte, without the last one.
std::shared_ptr<const Listing::Packed> pack(Listing::Text text);

/// A gzip stream (RFC 1952) made of slabs and texts between them.
class PackedStream {
 public:
    /// The stream's first bytes.
    static std::string head();
    /// A short text as it is.
    std::string text(std::string_view plain);
    /// The slab's blocks, with `before` in front.
    std::string slab(std::string_view before, const Listing::Packed& packed);
    /// The end; nothing may follow.
    std::string tail() const;

 private:
    std::uint32_t crc_ = 0;
    std::uint32_t size_ = 0;
};

}  // namespace skywire::tpd
