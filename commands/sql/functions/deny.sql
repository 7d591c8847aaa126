-- Refuse tokens from now on until they would have expired anyway: those of a session, one of them (`<session>.<number>`), or
-- those of another credential. The one row of vault.denials is locked until the commit, so whoever reads denials in the
-- order of their numbers misses none.
create function vault.deny(_subjects text[], _lifetime interval) returns void
language plpgsql as $$
declare
    _last bigint;
begin
    update vault.denials set last = last + cardinality(_subjects) returning last into _last;
    insert into vault.denial (number, subject, expires_at)
    select _last - cardinality(_subjects) + given.ordinality, given.subject, clock_timestamp() + _lifetime
    from unnest(_subjects) with ordinality as given (subject, ordinality);
end
$$;
