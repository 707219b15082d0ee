#pragma once

#include "cxo/detail/frame_reader.hpp"
#include "cxo/detail/outbox.hpp"
#include "cxo/detail/requests.hpp"
#include "cxo/link.hpp"

namespace skywire::cxo {
namespace detail {

/// Who has asked for nothing for so long fills nothing any more.
inline constexpr Duration kFillSilence = std::chrono::seconds(10);

}  // namespace detail

/// What came: link.cpp. What goes, and when: detail/link_output.cpp.
class Link::Impl final : private detail::FrameHandler {
 public:
    Impl(
        Role role,
        const crypto::PublicKey& own_node,
        const LinkLimits& limits,
        LinkEvents& events,
        SteadyTime now
    );

    Result<> on_bytes(ByteSpan bytes, SteadyTime now);
    Result<> on_time(SteadyTime now);
    SteadyTime next_time() const noexcept;
    void stop();

    bool established() const noexcept { return established_; }
    const crypto::PublicKey& node() const noexcept { return node_; }

    void subscribe(const crypto::PublicKey& feed, SteadyTime now);
    void unsubscribe(const crypto::PublicKey& feed);
    std::size_t window() const noexcept;
    void request(const Hash& hash);
    SteadyTime progress() const noexcept { return progress_at_; }

    void announce(const AnnouncementPtr& version, SteadyTime now);
    void drop_subscription(const crypto::PublicKey& feed);
    bool has_subscriber(const crypto::PublicKey& feed) const noexcept;

    bool has_output() const noexcept { return !batch_.empty() || !notes_.empty(); }
    std::span<const ByteSpan> gather(SteadyTime now);
    void wrote(SteadyTime now);

    std::size_t memory() const noexcept;

 private:
    /// A peer's subscription.
    struct Subscriber {
        crypto::PublicKey feed;
        /// Told when its turn comes.
        AnnouncementPtr next;
        /// Told last, and the one before.
        AnnouncementPtr sent;
        AnnouncementPtr before;
        /// Whose directory was asked for last: it is being filled.
        AnnouncementPtr filling;
        /// When its first Root may go; max: its Ok is not written yet.
        SteadyTime first_at = SteadyTime::max();
        /// When the newest Root goes once more; max: never, or not yet.
        SteadyTime again_at = SteadyTime::max();
        /// The time of its first Root is over.
        bool ready = false;
        /// Its first Root may be repeated.
        bool may_repeat = true;
        /// A note of its newest Root waits.
        bool queued = false;
        /// The objects of `next` go ahead of it, as many as may; so many have been looked at, and
        /// so many bytes have gone.
        bool goes_ahead = false;
        std::size_t ahead = 0;
        std::size_t ahead_bytes = 0;
        /// The objects of `sent` and `before` went ahead of them.
        bool sent_ahead = false;
        bool before_ahead = false;
        /// It asks for objects all the same, one after another.
        bool fetches = false;
        /// `sent` has another tree than `before`, which was not asked for yet.
        bool is_awaited = false;
        /// It was waited for in vain, and has asked for nothing since.
        bool is_silent = false;
        /// When it last asked for an object, or had got one.
        SteadyTime busy_at{};
        SteadyTime told_at{};
        /// What passes until it asks for the next object of a fill: the longest lately.
        Duration pace{};
    };

    // What came.
    std::size_t frame_max() const noexcept override;
    Result<bool> on_frame_head(const detail::FrameHead& head) override;
    Result<> on_frame(const detail::FrameHead& head, ByteSpan message) override;
    bool wants_unasked(std::size_t size);
    bool is_of_no_feed_here(const detail::FrameHead& head, ByteSpan message);
    Result<> on_handshake(std::uint32_t seq, std::uint32_t rseq, const Message& message);
    void establish(const crypto::PublicKey& node);
    Result<> on_syn(std::uint32_t seq, const Syn& syn);
    Result<> on_answer(const detail::Request& request, const Message& message);
    Result<> on_object_answer(const detail::Request& request, const Message& message);
    void widen(const detail::Request& request);

