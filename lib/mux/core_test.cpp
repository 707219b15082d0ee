#include "mux/core.hpp"

#include "mux/core_rig.hpp"

namespace skywire::mux::test {

TEST_CASE("mux: a client's first byte tells its protocol") {
    CHECK(protocol_of(std::byte{0}) == Protocol::yamux);
    CHECK(protocol_of(std::byte{2}) == Protocol::smux);
    for (int other : {1, 3, 4, 0x47, 0xff})
        CHECK_FALSE(protocol_of(std::byte(other)).has_value());
    CHECK(protocol_name(Protocol::yamux) == "yamux");
    CHECK(protocol_name(Protocol::smux) == "smux");
}

}  // namespace skywire::mux::test
