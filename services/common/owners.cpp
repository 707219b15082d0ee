#include "services/common/owners.hpp"

#include "net/event.hpp"
#include "net/timer.hpp"
#include "services/common/owner_signs.hpp"

#include <algorithm>
#include <deque>
#include <set>
#include <unordered_map>
#include <utility>

namespace skywire::services {
namespace {

using namespace std::chrono_literals;
using crypto::PublicKey;

/// Without a sign for that long an owner is asked.
constexpr Duration kSignLasts = 5min;
/// Between two probes of one owner.
constexpr Duration kProbeInterval = 60s;
constexpr int kFailuresMax = 3;
constexpr std::size_t kProbesMax = 20;
/// `alive` is told, and a sign written, no more often than that.
constexpr Duration kToldEvery = 1min;
/// How often the store learns that the service runs: a restart's time is known to that precision.
constexpr Duration kClockEvery = 1min;
/// Of a sign in Redis where held records live for ever.
constexpr Duration kSignLifetime = 24h;

}  // namespace

struct Owners::Impl {
    struct Owner {
        std::size_t records = 0;
        SteadyTime sign;
        /// Of the schedule.
        SteadyTime due;
        /// When `alive` was told last.
        SteadyTime told = SteadyTime::min();
        int failures = 0;
        bool probing = false;
        /// An `alive`, a `gone` waits to be told.
        bool telling = false;
        bool going = false;
    };
    /// What waits to be told, in order.
    struct News {
        enum class Kind {
            /// Records of a new key: its sign is written.
            named,
            alive,
            gone,
            forgotten,
        };
        Kind kind = Kind::named;
        PublicKey owner;
    };

    Impl(
        const net::Context& context_in,
        std::unique_ptr<Prober> prober_in,
        net::Scope& scope_in,
        Events events_in,
        Options options_in
    );

    Task<Result<>> open();
    void start();
    void set_records(const PublicKey& key, std::size_t count);
    void seen(const PublicKey& key);
    void seen_at(const PublicKey& key, Owner& owner, SteadyTime at);

    Task<> schedule_loop();
    Task<> tell_loop();
    Task<> clock_loop();
    Task<> probe(PublicKey key);
    Task<> tell_alive(PublicKey key);
    Task<> tell_gone(PublicKey key);
    Task<> write_sign(PublicKey key);
    Task<> adopt_shared_sign(PublicKey key);

    void judge(const PublicKey& key, Owner& owner);
    void probed(const PublicKey& key, SteadyTime begun, Life life);
    void reschedule(const PublicKey& key, Owner& owner, SteadyTime due);
    void push(News::Kind kind, const PublicKey& key);
    bool timed_out(const Owner& owner) const;
    SteadyTime end_of(const Owner& owner) const;
    WallTime wall_of(SteadyTime time) const {
        return context.clock.wall() - (context.clock.now() - time);
    }

