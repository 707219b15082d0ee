#pragma once

#include "cxo/following.hpp"

#include <string_view>

/// For tests of what services take from the feeds of others.
namespace skywire::services {

/// Dials and follows nothing, as visors do who only publish.
class Announcing : public cxo::Follower {
 public:
    void on_begun(cxo::Following&) override {}
    Result<> admit(const cxo::Peer&) override { return {}; }
    void on_attached() override {}
    void on_subscribed() override {}
    void on_refused(std::string_view) override {}
    void on_root(const cxo::SignedRoot&) override {}
    void on_object(const cxo::Hash&, ByteSpan, bool) override {}
    void on_no_object(const cxo::Hash&) override {}
    void on_settled() override {}
    void on_ended(const Error&) override {}
};

}  // namespace skywire::services
