#pragma once

#include "http/message.hpp"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::http {

/// Answers one request. An exception that leaves it becomes a 500 with an empty body and a counter.
using Handler = std::function<Task<Response>(Request&)>;

/// Runs around the handler: calls `next(request)` or answers by itself.
using Middleware = std::function<Task<Response>(Request&, const Handler& next)>;

/// Method and path to handler. A path pattern has literal segments, `{name}` for one segment and a
/// last `*` for the rest, empty too. Literal segments win over `{name}`, that over `*`.
///
/// Unknown path: 404 "404 page not found\n". Known path, other method: 405, empty, with Allow. HEAD
/// is answered by GET's handler where no HEAD is set. Trailing slashes are significant.
class Router {
 public:
    Router();
    ~Router();
    Router(Router&&) noexcept;
    Router& operator=(Router&&) noexcept;

    void on(Method method, std::string_view pattern, Handler handler);
    /// The first one added is the outermost; runs for unknown paths too.
    void use(Middleware middleware);

    Task<Response> handle(Request& request) const;

    /// The pattern that answers this request ("/dmsg-discovery/entry/{pk}"), "" for none: a label
    /// for metrics and logs that a peer cannot make up.
    std::string_view pattern_of(const Request& request) const;

 private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace skywire::http
