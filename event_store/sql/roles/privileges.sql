-- The writer runs one function and reads; the others read. Nobody but the owner may change a row.
revoke all on schema log from public;
revoke all on function log.append_batch, log.first_tagged, log.types_tagged from public;
grant usage on schema log
    to counterfoil_writer, counterfoil_reader, counterfoil_relay, counterfoil_projector, counterfoil_sealer;
grant select on all tables in schema log
    to counterfoil_writer, counterfoil_reader, counterfoil_relay, counterfoil_projector, counterfoil_sealer;
grant execute on function log.append_batch, log.types_tagged to counterfoil_writer;

revoke all on schema secret from public;
grant usage on schema secret to counterfoil_writer;
grant select on secret.fingerprint to counterfoil_writer;

-- Snapshots are the business of the applications that take them.
revoke all on schema application from public;
grant usage on schema application to counterfoil_writer, counterfoil_reader;
grant select, insert on application.snapshot to counterfoil_writer;
grant select on application.snapshot to counterfoil_reader;
