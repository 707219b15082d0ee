#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>
#include <vector>

/// Work on many keys, so that no single call of the store is long.
namespace skywire::store {

/// Keys of one read, changes of one batch.
inline constexpr std::size_t kPieceSize = 256;

/// At most kPieceSize elements in each, in their order.
template <class T>
std::vector<std::vector<T>> pieces(std::vector<T> all) {
    std::vector<std::vector<T>> pieces;
    pieces.reserve(all.size() / kPieceSize + 1);
    for (std::size_t from = 0; from < all.size(); from += kPieceSize) {
        const std::size_t to = std::min(from + kPieceSize, all.size());
        pieces.emplace_back(
            std::make_move_iterator(all.begin() + static_cast<std::ptrdiff_t>(from)),
            std::make_move_iterator(all.begin() + static_cast<std::ptrdiff_t>(to))
        );
    }
    return pieces;
}

}  // namespace skywire::store
