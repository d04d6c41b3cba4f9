-- The network of a sandbox: none, an allow-list, or the internet; changeable while it runs.

ALTER TABLE sandboxes
    DROP CONSTRAINT sandboxes_network_check,
    ADD CONSTRAINT sandboxes_network_check CHECK (network IN ('none', 'restricted', 'open')),
    -- {"allow": ["*.example.com:443", "203.0.113.0/24:5432"]}: what 'restricted' lets through.
    ADD COLUMN network_policy  jsonb NOT NULL DEFAULT '{"allow": []}'
        CHECK (jsonb_typeof(network_policy -> 'allow') IS NOT DISTINCT FROM 'array'),
    -- Chosen here and not by the engine, so that the rules are there before the container is, and
    -- so that nobody gets an address whose last owner is not quite gone.
    ADD COLUMN network_address inet
        CHECK (family(network_address) = 4 AND masklen(network_address) = 32),
    -- Counts the changes: what was begun for an older one is not put into force.
    ADD COLUMN network_version integer NOT NULL DEFAULT 0,
    -- The version that the host's kernel has: a process that comes anew leaves those alone.
    ADD COLUMN network_applied integer NOT NULL DEFAULT 0;

CREATE UNIQUE INDEX sandboxes_network_address ON sandboxes (instance, node, network_address)
    WHERE network_address IS NOT NULL AND status NOT IN ('destroyed', 'failed');

-- What a restricted sandbox asked for and did not get.
CREATE TABLE network_denials (
    sandbox_id uuid NOT NULL REFERENCES sandboxes (id) ON DELETE CASCADE,
    kind       text NOT NULL CHECK (kind IN ('name', 'address', 'other')),
    target     text NOT NULL CHECK (length(target) <= 255), -- 'other': ''
    attempts   bigint NOT NULL CHECK (attempts > 0),
    first_at   timestamptz NOT NULL DEFAULT now(),
    last_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sandbox_id, kind, target)
);

-- An address of p_range for a sandbox of this engine: the first free one behind a random place, so
-- that one which was given back rests as long as can be. The network's own, the host's and the
-- broadcast address are nobody's. NULL: there is none.
CREATE FUNCTION network_free_address(p_instance text, p_node text, p_range cidr)
RETURNS inet
LANGUAGE plpgsql AS $$
DECLARE
    usable bigint := (1::bigint << (32 - masklen(p_range))) - 3;
    start  bigint := floor(random() * usable);
    chosen inet;
BEGIN
    -- Two must not choose the same one.
    PERFORM pg_advisory_xact_lock(hashtextextended('network ' || p_instance || ' ' || p_node, 0));
    FOR place IN 0 .. usable - 1 LOOP
        chosen := set_masklen(host(p_range)::inet + 2 + (start + place) % usable, 32);
        IF NOT EXISTS (SELECT 1 FROM sandboxes
                       WHERE instance = p_instance AND node = p_node AND network_address = chosen
                         AND status NOT IN ('destroyed', 'failed')) THEN
            RETURN chosen;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

-- Writes down the network that a living sandbox is to have, before the engine hears of it. p_range
-- is where the addresses of restricted ones are. What was there before is in the answer: who changes
-- the engine has to know which network to leave.
-- Raises IN404 sandbox_not_found; IN409 sandbox_ended; IN429 network_addresses_exhausted.
CREATE FUNCTION network_set(p_id uuid, p_user_id uuid, p_network text, p_policy jsonb,
                            p_range cidr)
RETURNS TABLE (network text, network_policy jsonb, network_address inet, network_version integer,
               old_network text, status text)
LANGUAGE plpgsql AS $$
DECLARE
    box     sandboxes%ROWTYPE;
    address inet;
BEGIN
    SELECT * INTO box FROM sandboxes s WHERE s.id = p_id AND s.user_id = p_user_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'sandbox_not_found' USING ERRCODE = 'IN404';
    END IF;
    IF box.status IN ('stopping', 'destroyed', 'failed') THEN
        RAISE EXCEPTION 'sandbox_ended' USING ERRCODE = 'IN409';
    END IF;
    IF p_network = 'restricted' THEN
        address := coalesce(box.network_address,
                            network_free_address(box.instance, box.node, p_range));
        IF address IS NULL THEN
            RAISE EXCEPTION 'network_addresses_exhausted' USING ERRCODE = 'IN429';
        END IF;
    END IF;
    UPDATE sandboxes s
    SET network = p_network,
        network_policy = CASE WHEN p_network = 'restricted' THEN p_policy ELSE '{"allow": []}' END,
        -- Kept until the end: the container may still have it.
        network_address = coalesce(address, s.network_address),
        network_version = s.network_version + 1
    WHERE s.id = p_id;
    RETURN QUERY SELECT s.network, s.network_policy, s.network_address, s.network_version,
                        box.network, s.status
                 FROM sandboxes s WHERE s.id = p_id;
END
$$;

-- Adds attempts: [{"kind": "name", "target": "example.org", "attempts": 3}, ...]. A sandbox has at
-- most p_most rows; what does not fit is counted in the one of kind 'other'.
CREATE FUNCTION network_denied(p_id uuid, p_attempts jsonb, p_most integer)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    seen record;
    room integer;
BEGIN
    PERFORM 1 FROM sandboxes WHERE id = p_id FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT p_most - count(*) INTO room FROM network_denials
    WHERE sandbox_id = p_id AND kind <> 'other';
    FOR seen IN SELECT kind, target, sum(attempts) AS attempts
                FROM jsonb_to_recordset(p_attempts) AS a (kind text, target text, attempts bigint)
                GROUP BY kind, target LOOP
        UPDATE network_denials SET attempts = attempts + seen.attempts, last_at = now()
        WHERE sandbox_id = p_id AND kind = seen.kind AND target = seen.target;
        CONTINUE WHEN FOUND;
        INSERT INTO network_denials AS d (sandbox_id, kind, target, attempts)
        VALUES (p_id, CASE WHEN room > 0 THEN seen.kind ELSE 'other' END,
                CASE WHEN room > 0 THEN seen.target ELSE '' END, seen.attempts)
        ON CONFLICT (sandbox_id, kind, target)
        DO UPDATE SET attempts = d.attempts + excluded.attempts, last_at = now();
        room := room - 1;
    END LOOP;
END
$$;
