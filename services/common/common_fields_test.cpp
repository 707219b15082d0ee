#include "services/common/common_fields.hpp"

#include "base/test.hpp"
#include "framework/deployment_config.hpp"
#include "services/common/service_store.hpp"

#include <stdlib.h>

namespace skywire::services {
namespace {

using framework::Problem;

constexpr std::string_view kSecret =
    "b3f6706cb72215d3873ef92cc0c6037a47fe651112b1685017d6347eed0fb714";
constexpr std::string_view kPublic =
    "02857a87410b3709eddb99bc00508cc7cfeb588d5ed87e3ef9d2aac838ad49470a";

framework::ServiceRegistry registry() {
    framework::ServiceType type;
    type.name = "example";
    type.summary = "a block of common keys";
    type.fields = framework::joined(
        common_fields({.addr_json = R"(":9090")", .entry_timeout_json = R"("5m")"}),
        {dmsg_client_field(), whitelist_field("Keys."), charts_field()}
    );
    type.check = check_common;
    type.facts = [](const framework::Block& block) { return common_facts(block, "example"); };
    type.externals = store_externals;
    type.make = [](const framework::Block&) -> Result<std::unique_ptr<framework::Service>> {
        return fail(errc::unsupported, "never run");
    };
    framework::ServiceRegistry made;
    made.add(std::move(type));
    return made;
}

/// A file of one block with these members.
class Loaded {
 public:
    explicit Loaded(const std::string& members)
        : registry_(registry()),
          loaded_(framework::load_deployment(
              "test.json", R"({"services":[{"type":"example")" + members + "}]}", registry_
          )) {}

    const framework::Problems& problems() const { return loaded_.problems; }
    bool says(Problem::Severity severity, std::string_view part) const {
        for (const Problem& problem : loaded_.problems) {
            if (problem.severity == severity && problem.message.find(part) != std::string::npos)
                return true;
        }
        return false;
    }
    const framework::BlockConfig& block() const { return loaded_.config.value().blocks.at(0); }
    CommonConfig common() const { return common_config(*block().block); }

 private:
    framework::ServiceRegistry registry_;
    framework::LoadedConfig loaded_;
};

/// Sets a variable of the environment for as long as it lives.
class Variable {
 public:
    Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
    ~Variable() { ::unsetenv(name_); }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;

