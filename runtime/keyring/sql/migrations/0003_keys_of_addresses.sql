-- pre-deployment
-- Keys of addresses that people log in with are used by rows of the vault, by no event. They are walked through one after the
-- other to find those whose address the vault has no more; `made_at` moves each time one is sealed under.
create index subject_of_address on keys.subject (subject) where subject like 'address-%';
