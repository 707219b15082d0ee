#pragma once

#include "dmsg/sim/sim_network.hpp"
#include "net/event.hpp"

#include <array>
#include <map>
#include <optional>

/// For simulations: what applications do on a dmsg network, and what must hold of it whatever
/// happens to the links and machines.
namespace skywire::dmsg::test {

/// One side of an exchange of bytes.
struct ExchangeSide {
    /// Given to the stream; taken by it; taken out of it and found right.
    std::uint64_t offered = 0;
    std::uint64_t written = 0;
    std::uint64_t read = 0;
    bool began = false;
    bool ended = false;
    /// It has sent and received everything, and knows that the other side has received all.
    bool complete = false;
    SteadyTime ended_at{};
    std::string why;
};

/// Two clients that send each other bytes which no other exchange sends, and confirm them.
struct Exchange {
    static constexpr std::size_t kHeaderBytes = 16;
    enum Which : std::size_t { dialer = 0, listener = 1 };

    std::uint64_t number = 0;
    std::size_t from = 0;
    std::size_t to = 0;
    std::array<std::uint32_t, 2> bytes{};
    /// Its readers rest now and then.
    bool slow = false;
    std::array<ExchangeSide, 2> sides;
    SteadyTime moved_at{};

    std::string to_string() const {
        const auto side = [](const ExchangeSide& s) {
            return fmt::format(
                "{}/{}/{} {}{}",
                s.offered,
                s.written,
                s.read,
                s.complete ? "complete"
                : s.ended  ? "ended: "
                : s.began  ? "open"
                           : "not begun",
                s.why
            );
        };
        return fmt::format(
            "exchange {} client{} ({}) client{} ({})",
            number,
            from,
            side(sides[0]),
            to,
            side(sides[1])
        );
    }
};

/// Random bytes, of which each side of each exchange sends another stretch, round and round.
class ExchangeBytes {
 public:
    explicit ExchangeBytes(Random& random) : bytes_(256 * 1024 + kMost) {
        random.fill(bytes_);
        std::copy_n(bytes_.begin(), kMost, bytes_.end() - std::ptrdiff_t(kMost));
    }

    /// No more than this many at a time.
    static constexpr std::size_t kMost = 20'000;

    ByteSpan at(
        const Exchange& exchange, Exchange::Which from, std::uint64_t offset, std::size_t size
    ) const {
        const std::size_t around = bytes_.size() - kMost;
        const std::uint64_t begin = (exchange.number * 2 + from) * 7919 + offset;
        return ByteSpan(bytes_).subspan(std::size_t(begin % around), size);
    }

 private:
    Bytes bytes_;
};

class Traffic {
 public:
    static constexpr std::uint16_t kPort = 80;
    /// Nobody ever listens here.
    static constexpr std::uint16_t kDeafPort = 81;
    /// Somebody listens here now and then.
    static constexpr std::uint16_t kFlakyPort = 82;

    /// Ends of one stream come at most so long after each other: a dead peer of a session is
    /// noticed in 15 s, and that may have to happen on both sides of a server; then there are
    /// machines that stand still, and slow links.
    static constexpr Duration kEndsApartMax = 75s;
    /// Both ends open and not a byte moves: as long.
    static constexpr Duration kStillMax = 75s;
    static constexpr Duration kDialMax = 20s;
    /// What may be on its way in one direction of one stream: the windows of both of its halves,
    /// the output of both sessions, and both links.
    static constexpr std::uint64_t kUnderWayMax = 6 * 256 * 1024 + 64 * 1024;

    explicit Traffic(SimNetwork& network) : net_(network), scope_(network.world.loop()) {
        net_.on_start = [this](SimClient& host) { begin(host); };
        scope_.spawn("watch the exchanges", [this] { return watch(); });
    }
    Traffic(const Traffic&) = delete;
    Traffic& operator=(const Traffic&) = delete;
    /// The applications use it: they end first.
    ~Traffic() {
        net_.give_up();
        end();
    }

    /// Looks at nothing any more.
    void end() {
        net_.on_start = {};
        const auto now = net_.world.clock().now();
        net_.world.run(scope_.close(net_.world.clock(), now, now + 1s));
    }

