#pragma once

#include "dmsg/address.hpp"
#include "http/router.hpp"
#include "net/context.hpp"
#include "rpc/message.hpp"

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>

namespace skywire::transport_setup {

/// Opens a dmsg stream.
using Dial = std::function<Task<Result<std::unique_ptr<net::Stream>>>(dmsg::Address to)>;

/// The routes of transport-setup: each asks a visor, at its dmsg port 47, to make, remove or list
/// transports. spec/services-http.md section 9. Used on context.loop.
///
/// Over plain HTTP nobody is asked who they are: it is for whom the listener's address is for. Over
/// dmsg only the keys that are named may ask.
class Routes {
 public:
    struct Options {
        /// Who may ask over dmsg.
        std::set<crypto::PublicKey> whitelist;
        /// For a visor to be reached and to answer: making a transport takes it a while.
        std::chrono::milliseconds timeout{30'000};
        /// Visors being asked at one time; more are answered with 503.
        std::size_t requests_max = 64;
    };

    Routes(const net::Context& context, Dial dial, Options options);
    Routes(const Routes&) = delete;
    Routes& operator=(const Routes&) = delete;

    void add_to(http::Router& router);

 private:
    using Handler = Task<http::Response> (Routes::*)(http::Request&);

    Task<http::Response> guarded(http::Request& request, Handler handler);
    Task<http::Response> add(http::Request& request);
    Task<http::Response> remove(http::Request& request);
    Task<http::Response> list(http::Request& request);

    /// Asks a visor; `print` makes the body of the answer.
    template <class Reply, class Print>
    Task<http::Response> ask(
        crypto::PublicKey visor, std::string_view method, rpc::Body argument, Print print
    );
    http::Response refuse(unsigned status, std::string_view text, std::string_view outcome);
    void count(std::string_view outcome);

    net::Context context_;
    Dial dial_;
    Options options_;
    std::size_t under_way_ = 0;
};

}  // namespace skywire::transport_setup
