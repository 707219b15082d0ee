#include "cxo/object.hpp"

namespace skywire::cxo {
namespace {

// What the network's encoder writes of the two structs, their tags included: spec/cxo.md section
// 3.3. A constant, since no other registry is in use and no schema is ever interpreted.
constexpr std::string_view kRegistry =
    "020000001700000063786f2e7472656573746f72652e54726565456e74727938010000000000001900000017"
    "00000063786f2e7472656573746f72652e54726565456e747279000000000300000032000000040000004e61"
    "6d6500000000000000001e000000000000001800000006000000737472696e67000000000000000000000000"
    "820000000300000053756229000000736b796f626a6563743a22736368656d613d63786f2e7472656573746f"
    "72652e547265654e6f646522000000004600000001000000160000000000000000000000000000002e000000"
    "00000000190000001600000063786f2e7472656573746f72652e547265654e6f646500000000000000000000"
    "000049000000040000004c656166000000000000000035000000000000001700000000000000000000000000"
    "00001d00000000000000080000000500000075696e7438000000000000000000000000000000001600000063"
    "786f2e7472656573746f72652e547265654e6f6465bb00000000000000190000001600000063786f2e747265"
    "6573746f72652e547265654e6f6465000000000100000089000000080000004368696c6472656e2a00000073"
    "6b796f626a6563743a22736368656d613d63786f2e7472656573746f72652e54726565456e74727922000000"
    "004700000002000000160000000000000000000000000000002f00000000000000190000001700000063786f"
    "2e7472656573746f72652e54726565456e74727900000000000000000000000000000000";
constexpr std::string_view kRegistryHash =
    "30f7ecd42e31f20218693280f66e2abe73f9ebd26922f240d32f98499d4d22e7";
constexpr std::string_view kNodeSchema =
    "d797975daa4a6dd6604ccbd1d0bd01fcaf258618f31f8570e9c42b335a10a6c9";

constexpr unsigned digit(char c) {
    return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10);
}

template <std::size_t size>
constexpr std::array<std::byte, size> from_digits(std::string_view digits) {
    std::array<std::byte, size> bytes{};
    for (std::size_t i = 0; i < size; ++i)
        bytes[i] = static_cast<std::byte>(digit(digits[2 * i]) << 4 | digit(digits[2 * i + 1]));
    return bytes;
}

constexpr auto kRegistryBytes = from_digits<kRegistry.size() / 2>(kRegistry);
static_assert(kRegistryBytes.size() == 564);
constexpr Hash kRegistryHashBytes = from_digits<32>(kRegistryHash);
constexpr Hash kNodeSchemaBytes = from_digits<32>(kNodeSchema);

}  // namespace

ByteSpan registry() noexcept {
    return kRegistryBytes;
}

const Hash& registry_hash() noexcept {
    return kRegistryHashBytes;
}

const Hash& node_schema() noexcept {
    return kNodeSchemaBytes;
}

}  // namespace skywire::cxo
