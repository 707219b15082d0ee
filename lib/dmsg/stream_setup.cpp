// How streams begin: a request, a response, and the KK handshake within them. spec/dmsg.md
// section 8; the look-up of our address: section 14.

#include "dmsg/stream.hpp"
#include "net/deadline.hpp"

#include <array>

#include <boost/asio/ip/address.hpp>
#include <fmt/format.h>

namespace skywire::dmsg {
namespace {

using StreamResult = Result<std::unique_ptr<Stream>>;

/// Look-ups are addressed to this port of the server.
constexpr std::uint16_t kLookUpPort = 1;

std::int64_t timestamp(Clock& clock) {
    return clock.wall().time_since_epoch().count();
}

/// The rest of a session's promise is the caller's deadline around all of it.
constexpr SteadyTime kNoDeadline = SteadyTime::max();

/// Sends a request on a stream and reads the response, which has been checked.
Task<Result<StreamResponse>> ask(
    Session& session,
    mux::Stream& stream,
    const StreamRequest& request,
    const crypto::SecretKey& secret_key
) {
    auto object = SignedObject::sign(encode(request), secret_key);
    const ResponseOrigin origin{object.hash(), request.destination.pk};
    if (const auto sent = co_await session.send(stream, std::move(object)); !sent) {
        co_return sent.error();
    }
    const auto answer = co_await session.receive(stream, kNoDeadline);
    if (!answer) co_return answer.error();
    auto response = decode_response(answer->payload());
    if (!response) co_return response.error();
    if (const auto right = check_response(*answer, *response, origin); !right) {
        co_return right.error();
    }
    co_return std::move(*response);
}

Task<StreamResult> open_now(
    net::Context context, Session& session, crypto::KeyPair local, Address from, Address to
) {
    auto handshake =
        noise::Handshake::make(noise::Pattern::kk, noise::Role::initiator, local, to.pk);
    if (!handshake) co_return handshake.error();
    auto message = handshake->write_message(context.random);
    if (!message) co_return message.error();
    auto stream = session.mux().open();
    if (!stream) co_return stream.error();

    StreamRequest request;
    request.timestamp = timestamp(context.clock);
    request.source = from;
    request.destination = to;
    request.noise_message = std::move(*message);
    const auto response = co_await ask(session, **stream, request, local.secret_key);
    if (!response) co_return response.error();
    if (const auto read = handshake->read_message(response->noise_message); !read) {
        co_return read.error().within("stream handshake");
    }
    co_return std::make_unique<Stream>(context, std::move(*stream), handshake->keys(), from, to);
}

/// A request that the stream's opener may make of us, with the object it came in.
struct Asked {
    SignedObject object;
    StreamRequest request;
};

Task<Result<Asked>> receive_request(
    Session& session, mux::Stream& stream, const crypto::PublicKey& own_key
) {
    auto first = co_await session.receive_first(stream, kNoDeadline);
    if (!first) co_return first.error();
    auto* object = std::get_if<SignedObject>(&*first);
    if (object == nullptr) {
        const bool ping = std::holds_alternative<Session::PingMarker>(*first);
        co_return fail(
            errc::closed, ping ? "a ping marker" : "the stream ended before its request"
        );
    }
    auto request = decode_request(object->payload());
    if (!request) co_return request.error();
    if (const auto right = check_request_at_responder(*object, *request, own_key); !right) {
        co_return right.error();
    }
    co_return Asked{std::move(*object), std::move(*request)};
}

Task<StreamResult> answer_now(
    net::Context context,
    Session& session,
    std::unique_ptr<mux::Stream> carrier,
    crypto::KeyPair local,
    std::function<bool(std::uint16_t port)> listens
) {
    const auto asked = co_await receive_request(session, *carrier, local.public_key);
    if (!asked) co_return asked.error();
    const StreamRequest& request = asked->request;
    auto handshake = noise::Handshake::make(
        noise::Pattern::kk, noise::Role::responder, local, request.source.pk
    );
    if (!handshake) co_return handshake.error();
    if (const auto read = handshake->read_message(request.noise_message); !read) {
        co_return read.error().within("stream handshake");
    }
    if (!listens(request.destination.port)) {
        // Without a word: no server of any vintage would pass one on.
        carrier->close();
        co_return Error(
            Code::no_listener,
            fmt::format(
                "{}: port {}, asked by {}",
                make_error_code(Code::no_listener).message(),
                request.destination.port,
                request.source.pk
            )
        );
    }
    auto message = handshake->write_message(context.random);
    if (!message) co_return message.error();

    StreamResponse response;
    response.request_hash = asked->object.hash();
    response.accepted = true;
    response.noise_message = std::move(*message);
    const auto sent =
        co_await session.send(*carrier, SignedObject::sign(encode(response), local.secret_key));
    if (!sent) co_return sent.error();
    co_return std::make_unique<Stream>(
        context, std::move(carrier), handshake->keys(), request.destination, request.source
    );
}

Result<std::string> address_text(ByteSpan ip) {
    if (ip.size() == std::tuple_size_v<asio::ip::address_v4::bytes_type>) {
        asio::ip::address_v4::bytes_type bytes;
        std::memcpy(bytes.data(), ip.data(), bytes.size());
        return asio::ip::address_v4(bytes).to_string();
    }
    if (ip.size() == std::tuple_size_v<asio::ip::address_v6::bytes_type>) {
        asio::ip::address_v6::bytes_type bytes;
        std::memcpy(bytes.data(), ip.data(), bytes.size());
        const asio::ip::address_v6 address(bytes);
        if (!address.is_v4_mapped()) return address.to_string();
        return asio::ip::make_address_v4(asio::ip::v4_mapped, address).to_string();
    }
    return fail(skywire::errc::malformed, fmt::format("an IP address of {} bytes", ip.size()));
}

Task<Result<std::string>> look_up_now(
    net::Context context, Session& session, crypto::KeyPair local, std::uint16_t from_port
) {
    auto stream = session.mux().open();
    if (!stream) co_return stream.error();
    StreamRequest request;
    request.timestamp = timestamp(context.clock);
    request.source = {local.public_key, from_port};
    request.destination = {session.remote(), kLookUpPort};
    request.ip_info = true;
    const auto response = co_await ask(session, **stream, request, local.secret_key);
    if (!response) co_return response.error();
    (*stream)->close();
    co_return address_text(response->ip);
}

}  // namespace

Task<StreamResult> open_stream(
    net::Context context,
    Session& session,
    crypto::KeyPair local,
    Address from,
    Address to,
    SteadyTime deadline
) {
    Clock& clock = context.clock;
    return net::with_deadline(
        clock, deadline, open_now(std::move(context), session, std::move(local), from, to)
    );
}

Task<StreamResult> answer_stream(
    net::Context context,
    Session& session,
    std::unique_ptr<mux::Stream> carrier,
    crypto::KeyPair local,
    std::function<bool(std::uint16_t port)> listens,
    SteadyTime deadline
) {
    Clock& clock = context.clock;
    return net::with_deadline(
        clock,
        deadline,
        answer_now(
            std::move(context), session, std::move(carrier), std::move(local), std::move(listens)
        )
    );
}

Task<Result<std::string>> look_up_ip(
    net::Context context,
    Session& session,
    crypto::KeyPair local,
    std::uint16_t from_port,
    SteadyTime deadline
) {
    Clock& clock = context.clock;
    return net::with_deadline(
        clock, deadline, look_up_now(std::move(context), session, std::move(local), from_port)
    );
}

}  // namespace skywire::dmsg
