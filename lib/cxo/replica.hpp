#pragma once

#include "base/clock.hpp"
#include "cxo/root.hpp"
#include "cxo/tree.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace skywire::cxo {

/// What a subscriber takes of one feed; a feed that wants more is not followed any further, and
/// the copy stays what it was.
struct ReplicaLimits {
    /// Counted as often as they are reached.
    std::size_t objects_max = 4'000'000;
    /// Of its objects together; of its leaves, and of their paths, counted as often as they are
    /// reached.
    std::size_t bytes_max = std::size_t{512} << 20;
    /// Directories inside each other.
    std::size_t depth_max = 64;
    /// Unasked objects kept until the Root that names them.
    std::size_t staging_max = std::size_t{1} << 20;
};

/// A copy of one feed, kept equal to its publisher: a state machine that takes Roots and objects
/// and says which objects it needs. Fetches level by level, everything missing of a level at once,
/// and nothing that it holds already (section 6, "Receiver algorithm"). While it fills a Root, of
/// the newer ones only the newest waits. What was fetched for a Root that could not be finished is
/// used for the next.
///
/// Not bound to a connection: behind `disconnected` everything is asked for again, as soon as
/// whoever is there now has said that it has this Root, or a newer one.
class Replica {
 public:
    enum class Verdict {
        /// Being fetched, or complete already: see `changed`.
        taken,
        /// Behind the one that is being fetched.
        waits,
        /// Not newer than what we have; the same one again, for instance.
        old,
        /// `error` says what is wrong.
        refused,
    };
    struct Offered {
        Verdict verdict = Verdict::taken;
        Error error;
    };

    /// The index outlives it; replicas that share one share equal objects.
    Replica(const crypto::PublicKey& feed, ObjectIndex& index, const ReplicaLimits& limits = {});
    ~Replica();
    Replica(const Replica&) = delete;
    Replica& operator=(const Replica&) = delete;

    /// A Root that came, from whomever: all is checked here.
    Offered offer(const SignedRoot& root, SteadyTime now);

    /// Up to `room` hashes to be asked for now, the next level's first; each is given out once
    /// until `no_object` or `disconnected`.
    std::vector<Hash> requests(std::size_t room);
    /// True where it has asked for something, or would.
    bool filling() const noexcept;

    /// Bytes whose hash this is. Errors: what it says cannot be part of this tree (errc::malformed,
    /// limit_reached): the Root is given up, the copy stays.
    [[nodiscard]] Result<> object(const Hash& hash, ByteSpan bytes, bool asked);
    /// The publisher has it no more (a newer Root will come): this Root is given up.
    void no_object(const Hash& hash);
    /// Nothing that was asked for will come.
    void disconnected();

    /// A version that became complete since the last call, or nothing. The one before it is
    /// `before`; what happened between them is `difference`.
    struct Changed {
        Root root;
        Tree before;
        Tree now;
        /// The first one since this replica was made.
        bool first = false;
        /// When its Root was offered.
        SteadyTime offered{};
    };
    std::optional<Changed> changed();

    /// The last complete version; empty before the first.
    const Tree& tree() const noexcept;
    const std::optional<Root>& root() const noexcept;
    /// Of the last complete one, to be passed on.
    const std::optional<SignedRoot>& signed_root() const noexcept;

    struct Counts {
        std::uint64_t roots = 0;
        std::uint64_t old = 0;
        std::uint64_t refused = 0;
        std::uint64_t superseded = 0;
        std::uint64_t given_up = 0;
        std::uint64_t objects = 0;
        std::uint64_t unasked_used = 0;
        std::uint64_t unasked_dropped = 0;
        /// Request rounds of the last complete fill: 0 where all objects were there already.
        std::uint64_t rounds = 0;
    };
    const Counts& counts() const noexcept;

    /// Bytes that are held for it, at most: of the complete version, of the one being fetched, and
    /// of what waits for a Root that names it. What it shares with others counts as its own.
    std::size_t memory() const noexcept;

 private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace skywire::cxo
