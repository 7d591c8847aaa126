-- The types of the events that carry a tag, found by seeking from one to the next: as many probes as there are types.
create function log.types_tagged(_tag text) returns text[]
language plpgsql stable
as $$
declare
    _types text[] := '{}';
    _type text;
begin
    select t.type into _type from log.tag t where t.tag = _tag order by t.type limit 1;
    while _type is not null loop
        _types := _types || _type;
        select t.type into _type from log.tag t where t.tag = _tag and t.type > _type order by t.type limit 1;
    end loop;
    return _types;
end
$$;
