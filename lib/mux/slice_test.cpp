#include "mux/slice.hpp"

#include "base/test.hpp"

#include <random>
#include <string>

using namespace skywire;
using namespace skywire::mux;

namespace {

Slice slice_of(std::string_view text, std::size_t chunk_bytes = kChunkBytes) {
    Chunk chunk(chunk_bytes);
    std::copy_n(as_bytes(text).data(), text.size(), chunk.bytes().data());
    return chunk.slice(0, text.size());
}

std::string all_of(const ByteQueue& queue) {
    std::vector<ByteSpan> parts;
    queue.gather(parts, 1'000'000);
    std::string text;
    for (const ByteSpan part : parts)
        text += as_text(part);
    return text;
}

}  // namespace

TEST_CASE("slice: shares its chunk, which knows when it is alone again") {
    Chunk chunk;
    CHECK(chunk.bytes().size() == kChunkBytes);
    CHECK(chunk.unique());
    {
        Slice slice = chunk.slice(10, 20);
        const Slice other = slice;
        CHECK(!chunk.unique());
        slice = Slice();
        CHECK(!chunk.unique());
        CHECK(other.size() == 20);
        CHECK(other.chunk_size() == kChunkBytes);
        CHECK(other.first(5).bytes().data() == chunk.bytes().data() + 10);
    }
    CHECK(chunk.unique());
}

TEST_CASE("slice: outlives its chunk; a copy is of its own size") {
    const Slice slice = slice_of("hello");
    CHECK(as_text(slice.bytes()) == "hello");
    const Slice copy = Slice::copy_of(slice.bytes());
    CHECK(copy.chunk_size() == 5);
    CHECK(as_text(copy.bytes()) == "hello");
    CHECK(Slice::copy_of({}).empty());
}

TEST_CASE("queue: copied bytes lie together, large slices are kept as they are") {
    ByteQueue queue;
    queue.append(as_bytes("abc"));
    queue.append(as_bytes("def"));
    CHECK(as_text(queue.front()) == "abcdef");
    const std::string large(40'000, 'x');
    const Slice slice = slice_of(large);
    queue.append(slice);
    queue.append(as_bytes("ghi"));
    queue.append(slice_of("jkl"));
    std::vector<ByteSpan> parts;
    queue.gather(parts, 100);
    REQUIRE(parts.size() == 3);
    CHECK(parts[1].data() == slice.bytes().data());
    CHECK(as_text(parts[2]) == "ghijkl");
    CHECK(queue.size() == large.size() + 12);
    std::array<ByteSpan, 2> two;
    CHECK(queue.gather(two) == 2);
    CHECK(two[1].size() == large.size());
}

TEST_CASE("queue: neighbours in one chunk become one piece") {
    Chunk chunk;
    ByteQueue queue;
    queue.append(chunk.slice(0, 1000));
    queue.append(chunk.slice(1000, 2000));
    queue.append(chunk.slice(4000, 1000));
    std::array<ByteSpan, 9> parts;
    CHECK(queue.gather(parts) == 2);
    CHECK(queue.pinned() == kChunkBytes);
    queue.remove_prefix(3000);
    CHECK(queue.pinned() == kChunkBytes);
    queue.remove_prefix(1000);
    CHECK(queue.pinned() == 0);
    CHECK(queue.empty());
}

TEST_CASE("queue: what stays is made small") {
    ByteQueue queue;
    std::string all;
    for (char c = 'a'; c <= 'z'; ++c) {
        const std::string piece(1000, c);
        queue.append(slice_of(piece));
        all += piece;
    }
    CHECK(queue.pinned() <= 2 * queue.size() + 5 * kChunkBytes);
    queue.compact();
    CHECK(queue.pinned() <= 2 * queue.size());
    CHECK(all_of(queue) == all);

    const std::string large(kChunkBytes, 'L');
    const Slice kept = slice_of(large);
    queue.append(kept);
    queue.append(slice_of(std::string(2000, 's')));
    queue.compact();
    CHECK(all_of(queue) == all + large + std::string(2000, 's'));
    queue.remove_prefix(all.size());
    CHECK(queue.front().data() == kept.bytes().data());
}

TEST_CASE("queue: a chunk read almost to its end is let go") {
    ByteQueue queue;
    Chunk chunk;
    queue.append(chunk.slice(0, kChunkBytes));
    queue.remove_prefix(kChunkBytes - 10);
    CHECK(!chunk.unique());
    queue.compact();
    CHECK(chunk.unique());
    CHECK(queue.size() == 10);
}

TEST_CASE("queue: a copy and its original go on apart") {
    ByteQueue queue;
    queue.append(as_bytes("abc"));
    ByteQueue copy = queue;
    queue.append(as_bytes("def"));
    copy.append(as_bytes("xyz"));
    CHECK(all_of(queue) == "abcdef");
    CHECK(all_of(copy) == "abcxyz");
    ByteQueue taken = queue.take(2);
    taken.append(as_bytes("!"));
    queue.append(as_bytes("?"));
    CHECK(all_of(taken) == "ab!");
    CHECK(all_of(queue) == "cdef?");
    ByteQueue pieces = queue.take_pieces(1);
    queue.append(as_bytes("after"));
    CHECK(all_of(pieces) == "cdef?");
    CHECK(all_of(queue) == "after");
}

TEST_CASE("queue: agrees with a string, whatever is done to it") {
    std::mt19937 random(7);
    const auto below = [&random](std::size_t limit) { return random() % limit; };
    ByteQueue queue;
    std::string model;
    std::size_t next = 0;
    const auto text = [&](std::size_t size) {
        std::string made;
        while (made.size() < size)
            made += std::to_string(next++) + ",";
        return made.substr(0, size);
    };
    for (int step = 0; step < 5000; ++step) {
        const std::size_t size = below(4) == 0 ? below(30'000) : below(700);
        switch (below(9)) {
            case 0:
            case 1: {
                const std::string more = text(size);
                queue.append(as_bytes(more));
                model += more;
                break;
            }
            case 2:
            case 3: {
                const std::string more = text(size);
                queue.append(slice_of(more, size + below(70'000)));
                model += more;
                break;
            }
            case 4: {
                const ByteQueue taken = queue.take(size);
                CHECK(all_of(taken) == model.substr(0, size));
                model.erase(0, std::min(size, model.size()));
                break;
            }
            case 5: {
                Bytes into(size);
                const std::size_t done = queue.read(into);
                CHECK(as_text(ByteSpan(into).first(done)) == model.substr(0, size));
                model.erase(0, done);
                break;
            }
            case 6: {
                ByteQueue other = queue.take_pieces(below(5));
                const std::string moved = model.substr(0, other.size());
                model.erase(0, other.size());
                other.append(std::move(queue));
                queue = std::move(other);
                model = moved + model;
                break;
            }
            case 7:
                queue.compact();
                CHECK(queue.pinned() <= 2 * queue.size() + 240);
                break;
            case 8: {
                const std::size_t count = std::min(size * below(3), model.size());
                queue.remove_prefix(count);
                model.erase(0, count);
                break;
            }
        }
        REQUIRE(queue.size() == model.size());
        REQUIRE(queue.empty() == (queue.pinned() == 0));
        if (step % 64 == 0) REQUIRE(all_of(queue) == model);
    }
}