    /// Clients dial each other at random while this holds.
    bool busy = false;
    Duration pause_max = 10s;
    std::uint32_t bytes_max = 300'000;

    struct Counts {
        std::size_t dials = 0;
        std::size_t refused = 0;
        std::size_t complete = 0;
        std::size_t cut_short = 0;
        std::uint64_t bytes = 0;
    };
    const Counts& counts() const noexcept { return counts_; }
    std::size_t open() const noexcept { return open_.size(); }
    std::string describe_open() const {
        std::string all;
        for (const auto& [number, exchange] : open_)
            all += exchange->to_string() + "\n";
        return all;
    }

    /// Dials, exchanges, and tells whether all went well at this side.
    Task<bool> exchange(
        SimClient& host, std::size_t to, std::uint16_t port, std::uint32_t bytes_of
    ) {
        const SteadyTime began = net_.world.clock().now();
        const Duration frozen = host.frozen;
        ++counts_.dials;
        auto dialled = co_await host.client->dial({net_.clients[to]->key(), port});
        const Duration took = net_.world.clock().now() - began;
        // A machine that stood still is late with everything.
        if (took > kDialMax + 1s + (host.frozen - frozen))
            net_.wrong(fmt::format("{}: a dial took {} ms", host.name, took / 1ms));
        if (!dialled) {
            ++counts_.refused;
            last_refusal_ = dialled.error().message();
            co_return false;
        }
        if (port == kDeafPort) net_.wrong("a stream to a port where nobody listens");
        const auto made = std::make_shared<Exchange>();
        made->number = ++last_number_;
        made->from = host.index;
        made->to = to;
        made->bytes = {
            std::uint32_t(net_.below(bytes_of + 1)), std::uint32_t(net_.below(bytes_of + 1))
        };
        made->slow = busy && net_.chance(0.25);
        made->moved_at = net_.world.clock().now();
        open_.emplace(made->number, made);
        co_await run_side(made, Exchange::dialer, StreamPtr(std::move(*dialled)), *host.work);
        co_return made->sides[Exchange::dialer].complete;
    }
    const std::string& last_refusal() const noexcept { return last_refusal_; }

 private:
    using StreamPtr = std::shared_ptr<net::Stream>;
    using Which = Exchange::Which;

    static Which other(Which side) {
        return side == Exchange::dialer ? Exchange::listener : Exchange::dialer;
    }

    void begin(SimClient& host) {
        host.work->spawn("accept", [this, &host] { return accept(host); });
        host.work->spawn("flaky", [this, &host] { return accept_now_and_then(host); });
        host.work->spawn("dial", [this, &host] { return dial(host); });
    }

    Task<> accept(SimClient& host) {
        auto listener = host.client->listen(kPort).value();
        co_await take_all(host, *listener);
    }

    Task<> take_all(SimClient& host, net::Listener& listener) {
        for (;;) {
            auto stream = co_await listener.accept();
            if (!stream) co_return;
            const StreamPtr shared(std::move(*stream));
            host.work->spawn("answer", [this, &host, shared] { return answer(host, shared); });
        }
    }

    Task<> accept_now_and_then(SimClient& host) {
        while (co_await net::sleep_for(net_.world.clock(), net_.between(1s, 30s))) {
            auto listener = host.client->listen(kFlakyPort);
            if (!listener) co_return;
            const auto shared = std::shared_ptr<net::Listener>(std::move(*listener));
            host.work->spawn("accept at times", [this, &host, shared]() -> Task<> {
                co_await take_all(host, *shared);
            });
            const bool slept = co_await net::sleep_for(net_.world.clock(), net_.between(1s, 30s));
            shared->close();
            if (!slept) co_return;
        }
    }

    Task<> dial(SimClient& host) {
        while (co_await net::sleep_for(net_.world.clock(), net_.between(0s, pause_max))) {
            if (!busy) continue;
            const std::size_t to = net_.below(net_.clients.size());
            std::uint16_t port = kPort;
            if (net_.chance(0.1)) port = net_.chance(0.5) ? kDeafPort : kFlakyPort;
            // Most are short.
            const std::uint32_t most = net_.chance(0.25) ? bytes_max : bytes_max / 20;
            host.work->spawn("exchange", [this, &host, to, port, most]() -> Task<> {
                co_await exchange(host, to, port, most);
            });
        }
    }

