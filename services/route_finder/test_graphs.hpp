#pragma once

#include "services/route_finder/graph.hpp"

#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>

/// Visors and transports for tests.
namespace skywire::route_finder {

inline crypto::PublicKey visor(int number) {
    // Of the recorded visors 1 to 6.
    return crypto::deterministic_key_pair(fmt::format("skywire-services-vector-visor{}", number))
        .public_key;
}

inline transport::Entry joins(int a, int b, std::string_view type = transport::kStcpr) {
    return transport::make_entry(visor(a), visor(b), type, transport::kLabelUser);
}

/// The graph of the recorded answers: vectors/services/rf_http_2025.json.
inline std::vector<transport::Entry> recorded_transports() {
    return {
        joins(1, 2),
        joins(2, 3, transport::kSudph),
        joins(1, 3, transport::kDmsg),
        joins(3, 4),
        joins(5, 6),
    };
}

struct Measured {
    transport::Entry entry;
    std::optional<std::uint32_t> latency_us;
};

/// Random transports of random types between the visors 0 to `visors` - 1; to oneself, too.
inline std::vector<Measured> random_transports(std::uint64_t seed, int visors, int count) {
    std::mt19937_64 random(seed);
    constexpr std::array kTypes{transport::kStcpr, transport::kSudph, transport::kDmsg};
    std::vector<Measured> made;
    for (int i = 0; i < count; ++i) {
        const int a = static_cast<int>(random() % static_cast<unsigned>(visors));
        const int b = static_cast<int>(random() % static_cast<unsigned>(visors));
        Measured each{joins(a, b, kTypes[random() % kTypes.size()]), std::nullopt};
        // Few values, so that many routes take equally long.
        if (random() % 3 != 0) each.latency_us = static_cast<std::uint32_t>(random() % 4) * 1000;
        if (random() % 16 == 0) each.entry.label = transport::kLabelSetup;
        made.push_back(std::move(each));
    }
    return made;
}

inline Graph graph_of(const std::vector<Measured>& transports) {
    Graph graph;
    for (const Measured& each : transports)
        graph.put(each.entry, each.latency_us);
    return graph;
}

}  // namespace skywire::route_finder
