// What holds for both protocols: the recorded sessions.

#include "mux/core.hpp"

#include "mux/core_rig.hpp"
#include "mux/smux.hpp"
#include "mux/yamux.hpp"

#include <set>

namespace skywire::mux::test {

TEST_CASE("mux: a client's first byte tells its protocol") {
    CHECK(protocol_of(std::byte{0}) == Protocol::yamux);
    CHECK(protocol_of(std::byte{2}) == Protocol::smux);
    for (int other : {1, 3, 4, 0x47, 0xff})
        CHECK_FALSE(protocol_of(std::byte(other)).has_value());
    CHECK(protocol_name(Protocol::yamux) == "yamux");
    CHECK(protocol_name(Protocol::smux) == "smux");
}

// The recorded sessions.

namespace {

/// One frame of a recording.
struct Unit {
    bool from_client = false;
    Bytes bytes;
    StreamId stream = 0;
    /// What a core's user does or sees: "open", "accept", "data", "consumed", "close".
    std::string what;
    std::size_t consumed = 0;
};

struct Recording {
    std::string name;
    Protocol protocol = Protocol::yamux;
    std::vector<Unit> units;
};

std::string what_is(const json::object& event) {
    if (event.at("kind").as_string() == "smux") {
        const std::string command(event.at("cmd").as_string());
        if (command == "SYN") return "open";
        if (command == "PSH") return "data";
        return command == "UPD" ? "consumed" : "close";
    }
    if (event.at("type").as_string() == "data") return "data";
    switch (event.at("flags").as_int64()) {
        case yamux::kSyn:
            return "open";
        case yamux::kAck:
            return "accept";
        default:
            return "close";
    }
}

Recording read_leg(const std::string& file, const std::string& leg) {
    Recording recording;
    recording.name = file + " " + leg;
    const auto root = skywire::test::vectors("dmsg/" + file);
    for (const auto& value : root.as_object().at(leg).as_object().at("events").as_array()) {
        const auto& event = value.as_object();
        if (event.at("kind").as_string() == "handshake") continue;
        if (event.at("kind").as_string() == "smux") recording.protocol = Protocol::smux;
        Unit unit;
        unit.from_client = event.at("dir").as_string() == "client->server";
        unit.bytes = skywire::test::hex(skywire::test::text(value, "bytes"));
        unit.stream = static_cast<StreamId>(event.at("stream").as_int64());
        unit.what = what_is(event);
        if (unit.what == "consumed")
            unit.consumed = static_cast<std::size_t>(event.at("consumed").as_int64());
        recording.units.push_back(std::move(unit));
    }
    return recording;
}

std::vector<Recording> recordings() {
    std::vector<Recording> all;
    for (const char* file : {"session.json", "session_smux.json"})
        for (const char* leg : {"alice_leg", "bob_leg"})
            all.push_back(read_leg(file, leg));
    return all;
}

Rig rig_for(Protocol protocol, Role role) {
    CoreOptions options;
    options.role = role;
    return Rig(protocol == Protocol::yamux ? make_yamux : make_smux, options);
}

/// Has the core do what makes it send this unit.
void act(Rig& rig, const Recording& recording, const Unit& unit) {
    const std::size_t header =
        recording.protocol == Protocol::yamux ? yamux::kHeaderBytes : smux::kHeaderBytes;
    if (unit.what == "open") {
        REQUIRE(rig->open(rig.now).value() == unit.stream);
    } else if (unit.what == "accept") {
        rig->accept(unit.stream);
    } else if (unit.what == "data") {
        const ByteSpan payload = ByteSpan(unit.bytes).subspan(header);
        REQUIRE(payload.size() <= rig->sendable(unit.stream));
        rig->begin_data(unit.stream, payload.size());
        rig.output = std::move(rig.output) + payload;
    } else if (unit.what == "consumed") {
        rig->consumed(unit.stream, unit.consumed);
    } else {
        rig->close(unit.stream, rig.now);
    }
}

/// What the core tells its user when this unit comes.
std::string event_of(const Recording& recording, const Unit& unit) {
    const std::string id = std::to_string(unit.stream);
    if (unit.what == "open") return "stream " + id;
    if (unit.what == "accept") return "accepted " + id;
    if (unit.what == "consumed") return "";
    if (unit.what == "close") return "finished " + id;
    const std::size_t header =
        recording.protocol == Protocol::yamux ? yamux::kHeaderBytes : smux::kHeaderBytes;
    return "data " + id + " " + to_hex(ByteSpan(unit.bytes).subspan(header));
}

}  // namespace

TEST_CASE("mux: the recorded sessions, played from either side and cut into pieces of any size") {
    for (const auto& recording : recordings()) {
        CAPTURE(recording.name);
        REQUIRE_FALSE(recording.units.empty());
        std::set<std::pair<StreamId, bool>> closed;
        std::set<StreamId> opened;
        for (const auto& unit : recording.units) {
            if (unit.what == "open") opened.insert(unit.stream);
            if (unit.what == "close") closed.insert({unit.stream, unit.from_client});
        }
        std::size_t left = 0;
        for (const StreamId id : opened)
            left += closed.count({id, true}) + closed.count({id, false}) == 2 ? 0 : 1;

        for (const Role role : {Role::client, Role::server}) {
            for (std::size_t piece = 1; piece <= 400; piece += piece < 20 ? 1 : 37) {
                auto rig = rig_for(recording.protocol, role);
                for (const auto& unit : recording.units) {
                    if (unit.from_client == (role == Role::client)) {
                        act(rig, recording, unit);
                        REQUIRE(rig.sent() == to_hex(unit.bytes));
                    } else {
                        REQUIRE(rig.feed(unit.bytes, piece));
                        REQUIRE(rig.seen() == event_of(recording, unit));
                        REQUIRE(rig.output.empty());
                    }
                }
                CHECK(rig->streams() == left);
            }
        }
    }
}

TEST_CASE("mux: the recorded sessions with a byte changed: an error or a session, never harm") {
    for (const auto& recording : recordings()) {
        for (const Role role : {Role::client, Role::server}) {
            Bytes wire;
            for (const auto& unit : recording.units)
                if (unit.from_client != (role == Role::client)) wire = std::move(wire) + unit.bytes;
            std::size_t refused = 0;
            for (std::size_t at = 0; at < wire.size(); ++at) {
                for (const unsigned flip : {0x01U, 0x80U, 0xffU}) {
                    Bytes changed = wire;
                    changed[at] ^= std::byte(flip);
                    auto rig = rig_for(recording.protocol, role);
                    for (int i = 0; i < 3; ++i)
                        rig->open(rig.now).value();
                    rig.during_data = [&](StreamId id, std::size_t size) {
                        rig->consumed(id, size);
                        rig->begin_data(id, std::min<std::size_t>(size, rig->sendable(id)));
                    };
                    rig.during_finished = [&](StreamId id) { rig->close(id, rig.now); };
                    const bool fine = rig.feed(changed, 1 + at % 40).has_value();
                    refused += fine ? 0 : 1;
                    std::size_t received = 0;
                    for (const auto& [id, size] : rig.received)
                        received += size;
                    REQUIRE(received < wire.size());
                    REQUIRE(rig->streams() <= 3 + rig.events.size());
                }
            }
            CHECK(refused > 0);
        }
    }
}

}  // namespace skywire::mux::test
