#pragma once

#include "services/route_finder/search.hpp"

#include <string>
#include <string_view>
#include <vector>

/// The body of POST /routes: spec/services-http.md section 7.
namespace skywire::route_finder {

/// From whom to whom; written as one text, "KEY:KEY".
struct Pair {
    crypto::PublicKey from;
    crypto::PublicKey to;

    auto operator<=>(const Pair&) const = default;
};

struct Question {
    /// As asked; a pair may come twice.
    std::vector<Pair> pairs;
    Bounds bounds;
};

/// More pairs in one request are refused: each may cost some milliseconds.
inline constexpr std::size_t kPairsMax = 64;

/// Why a body is refused: for the counter.
enum class Refusal { bad_json, wrong_type, bad_key, too_many_pairs };

std::string_view reason(Refusal refusal) noexcept;

struct Refused {
    Refusal refusal = Refusal::bad_json;
    /// What the existing network's decoder says.
    std::string message;
};

/// Reads a body as the existing network's decoder does: names in any letter case, the last of
/// duplicates wins, unknown members pass, and text behind the value does not. True and `into`, or
/// false and `refused`.
[[nodiscard]] bool read_question(std::string_view body, Question& into, Refused& refused);

}  // namespace skywire::route_finder