    Result<> on_message(std::uint32_t seq, const Ping&);
    Result<> on_message(std::uint32_t seq, const Pong&);
    Result<> on_message(std::uint32_t seq, const Syn&);
    Result<> on_message(std::uint32_t seq, const Ack&);
    Result<> on_message(std::uint32_t seq, const Ok&);
    Result<> on_message(std::uint32_t seq, const Err&);
    Result<> on_message(std::uint32_t seq, const Sub& sub);
    Result<> on_message(std::uint32_t seq, const Unsub& unsub);
    Result<> on_message(std::uint32_t seq, const RequestList&);
    Result<> on_message(std::uint32_t seq, const List&);
    Result<> on_message(std::uint32_t seq, const SignedRoot& root);
    Result<> on_message(std::uint32_t seq, const RequestObject& request);
    Result<> on_message(std::uint32_t seq, const ObjectBytes& object);
    Result<> on_message(std::uint32_t seq, const RequestPreview& request);
    Result<> on_message(std::uint32_t seq, const RequestPeers& request);
    Result<> on_message(std::uint32_t seq, const Peers&);

    bool follows(const crypto::PublicKey& feed) const noexcept;
    Subscriber* find(const crypto::PublicKey& feed) noexcept;
    const Subscriber* find(const crypto::PublicKey& feed) const noexcept;
    void remember_fill(const Hash& hash);
    /// Lets go of one of the peer's subscriptions; false: there was none.
    bool forget(const crypto::PublicKey& feed);

    // What goes.
    /// errc::limit_reached where too many wait.
    Result<> answer(detail::Note note);
    void say(detail::Note note);
    bool is_behind() const noexcept;
    bool takes_nothing(const Subscriber& subscriber, SteadyTime now) const;
    /// What it has asked for waits, or is being written.
    bool is_answering() const noexcept;
    /// When a newer Root may be told; max: when what it has asked for is written.
    SteadyTime held_until(const Subscriber& subscriber) const noexcept;
    /// So much, or twice its pace: who asks for nothing for that long fills nothing any more.
    static Duration quiet_time(const Subscriber& subscriber, Duration least) noexcept;
    void queue_root(Subscriber& subscriber);
    /// Puts the first note into the batch; false: there is no more room, it stays the first.
    bool put_first(SteadyTime now);
    bool put_root(const detail::Note& note);
    void put(Type type, std::uint32_t rseq, ByteSpan body);
    void put_object(std::uint32_t rseq, ByteSpan object);
    void put_encoded(const Message& message, std::uint32_t rseq);
    void put_request(const detail::Note& note, SteadyTime now);
    /// What it writes of others' is held in the note from here on.
    void put_answer(detail::Note& note);
    void put_object_answer(detail::Note& note);
    void put_preview(detail::Note& note);
    void on_written(const detail::Note& note, SteadyTime now);
    std::uint32_t next_seq() noexcept;

    // When.
    void keep_alive(SteadyTime now);
    void due_roots(SteadyTime now);
    void give_up_answers(SteadyTime now);
    SteadyTime answers_until() const noexcept;

    /// Ends the link; what it wants to say last remains.
    Error end(Error error);

    const Role role_;
    const crypto::PublicKey own_node_;
    const LinkLimits limits_;
    LinkEvents& events_;

    detail::FrameReader reader_;
    SteadyTime now_;
    SteadyTime received_at_;
    SteadyTime handshake_until_;
    SteadyTime keep_alive_at_ = SteadyTime::max();
    /// When something came of an object that we had asked for, however slowly it comes.
    SteadyTime progress_at_{};
    /// The frame that is being read is one.
    bool answer_comes_ = false;
    bool established_ = false;
    std::optional<Error> ended_;
    crypto::PublicKey node_;

    /// Feeds of the peer's that we subscribe to.
    std::vector<crypto::PublicKey> followed_;
    std::vector<Subscriber> subscribers_;

    detail::Requests pending_;
    /// Object requests that wait or are unanswered.
    std::size_t asked_ = 0;
    std::size_t window_;
    /// Quick answers since the window was last widened.
    std::size_t quick_ = 0;
    /// Bytes of unasked objects since the last Root.
    std::size_t unasked_ = 0;

    detail::Notes notes_;
    /// Of these, those that answer the peer, and of those the objects.
    std::size_t answers_ = 0;
    std::size_t objects_waiting_ = 0;
    /// Of these, and of what is being written: objects and Roots.
    std::size_t bulk_waiting_ = 0;
    /// The peer has asked for more before an answer was written: none of the network's does.
    bool pipelines_ = false;
    bool bulk_writing_ = false;
    bool list_waits_ = false;
    detail::Batch batch_;
    /// What is being written: kept until it is.
    std::vector<detail::Note> writing_;
    /// When the peer last took some of it.
    SteadyTime taken_at_{};
    /// Longer messages that are being written.
    std::vector<Bytes> encoded_;
    std::uint32_t seq_ = 0;
};

}  // namespace skywire::cxo
