#include "base/assert.hpp"
#include "cxo/detail/link_impl.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace skywire::cxo {
namespace {

using detail::kFillSilence;
using detail::Note;
using detail::Say;

constexpr std::string_view kNotPublic = "not a public server";
constexpr std::string_view kNoSuchFeed = "no such feed";

/// Answers to the peer's requests, which it may ask for faster than it reads.
bool is_answer(Say say) {
    switch (say) {
        case Say::ok:
        case Say::err:
        case Say::list:
        case Say::object:
        case Say::preview:
        case Say::peers:
            return true;
        case Say::syn:
        case Say::ack:
        case Say::request_list:
        case Say::subscribe:
        case Say::unsubscribe:
        case Say::request_object:
        case Say::newest_root:
            return false;
    }
    return false;
}

bool is_bulk(Say say) {
    return say == Say::object || say == Say::newest_root || say == Say::preview;
}

/// Says whether what `next` made is all that who has `sent` lacks.
bool follows_at_once(const SignedRoot& next, const SignedRoot& sent) {
    return next.nonce == sent.nonce && next.seq == sent.seq + 1;
}

}  // namespace

// Subscriber.

void Link::Impl::subscribe(const crypto::PublicKey& feed, SteadyTime now) {
    now_ = std::max(now_, now);
    if (!follows(feed)) {
        if (followed_.size() >= limits_.feeds_max) {
            events_.on_refused(feed, "too many feeds on this connection");
            return;
        }
        followed_.push_back(feed);
    }
    if (established_) say({Say::subscribe, 0, feed});
}

void Link::Impl::unsubscribe(const crypto::PublicKey& feed) {
    if (std::erase(followed_, feed) > 0 && established_) say({Say::unsubscribe, 0, feed});
}

std::size_t Link::Impl::window() const noexcept {
    return established_ && !ended_ ? window_ - std::min(asked_, window_) : 0;
}

void Link::Impl::request(const Hash& hash) {
    SKY_ASSERT(window() > 0);
    ++asked_;
    say({Say::request_object, 0, hash});
}

// Publisher.

void Link::Impl::announce(const AnnouncementPtr& version, SteadyTime now) {
    Subscriber* const subscriber = find(version->root.feed);
    if (subscriber == nullptr || ended_) return;
    if (version == subscriber->next || (version == subscriber->sent && !subscriber->next)) return;
    if (takes_nothing(*subscriber, now)) {
        // Old versions cost all that has changed since. Where it comes back after all the newest
        // one is the next that it hears of.
        subscriber->sent.reset();
        subscriber->before.reset();
        subscriber->filling.reset();
    }
    // It has asked for nothing of the last one, which went ahead: it keeps what comes unasked.
    if (subscriber->sent_ahead && subscriber->busy_at < subscriber->told_at &&
        now >= held_until(*subscriber))
        subscriber->fetches = false;
    if (subscriber->next && subscriber->ready) events_.on_count("root_coalesced");
    subscriber->goes_ahead = subscriber->sent && !subscriber->next && !is_behind() &&
                             !version->made.empty() &&
                             follows_at_once(version->root, subscriber->sent->root);
    subscriber->ahead = 0;
    subscriber->ahead_bytes = 0;
    subscriber->next = version;
    if (subscriber->ready && now >= held_until(*subscriber)) queue_root(*subscriber);
}

void Link::Impl::drop_subscription(const crypto::PublicKey& feed) {
    forget(feed);
}

bool Link::Impl::has_subscriber(const crypto::PublicKey& feed) const noexcept {
    return find(feed) != nullptr;
}

bool Link::Impl::is_behind() const noexcept {
    return bulk_waiting_ > 0 || bulk_writing_;
}

/// Has asked for no object, waits for none, and does not take what it is told, for long.
bool Link::Impl::takes_nothing(const Subscriber& subscriber, SteadyTime now) const {
    const auto roots = std::ranges::count_if(subscribers_, &Subscriber::queued);
    return bulk_writing_ && std::cmp_equal(bulk_waiting_, roots) &&
           now - taken_at_ > kFillSilence && now - subscriber.busy_at > kFillSilence &&
           !is_answering();
}

bool Link::Impl::is_answering() const noexcept {
    return objects_waiting_ > 0 ||
           std::ranges::any_of(writing_, [](const Note& note) { return note.rseq != 0; });
}

Duration Link::Impl::quiet_time(const Subscriber& subscriber, Duration least) noexcept {
    return std::max(least, 2 * subscriber.pace);
}

