#include "noise/handshake.hpp"

#include "base/assert.hpp"
#include "crypto/recent_secrets.hpp"
#include "noise/detail/symmetric_state.hpp"

#include <algorithm>
#include <initializer_list>
#include <utility>

namespace skywire::noise {
namespace {

/// A key that is sent, or two keys that are multiplied: the initiator's by the responder's.
enum class Token { e, s, ee, es, se, ss };

struct MessagePattern {
    std::array<Token, 4> tokens;
    std::size_t token_count;
    /// With an empty payload.
    std::size_t size;
};

struct PatternText {
    std::string_view protocol_name;
    bool initiator_known;
    bool responder_known;
    std::array<MessagePattern, 3> messages;
    std::size_t message_count;
};

constexpr MessagePattern message(std::initializer_list<Token> tokens, std::size_t size) {
    MessagePattern pattern{{}, tokens.size(), size};
    std::copy(tokens.begin(), tokens.end(), pattern.tokens.begin());
    return pattern;
}

constexpr PatternText kXk{
    "Noise_XK_Secp256k1_ChaChaPoly_SHA256",
    false,
    true,
    {message({Token::e, Token::es}, 49),
     message({Token::e, Token::ee}, 49),
     message({Token::s, Token::se}, 65)},
    3
};
constexpr PatternText kKk{
    "Noise_KK_Secp256k1_ChaChaPoly_SHA256",
    true,
    true,
    {message({Token::e, Token::es, Token::ss}, 49), message({Token::e, Token::ee, Token::se}, 49)},
    2
};
constexpr PatternText kXx{
    "Noise_XX_Secp256k1_ChaChaPoly_SHA256",
    false,
    false,
    {message({Token::e}, 33),
     message({Token::e, Token::ee, Token::s, Token::es}, 98),
     message({Token::s, Token::se}, 65)},
    3
};

const PatternText& text_of(Pattern pattern) {
    switch (pattern) {
        case Pattern::xk:
            return kXk;
        case Pattern::kk:
            return kKk;
        case Pattern::xx:
            return kXx;
    }
    SKY_ASSERT(false);
}

}  // namespace

struct Handshake::State {
    State(const PatternText& text_in, Role role_in, const crypto::KeyPair& local_in)
        : text(text_in), role(role_in), local(local_in), symmetric(text_in.protocol_name) {}

    std::span<const Token> tokens() const noexcept {
        const MessagePattern& pattern = text.messages[next];
        return std::span(pattern.tokens).first(pattern.token_count);
    }
    bool finished() const noexcept { return next == text.message_count; }
    bool turn_of(Role side) const noexcept {
        return !failed && !finished() && (next % 2 == 0) == (side == Role::initiator);
    }
    Role other() const noexcept {
        return role == Role::initiator ? Role::responder : Role::initiator;
    }

    void mix_premessages();
    /// An error for the caller; what has not been proven is forgotten.
    Error fail(errc code);
    void mix_shared(crypto::Digest shared);
    void mix_product(Token token);
    Result<> read_key(Token token, ByteSpan bytes);
    void end_message(Role writer);