    /// Which exchange it is stands in its first bytes; those of another one would not fit.
    Task<> answer(SimClient& host, StreamPtr stream) {
        Bytes header(Exchange::kHeaderBytes);
        std::size_t have = 0;
        while (have < header.size()) {
            const auto size = co_await stream->read_some(std::span(header).subspan(have));
            if (!size || *size == 0) {
                stream->close();
                co_return;
            }
            have += *size;
        }
        std::uint64_t number = 0;
        for (std::size_t i = 0; i < 8; ++i)
            number = number << 8 | std::to_integer<std::uint64_t>(header[i]);
        const auto found = open_.find(number);
        if (found == open_.end()) {
            // The dialer's end was forgotten with its machine.
            if (number > last_number_) net_.wrong(fmt::format("{}: unknown bytes", host.name));
            stream->close();
            co_return;
        }
        const auto exchange = found->second;
        const auto remote = net_.clients[exchange->from]->key().to_text();
        if (exchange->to != host.index || stream->remote().host != remote ||
            exchange->sides[Exchange::listener].began) {
            net_.wrong(fmt::format("{}: got {}", host.name, exchange->to_string()));
            stream->close();
            co_return;
        }
        co_await run_side(exchange, Exchange::listener, stream, *host.work);
    }

    /// What a side's reader and writer share.
    struct Side {
        Side(std::shared_ptr<Exchange> exchange_in, Which which_in, StreamPtr stream_in)
            : exchange(std::move(exchange_in)), which(which_in), stream(std::move(stream_in)) {}

        ExchangeSide& own() const { return exchange->sides[which]; }

        std::shared_ptr<Exchange> exchange;
        Which which;
        StreamPtr stream;
        std::optional<net::Event> changed;
        bool written = false;
        bool failed = false;
    };
    using SidePtr = std::shared_ptr<Side>;

    /// However it ends, that is written down.
    struct Ending {
        Ending(Traffic& traffic_in, SidePtr side_in)
            : traffic(traffic_in), side(std::move(side_in)) {}
        Ending(const Ending&) = delete;
        Ending& operator=(const Ending&) = delete;
        ~Ending() { traffic.ended(*side); }
        Traffic& traffic;
        SidePtr side;
    };

    Task<> run_side(
        std::shared_ptr<Exchange> exchange, Which which, StreamPtr stream, net::Scope& scope
    ) {
        const auto side = std::make_shared<Side>(exchange, which, stream);
        side->changed.emplace(net_.world.loop());
        side->own().began = true;
        const Ending ending(*this, side);
        const bool started = scope.spawn("write", [this, side] { return write(side); });
        if (!started) co_return;
        auto outcome = co_await read(side);
        if (outcome) outcome = co_await confirm(side);
        side->own().complete = outcome.has_value();
        if (!outcome) side->own().why = outcome.error().message();
    }

    void ended(Side& side) {
        side.stream->close();
        side.own().ended = true;
        side.own().ended_at = net_.world.clock().now();
        side.exchange->moved_at = side.own().ended_at;
    }

    Bytes header_of(const Exchange& exchange) const {
        Bytes header(Exchange::kHeaderBytes);
        for (std::size_t i = 0; i < 8; ++i)
            header[i] = std::byte(exchange.number >> (56 - 8 * i));
        return header;
    }

    Task<> write(SidePtr side) {
        Exchange& exchange = *side->exchange;
        auto& own = side->own();
        const std::uint32_t total = exchange.bytes[side->which];
        if (side->which == Exchange::dialer) {
            const Bytes header = header_of(exchange);
            const auto written = co_await side->stream->write(header);
            side->failed = !written;
        }
        while (!side->failed && own.offered < total) {
            const std::size_t most =
                std::min<std::size_t>(total - own.offered, ExchangeBytes::kMost);
            const ByteSpan chunk =
                bytes_.at(exchange, side->which, own.offered, 1 + net_.below(most));
            own.offered += chunk.size();
            const auto written = co_await side->stream->write(chunk);
            side->failed = !written;
            if (!written) break;
            own.written += chunk.size();
            exchange.moved_at = net_.world.clock().now();
        }
        side->written = true;
        side->changed->notify();
    }