SteadyTime Link::Impl::held_until(const Subscriber& subscriber) const noexcept {
    if (!subscriber.fetches) return SteadyTime::min();
    if (is_answering()) return SteadyTime::max();
    const SteadyTime quiet = std::max(subscriber.busy_at, subscriber.told_at) +
                             quiet_time(subscriber, limits_.fill_quiet);
    // It will ask for it, however long that takes on its way.
    return subscriber.is_awaited ? std::max(quiet, subscriber.told_at + kFillSilence) : quiet;
}

void Link::Impl::queue_root(Subscriber& subscriber) {
    if (subscriber.queued || !subscriber.next) return;
    subscriber.queued = true;
    say({Say::newest_root, 0, subscriber.feed});
}

// Notes.

Result<> Link::Impl::answer(Note note) {
    if (answers_ >= limits_.requests_max)
        return fail(
            errc::limit_reached, fmt::format("{} requests wait for their answers", answers_)
        );
    say(std::move(note));
    return {};
}

void Link::Impl::say(Note note) {
    if (ended_) return;
    if (is_answer(note.say)) ++answers_;
    if (note.say == Say::object) ++objects_waiting_;
    if (is_bulk(note.say)) ++bulk_waiting_;
    notes_.push(std::move(note));
}

// Writing.

std::span<const ByteSpan> Link::Impl::gather(SteadyTime now) {
    if (!batch_.empty()) return batch_.parts();
    taken_at_ = now;
    while (!notes_.empty() && put_first(now)) {
    }
    return batch_.parts();
}

bool Link::Impl::put_first(SteadyTime now) {
    if (!batch_.has_room()) return false;
    if (notes_.front().say == Say::newest_root && !put_root(notes_.front())) return false;
    Note note = notes_.pop();
    if (is_answer(note.say)) --answers_;
    if (note.say == Say::object) --objects_waiting_;
    if (is_answer(note.say) || note.say == Say::ack)
        put_answer(note);
    else if (note.say != Say::newest_root)
        put_request(note, now);
    if (is_bulk(note.say)) {
        --bulk_waiting_;
        bulk_writing_ = true;
    }
    if (note.say == Say::ok || is_bulk(note.say)) writing_.push_back(std::move(note));
    return true;
}

bool Link::Impl::put_root(const Note& note) {
    Subscriber* const subscriber = find(std::get<crypto::PublicKey>(note.about));
    SKY_ASSERT(subscriber != nullptr && subscriber->next);
    const AnnouncementPtr version = subscriber->next;
    bulk_writing_ = true;
    if (subscriber->goes_ahead) {
        for (; subscriber->ahead < version->made.size(); ++subscriber->ahead) {
            const ObjectPtr& made = version->made[subscriber->ahead];
            const ByteSpan object = made->bytes();
            // A leaf that is too large is asked for in one round where what it hangs on is there,
            // and level by level where it is not.
            if (subscriber->ahead_bytes + object.size() > limits_.ahead_max) continue;
            if (!batch_.has_room()) return false;
            subscriber->ahead_bytes += object.size();
            if (made->children().empty()) {
                put_object(0, object);
                writing_.push_back({Say::object, 0, made});
            } else {
                // It holds all that is below it, an old version perhaps; its own bytes are few.
                put_object(0, encoded_.emplace_back(object.begin(), object.end()));
            }
        }
    }
    if (!batch_.has_room()) return false;
    encoded_.push_back(version->message);
    put(Type::root, 0, ByteSpan(encoded_.back()).subspan(1));
    subscriber->queued = false;
    if (subscriber->sent != version) {
        subscriber->before = std::move(subscriber->sent);
        subscriber->told_at = taken_at_;
        subscriber->is_awaited =
            !subscriber->before || subscriber->before->tree.hash() != version->tree.hash();
        subscriber->before_ahead = std::exchange(subscriber->sent_ahead, subscriber->goes_ahead);
    }
    subscriber->goes_ahead = false;
    subscriber->sent = version;
    subscriber->next.reset();
    return true;
}

