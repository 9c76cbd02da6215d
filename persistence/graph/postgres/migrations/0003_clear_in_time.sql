-- The same within a time: nothing but its time tells whether another rebuild has filled since what it would empty.
-- `not_after`: milliseconds since 1970 by this server's clock. Raises DT003: its time had passed, and nothing of it has
-- happened.
CREATE FUNCTION clear_tenant(not_after bigint, user_id_ text, most integer, OUT removed bigint, OUT now_ms bigint)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    now_ms := floor(extract(epoch FROM clock_timestamp()) * 1000);
    IF now_ms > not_after THEN
        RAISE EXCEPTION USING ERRCODE = 'DT003', MESSAGE = 'diptych: the time of the write has passed';
    END IF;
    PERFORM set_config('lock_timeout', greatest(not_after - now_ms, 1)::text, true);
    removed := coalesce(clear_tenant(user_id_, most), 0);
    IF floor(extract(epoch FROM clock_timestamp()) * 1000) > not_after THEN
        RAISE EXCEPTION USING ERRCODE = 'DT003', MESSAGE = 'diptych: the time of the write has passed';
    END IF;
END
$$;
