-- Tags of the events that declare any: append conditions are answered from this index alone.
create table log.tag (
    tag text not null,
    type text not null,
    position bigint not null references log.event (position),
    primary key (tag, type, position)
);
