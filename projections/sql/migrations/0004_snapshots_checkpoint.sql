-- pre-deployment
-- Who takes snapshots is a consumer of the log like all others, with its checkpoint where those of the others stand. That
-- of the release before retries in vain from here on; a stream is folded from its last snapshot meanwhile.

insert into consumers.registration (consumer, registered_position)
select 'snapshots', 0 from views.snapshot_progress where position > 0;

insert into consumers.checkpoint (consumer, position, leaf)
select 'snapshots', position, leaf from views.snapshot_progress where position > 0;

drop table views.snapshot_progress;