    const PatternText& text;
    const Role role;
    const crypto::KeyPair local;
    std::optional<crypto::KeyPair> ephemeral;
    std::optional<crypto::CurvePoint> remote_ephemeral;
    std::optional<crypto::CurvePoint> remote_static;
    /// Null until a message that proves it has passed.
    crypto::PublicKey remote;
    detail::SymmetricState symmetric;
    TransportKeys keys;
    /// The message that comes next.
    std::size_t next = 0;
    bool failed = false;
};

void Handshake::State::mix_premessages() {
    const bool initiator = role == Role::initiator;
    const crypto::PublicKey& ours = local.public_key;
    // The network runs MixHash of the empty prologue, which the Noise text asks for, too.
    symmetric.mix_hash({});
    if (text.initiator_known) symmetric.mix_hash((initiator ? ours : remote).bytes());
    if (text.responder_known) symmetric.mix_hash((initiator ? remote : ours).bytes());
}

Error Handshake::State::fail(errc code) {
    if (!finished()) {
        failed = true;
        ephemeral.reset();
        const bool known = role == Role::initiator ? text.responder_known : text.initiator_known;
        if (!known) remote = {};
    }
    return Error(make_error_code(code));
}

void Handshake::State::mix_shared(crypto::Digest shared) {
    // The network's DH value is 33 bytes: the shared digest and a zero.
    std::array<std::byte, crypto::PublicKey::kSize> input{};
    std::copy(shared.begin(), shared.end(), input.begin());
    symmetric.mix_key(input);
    crypto::wipe(shared);
    crypto::wipe(input);
}

void Handshake::State::mix_product(Token token) {
    // What a token needs has come with an earlier one, or with `make`.
    const auto own_ephemeral = [this]() -> const crypto::SecretKey& {
        SKY_ASSERT(ephemeral);
        return ephemeral->secret_key;
    };
    const auto theirs = [](const std::optional<crypto::CurvePoint>& point) -> const auto& {
        SKY_ASSERT(point);
        return *point;
    };
    const bool initiator = role == Role::initiator;
    switch (token) {
        case Token::ee:
            return mix_shared(crypto::ecdh(own_ephemeral(), theirs(remote_ephemeral)));
        case Token::ss:
            return mix_shared(crypto::ecdh_long_lived(local, theirs(remote_static)));
        case Token::es:
            if (initiator) return mix_shared(crypto::ecdh(own_ephemeral(), theirs(remote_static)));
            return mix_shared(crypto::ecdh(local.secret_key, theirs(remote_ephemeral)));
        case Token::se:
            if (initiator)
                return mix_shared(crypto::ecdh(local.secret_key, theirs(remote_ephemeral)));
            return mix_shared(crypto::ecdh(own_ephemeral(), theirs(remote_static)));
        case Token::e:
        case Token::s:
            break;
    }
    SKY_ASSERT(false);
}

Result<> Handshake::State::read_key(Token token, ByteSpan bytes) {
    std::array<std::byte, crypto::PublicKey::kSize> key;
    if (token == Token::e) {
        std::copy(bytes.begin(), bytes.end(), key.begin());
    } else if (!symmetric.decrypt_and_hash(bytes, key)) {
        return fail(errc::not_authentic);
    }
    const auto point = crypto::CurvePoint::from_bytes(key);
    if (!point) return fail(errc::invalid_point);
    if (token == Token::e) {
        symmetric.mix_hash(key);
        remote_ephemeral = *point;
    } else {
        remote_static = *point;
    }
    return {};
}

void Handshake::State::end_message(Role writer) {
    ++next;
    if (!finished()) return;
    auto [first, second] = symmetric.split();
    // The writer of the last message takes the second key, whoever it is: for XK and XX the
    // reverse of the Noise text.
    if (writer == role) std::swap(first, second);
    keys = {first, second};
    ephemeral.reset();
}

Result<Handshake> Handshake::make(
    Pattern pattern,
    Role role,
    const crypto::KeyPair& local,
    std::optional<crypto::PublicKey> remote
) {
    const PatternText& text = text_of(pattern);
    auto state = std::make_unique<State>(text, role, local);
    const bool known = role == Role::initiator ? text.responder_known : text.initiator_known;
    if (known) {
        if (!remote || remote->is_null()) return Error(make_error_code(errc::missing_key));
        const auto point = crypto::CurvePoint::from_key(*remote);
        if (!point) return Error(make_error_code(errc::invalid_point));
        state->remote_static = *point;
        state->remote = *remote;
    } else {
        // A key handed in here would look as if it were checked.
        SKY_ASSERT(!remote || remote->is_null());
    }
    state->mix_premessages();
    return Handshake(std::move(state));
}

Handshake::Handshake(std::unique_ptr<State> state) : state_(std::move(state)) {}
Handshake::~Handshake() = default;
Handshake::Handshake(Handshake&&) noexcept = default;
Handshake& Handshake::operator=(Handshake&&) noexcept = default;

Result<Bytes> Handshake::write_message(Random& random, ByteSpan payload) {
    State& state = *state_;
    if (!state.turn_of(state.role)) return state.fail(errc::wrong_turn);
    const std::size_t size = state.text.messages[state.next].size + payload.size();
    if (size > kMessageSizeMax) return state.fail(errc::frame_too_long);
    Bytes message;
    message.reserve(size);
    for (const Token token : state.tokens()) {
        if (token == Token::e) {
            state.ephemeral = crypto::generate_key_pair(random);
            const auto key = state.ephemeral->public_key.bytes();
            message.insert(message.end(), key.begin(), key.end());
            state.symmetric.mix_hash(key);
        } else if (token == Token::s) {
            state.symmetric.encrypt_and_hash(state.local.public_key.bytes(), message);
        } else {
            state.mix_product(token);
        }
    }
    state.symmetric.encrypt_and_hash(payload, message);
    state.end_message(state.role);
    return message;
}

Result<Bytes> Handshake::read_message(ByteSpan message) {
    State& state = *state_;
    if (!state.turn_of(state.other())) return state.fail(errc::wrong_turn);
    if (message.size() > kMessageSizeMax) return state.fail(errc::frame_too_long);
    if (message.size() < state.text.messages[state.next].size) {
        return state.fail(errc::short_message);
    }
    for (const Token token : state.tokens()) {
        if (token == Token::e || token == Token::s) {
            const std::size_t overhead = token == Token::e ? 0 : state.symmetric.overhead();
            const std::size_t size = crypto::PublicKey::kSize + overhead;
            if (auto read = state.read_key(token, message.first(size)); !read) return read.error();
            message = message.subspan(size);
        } else {
            state.mix_product(token);
        }
    }
    Bytes payload(message.size() - state.symmetric.overhead());
    if (!state.symmetric.decrypt_and_hash(message, payload)) {
        return state.fail(errc::not_authentic);
    }
    if (state.remote_static) state.remote = state.remote_static->key();
    state.end_message(state.other());
    return payload;
}

bool Handshake::finished() const noexcept {
    return state_->finished();
}

bool Handshake::writes_next() const noexcept {
    return state_->turn_of(state_->role);
}

const crypto::PublicKey& Handshake::remote() const noexcept {
    return state_->remote;
}

TransportKeys Handshake::keys() const {
    SKY_ASSERT(state_->finished());
    return state_->keys;
}

const crypto::Digest& Handshake::hash() const noexcept {
    return state_->symmetric.hash();
}

}  // namespace skywire::noise
