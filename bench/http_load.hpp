#pragma once

#include "base/json.hpp"
#include "bench/load.hpp"
#include "crypto/keys.hpp"
#include "http/signed_request.hpp"

#include <fmt/format.h>

/// What the load generators of HTTP services share: keys, requests as text, a kept connection that
/// takes the time of each answer.
namespace skywire::bench {

inline double percentile(std::vector<double>& values, double share) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    const double index = share * static_cast<double>(values.size() - 1);
    return values.at(static_cast<std::size_t>(index + 0.5));
}

/// The same keys in each run.
inline std::vector<crypto::KeyPair> make_keys(std::uint64_t seed, std::size_t count) {
    SeededRandom random(seed);
    std::vector<crypto::KeyPair> keys;
    keys.reserve(count);
    for (std::size_t i = 0; i < count; ++i)
        keys.push_back(crypto::generate_key_pair(random));
    return keys;
}
inline std::vector<crypto::KeyPair> make_visors(std::size_t count) {
    return make_keys(42, count);
}
/// Who has a service in the service-discovery.
inline std::vector<crypto::KeyPair> make_service_keys(std::size_t count) {
    return make_keys(43, count);
}

inline constexpr std::uint16_t kServicePort = 44;

inline std::string request_text(
    std::string_view method,
    std::string_view target,
    std::string_view body,
    const http::Fields& fields
) {
    std::string text = fmt::format("{} {} HTTP/1.1\r\nHost: x\r\n", method, target);
    for (const auto& [name, value] : fields)
        text += fmt::format("{}: {}\r\n", name, value);
    if (method == "POST") text += fmt::format("Content-Length: {}\r\n", body.size());
    text += "\r\n";
    text += body;
    return text;
}

inline std::string signed_request(
    std::string_view method,
    std::string_view target,
    std::string_view body,
    const crypto::KeyPair& keys,
    std::uint64_t nonce
) {
    http::Fields fields;
    http::sign_request(fields, keys, body, nonce);
    return request_text(method, target, body, fields);
}

/// One kept connection; one request at a time.
class Connection {
 public:
    Connection(net::Context context, net::Address server)
        : context_(std::move(context)), server_(std::move(server)), buffer_(1 << 18) {}

    struct Answer {
        unsigned status = 0;
        std::size_t bytes = 0;
        double first_byte_s = 0;
        double seconds = 0;
        /// Of short answers.
        std::string body;
    };

    Task<Answer> ask(std::string_view request) {
        if (!stream_)
            stream_ = need(co_await context_.network.dial(context_.loop, server_), "connect");
        Answer answer;
        const double began = wall_seconds();
        need(co_await stream_->write(as_bytes(request)), "write");
        std::string head;
        std::size_t end = std::string::npos;
        while (end == std::string::npos) {
            const std::size_t size = co_await read();
            if (answer.first_byte_s == 0) answer.first_byte_s = wall_seconds() - began;
            head.append(as_text(ByteSpan(buffer_).first(size)));
            end = head.find("\r\n\r\n");
        }
        answer.body = head.substr(end + 4);
        head.resize(end);
        answer.status = static_cast<unsigned>(std::stoul(head.substr(9, 3)));
        answer.bytes = answer.body.size();
        if (head.find("chunked") != std::string::npos) {
            co_await read_chunks(answer);
        } else {
            const std::size_t at = head.find("Content-Length: ");
            const std::size_t length =
                at == std::string::npos ? 0 : std::stoul(head.substr(at + 16));
            while (answer.bytes < length) {
                const std::size_t size = co_await read();
                answer.bytes += size;
                if (answer.bytes < 4096) answer.body.append(as_text(ByteSpan(buffer_).first(size)));
            }
        }
        answer.seconds = wall_seconds() - began;
        co_return answer;
    }

    Task<std::uint64_t> nonce_of(crypto::PublicKey key) {
        const std::string request =
            request_text("GET", "/security/nonces/" + key.to_text(), "", {});
        const Answer answer = co_await ask(request);
        const auto body = need(parse_json(answer.body), "nonce");
        co_return body.as_object().at("next_nonce").to_number<std::uint64_t>();
    }

 private:
    Task<std::size_t> read() {
        const std::size_t size = need(co_await stream_->read_some(buffer_), "read");
        if (size == 0) give_up("read", "the server has closed the connection");
        co_return size;
    }

    /// Until the last chunk, which no list's text looks like.
    Task<> read_chunks(Answer& answer) {
        constexpr std::string_view kEnd = "\r\n0\r\n\r\n";
        std::string tail = answer.body;
        while (!tail.ends_with(kEnd)) {
            const std::size_t size = co_await read();
            answer.bytes += size;
            const std::string_view text = as_text(ByteSpan(buffer_).first(size));
            tail.append(text.substr(text.size() - std::min(text.size(), kEnd.size())));
            if (tail.size() > 2 * kEnd.size()) tail.erase(0, tail.size() - kEnd.size());
        }
    }

    net::Context context_;
    net::Address server_;
    std::unique_ptr<net::Stream> stream_;
    Bytes buffer_;
};

}  // namespace skywire::bench
