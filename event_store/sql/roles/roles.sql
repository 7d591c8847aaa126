-- Group roles. A login is made a member of those it needs; sessions take one with `set role`. Roles belong to the whole
-- cluster: another database of it may have created them already, or an administrator, who then also decides who may take
-- them. Whoever creates them here may take them all.
do $$
declare
    _role text;
begin
    foreach _role in array array[
        'counterfoil_owner', 'counterfoil_writer', 'counterfoil_reader', 'counterfoil_relay', 'counterfoil_projector',
        'counterfoil_sealer', 'counterfoil_vault', 'counterfoil_recorder', 'counterfoil_keys', 'counterfoil_revealer'
    ] loop
        continue when to_regrole(_role) is not null;
        begin
            execute format('create role %I nologin', _role);
            execute format('grant %I to current_user', _role);
        exception when duplicate_object or unique_violation then
            null; -- the migration of another database was faster
        end;
    end loop;
end
$$;
