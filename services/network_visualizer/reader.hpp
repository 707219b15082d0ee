#pragma once

#include "cxo/subscription_manager.hpp"
#include "http/client.hpp"
#include "net/context.hpp"
#include "services/network_visualizer/copy.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace skywire::network_visualizer {

/// The name of the feed that has this part: spec/cxo.md section 10.
std::string_view feed_name(Part part) noexcept;

/// Keeps a copy current from the feed of its publisher, as long as that is there; before its first
/// snapshot and after a loss the copy is left to its Upstream. What has changed is read anew at
/// most four times a second. Used on the service's loop, one call of `run` at a time.
class Reader {
 public:
    struct Options {
        /// Whose feed it is, where the configuration tells; else the service is asked.
        std::optional<crypto::PublicKey> publisher;
        /// Of the service, for its GET /health.
        std::string url;
    };

    /// The manager and the copy outlive it. The context's network dials keys.
    Reader(
        const net::Context& context, cxo::SubscriptionManager& manager, Copy& copy, Options options
    );

    /// Until it is cancelled.
    Task<> run();
    /// Lets go of the feed.
    void close();

 private:
    Task<std::optional<crypto::PublicKey>> find_publisher();
    Task<Result<crypto::PublicKey>> ask_publisher();
    Task<> look();
    Task<> take(cxo::SubscriptionManager::Reading reading);
    std::string trouble() const;

    net::Context context_;
    cxo::SubscriptionManager& manager_;
    Copy& copy_;
    Options options_;
    http::Client http_;
    std::string place_;
    cxo::SubscriptionManager::Handle handle_;
    /// There is news that the copy has not.
    bool changed_ = false;
    /// Why what the feed has is of no use; empty where it is.
    std::string unusable_;
    cxo::Subscription subscription_;
};

}  // namespace skywire::network_visualizer
