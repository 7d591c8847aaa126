-- post-deployment
-- The checkpoints by partition that process managers of the release before kept.
delete from consumers.checkpoint where generation > 0;
