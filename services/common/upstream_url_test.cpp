#include "services/common/upstream_url.hpp"

#include "base/test.hpp"
#include "crypto/keys.hpp"

namespace skywire::services {

TEST_CASE("services: URLs of upstreams, of both kinds") {
    const std::string key = crypto::deterministic_key_pair("upstream").public_key.to_text();
    CHECK(parse_upstream_url("http://host:9091/")->address.port == 9091);
    for (const std::string& url : {"dmsg://" + key + ":80", "dmsg://" + key, "dmsg://" + key + "/"})
        CHECK(parse_upstream_url(url)->address == net::Address::tcp(key, 80));
    for (const std::string& url :
         {std::string("ftp://host"),
          std::string("dmsg://"),
          "dmsg://" + std::string(66, '0'),
          std::string("host:80"),
          std::string()}) {
        INFO(url);
        CHECK_FALSE(parse_upstream_url(url));
    }
}

}  // namespace skywire::services
