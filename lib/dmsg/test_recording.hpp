#pragma once

#include "base/test.hpp"
#include "dmsg/test_rig.hpp"

#include <string>
#include <string_view>

namespace skywire::dmsg::test {

/// A recorded session: session.json or session_smux.json.
struct Recording {
    explicit Recording(const std::string& file) : json(skywire::test::vectors("dmsg/" + file)) {}

    const json::object& at(std::string_view name) const {
        return json.as_object().at(name).as_object();
    }
    Bytes bytes(std::string_view object, std::string_view member) const {
        return skywire::test::hex(at(object).at(member).as_string());
    }
    crypto::KeyPair keys(std::string_view who) const { return pair_of(bytes(who, "seckey")); }
    Bytes ephemeral(std::string_view name) const {
        return skywire::test::hex(at("ephemerals").at(name).as_object().at("seckey").as_string());
    }
    WallTime time() const {
        return WallTime(std::chrono::nanoseconds(json.as_object().at("request_timestamp").as_int64()
        ));
    }
    const json::array& events(std::string_view leg) const {
        return at(leg).at("events").as_array();
    }

    json::value json;
};

}  // namespace skywire::dmsg::test
