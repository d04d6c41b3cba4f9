-- Who may use the service: users, how they are known outside, and their API keys.

CREATE TABLE users (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email        text, -- neither unique nor an identity
    tier         text NOT NULL DEFAULT 'free' CHECK (tier IN ('free', 'pro', 'enterprise')),
    suspended_at timestamptz, -- from then on none of the user's keys serves
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);

-- A user as an issuer of tokens knows it; 'local' is our own issuer.
CREATE TABLE identities (
    issuer     text NOT NULL CHECK (issuer <> ''),
    subject    text NOT NULL CHECK (subject <> ''),
    user_id    uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_user ON identities (user_id);

CREATE TABLE api_keys (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id      uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name         text CHECK (char_length(name) <= 255),
    prefix       text NOT NULL CHECK (char_length(prefix) = 12), -- what may be shown
    digest       bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32), -- SHA-256: finds the row
    bcrypt       text NOT NULL, -- proves the key
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz, -- within a minute
    expires_at   timestamptz,
    revoked_at   timestamptz
);
CREATE INDEX api_keys_user ON api_keys (user_id, created_at DESC, id DESC);
