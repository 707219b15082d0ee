#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "net/address.hpp"
#include "net/task.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// HTTP/1.1 messages as handlers see them. Beast stays inside lib/http's sources.
namespace skywire::http {

enum class Method { get, head, post, put, delete_, options, patch, other };

std::string_view method_name(Method method) noexcept;

/// Header fields in order of arrival; names compare without case.
class Fields {
 public:
    /// The first value, or nothing.
    std::optional<std::string_view> get(std::string_view name) const noexcept;
    /// Replaces all values of the name.
    void set(std::string_view name, std::string value);
    /// Adds another value.
    void add(std::string name, std::string value);
    void remove(std::string_view name);
    void clear() noexcept { fields_.clear(); }
    void reserve(std::size_t count) { fields_.reserve(count); }

    auto begin() const noexcept { return fields_.begin(); }
    auto end() const noexcept { return fields_.end(); }
    std::size_t size() const noexcept { return fields_.size(); }

 private:
    std::vector<std::pair<std::string, std::string>> fields_;
};

struct Request {
    Method method = Method::get;
    /// The method as sent, for Method::other.
    std::string method_text;
    /// Path and query as sent.
    std::string target;
    /// The path, percent-decoded, without the query.
    std::string path;
    Fields fields;
    std::string body;
    /// The peer of the connection, or what its PROXY header said.
    net::Address remote;
    /// What the route's {name} segments matched, and "*" for the rest.
    std::map<std::string, std::string, std::less<>> params;

    std::string_view param(std::string_view name) const;
    /// The first value of a query key, percent-decoded; nothing where the key is absent.
    std::optional<std::string> query(std::string_view key) const;
};

/// What an endless body writes through: see Response::stream.
class BodyWriter {
 public:
    virtual ~BodyWriter() = default;
    /// Sends one chunk and waits until the kernel has taken it: a slow reader pushes back here.
    virtual Task<Result<>> write(std::string chunk) = 0;
};

struct Response {
    unsigned status = 200;
    Fields fields;
    /// The body; `shared_body` wins where it is set, so that a cached body is never copied.
    std::string body;
    std::shared_ptr<const std::string> shared_body;
    /// Set for a body without a known end (events): sent chunked until the coroutine returns or
    /// the peer leaves. The coroutine is cancelled when the server stops.
    std::function<Task<>(BodyWriter&)> stream;

    std::string_view body_view() const noexcept {
        return shared_body ? std::string_view(*shared_body) : std::string_view(body);
    }

    /// `text` with a Content-Type; the usual way to make a response.
    static Response of(unsigned status, std::string content_type, std::string text);
    /// application/json
    static Response json(unsigned status, std::string text);
    /// A status and nothing else.
    static Response empty(unsigned status);
};

/// "404 page not found\n" as the existing network's routers answer unknown paths.
Response not_found_page();

std::string_view reason_phrase(unsigned status) noexcept;

}  // namespace skywire::http
