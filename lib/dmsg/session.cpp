#include "dmsg/session.hpp"

#include "net/deadline.hpp"

#include <algorithm>
#include <array>
#include <span>

#include <fmt/format.h>

namespace skywire::dmsg {
namespace {

/// What precedes a record: its length, big-endian.
constexpr std::size_t kPrefix = 2;
constexpr std::size_t kRecordMax = 65535;
/// A record that is no longer than this holds no signed object.
constexpr std::size_t kRecordTooShort = noise::kRecordOverhead + crypto::Signature::kSize;
/// Room for an object before its bytes have come: enough for all that are sent today. The length
/// that a peer announces costs us nothing until it has sent as much.
constexpr std::size_t kBodyRoom = 2048;

mux::Session::Options mux_options(const Session::Options& options, Bytes surplus) {
    mux::Session::Options made;
    made.core.role = options.role;
    made.core.streams_max = options.streams_max;
    made.protocol = options.protocol;
    made.surplus = std::move(surplus);
    return made;
}

/// Reads until `into` is full or the stream ends; how much. Nothing behind it is taken.
Task<Result<std::size_t>> read_full(mux::Stream& stream, std::span<std::byte> into) {
    std::size_t done = 0;
    while (done < into.size()) {
        const auto count = co_await stream.read_some(into.subspan(done));
        if (!count) co_return count.error();
        if (*count == 0) break;
        done += *count;
    }
    co_return done;
}

Error ended_early() {
    return fail(skywire::errc::closed, "the stream ended inside an object");
}

/// The record behind a length.
Task<Result<Bytes>> read_record(mux::Stream& stream, std::size_t size) {
    if (size <= kRecordTooShort) {
        co_return Error(
            Code::signed_object_invalid,
            fmt::format(
                "{}: a record of {} bytes",
                make_error_code(Code::signed_object_invalid).message(),
                size
            )
        );
    }
    Bytes record;
    while (record.size() < size) {
        const std::size_t had = record.size();
        record.resize(std::min(size, std::max(kBodyRoom, 2 * had)));
        const auto count = co_await stream.read_some(std::span(record).subspan(had));
        if (!count) co_return count.error();
        if (*count == 0) co_return ended_early();
        record.resize(had + *count);
    }
    co_return record;
}

/// A record, or nothing where the stream ended before it; an empty one is the ping marker.
Task<Result<std::optional<Bytes>>> read_framed(mux::Stream& stream) {
    std::array<std::byte, kPrefix> prefix;
    const auto count = co_await read_full(stream, prefix);
    if (!count) co_return count.error();
    if (*count == 0) co_return std::optional<Bytes>();
    if (*count < kPrefix) co_return ended_early();
    const std::size_t size =
        std::to_integer<std::size_t>(prefix[0]) << 8 | std::to_integer<std::size_t>(prefix[1]);
    if (size == 0) co_return std::optional<Bytes>(Bytes());
    auto record = co_await read_record(stream, size);
    if (!record) co_return record.error();
    co_return std::optional<Bytes>(std::move(*record));
}

Task<Result<std::optional<Bytes>>> read_framed_until(
    mux::Stream& stream, Clock& clock, SteadyTime deadline
) {
    if (deadline == SteadyTime::max()) return read_framed(stream);
    return net::with_deadline(clock, deadline, read_framed(stream));
}

}  // namespace

Session::Session(
    const net::Context& context, Handshaken handshaken, const Options& options, Owner& owner
)
    : context_(context),
      owner_(owner),
      remote_(handshaken.remote),
      box_(handshaken.keys),
      mux_(
          context,
          std::move(handshaken.carrier),
          mux_options(options, std::move(handshaken.surplus)),
          *this
      ) {}

Session::~Session() = default;

Task<Result<>> Session::send(mux::Stream& stream, SignedObject object) {
    if (object.bytes().size() + noise::kRecordOverhead > kRecordMax) {
        co_return Error(
            noise::errc::frame_too_long, fmt::format("an object of {} bytes", object.bytes().size())
        );
    }
    const auto record = box_.seal(object.bytes());
    if (!record) co_return record.error();
    const std::size_t size = record->size();
    const std::array prefix{std::byte(size >> 8), std::byte(size & 0xff)};
    co_return co_await stream.write(prefix, *record);
}

Result<SignedObject> Session::open(ByteSpan record) {
    auto bytes = box_.open(record);
    if (!bytes) return bytes.error().within("object of a session");
    return SignedObject::from_bytes(std::move(*bytes));
}

Task<Result<Session::FirstObject>> Session::receive_first(
    mux::Stream& stream, SteadyTime deadline
) {
    const auto framed = co_await read_framed_until(stream, context_.clock, deadline);
    if (!framed) co_return framed.error();
    const std::optional<Bytes>& record = *framed;
    if (!record) co_return FirstObject(Nothing());
    if (record->empty()) co_return FirstObject(PingMarker());
    auto object = open(*record);
    if (!object) co_return object.error();
    co_return FirstObject(std::move(*object));
}

Task<Result<SignedObject>> Session::receive(mux::Stream& stream, SteadyTime deadline) {
    const auto framed = co_await read_framed_until(stream, context_.clock, deadline);
    if (!framed) co_return framed.error();
    const std::optional<Bytes>& record = *framed;
    if (!record) co_return fail(skywire::errc::closed, "the stream ended where an object was due");
    if (record->empty()) {
        co_return Error(Code::signed_object_invalid, "a ping marker where an object was due");
    }
    co_return open(*record);
}

void Session::on_stream(std::unique_ptr<mux::Stream> stream) {
    owner_.on_stream(*this, std::move(stream));
}

void Session::on_refused(std::size_t streams) {
    owner_.on_refused(*this, streams);
}

void Session::on_go_away() {
    owner_.on_go_away(*this);
}

void Session::on_end(const Error& reason) {
    owner_.on_end(*this, reason);
}

}  // namespace skywire::dmsg