    Task<Result<>> read(SidePtr side) {
        Exchange& exchange = *side->exchange;
        auto& own = side->own();
        const Which from = other(side->which);
        const std::uint32_t total = exchange.bytes[from];
        Bytes buffer(16 * 1024);
        while (own.read < total) {
            if (exchange.slow && net_.chance(0.3)) co_await net_.sleep(net_.between(0s, 5s));
            const std::size_t most = std::min<std::size_t>(buffer.size(), total - own.read);
            const auto into = std::span(buffer).first(1 + net_.below(most));
            const auto size = co_await side->stream->read_some(into);
            if (!size) co_return size.error();
            if (*size == 0) co_return fail(skywire::errc::closed, "the stream ended early");
            const ByteSpan right = bytes_.at(exchange, from, own.read, *size);
            if (!std::equal(right.begin(), right.end(), buffer.begin())) {
                net_.wrong(fmt::format("wrong bytes from {} on: {}", own.read, exchange.to_string())
                );
                co_return fail(skywire::errc::malformed, "wrong bytes");
            }
            own.read += *size;
            counts_.bytes += *size;
            exchange.moved_at = net_.world.clock().now();
        }
        co_return Result<>();
    }

    /// Each side says that it has received all, in one byte: dmsg has no half-close.
    Task<Result<>> confirm(SidePtr side) {
        while (!side->written)
            co_await side->changed->wait();
        if (side->failed) co_return fail(skywire::errc::closed, "a write failed");
        Bytes byte(1, std::byte{0xa5});
        const auto written = co_await side->stream->write(byte);
        if (!written) co_return written.error();
        byte[0] = std::byte{0};
        const auto size = co_await side->stream->read_some(byte);
        if (!size) co_return size.error();
        if (*size == 0) co_return fail(skywire::errc::closed, "not confirmed");
        if (byte[0] != std::byte{0xa5}) net_.wrong("more than was sent");
        co_return Result<>();
    }

    Task<> watch() {
        while (co_await net::sleep_for(net_.world.clock(), 1s)) {
            const SteadyTime now = net_.world.clock().now();
            std::erase_if(open_, [&](const auto& each) { return look_at(*each.second, now); });
        }
    }

    /// True where it is over.
    bool look_at(Exchange& exchange, SteadyTime now) {
        const auto& [near, far] = exchange.sides;
        for (const auto& [writer, reader] : {std::pair(&near, &far), std::pair(&far, &near)}) {
            if (reader->read > writer->offered)
                net_.wrong("more bytes than were sent: " + exchange.to_string());
            if (!reader->ended && writer->written > reader->read + kUnderWayMax)
                net_.wrong("too many bytes under way: " + exchange.to_string());
        }
        const bool listener_over = far.ended || !far.began;
        if (near.ended && listener_over && (far.ended || now - near.ended_at > kEndsApartMax)) {
            ++(near.complete && far.complete ? counts_.complete : counts_.cut_short);
            return true;
        }
        if (near.ended != far.ended && far.began) {
            const SteadyTime at = near.ended ? near.ended_at : far.ended_at;
            if (now - at > kEndsApartMax)
                net_.wrong("one end knows nothing of the other's: " + exchange.to_string());
        }
        if (!near.ended && !far.ended && now - exchange.moved_at > kStillMax)
            net_.wrong("nothing moves: " + exchange.to_string());
        return false;
    }

    SimNetwork& net_;
    ExchangeBytes bytes_{net_.random()};
    std::uint64_t last_number_ = 0;
    std::map<std::uint64_t, std::shared_ptr<Exchange>> open_;
    Counts counts_;
    std::string last_refusal_;
    net::Scope scope_;
};

}  // namespace skywire::dmsg::test