void Link::Impl::put_request(const Note& note, SteadyTime now) {
    detail::Request request{Type::syn, {}, now};
    switch (note.say) {
        case Say::syn:
            put_encoded(Syn{kProtocolVersion, own_node_}, 0);
            return;
        case Say::unsubscribe:
            put_encoded(Unsub{std::get<crypto::PublicKey>(note.about)}, 0);
            return;
        case Say::request_list:
            list_waits_ = false;
            put(Type::request_list, 0, {});
            request.type = Type::request_list;
            break;
        case Say::subscribe:
            request.type = Type::sub;
            request.about = std::get<crypto::PublicKey>(note.about);
            put_encoded(Sub{std::get<crypto::PublicKey>(note.about)}, 0);
            break;
        case Say::request_object:
            request.type = Type::request_object;
            request.about = std::get<Hash>(note.about);
            put(Type::request_object, 0, std::get<Hash>(note.about));
            break;
        case Say::ack:
        case Say::ok:
        case Say::err:
        case Say::list:
        case Say::object:
        case Say::newest_root:
        case Say::preview:
        case Say::peers:
            return;
    }
    pending_.add(seq_, request);
}

void Link::Impl::put_answer(Note& note) {
    switch (note.say) {
        case Say::ack:
            put_encoded(Ack{own_node_}, note.rseq);
            return;
        case Say::ok:
            put(Type::ok, note.rseq, {});
            return;
        case Say::err:
            put_encoded(Err{std::get<std::string>(note.about)}, note.rseq);
            return;
        case Say::list:
            if (auto feeds = events_.feeds())
                put_encoded(List{std::move(*feeds)}, note.rseq);
            else
                put_encoded(Err{std::string(kNotPublic)}, note.rseq);
            return;
        case Say::object:
            put_object_answer(note);
            return;
        case Say::preview:
            put_preview(note);
            return;
        case Say::peers:
            put_encoded(Peers{std::get<crypto::PublicKey>(note.about), {}}, note.rseq);
            return;
        case Say::syn:
        case Say::request_list:
        case Say::subscribe:
        case Say::unsubscribe:
        case Say::request_object:
        case Say::newest_root:
            return;
    }
}

void Link::Impl::put_object_answer(Note& note) {
    const auto* const waiting = std::get_if<std::weak_ptr<const Object>>(&note.about);
    if (waiting == nullptr) {
        put_object(note.rseq, registry());
        return;
    }
    ObjectPtr object = waiting->lock();
    if (!object) {
        events_.on_count("unknown_object");
        put_encoded(Err{}, note.rseq);
        return;
    }
    put_object(note.rseq, object->bytes());
    note.about = std::move(object);
}

void Link::Impl::put_preview(Note& note) {
    AnnouncementPtr version = events_.on_preview(std::get<crypto::PublicKey>(note.about));
    if (!version) {
        put_encoded(Err{std::string(kNoSuchFeed)}, note.rseq);
        return;
    }
    put(Type::root, note.rseq, ByteSpan(version->message).subspan(1));
    note.about = std::move(version);
}

void Link::Impl::put(Type type, std::uint32_t rseq, ByteSpan body) {
    batch_.add(frame_head(next_seq(), rseq, type, body.size()), {}, body);
}

void Link::Impl::put_object(std::uint32_t rseq, ByteSpan object) {
    std::array<std::byte, sizeof(std::uint32_t)> count{};
    for (std::size_t i = 0; i < count.size(); ++i)
        count[i] = static_cast<std::byte>(object.size() >> (8 * i));
    const auto head = frame_head(next_seq(), rseq, Type::object, count.size() + object.size());
    batch_.add(head, count, object);
}

void Link::Impl::put_encoded(const Message& message, std::uint32_t rseq) {
    Bytes bytes = encode_message(message);
    const auto type = static_cast<Type>(bytes.front());
    if (bytes.size() <= detail::Batch::kInline) return put(type, rseq, ByteSpan(bytes).subspan(1));
    encoded_.push_back(std::move(bytes));
    put(type, rseq, ByteSpan(encoded_.back()).subspan(1));
}

std::uint32_t Link::Impl::next_seq() noexcept {
    // 0 would say that nothing is answered.
    if (++seq_ == 0) ++seq_;
    return seq_;
}

void Link::Impl::wrote(SteadyTime now) {
    now_ = std::max(now_, now);
    taken_at_ = now;
    if (batch_.advance()) return;
    bulk_writing_ = false;
    for (const Note& note : writing_)
        on_written(note, now);
    batch_.clear();
    encoded_ = std::vector<Bytes>();
    writing_ = std::vector<Note>();
}

