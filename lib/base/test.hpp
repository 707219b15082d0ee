#pragma once

// What every test file includes: Catch2 (its header's name differs between major versions) and the
// few helpers that all tests share.

#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>

#if __has_include(<catch2/catch_test_macros.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

#include "base/bytes.hpp"
#include "base/json.hpp"

/// A failed REQUIRE(result) shows the error's sentence.
template <class T>
struct Catch::StringMaker<skywire::Result<T>> {
    static std::string convert(const skywire::Result<T>& result) {
        return result ? "a value" : "error: " + result.error().message();
    }
};

namespace skywire::test {

/// A file below the checkout, whole.
inline std::string read_file(const std::string& path) {
    std::ifstream in(std::string(SKYWIRE_SOURCE_DIR) + "/" + path, std::ios::binary);
    if (!in) throw std::runtime_error("cannot read " + path);
    return {std::istreambuf_iterator<char>(in), {}};
}

/// A recorded vector: vectors/`path`, parsed.
inline json::value vectors(const std::string& path) {
    return parse_json(read_file("vectors/" + path)).value();
}

inline std::string text(const json::value& value, std::string_view member) {
    return std::string(value.as_object().at(member).as_string());
}

inline Bytes hex(std::string_view digits) {
    Bytes bytes;
    if (!from_hex(digits, bytes)) throw std::runtime_error("not hex: " + std::string(digits));
    return bytes;
}

}  // namespace skywire::test
