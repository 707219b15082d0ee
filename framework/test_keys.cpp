#include "framework/load.hpp"

namespace skywire::framework::detail {

namespace {

struct TestKey {
    std::string_view owner;
    std::string_view public_key;
};

/// Their secrets stand in public repositories: spec/e2e.md section 3.
constexpr auto kTestKeys = std::to_array<TestKey>({
    {"dmsg-discovery", "02857a87410b3709eddb99bc00508cc7cfeb588d5ed87e3ef9d2aac838ad49470a"},
    {"dmsg-server", "035915c609f71d0c7df27df85ec698ceca0cb262590a54f732e3bbd0cc68d89282"},
    {"transport-discovery", "02a5993cb6792eb18908cb7c6c9c742ef5fbe3dcfcce2862bbc4615a5f35cbed46"},
    {"route-finder", "02b88fe426b2f6f83f19b151c427c155aae186d734cbd45f12b57ddbd237b49278"},
    {"service-discovery", "026f96adae04285f8b35eeba23b9aa2be3470ea4bb005118f4e64006afdeea85a7"},
    {"address-resolver", "02252c40a1ac021dcf6d93f1aae38023e8fd20bb0d35b7d07cba9435a7cb7ef34f"},
    {"uptime-tracker", "031ecf9a2aefa62398b305481f9a00365e4a1247ae0ea46bdb92223a43a306a98e"},
    {"setup-node", "02603d53d49b6575a0b8cee05b70dd23c86e42cd6cba99af769d61a6196ea2bcb1"},
    {"transport-setup", "0277dda8a284d43b4d5ee2a4152771e76131e9437c47be5d8e835aafe02c45a9ae"},
    {"visor-a", "024ec47420176680816e0406250e7156465e4531f5b26057c9f6297bb0303558c7"},
    {"visor-b", "0348c941c5015a05c455ff238af2e57fb8f914c399aab604e9abb5b32b91a4c1fe"},
    {"visor-c", "031b80cd5773143a39d940dc0710b93dcccc262a85108018a7a95ab9af734f8055"},
    {"visor-s", "032d25e22934ad7d60b09f1acbc81db06501baaa07137637cad1cfd9bcfcfa2977"},
    {"transport-discovery", "032edaa87383c6987eb5037fcf7281745e7db142c65a4f537589fe44d6b07c16a8"},
    {"route-finder", "0206f60cafeb0d1ab58dd8aba5a36daa707497642280c91a1043860141e23f5a66"},
    {"service-discovery", "028d2b274019b46e8ac68b1c147cf7ef2cdf799f0271d252efe87a73bdc847b83e"},
    {"address-resolver", "0283c63541f61e21f3b490feb1f20c9b69e2ecea691268c243339c0dc7d1b553d7"},
});

}  // namespace

std::string_view public_test_key(const crypto::PublicKey& key) {
    const std::string text = key.to_text();
    for (const TestKey& test_key : kTestKeys) {
        if (test_key.public_key == text) return test_key.owner;
    }
    return "";
}

}  // namespace skywire::framework::detail