void Link::Impl::on_written(const Note& note, SteadyTime now) {
    if (note.say == Say::object && note.rseq != 0) {
        for (Subscriber& subscriber : subscribers_) {
            subscriber.busy_at = now;
            if (subscriber.again_at != SteadyTime::max())
                subscriber.again_at = now + quiet_time(subscriber, limits_.root_again);
        }
    }
    if (note.say != Say::ok && note.say != Say::newest_root) return;
    Subscriber* const subscriber = find(std::get<crypto::PublicKey>(note.about));
    if (subscriber == nullptr) return;
    if (note.say == Say::ok) {
        if (!subscriber->ready) subscriber->first_at = now + limits_.first_root;
        return;
    }
    // A Root of the subscription before this one, or of a version that was let go of since.
    if (!subscriber->sent) return;
    // Answers wait, or were written beside it: it is slow, not silent.
    const bool is_waiting = answers_ > 0 || is_answering();
    if (!is_waiting && now - subscriber->busy_at > kFillSilence) subscriber->filling.reset();
    const Duration quiet = quiet_time(*subscriber, limits_.root_again);
    const bool is_missed = subscriber->fetches && subscriber->is_awaited && !subscriber->is_silent;
    if (subscriber->may_repeat || is_missed || is_waiting || now - subscriber->busy_at < quiet)
        subscriber->again_at = now + quiet;
}

// Time.

Result<> Link::Impl::on_time(SteadyTime now) {
    if (ended_) return *ended_;
    now_ = std::max(now_, now);
    if (!established_ && now_ >= handshake_until_)
        return end(fail(errc::timed_out, "no handshake in time"));
    if (now_ >= received_at_ + limits_.idle)
        return end(fail(errc::timed_out, "nothing was received for too long"));
    keep_alive(now_);
    due_roots(now_);
    give_up_answers(now_);
    if (ended_) return *ended_;
    return {};
}

SteadyTime Link::Impl::next_time() const noexcept {
    if (ended_) return SteadyTime::max();
    SteadyTime next = received_at_ + limits_.idle;
    next = std::min(next, established_ ? keep_alive_at_ : handshake_until_);
    next = std::min(next, answers_until());
    const bool answering = is_answering();
    for (const Subscriber& subscriber : subscribers_) {
        next = std::min(next, subscriber.first_at);
        if (!answering) next = std::min(next, subscriber.again_at);
        if (subscriber.ready && subscriber.next && !subscriber.queued)
            next = std::min(next, held_until(subscriber));
    }
    return next;
}

void Link::Impl::keep_alive(SteadyTime now) {
    if (now < keep_alive_at_) return;
    keep_alive_at_ = now + limits_.keep_alive;
    // One that waits for the carrier says all that a second would.
    if (std::exchange(list_waits_, true)) return;
    say({Say::request_list, 0, {}});
}

void Link::Impl::due_roots(SteadyTime now) {
    for (Subscriber& subscriber : subscribers_) {
        if (now >= subscriber.first_at) {
            subscriber.first_at = SteadyTime::max();
            subscriber.ready = true;
        }
        if (subscriber.ready && now >= held_until(subscriber)) queue_root(subscriber);
        if (now < subscriber.again_at || is_answering()) continue;
        subscriber.again_at = SteadyTime::max();
        subscriber.may_repeat = false;
        if (!subscriber.sent) continue;
        // It has it all, an earlier version had the same; or it missed the Root, or is slow.
        subscriber.is_silent = subscriber.is_silent || subscriber.is_awaited;
        subscriber.is_awaited = false;
        if (!subscriber.next) {
            events_.on_count("root_again");
            subscriber.next = subscriber.sent;
        }
        queue_root(subscriber);
    }
}

SteadyTime Link::Impl::answers_until() const noexcept {
    if (pending_.empty()) return SteadyTime::max();
    return std::max(pending_.oldest().at, progress_at_) + limits_.answer;
}

void Link::Impl::give_up_answers(SteadyTime now) {
    if (now < answers_until()) return;
    std::vector<detail::Request> late;
    while (!pending_.empty() && now >= answers_until())
        late.push_back(pending_.pop());
    for (const detail::Request& request : late) {
        if (ended_) return;
        events_.on_count("no_answer");
        if (request.type == Type::request_object) {
            --asked_;
            events_.on_no_object(std::get<Hash>(request.about));
        } else if (request.type == Type::sub) {
            const auto& feed = std::get<crypto::PublicKey>(request.about);
            if (std::erase(followed_, feed) > 0) events_.on_refused(feed, "no answer in time");
        }
    }
}

std::size_t Link::Impl::memory() const noexcept {
    return sizeof(*this) + reader_.memory() + notes_.memory() + batch_.memory() +
           pending_.memory() + subscribers_.capacity() * sizeof(Subscriber) +
           followed_.capacity() * sizeof(crypto::PublicKey) + writing_.capacity() * sizeof(Note);
}

}  // namespace skywire::cxo
