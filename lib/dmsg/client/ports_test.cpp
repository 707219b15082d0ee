#include "dmsg/client/ports.hpp"

#include "base/test.hpp"
#include "dmsg/code.hpp"

#include <vector>

namespace skywire::dmsg::detail {
namespace {

TEST_CASE("ports: each is taken once, until it is given back") {
    const auto ports = std::make_shared<Ports>();
    auto lease = ports->take(80).value();
    CHECK(lease.port() == 80);
    const auto again = ports->take(80);
    CHECK(again.error() == make_error_code(Code::port_occupied));
    CHECK_THAT(again.error().message(), Catch::Contains("80"));
    CHECK(ports->take(0).error() == make_error_code(errc::out_of_range));
    lease.release();
    lease.release();
    lease = ports->take(80).value();
    {
        const PortLease moved = std::move(lease);
        CHECK(ports->take(80).has_error());
    }
    CHECK(ports->take(80));
}

TEST_CASE("ports: ephemeral ones rise from 49153, go round and pass over those in use") {
    const auto ports = std::make_shared<Ports>();
    const auto held = ports->take(49154).value();
    CHECK(ports->take_ephemeral().value().port() == 49153);
    CHECK(ports->take_ephemeral().value().port() == 49155);
    std::vector<PortLease> all;
    while (auto lease = ports->take_ephemeral())
        all.push_back(std::move(*lease));
    CHECK(all.size() == 65536 - 49152 - 1);
    CHECK(all.front().port() == 49156);
    CHECK(all[65535 - 49156].port() == 65535);
    CHECK(all[65535 - 49156 + 1].port() == 49152);
    CHECK(ports->take_ephemeral().error() == make_error_code(errc::limit_reached));
    all.pop_back();
    CHECK(ports->take_ephemeral());
}

}  // namespace
}  // namespace skywire::dmsg::detail
