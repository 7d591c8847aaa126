-- The first position behind `_after` of an event that carries all of these tags and has any of these types, or any at all
-- if none is named; null: there is none.
--
-- An append condition is checked with it under the head lock, so it seeks instead of counting. Of each type the tags take
-- turns: each moves the candidate to the first position of its own that is not before it, until all of them agree on one.
-- That takes at most as many rounds as the rarest tag has events there, however many events carry the others.
create function log.first_tagged(_tags text[], _types text[], _after bigint) returns bigint
language plpgsql stable
as $$
declare
    _first bigint;
    _type text;
    _candidate bigint;
    _found bigint;
    _turn int;
    _agreed int;
begin
    foreach _type in array case when cardinality(_types) = 0 then log.types_tagged(_tags[1]) else _types end loop
        _candidate := _after + 1;
        _turn := 1;
        _agreed := 0;
        while _agreed < cardinality(_tags) loop
            select t.position into _found from log.tag t
            where t.tag = _tags[_turn] and t.type = _type and t.position >= _candidate
            order by t.position limit 1;
            exit when _found is null or _found >= _first;
            _agreed := case when _found = _candidate then _agreed + 1 else 1 end;
            _candidate := _found;
            _turn := _turn % cardinality(_tags) + 1;
        end loop;
        if _agreed = cardinality(_tags) then
            _first := _candidate;
        end if;
    end loop;
    return _first;
end
$$;
