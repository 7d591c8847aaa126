-- Count one more of everything that is named, unless one of them has as many as it may in the window already: then `wait` says
-- how long until none has. Rows are locked in the order of their names, so two calls never wait for each other.
create function vault.begin_attempt(
    _names text[], _most integer[], _window interval, out begun_at timestamptz, out wait interval
)
language plpgsql as $$
begin
    insert into vault.attempt (name, times)
    select given.name, '{}' from unnest(_names) as given (name) order by given.name
    on conflict (name) do nothing;
    perform from vault.attempt a where a.name = any(_names) order by a.name for update;
    -- Only now: whoever held the rows before has counted an earlier moment.
    begun_at := clock_timestamp();
    update vault.attempt a
    set times = array(select t from unnest(a.times) as kept (t) where t > begun_at - _window order by t)
    where a.name = any(_names);
    select max(a.times[cardinality(a.times) - given.most + 1] + _window - begun_at) into wait
    from vault.attempt a
    join unnest(_names, _most) as given (name, most) on given.name = a.name
    where cardinality(a.times) >= given.most;
    if wait is null then
        update vault.attempt a set times = a.times || begun_at where a.name = any(_names);
    end if;
end
$$;
