-- Group roles. A login is made a member of those it needs; sessions take one with `set role`. Roles belong to the whole
-- cluster, so another database of it may have created them already.
do $$
declare
    _role text;
begin
    foreach _role in array array[
        'counterfoil_owner', 'counterfoil_writer', 'counterfoil_reader', 'counterfoil_relay', 'counterfoil_projector'
    ] loop
        begin
            execute format('create role %I nologin', _role);
        exception when duplicate_object or unique_violation then
            null;
        end;
    end loop;
end
$$;
