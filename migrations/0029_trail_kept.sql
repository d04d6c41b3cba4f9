-- As before, but nothing younger than thirty days goes: whoever may call this may not take away the
-- traces of what has just been done.
CREATE OR REPLACE FUNCTION audit_forget_personal(p_days integer, p_most integer) RETURNS bigint
LANGUAGE sql AS $$
    WITH gone AS (
        DELETE FROM audit_personal p
        USING (SELECT audit_id FROM audit_personal ORDER BY audit_id LIMIT p_most) AS oldest
        JOIN audit_log l ON l.id = oldest.audit_id
        WHERE p.audit_id = oldest.audit_id
          AND l.at < now() - make_interval(days => greatest(p_days, 30))
        RETURNING 1)
    SELECT count(*) FROM gone
$$;