    net::Context context;
    std::unique_ptr<Prober> prober;
    net::Scope& scope;
    Events events;
    Options options;
    OwnerSigns signs;
    std::unordered_map<PublicKey, Owner> owners;
    std::set<std::pair<SteadyTime, PublicKey>> schedule;
    /// Signs of before the restart whose owners have not been named yet.
    std::unordered_map<PublicKey, WallTime> restored;
    std::deque<News> news;
    std::size_t probes = 0;
    net::Timer timer;
    net::Event has_news;
    Gauge& held;
    Counter& alive_total;
    Counter& silent_total;
    Counter& unknown_total;
    Counter& gone_silent_total;
    Counter& gone_timeout_total;
};

Owners::Impl::Impl(
    const net::Context& context_in,
    std::unique_ptr<Prober> prober_in,
    net::Scope& scope_in,
    Events events_in,
    Options options_in
)
    : context(context_in),
      prober(std::move(prober_in)),
      scope(scope_in),
      events(std::move(events_in)),
      options(std::move(options_in)),
      signs(
          context,
          options.store,
          options.prefix,
          options.held_timeout > Duration(0) ? options.held_timeout : kSignLifetime
      ),
      timer(context.loop, context.clock),
      has_news(context.loop),
      held(context.metrics.gauge("owners_held", "Keys that own records which are not renewed.")),
      alive_total(context.metrics.counter(
          "owner_probes_total", "Owners asked whether they live.", {{"outcome", "alive"}}
      )),
      silent_total(context.metrics.counter(
          "owner_probes_total", "Owners asked whether they live.", {{"outcome", "silent"}}
      )),
      unknown_total(context.metrics.counter(
          "owner_probes_total", "Owners asked whether they live.", {{"outcome", "unknown"}}
      )),
      gone_silent_total(context.metrics.counter(
          "owners_gone_total", "Owners whose records were dropped.", {{"reason", "silent"}}
      )),
      gone_timeout_total(context.metrics.counter(
          "owners_gone_total", "Owners whose records were dropped.", {{"reason", "timeout"}}
      )) {}

Task<Result<>> Owners::Impl::open() {
    auto loaded = co_await signs.load();
    if (!loaded) co_return loaded.error();
    restored = std::move(*loaded);
    co_return Result<>();
}

void Owners::Impl::start() {
    for (const auto& [key, sign] : restored)
        push(News::Kind::forgotten, key);
    restored.clear();
    scope.spawn("owners.schedule", [this] { return schedule_loop(); });
    scope.spawn("owners.tell", [this] { return tell_loop(); });
    if (signs.own()) scope.spawn("owners.clock", [this] { return clock_loop(); });
}

void Owners::Impl::push(News::Kind kind, const PublicKey& key) {
    news.push_back({kind, key});
    has_news.notify();
}

void Owners::Impl::reschedule(const PublicKey& key, Owner& owner, SteadyTime due) {
    const bool was_first = !schedule.empty() && schedule.begin()->second == key;
    schedule.erase({owner.due, key});
    owner.due = std::min(due, end_of(owner));
    if (owner.due == SteadyTime::max()) return;
    schedule.emplace(owner.due, key);
    if (was_first || schedule.begin()->second == key) timer.cancel();
}

SteadyTime Owners::Impl::end_of(const Owner& owner) const {
    if (options.held_timeout <= Duration(0)) return SteadyTime::max();
    return owner.sign + options.held_timeout;
}

bool Owners::Impl::timed_out(const Owner& owner) const {
    return context.clock.now() >= end_of(owner);
}

void Owners::Impl::set_records(const PublicKey& key, std::size_t count) {
    const auto found = owners.find(key);
    if (count == 0) {
        if (found == owners.end()) return;
        schedule.erase({found->second.due, key});
        owners.erase(found);
        push(News::Kind::forgotten, key);
    } else if (found != owners.end()) {
        found->second.records = count;
    } else {
        Owner& owner = owners[key];
        owner.records = count;
        owner.sign = context.clock.now();
        if (const auto before = restored.find(key); before != restored.end()) {
            owner.sign -= context.clock.wall() - before->second;
            restored.erase(before);
        } else {
            owner.told = owner.sign;
            push(News::Kind::named, key);
        }
        reschedule(key, owner, owner.sign + kSignLasts);
    }
    held.set(static_cast<double>(owners.size()));
}

void Owners::Impl::seen(const PublicKey& key) {
    const auto found = owners.find(key);
    if (found != owners.end()) seen_at(key, found->second, context.clock.now());
}

/// The schedule finds out by itself that the sign is younger than it thought.
void Owners::Impl::seen_at(const PublicKey& key, Owner& owner, SteadyTime at) {
    owner.sign = std::max(owner.sign, at);
    owner.failures = 0;
    const bool told = owner.told != SteadyTime::min() && owner.sign - owner.told < kToldEvery;
    if (told || owner.telling) return;
    owner.told = owner.sign;
    owner.telling = true;
    push(News::Kind::alive, key);
}

Task<> Owners::Impl::schedule_loop() {
    while (true) {
        const SteadyTime now = context.clock.now();
        const bool room = probes < kProbesMax;
        if (room && !schedule.empty() && schedule.begin()->first <= now) {
            const PublicKey key = schedule.begin()->second;
            schedule.erase(schedule.begin());
            judge(key, owners.at(key));
            continue;
        }
        // The end of a probe cancels the wait, and so does a new first one.
        const bool waits = room && !schedule.empty();
        const SteadyTime next = waits ? schedule.begin()->first : SteadyTime::max();
        const auto cancelled = co_await asio::this_coro::cancellation_state;
        if (cancelled.cancelled() != asio::cancellation_type::none) co_return;
        co_await timer.wait_until(next);
    }
}

/// The owner is due; it is in no schedule now.
void Owners::Impl::judge(const PublicKey& key, Owner& owner) {
    const SteadyTime now = context.clock.now();
    if (owner.going || owner.probing) return;
    if (timed_out(owner)) {
        owner.going = true;
        push(News::Kind::gone, key);
        return;
    }
    if (now < owner.sign + kSignLasts) {
        reschedule(key, owner, owner.sign + kSignLasts);
        return;
    }
    if (!prober) {
        reschedule(key, owner, SteadyTime::max());
        return;
    }
    owner.probing = true;
    ++probes;
    scope.spawn("owners.probe", [this, key] { return probe(key); });
}

Task<> Owners::Impl::probe(PublicKey key) {
    const SteadyTime begun = context.clock.now();
    if (signs.shared()) co_await adopt_shared_sign(key);
    const auto found = owners.find(key);
    const bool young = found != owners.end() && begun < found->second.sign + kSignLasts;
    Life life = Life::unknown;
    if (!young && found != owners.end()) life = co_await prober->probe(key);
    --probes;
    timer.cancel();
    probed(key, begun, life);
}

void Owners::Impl::probed(const PublicKey& key, SteadyTime begun, Life life) {
    const auto found = owners.find(key);
    // Forgotten meanwhile, and perhaps named anew.
    if (found == owners.end() || !found->second.probing) return;
    Owner& owner = found->second;
    owner.probing = false;
    switch (life) {
        case Life::alive:
            alive_total.add();
            seen_at(key, owner, context.clock.now());
            break;
        case Life::silent:
            silent_total.add();
            if (owner.sign <= begun) ++owner.failures;
            break;
        case Life::unknown:
            if (owner.sign + kSignLasts <= begun) unknown_total.add();
            break;
    }
    if (owner.failures >= kFailuresMax) {
        owner.going = true;
        push(News::Kind::gone, key);
        return;
    }
    const SteadyTime old = owner.sign + kSignLasts;
    const SteadyTime later = old > begun ? old : begun + kSignLasts;
    reschedule(key, owner, owner.failures > 0 ? begun + kProbeInterval : later);
}

Task<> Owners::Impl::tell_loop() {
    while (true) {
        while (news.empty()) {
            const bool notified = co_await has_news.wait();
            if (!notified) co_return;
        }
        const News next = news.front();
        news.pop_front();
        switch (next.kind) {
            case News::Kind::named:
                co_await write_sign(next.owner);
                break;
            case News::Kind::alive:
                co_await tell_alive(next.owner);
                break;
            case News::Kind::gone:
                co_await tell_gone(next.owner);
                break;
            case News::Kind::forgotten:
                if (!owners.contains(next.owner)) co_await signs.erase(next.owner);
                break;
        }
    }
}

Task<> Owners::Impl::tell_alive(PublicKey key) {
    const auto found = owners.find(key);
    if (found == owners.end()) co_return;
    found->second.telling = false;
    co_await write_sign(key);
    if (events.alive) co_await events.alive(key);
}

Task<> Owners::Impl::tell_gone(PublicKey key) {
    if (signs.shared()) co_await adopt_shared_sign(key);
    auto found = owners.find(key);
    if (found == owners.end()) co_return;
    // It may have spoken while this waited to be told.
    const bool silent = found->second.failures >= kFailuresMax;
    const bool late = timed_out(found->second);
    if (silent || late) {
        (late ? gone_timeout_total : gone_silent_total).add();
        log::debug(
            context.logger,
            "owner.gone",
            log::kv("pk", key),
            log::kv("reason", late ? "timeout" : "silent")
        );
        if (events.gone) co_await events.gone(key);
        found = owners.find(key);
        if (found == owners.end()) co_return;
    }
    Owner& owner = found->second;
    owner.going = false;
    owner.failures = 0;
    schedule.erase({owner.due, key});
    // Not `reschedule`: its end lies behind it.
    owner.due = context.clock.now() + kSignLasts;
    schedule.emplace(owner.due, key);
    timer.cancel();
}

Task<> Owners::Impl::clock_loop() {
    while (true) {
        co_await signs.write_clock();
        const bool slept = co_await net::sleep_for(context.clock, kClockEvery);
        if (!slept) co_return;
    }
}

Task<> Owners::Impl::write_sign(PublicKey key) {
    const auto found = owners.find(key);
    if (found != owners.end()) co_await signs.write(key, wall_of(found->second.sign));
}

/// Another service may have seen the owner since.
Task<> Owners::Impl::adopt_shared_sign(PublicKey key) {
    const auto sign = co_await signs.read(key);
    const auto found = owners.find(key);
    if (!sign || found == owners.end()) co_return;
    const Duration age = std::max(Duration(0), context.clock.wall() - *sign);
    const SteadyTime at = context.clock.now() - age;
    if (at <= found->second.sign + 1s) co_return;
    found->second.sign = at;
    found->second.failures = 0;
}

Owners::Owners(
    const net::Context& context,
    std::unique_ptr<Prober> prober,
    net::Scope& scope,
    Events events,
    Options options
)
    : impl_(std::make_unique<Impl>(
          context, std::move(prober), scope, std::move(events), std::move(options)
      )) {}

Owners::Owners(
    const net::Context& context,
    dmsg::Client* client,
    net::Scope& scope,
    Events events,
    Options options
)
    : Owners(
          context,
          client != nullptr ? make_dmsg_prober(context, *client) : nullptr,
          scope,
          std::move(events),
          std::move(options)
      ) {}

Owners::Owners(const net::Context& context, dmsg::Client* client, net::Scope& scope, Events events)
    : Owners(context, client, scope, std::move(events), Options()) {}

Owners::~Owners() = default;

Task<Result<>> Owners::open() {
    co_return co_await impl_->open();
}

void Owners::start() {
    impl_->start();
}

void Owners::set_records(const crypto::PublicKey& owner, std::size_t count) {
    impl_->set_records(owner, count);
}

void Owners::seen(const crypto::PublicKey& owner) {
    impl_->seen(owner);
}

WallTime Owners::last_seen(const crypto::PublicKey& owner) const {
    const auto found = impl_->owners.find(owner);
    return found == impl_->owners.end() ? WallTime() : impl_->wall_of(found->second.sign);
}

}  // namespace skywire::services
