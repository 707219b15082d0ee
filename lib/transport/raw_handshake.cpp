#include "transport/raw_handshake.hpp"

#include "base/json.hpp"

#include <fmt/format.h>

namespace skywire::transport {
namespace {

Error malformed(std::string_view what) {
    return fail(errc::malformed, fmt::format("raw handshake: {}", what));
}

void append_nonce(std::string& out, const RawNonce& nonce) {
    out += '[';
    for (std::size_t i = 0; i < nonce.size(); ++i) {
        if (i > 0) out += ',';
        out += std::to_string(std::to_integer<unsigned>(nonce[i]));
    }
    out += ']';
}

void append_endpoint(std::string& out, const RawEndpoint& endpoint) {
    out += fmt::format(R"({{"public_key":"{}","port":{}}})", endpoint.key, endpoint.port);
}

std::string line_with(const RawHello& hello, const crypto::Signature& signature) {
    std::string out = R"({"SrcAddr":)";
    append_endpoint(out, hello.source);
    out += R"(,"DstAddr":)";
    append_endpoint(out, hello.destination);
    out += R"(,"Nonce":)";
    append_nonce(out, hello.nonce);
    out += fmt::format(R"(,"Sig":"{}"}})", signature);
    out += '\n';
    return out;
}

const json::value* member(const json::value& value, std::string_view name) {
    const auto* object = value.if_object();
    return object == nullptr ? nullptr : object->if_contains(name);
}

Result<RawNonce> nonce_of(const json::value* value) {
    const auto* numbers = value == nullptr ? nullptr : value->if_array();
    if (numbers == nullptr || numbers->size() != RawNonce().size())
        return malformed("Nonce is not 16 numbers");
    RawNonce nonce{};
    for (std::size_t i = 0; i < nonce.size(); ++i) {
        ErrorCode ec;
        const auto number = (*numbers)[i].to_number<std::uint8_t>(ec);
        if (ec) return malformed("Nonce is not 16 bytes");
        nonce[i] = static_cast<std::byte>(number);
    }
    return nonce;
}

Result<RawEndpoint> endpoint_of(const json::value* value, std::string_view name) {
    if (value == nullptr) return malformed(fmt::format("{} is missing", name));
    const json::value* key = member(*value, "public_key");
    const json::value* port = member(*value, "port");
    if (key == nullptr || !key->is_string() || port == nullptr)
        return malformed(fmt::format("{} is not a key and a port", name));
    RawEndpoint endpoint;
    const auto parsed = crypto::PublicKey::from_text(key->get_string());
    if (!parsed) return parsed.error().within(name);
    endpoint.key = *parsed;
    ErrorCode ec;
    endpoint.port = port->to_number<std::uint16_t>(ec);
    if (ec) return malformed(fmt::format("{}: the port is none", name));
    return endpoint;
}

/// Adds what was read to a line that is still open: the line once its end is there, nothing before.
/// Nobody writes before it is answered, so nothing follows the end.
Result<std::optional<std::string>> complete_line(std::string& received, ByteSpan bytes) {
    received += as_text(bytes);
    const std::size_t end = received.find('\n');
    if (end == std::string::npos) {
        if (received.size() >= kRawHandshakeLineMax)
            return fail(errc::out_of_range, "raw handshake: a line without end");
        return std::optional<std::string>();
    }
    if (end + 1 != received.size()) return malformed("bytes before their turn");
    if (end >= kRawHandshakeLineMax)
        return fail(errc::out_of_range, "raw handshake: a line is too long");
    std::optional<std::string> line(std::move(received));
    received.clear();
    line->pop_back();
    return line;
}

std::string answer_line(const std::optional<Error>& refused) {
    std::string line = refused ? R"({"OK":false,"ErrMsg":)" : R"({"OK":true,"ErrMsg":)";
    append_json_string(line, refused ? refused->message() : "", JsonEscape::html);
    line += "}\n";
    return line;
}

}  // namespace

std::string RawHello::line() const {
    return line_with(*this, signature);
}

std::string RawHello::signed_text() const {
    return line_with(*this, crypto::Signature());
}

Result<RawHello> RawHello::parse(std::string_view line) {
    const auto value = parse_json(line, /*depth_max=*/4);
    if (!value) return malformed("the line is not JSON");
    RawHello hello;
    const auto source = endpoint_of(member(*value, "SrcAddr"), "SrcAddr");
    if (!source) return source.error();
    hello.source = *source;
    const auto destination = endpoint_of(member(*value, "DstAddr"), "DstAddr");
    if (!destination) return destination.error();
    hello.destination = *destination;
    const auto nonce = nonce_of(member(*value, "Nonce"));
    if (!nonce) return nonce.error();
    hello.nonce = *nonce;
    const json::value* text = member(*value, "Sig");
    if (text == nullptr || !text->is_string()) return malformed("Sig is missing");
    const auto signature = crypto::Signature::from_text(text->get_string());
    if (!signature) return signature.error().within("raw handshake");
    hello.signature = *signature;
    return hello;
}

// --- acceptor

Result<RawStep> RawAcceptor::on_bytes(ByteSpan bytes) {
    if (done_) return malformed("bytes after the end");
    if (nonce_sent_) {
        const auto read = complete_line(received_, bytes);
        if (!read) return read.error();
        const std::optional<std::string>& line = *read;
        if (!line) return RawStep();
        return on_hello(*line);
    }
    received_ += as_text(bytes);
    if (!RawDialer::kFirst.starts_with(received_)) return malformed("not get_nonce");
    RawStep step;
    if (received_.size() < RawDialer::kFirst.size()) return step;
    received_.clear();
    nonce_sent_ = true;
    step.reply = R"({"Nonce":)";
    append_nonce(step.reply, nonce_);
    step.reply += "}\n";
    return step;
}

Result<RawStep> RawAcceptor::on_hello(std::string_view line) {
    auto hello = RawHello::parse(line);
    if (!hello) return hello.error();
    if (hello->nonce != nonce_)
        return fail(errc::forbidden, "raw handshake: the nonce is not the one that was sent");
    const std::string text = hello->signed_text();
    const auto verified = crypto::verify(hello->source.key, as_bytes(text), hello->signature);
    if (!verified) {
        return fail(errc::forbidden, fmt::format("raw handshake: {}", verified.error().message()));
    }
    hello_ = *hello;
    if (const auto welcome = judge_(hello_); !welcome) refused_ = welcome.error();
    done_ = true;
    return RawStep{answer_line(refused_), /*done=*/true};
}

// --- dialer

RawDialer::RawDialer(
    const crypto::KeyPair& keys, std::uint16_t source_port, RawEndpoint destination
)
    : secret_key_(keys.secret_key) {
    hello_.source = {keys.public_key, source_port};
    hello_.destination = destination;
}

Result<RawStep> RawDialer::on_bytes(ByteSpan bytes) {
    if (done_) return malformed("bytes after the end");
    const auto read = complete_line(received_, bytes);
    if (!read) return read.error();
    const std::optional<std::string>& line = *read;
    if (!line) return RawStep();
    const auto value = parse_json(*line, /*depth_max=*/4);
    if (!value) return malformed("the answer is not JSON");
    if (!hello_sent_) {
        const auto nonce = nonce_of(member(*value, "Nonce"));
        if (!nonce) return nonce.error();
        hello_.nonce = *nonce;
        const std::string text = hello_.signed_text();
        hello_.signature = crypto::sign(secret_key_, as_bytes(text));
        hello_sent_ = true;
        return RawStep{hello_.line(), /*done=*/false};
    }
    const json::value* ok = member(*value, "OK");
    if (ok == nullptr || !ok->is_bool()) return malformed("the answer has no OK");
    done_ = true;
    if (ok->get_bool()) return RawStep{{}, /*done=*/true};
    const json::value* text = member(*value, "ErrMsg");
    const std::string_view why =
        text != nullptr && text->is_string() ? std::string_view(text->get_string()) : "";
    return fail(
        errc::forbidden, fmt::format("raw handshake: the peer refused: {}", quote_peer_text(why))
    );
}

// --- over a stream

Task<Result<RawHello>> accept_raw(net::Stream& stream, RawNonce nonce, RawAcceptor::Judge judge) {
    RawAcceptor acceptor(nonce, std::move(judge));
    Bytes buffer(kRawHandshakeLineMax);
    while (true) {
        const auto size = co_await stream.read_some(buffer);
        if (!size) co_return size.error();
        if (*size == 0) co_return malformed("the peer ended it");
        const auto step = acceptor.on_bytes(ByteSpan(buffer).first(*size));
        if (!step) co_return step.error();
        if (step->reply.empty()) continue;
        const auto written = co_await stream.write(as_bytes(step->reply));
        if (!written) co_return written.error();
        if (!step->done) continue;
        if (const auto& refused = acceptor.refused())
            co_return fail(errc::forbidden, refused->message());
        co_return acceptor.hello();
    }
}

Task<Result<>> dial_raw(net::Stream& stream, RawDialer dialer) {
    const auto begun = co_await stream.write(as_bytes(RawDialer::kFirst));
    if (!begun) co_return begun.error();
    Bytes buffer(kRawHandshakeLineMax);
    while (true) {
        const auto size = co_await stream.read_some(buffer);
        if (!size) co_return size.error();
        if (*size == 0) co_return malformed("the peer ended it");
        const auto step = dialer.on_bytes(ByteSpan(buffer).first(*size));
        if (!step) co_return step.error();
        if (step->done) co_return Result<>();
        if (step->reply.empty()) continue;
        const auto written = co_await stream.write(as_bytes(step->reply));
        if (!written) co_return written.error();
    }
}

}  // namespace skywire::transport
