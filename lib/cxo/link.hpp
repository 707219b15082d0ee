#pragma once

#include "base/clock.hpp"
#include "cxo/announcement.hpp"
#include "cxo/message.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::cxo {

/// Sizes and times of a connection. The times are those that keep the network's own nodes content
/// (section 6 rules 1, 3, 4, 6).
struct LinkLimits {
    Duration handshake{std::chrono::seconds(59)};
    /// Nothing received for so long: half-dead, errc::timed_out.
    Duration idle{std::chrono::seconds(90)};
    /// A RequestList this often, for the other side's watchdog.
    Duration keep_alive{std::chrono::seconds(30)};
    /// Between our Ok to a Sub and the first Root: a subscriber of the network is not ready at
    /// once.
    Duration first_root{std::chrono::milliseconds(150)};
    /// No request for any of its objects after that long, or twice what passes from one object to
    /// the next request: the first Root once more, one that was missed, and any that was told to
    /// who was still filling another or had an answer to wait for.
    Duration root_again{std::chrono::seconds(1)};
    /// Who asks for each object, whatever went ahead, is told no newer Root until it has asked for
    /// nothing for so long, or twice its pace: of the network's subscribers one that fills breaks
    /// off a Root that comes meanwhile, or stops for good.
    Duration fill_quiet{std::chrono::milliseconds(500)};
    /// An answer to a request.
    Duration answer{std::chrono::seconds(59)};

    /// Our unanswered object requests: at the start, and at most.
    std::size_t window_min = 256;
    std::size_t window_max = 4096;
    /// A request answered later than this does not widen the window.
    Duration quick_answer{std::chrono::seconds(5)};
    /// The peer's requests that wait for room in the carrier: more is errc::limit_reached.
    std::size_t requests_max = 16384;
    /// Feeds that a peer may subscribe to, and that we may, on one link.
    std::size_t feeds_max = 64;
    /// Objects that go ahead of a Root, together.
    std::size_t ahead_max = std::size_t{64} << 10;
    /// Unasked objects of the peer's between two Roots: more is dropped and counted.
    std::size_t unasked_max = std::size_t{1} << 20;
    /// The largest object that is taken from the peer, asked for or not: what all of a feed may
    /// have, where that is less. A longer frame ends the link, errc::limit_reached, before any of
    /// it is kept.
    std::size_t object_max = kObjectMax;
};

/// What a link tells its owner and asks from it, called from inside the link's functions; must not
/// destroy the link.
class LinkEvents {
 public:
    virtual ~LinkEvents() = default;

    /// The handshake is done: the peer says it is `node`, which nobody has proven. An error ends
    /// the link; a dialer is told its text.
    virtual Result<> on_established(const crypto::PublicKey& node) = 0;

    // For the publisher's side.
    /// What is held, served to any peer that asks; null: it is told so at once.
    virtual ObjectPtr find_object(const Hash& hash) = 0;
    /// A peer wants the feed: what it has now (null: nothing yet), or why not, which it is told.
    /// Comes again when the peer repeats itself; an error then ends what it had.
    virtual Result<AnnouncementPtr> on_subscribe(const crypto::PublicKey& feed) = 0;
    /// What on_subscribe had granted is over, while the link goes on.
    virtual void on_unsubscribe(const crypto::PublicKey& feed) = 0;
    /// A peer asks for the Root without subscribing; null: `no such feed`, also where it may not.
    /// Called when its answer's turn to be written comes.
    virtual AnnouncementPtr on_preview(const crypto::PublicKey&) { return nullptr; }
    /// Nothing: it does not tell its feeds, as usual.
    virtual std::optional<std::vector<crypto::PublicKey>> feeds() { return std::nullopt; }

    // For the subscriber's side.
    virtual void on_subscribed(const crypto::PublicKey& feed) = 0;
    /// The peer's words.
    virtual void on_refused(const crypto::PublicKey& feed, std::string_view why) = 0;
    /// A Root of a feed that we subscribe to here; nothing about it is checked.
    virtual void on_root(const SignedRoot& root) = 0;
    /// Bytes whose hash this is; asked for or not (then within `unasked_max`).
    virtual void on_object(const Hash& hash, ByteSpan bytes, bool asked) = 0;
    /// The peer has not got what we asked for.
    virtual void on_no_object(const Hash& hash) = 0;

    /// Something was dropped, refused or repeated; the reasons are those of docs/metrics.md.
    virtual void on_count(std::string_view reason) = 0;
};

/// One connection of protocol 3 as a state machine: bytes and `now` in, parts to write and events
/// out. No I/O, no clock. Either side may publish and subscribe.
///
/// A slow peer costs no memory: its requests wait as numbers until the carrier has taken what was
/// written before, and of each feed only the newest Root waits. Towards nodes of the network it
/// keeps what section 6 found: no frame that is fatal to them, the first Root late and repeated,
/// at most `window` requests in flight; none while they fill another, as soon as they are known to
/// ask for what went ahead of one.
class Link {
 public:
    enum class Role { dialer, acceptor };

    Link(
        Role role,
        const crypto::PublicKey& own_node,
        const LinkLimits& limits,
        LinkEvents& events,
        SteadyTime now
    );
    ~Link();
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;

    /// Takes what was read, any cut of it. An error ends the link: write what is left in
    /// `gather`, once, and close; later calls answer the same error. errc::malformed,
    /// errc::limit_reached, errc::unsupported (a version, a type), errc::forbidden,
    /// errc::timed_out, errc::closed (the peer said Err to our Syn).
    [[nodiscard]] Result<> on_bytes(ByteSpan bytes, SteadyTime now);
    /// Keep-alive, first Roots, time limits; call at next_time() or a little later.
    [[nodiscard]] Result<> on_time(SteadyTime now);
    SteadyTime next_time() const noexcept;
    /// Its owner has ended the connection, perhaps inside one of the events: what has come with the
    /// same bytes is not looked at any more.
    void stop();

    bool established() const noexcept;
    /// Whom the peer claims to be; null before the handshake.
    const crypto::PublicKey& node() const noexcept;

    // Subscriber.
    void subscribe(const crypto::PublicKey& feed, SteadyTime now);
    void unsubscribe(const crypto::PublicKey& feed);
    /// Free places among our requests.
    std::size_t window() const noexcept;
    /// Asks for an object; only with window() > 0, and once at a time for a hash.
    void request(const Hash& hash, SteadyTime now);
    /// When something last came of an object that was asked for, be it a part of a large one; the
    /// clock's beginning: nothing yet. Who waits for a feed waits for as long as this moves.
    SteadyTime progress() const noexcept;

    // Publisher.
    /// Tells the peer of a version, if it subscribes to the feed; supersedes one that still waits.
    void announce(const AnnouncementPtr& version, SteadyTime now);
    /// Ends the peer's subscription (its key is not allowed any more): it hears nothing of it, the
    /// protocol has no word.
    void drop_subscription(const crypto::PublicKey& feed);
    bool has_subscriber(const crypto::PublicKey& feed) const noexcept;

    // Writing.
    bool has_output() const noexcept;
    /// What to write next, in order, about 256 KiB and never more than 512 KiB: a large object goes
    /// in pieces, so that the time of one write says how fast the peer takes what it gets. Valid
    /// until the next call of `wrote`. Call `wrote` once all of it is written, and not before.
    std::span<const ByteSpan> gather(SteadyTime now);
    void wrote(SteadyTime now);

    /// Bytes of buffers held, for the account of memory.
    std::size_t memory() const noexcept;

 private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace skywire::cxo
