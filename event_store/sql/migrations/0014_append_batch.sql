-- pre-deployment
-- The same verdicts; the newest version of each stream is looked for once in a batch, in half of the time.

-- include: ../functions/append_batch.sql