 private:
    const char* name_;
};

std::string with_key() {
    return fmt::format(R"(,"secret_key":"{}")", kSecret);
}

}  // namespace

TEST_CASE("common keys: a block that says nothing has the defaults") {
    const Loaded loaded("");
    REQUIRE(loaded.problems().empty());
    const CommonConfig config = loaded.common();
    CHECK(config.public_key.is_null());
    CHECK(config.mode == Mode::http);
    CHECK(config.addr.to_string() == ":9090");
    CHECK_FALSE(config.metrics_addr);
    CHECK(config.entry_timeout == std::chrono::minutes(5));
    CHECK_FALSE(config.testing);
    CHECK(config.trusted_proxies.contains("127.0.0.9"));
    CHECK_FALSE(config.trusted_proxies.contains("192.0.2.1"));
    CHECK(store_config(*loaded.block().block).kind == StoreConfig::Kind::snapshot);
}

TEST_CASE("common keys: the public key follows from the secret one and must match it") {
    const Loaded good(with_key() + fmt::format(R"(,"public_key":"{}")", kPublic));
    REQUIRE_FALSE(framework::has_errors(good.problems()));
    CHECK(good.common().public_key.to_text() == kPublic);
    CHECK(good.common().mode == Mode::dual);
    CHECK(good.block().facts.public_key == good.common().public_key);
    const std::string other = crypto::deterministic_key_pair("another").public_key.to_text();
    const Loaded bad(with_key() + fmt::format(R"(,"public_key":"{}")", other));
    CHECK(bad.says(Problem::Severity::error, "is not that of"));
    for (const Problem& problem : bad.problems())
        CHECK(problem.message.find(kSecret) == std::string::npos);
}

TEST_CASE("common keys: the mode of the environment wins over the block's") {
    const Variable variable("SKYWIRE_SVC_MODE", " DMSG ");
    CHECK(Loaded(R"(,"mode":"http")").common().mode == Mode::dmsg);
    const Variable bad("SKYWIRE_SVC_MODE", "carrier pigeon");
    CHECK(Loaded("").says(Problem::Severity::error, "SKYWIRE_SVC_MODE is \"carrier pigeon\""));
}

TEST_CASE("common keys: modes have two names, in any case") {
    CHECK(Loaded(R"(,"mode":" Both ")").common().mode == Mode::dual);
    CHECK(Loaded(R"(,"mode":"dmsgHTTP")").common().mode == Mode::dmsg);
    CHECK(Loaded(with_key() + R"(,"mode":"http")").common().mode == Mode::http);
}

TEST_CASE("common keys: redis, else testing, else a snapshot") {
    const Loaded redis(R"(,"redis":"redis://:secret@localhost:7000/3","testing":true)");
    REQUIRE_FALSE(framework::has_errors(redis.problems()));
    const StoreConfig config = store_config(*redis.block().block);
    CHECK(config.kind == StoreConfig::Kind::redis);
    CHECK(config.redis->password == "secret");
    CHECK(redis.block().facts.database->database == "redis://localhost:7000/3");
    const auto externals = store_externals(*redis.block().block);
    REQUIRE(externals.size() == 1);
    CHECK(externals[0].name == "redis://localhost:7000/3");
    {
        const Variable variable("REDIS_PASSWORD", "of the environment");
        CHECK(store_config(*redis.block().block).redis->password == "of the environment");
    }
    const Loaded memory(R"(,"test_mode":true)");
    CHECK(memory.common().testing);
    CHECK(store_config(*memory.block().block).kind == StoreConfig::Kind::memory);
    CHECK(store_externals(*memory.block().block).empty());
}

TEST_CASE("common keys: Redis over TLS is refused where it stands") {
    const Loaded loaded(R"(,"redis":"rediss://:secret@host")");
    REQUIRE(framework::has_errors(loaded.problems()));
    const Problem& problem = loaded.problems().at(0);
    CHECK(problem.position.line == 1);
    CHECK(problem.position.column > 30);
    CHECK(problem.message.find("secret") == std::string::npos);
}

TEST_CASE("common keys: what is accepted and does nothing warns") {
    const Loaded loaded(R"(,"pprof_addr":"localhost:6060","tag":"x","redis_pool_size":5)");
    CHECK_FALSE(framework::has_errors(loaded.problems()));
    CHECK(loaded.says(Problem::Severity::warning, "has moved to the admin listener"));
    CHECK(loaded.problems().size() == 3);
}

TEST_CASE("common keys: a whitelist keeps keys as text, without those of zeros") {
    const Loaded loaded(
        fmt::format(R"(,"whitelist_keys":["{}","","{}"])", kPublic, crypto::PublicKey())
    );
    REQUIRE_FALSE(framework::has_errors(loaded.problems()));
    CHECK(whitelist_of(*loaded.block().block) == std::vector<std::string>{std::string(kPublic)});
    CHECK(whitelist_of(*Loaded("").block().block).empty());
}

TEST_CASE("common keys: bad proxies and lifetimes are errors") {
    CHECK(framework::has_errors(Loaded(R"(,"trusted_proxies":["10.0.0.0/33"])").problems()));
    CHECK(framework::has_errors(Loaded(R"(,"trusted_proxies":["proxy"])").problems()));
    CHECK(framework::has_errors(Loaded(R"(,"entry_timeout":"-1s")").problems()));
    CHECK(
        Loaded(R"(,"entry_timeout":60000000000)").common().entry_timeout == std::chrono::minutes(1)
    );
}

TEST_CASE("common keys: ports and health address of a block") {
    const Loaded loaded(R"(,"addr":"127.0.0.1:9","metrics_addr":"127.0.0.1:10")");
    const framework::BlockFacts& facts = loaded.block().facts;
    REQUIRE(facts.ports.size() == 2);
    CHECK(facts.ports[0].address.to_string() == "127.0.0.1:9");
    CHECK(facts.ports[1].key == "metrics_addr");
    CHECK(facts.health_address == facts.ports[0].address);
}

}  // namespace skywire::services
