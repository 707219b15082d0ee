#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "gob/decoder.hpp"
#include "gob/type.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

/// The messages of Go's net/rpc: each direction of a stream is one gob stream of headers, each with
/// a body behind it. Cores without I/O. spec/visor.md sections 10.1 to 10.3.
namespace skywire::rpc {

/// Types by the numbers under which they are sent. The network's numbers are fixed: one number is
/// one type, whichever of these tables it stands in.
using Types = std::map<gob::TypeId, gob::Type>;

/// How a type of ours is sent: `kType`, its number; `types()`, the definitions it needs, a table
/// that lives as long as the program; `write(out, value)`, its value without any head.
template <class T>
struct Writes;

/// A value on its way out, encoded but for its definitions, which depend on what went before it.
struct Body {
    gob::TypeId type = 0;
    const Types* types = nullptr;
    Bytes bytes;
};

template <class T>
Body body_of(const T& value) {
    Body body;
    body.type = Writes<T>::kType;
    body.types = &Writes<T>::types();
    Writes<T>::write(body.bytes, value);
    return body;
}

struct Request {
    /// "RPCGateway.ReserveIDs"
    std::string method;
    /// Counts the calls of a stream, from 0.
    std::uint64_t seq = 0;
};

struct Response {
    /// Those of the request.
    std::string method;
    std::uint64_t seq = 0;
    /// Empty: the call has succeeded, and the body is its reply. Else the body is Nothing.
    std::string error;
};

/// An empty struct without a name: the body of an answer with an error, the argument of a method
/// without one.
struct Nothing {};

/// Names of methods are at most this long, in and out.
constexpr std::size_t kMethodBytesMax = 256;

/// What we send in one direction of one stream: knows which types are defined already.
class Outgoing {
 public:
    void append(Bytes& out, const Request& header, const Body& body);
    void append(Bytes& out, const Response& header, const Body& body);

 private:
    void append(Bytes& out, const Body& body);
    void define(Bytes& out, const Types& types, gob::TypeId id);

    std::set<gob::TypeId> defined_;
};

/// What a peer sends in one direction of one stream; `Header` is Request or Response.
template <class Header>
class Incoming {
 public:
    struct Message {
        Header header;
        /// A view of the bytes taken.
        gob::Value body;
    };

    explicit Incoming(const gob::Limits& limits = {}) : decoder_(limits) {}

    /// Takes a header and its body off the front of `input`. Nothing where the bytes end before the
    /// end of the body: what is left of `input` is to be offered again with more behind it. An
    /// error ends the stream: gob's, errc::name_too_long.
    Result<std::optional<Message>> next(ByteSpan& input);

 private:
    gob::Decoder decoder_;
    /// Taken, its body not.
    std::optional<Header> header_;
};

extern template class Incoming<Request>;
extern template class Incoming<Response>;

/// For bodies of built-in types alone.
const Types& built_in_types();

template <>
struct Writes<bool> {
    static constexpr gob::TypeId kType = gob::kBool;
    static const Types& types() { return built_in_types(); }
    static void write(Bytes& out, bool value);
};

template <>
struct Writes<std::uint64_t> {
    static constexpr gob::TypeId kType = gob::kUint;
    static const Types& types() { return built_in_types(); }
    static void write(Bytes& out, std::uint64_t value);
};

template <>
struct Writes<Nothing> {
    static constexpr gob::TypeId kType = 70;
    static const Types& types();
    static void write(Bytes& out, const Nothing& value);
};

}  // namespace skywire::rpc

namespace skywire::gob {

template <class T>
struct Reads;

template <>
struct Reads<rpc::Nothing> {
    static constexpr Kind kKind = Kind::structure;
    static Result<> read(const Value&, rpc::Nothing&) { return {}; }
};

}  // namespace skywire::gob
