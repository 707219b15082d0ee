#pragma once

#include "framework/block.hpp"
#include "framework/block_facts.hpp"
#include "net/address.hpp"

#include <cstdint>
#include <optional>
#include <string_view>

/// The keys of a service's feeds: spec/cxo.md section 10.
namespace skywire::services {

/// Which leaves a feed has where the network's readers have known others: spec/cxo.md section 10.
enum class FeedLayout {
    newest,
    /// As readers from before mid-2026 look for them.
    old,
    both,
};

constexpr bool has_newest(FeedLayout layout) noexcept {
    return layout != FeedLayout::old;
}
constexpr bool has_old(FeedLayout layout) noexcept {
    return layout != FeedLayout::newest;
}

/// Of one feed.
struct FeedConfig {
    /// The dmsg port; 0: not over dmsg.
    std::uint16_t port = 0;
    /// Plain TCP beside it, for readers that are not on dmsg.
    std::optional<net::Address> tcp;
    FeedLayout layout = FeedLayout::newest;
};

/// `enable_cxo`, `cxo_port` and `cxo_tcp_addr`. `port_json` is the port of the known feed, a text
/// that lives as long as the program.
framework::FieldTable feed_fields(std::string_view port_json);

/// Another port of a service with several feeds.
framework::Field feed_port_field(
    std::string_view key, std::string_view port_json, std::string_view description
);

/// `cxo_in_port`, where visors connect that publish to us.
framework::Field feed_in_port_field(std::string_view port_json, std::string_view description);

/// `feed_layout`, of a service that has another layout than the newest. `both` false: not together,
/// since a leaf of one stands where the other has a directory.
framework::Field feed_layout_field(std::string_view description, bool both);

/// No two of these keys, and neither HTTP nor the control port, on one dmsg port.
void check_feed_ports(
    const framework::Block& block,
    std::initializer_list<std::string_view> keys,
    framework::Problems& problems
);

/// Nothing where the feed is switched off, or the block has no key to sign it with.
std::optional<FeedConfig> feed_config(const framework::Block& block, std::string_view feed);

/// `cxo_in_port`; 0 where feeds are switched off.
std::uint16_t feed_in_port(const framework::Block& block);

/// The port of `cxo_tcp_addr`, for the checks across blocks.
void add_feed_ports(const framework::Block& block, framework::BlockFacts& facts);

}  // namespace skywire::services
