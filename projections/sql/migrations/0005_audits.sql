-- pre-deployment
-- The audit next to the sealer holds checkpoints of views against the log; it reads no rows.
grant usage on schema views to counterfoil_sealer;
grant select on views.build, views.checkpoint, views.snapshot to counterfoil_sealer;
