-- Ports of sandboxes that can be reached from outside.

CREATE TABLE ports (
    sandbox_id     uuid NOT NULL REFERENCES sandboxes (id) ON DELETE CASCADE,
    container_port integer NOT NULL CHECK (container_port BETWEEN 1 AND 65535),
    visibility     text NOT NULL CHECK (visibility IN ('public', 'token')),
    generation     uuid NOT NULL DEFAULT gen_random_uuid(), -- what the port's token is made from
    instance       text NOT NULL, -- the deployment and machine whose port host_port is
    node           text NOT NULL,
    host_port      integer CHECK (host_port BETWEEN 1 AND 65535), -- NULL: none
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sandbox_id, container_port)
);
CREATE UNIQUE INDEX ports_host_port ON ports (instance, node, host_port);

-- The next free port of a machine behind p_after, from the beginning again behind the end, but not
-- p_taken; NULL when there is none. The caller holds the machine's lock.
CREATE FUNCTION port_next_free(p_instance text, p_node text, p_first integer, p_last integer,
                               p_after integer, p_taken integer)
RETURNS integer
LANGUAGE sql AS $$
    SELECT candidate
    FROM generate_series(p_first, p_last) AS candidate
    WHERE candidate <> p_taken
      AND NOT EXISTS (SELECT 1 FROM ports
                      WHERE instance = p_instance AND node = p_node AND host_port = candidate)
    ORDER BY candidate <= p_after, candidate
    LIMIT 1
$$;

-- Exposes a port, or changes the visibility of one that is exposed. p_first 0: without a port of the
-- machine; p_taken (or 0): the port of the machine that turned out to be somebody else's. A new row
-- gets a port from anywhere in the range, so that one that was just freed does not lead its old
-- visitors to another sandbox.
-- Raises IN404 sandbox_not_found; IN409 sandbox_ended; IN429 port_quota_exceeded,
-- host_ports_exhausted.
CREATE FUNCTION port_expose(p_sandbox_id uuid, p_user_id uuid, p_container_port integer,
                            p_visibility text, p_first integer, p_last integer, p_taken integer,
                            p_most integer)
RETURNS ports
LANGUAGE plpgsql AS $$
DECLARE
    sandbox sandboxes%ROWTYPE;
    exposed ports%ROWTYPE;
    chosen  integer;
BEGIN
    -- Held until the end: the sandbox does not end in between, and the count below holds.
    SELECT * INTO sandbox FROM sandboxes WHERE id = p_sandbox_id AND user_id = p_user_id
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'sandbox_not_found' USING ERRCODE = 'IN404';
    END IF;
    IF sandbox.status NOT IN ('creating', 'running') THEN
        RAISE EXCEPTION 'sandbox_ended' USING ERRCODE = 'IN409';
    END IF;
    SELECT * INTO exposed FROM ports
    WHERE sandbox_id = p_sandbox_id AND container_port = p_container_port;
    IF NOT FOUND AND (SELECT count(*) FROM ports WHERE sandbox_id = p_sandbox_id) >= p_most THEN
        RAISE EXCEPTION 'port_quota_exceeded' USING ERRCODE = 'IN429';
    END IF;

    IF p_first > 0 THEN
        chosen := exposed.host_port;
        IF chosen IS NULL OR chosen = p_taken OR chosen NOT BETWEEN p_first AND p_last THEN
            -- One at a time chooses on a machine.
            PERFORM pg_advisory_xact_lock(hashtextextended(
                'insien host ports ' || sandbox.instance || '/' || sandbox.node, 0));
            chosen := port_next_free(
                sandbox.instance, sandbox.node, p_first, p_last,
                CASE WHEN p_taken > 0 THEN p_taken
                ELSE p_first + floor(random() * (p_last - p_first + 1))::integer - 1 END,
                p_taken);
            IF chosen IS NULL THEN
                RAISE EXCEPTION 'host_ports_exhausted' USING ERRCODE = 'IN429';
            END IF;
        END IF;
    END IF;

    INSERT INTO ports (sandbox_id, container_port, visibility, instance, node, host_port)
    VALUES (p_sandbox_id, p_container_port, p_visibility, sandbox.instance, sandbox.node, chosen)
    ON CONFLICT (sandbox_id, container_port)
    DO UPDATE SET visibility = excluded.visibility, host_port = excluded.host_port
    RETURNING * INTO exposed;
    RETURN exposed;
END
$$;

-- A sandbox's ports go in the transaction that ends it, whichever statement that is.
CREATE FUNCTION ports_free() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM ports WHERE sandbox_id = NEW.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER sandboxes_free_ports AFTER UPDATE OF status ON sandboxes
    FOR EACH ROW
    WHEN (OLD.status IN ('creating', 'running') AND NEW.status NOT IN ('creating', 'running'))
    EXECUTE FUNCTION ports_free();
